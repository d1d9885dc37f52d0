"""What a user did wrong is one line and exit code 2; what we did wrong is a traceback."""

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from fewshot_wsi.foundation.messages import say, show_messages

_FULL = {errno.ENOSPC: "no space left on the device", errno.EDQUOT: "the disk quota is used up",
         errno.EFBIG: "the file would grow over the size limit"}
_REFUSED = {errno.EACCES: "permission denied", errno.EPERM: "permission denied",
            errno.EROFS: "the file system is read-only"}
_OTHER = {errno.ENOENT: "no such file or folder", errno.EISDIR: "a folder, where a file is needed",
          errno.ENOTDIR: "a part of it is a file, where a folder is needed",
          errno.EEXIST: "a file of this name is in the way", errno.ENAMETOOLONG: "a name too long for the file system",
          errno.ELOOP: "links that lead in a circle"}
_CURES = ((_FULL, "free some space, then run the same command again"),
          (_REFUSED, "choose another place or change the permissions"),
          (_OTHER, "check the name or choose another place"))


class UserError(Exception):
    """A fault that the user can correct. The message is one line: what is wrong, where, what to do."""


class InputError(UserError, ValueError):
    """A UserError about what a function of the method was given: a ValueError to those who call it from Python."""


class Terminated(BaseException):
    """SIGTERM arrived. A BaseException, so that no `except Exception` swallows it."""


def _terminate(signum, frame):
    raise Terminated


def _send_again(unraisable):
    """Python drops what is raised inside finalizers and callbacks: a signal that came there is sent again."""
    number = {Terminated: signal.SIGTERM, KeyboardInterrupt: signal.SIGINT}.get(unraisable.exc_type)
    if number is None:
        sys.__unraisablehook__(unraisable)
    else:
        threading.Timer(0.01, os.kill, (os.getpid(), number)).start()


def _write_by_lines():
    """One write a line, also where PYTHONUNBUFFERED makes it two: output and errors then mix by whole lines.
    A character that the terminal's encoding lacks is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=False)
            with contextlib.suppress(OSError):  # a terminal whose place cannot be told keeps its own way
                stream.reconfigure(errors="backslashreplace")


def one_line(error: BaseException) -> str:
    """The text of an error on one line; its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def explain(error: OSError) -> str | None:
    """One line for an operating-system error that a user can correct, or None where it is a bug of ours."""
    number = error.errno
    if number is None and "requested and" in str(error):
        number = errno.ENOSPC  # numpy reports a short write without an errno
    for reasons, cure in _CURES:
        if number in reasons and (error.filename or reasons is not _OTHER):
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{reasons[number]}; {cure}"
    return None


def run_command(main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None) -> int:
    """Run `main(argv)` as a command line and return its exit code.

    0 (or what `main` returns), 2 for UserError and for what the operating system refuses (see `explain`), 130 for
    SIGINT, 143 for SIGTERM.
    Use as `sys.exit(run_command(main))`.
    """
    previous, hook = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    sys.unraisablehook = _send_again
    try:
        signal.signal(signal.SIGTERM, _terminate)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell's background jobs begin: here they can end
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _write_by_lines()
        show_messages()
        return main(argv) or 0
    except UserError as error:
        say(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; finished work is kept, the same command continues from there", file=sys.stderr)
        return 130
    except Terminated:
        print("terminated; finished work is kept, the same command continues from there", file=sys.stderr)
        return 143
    except BrokenPipeError:  # `... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except MemoryError as error:
        say(f"error: the memory of this machine does not hold it ({one_line(error)[:200]}); ask for less at a time",
            file=sys.stderr)
        return 2
    except OSError as error:
        line = explain(error)
        if line is None:
            raise
        say(f"error: {line}", file=sys.stderr)
        return 2
    finally:
        signal.signal(signal.SIGTERM, previous)
        sys.unraisablehook = hook
