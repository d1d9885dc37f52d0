"""Running other commands of the project: their exit codes and signals become ours, and all output goes to a log too."""

import contextlib
import ctypes
import fcntl
import os
import shlex
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path

from lowshot.errors import Terminated

ROOT = Path(__file__).resolve().parents[3]


def script(path):
    """A file of the project as the current folder sees it: as it is from the root."""
    return os.path.relpath(ROOT / path)


def free_port():
    """A port of this machine that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def call(command, **environment):
    """Run `command` (list of str) and wait. A failure ends this process with the same exit code.

    environment: variables for the child besides ours; shell scripts find this Python as $PYTHON. The child has a
    process group of its own: an interrupt or termination of this process reaches the child and all its children exactly
    once, and is waited for, so that they save their state.
    """
    command = [str(part) for part in command]
    print(f"$ {shlex.join(command)}", flush=True)
    child = subprocess.Popen(command, process_group=0, preexec_fn=_end_with_parent,
                             env={**os.environ, "PYTHON": sys.executable, **environment})
    try:
        code = child.wait()
    except BaseException as error:
        sent = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sent)
        child.wait()
        raise
    if code:
        print(f"error: stopped, because the command above ended with exit code {code}", file=sys.stderr)
        raise SystemExit(code if code > 0 else 128 - code)


def _end_with_parent():
    """In a child, on Linux: be terminated when the parent is killed, rather than go on unseen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1: PR_SET_PDEATHSIG


@contextlib.contextmanager
def logged(path):
    """Everything that this process and its children print goes to `path` as well, whatever way the process ends.

    Output stays output and errors stay errors. On a terminal the bars of lowshot.progress stay on the terminal and out
    of the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr.isatty()
    path.write_bytes(b"")
    kept = [os.dup(1), os.dup(2)]
    # -i: an interrupt must not end the log before the last words; -a: both append to one file
    tees = [subprocess.Popen(["tee", "-i", "-a", str(path)], stdin=subprocess.PIPE, stdout=stream, process_group=0)
            for stream in kept]
    pipes = [os.dup(tee.stdin.fileno()) for tee in tees]
    if terminal:
        os.environ["LOWSHOT_TERMINAL"] = "/dev/tty"
    try:
        _redirect(*pipes)
        for tee in tees:
            tee.stdin.close()
        yield
    finally:
        _redirect(*kept)
        while any(tee.poll() is None and _unread(pipe) for tee, pipe in zip(tees, pipes, strict=True)):
            time.sleep(0.01)
        for number in (*kept, *pipes):
            os.close(number)
        for tee in tees:
            with contextlib.suppress(subprocess.TimeoutExpired):  # joblib's helpers hold the pipes until the very end
                tee.wait(0.5)


def _unread(pipe):
    """Bytes in a pipe that its reader has not taken yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def _redirect(out, err):
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(out, 1)
    os.dup2(err, 2)
