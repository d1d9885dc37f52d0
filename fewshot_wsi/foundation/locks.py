"""One process at a time works on a file or folder: locks that the kernel releases when their process ends."""

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import portalocker

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.temporary import hidden_name

logger = logging.getLogger(__name__)

_PAUSE = 0.2  # seconds between two attempts
_WARNED: set[Path] = set()  # folders of which a warning was given


@contextlib.contextmanager
def locked(path: str | Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of `path`, which need not exist, while the block runs. Makes missing parent folders.

    Where another process holds it, a warning says so and this one waits; with `wait` False that is a UserError. A file
    system without locks is named in a warning, and the block runs all the same. The lock is a hidden file beside
    `path`, which goes when the block ends.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock_file = path.parent / f"{hidden_name(path)}.lock"
    held = _acquire(lock_file, path, wait)
    try:
        yield
    finally:
        if held is not None:
            lock_file.unlink(missing_ok=True)  # while it is held: whoever opened it meanwhile looks for a new one
            held.close()


def _acquire(lock_file, path, wait):
    """The open and locked file; None where the file system has no locks."""
    while True:
        held = _try(lock_file, path)
        if held is not False:
            return held
        if not wait:
            raise UserError(f"{path}: another command is at work on it; wait until that one ends")
        if path.parent not in _WARNED:
            _WARNED.add(path.parent)
            logger.warning(f"{path}: another command is at work on it; this one waits until that one ends")
        time.sleep(_PAUSE)


def _try(lock_file: Path, path: Path) -> IO | None | bool:
    """As `_acquire`, or False where another process holds it."""
    stream = open(lock_file, "ab")  # noqa: SIM115 (open as long as the lock is held)
    try:
        portalocker.lock(stream, portalocker.LOCK_EX | portalocker.LOCK_NB)
        if os.path.samestat(os.fstat(stream.fileno()), os.stat(lock_file)):
            return stream
    except (portalocker.AlreadyLocked, FileNotFoundError):  # not found: removed by the one who held it
        pass
    except portalocker.LockException:
        stream.close()
        lock_file.unlink(missing_ok=True)
        logger.warning(f"{path}: its file system has no locks; do not start two commands that write it at a time")
        return None
    stream.close()
    return False
