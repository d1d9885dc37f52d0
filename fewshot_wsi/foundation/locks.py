"""One process at a time works on a file or folder: locks that the kernel releases when their process ends."""

import contextlib
import errno
import logging
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from fewshot_wsi.foundation.errors import UserError

logger = logging.getLogger(__name__)

_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextlib.contextmanager
def locked(path: str | Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of `path`, which need not exist, while the block runs. Makes missing parent folders.

    Where another process holds it, a warning says so and this one waits; with `wait` False that is a UserError. A file
    system without locks is named in a warning, and the block runs all the same.
    """
    path = Path(path)
    lock_file = path.parent / ".locks" / f"{path.name}.lock"
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file)
    try:
        _acquire(lock, path, wait)
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        logger.warning(f"{path}: its file system has no locks; do not start two commands that write it at a time")
    try:
        yield
    finally:
        lock.release()


_WARNED: set[Path] = set()  # folders of which a warning was given


def _warn_of(path):
    if path.parent not in _WARNED:
        _WARNED.add(path.parent)
        logger.warning(f"{path}: another command is at work on it; this one waits until that one ends")


def _acquire(lock, path, wait):
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise UserError(f"{path}: another command is at work on it; wait until that one ends") from None
        _warn_of(path)
        lock.acquire(poll_interval=0.2)
