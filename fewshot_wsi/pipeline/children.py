"""Processes that torchrun needs: their exit codes and signals become ours, and all output goes to a log too."""

import contextlib
import ctypes
import fcntl
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path

from fewshot_wsi.foundation.errors import Terminated

logger = logging.getLogger(__name__)


def training_command(processes, *words):
    """`fewshot-wsi train WORDS…` on so many processes of this machine, as tools/dist_train.sh starts it: (command,
    variables of its environment)."""
    port = os.environ.get("MASTER_PORT") or os.environ.get("PORT") or free_port()  # protocols train side by side
    command = [sys.executable, "-m", "openselfsup.launch", "--nproc_per_node", processes, "--nnodes", 1,
               "--node_rank", 0, "--master_addr", "127.0.0.1", "--master_port", port,
               "-m", "fewshot_wsi", "train", *words, "--launcher", "pytorch"]
    path = [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(path), "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    if not os.environ.get("OMP_NUM_THREADS") and shutil.which("nvidia-smi") is None:
        environment["OMP_NUM_THREADS"] = str(max(1, os.cpu_count() // processes))  # they share the CPU's cores
    return command, environment


def free_port():
    """A port of this machine that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def call(command, environment=()):
    """Run `command` (list of str) and wait. A failure ends this process with the same exit code.

    environment: dict of variables for the child besides ours. The child has a process group of its own: an interrupt or
    termination of this process reaches the child and all its children exactly once, and is waited for, so that they
    save their state.
    """
    command = [str(part) for part in command]
    logger.info(f"$ {shlex.join(command)}")
    child = subprocess.Popen(command, process_group=0, preexec_fn=_end_with_parent,
                             env={**os.environ, **dict(environment)})
    try:
        code = child.wait()
    except BaseException as error:
        sent = signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sent)
        child.wait()
        raise
    if code:
        logger.error(f"stopped, because the command above ended with exit code {code}")
        raise SystemExit(code if code > 0 else 128 - code)


def _end_with_parent():
    """In a child, on Linux: be terminated when the parent is killed, instead of running on unseen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1: PR_SET_PDEATHSIG


@contextlib.contextmanager
def logged(path):
    """Everything that this process and its children print goes to `path` as well, whatever way the process ends.

    Output stays output and errors stay errors; where both go to one place, the log has them in the same order. On a
    terminal the progress bars stay on the terminal and out of the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr.isatty()
    path.write_bytes(b"")
    kept = [os.dup(1), os.dup(2)]
    together = os.path.sameopenfile(1, 2)
    ends = [os.pipe() for _ in kept[:1 if together else 2]]
    pairs = [f"{source}:{target}" for (source, _), target in zip(ends, kept, strict=False)]
    copying = subprocess.Popen([sys.executable, "-S", str(Path(__file__).with_name("tee.py")), str(path), *pairs],
                               pass_fds=[*kept, *(source for source, _ in ends)], process_group=0)
    for source, _ in ends:
        os.close(source)
    pipes = [sink for _, sink in ends]
    if terminal:
        os.environ["LOWSHOT_TERMINAL"] = "/dev/tty"
    try:
        _redirect(pipes[0], pipes[-1])
        yield
    finally:
        _redirect(*kept)
        while copying.poll() is None and any(map(_unread, pipes)):
            time.sleep(0.01)
        for number in (*kept, *pipes):
            os.close(number)
        with contextlib.suppress(subprocess.TimeoutExpired):  # joblib's helpers hold the pipes until the very end
            copying.wait(0.5)


def _unread(pipe):
    """Bytes in a pipe that are not read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def _redirect(out, err):
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(out, 1)
    os.dup2(err, 2)
