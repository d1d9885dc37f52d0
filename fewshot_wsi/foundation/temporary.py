"""Temporary files and folders: each name says which process it belongs to, and what dead processes left is removed.

A temporary name ends in `.<host>-<process namespace>-<process id>-<random>.tmp`. A process on the same host and in the
same namespace sees whether the owner still lives; names of other hosts and containers stay untouched.
"""

import contextlib
import functools
import hashlib
import os
import platform
import re
import shutil
import tempfile
from pathlib import Path

_NAME = re.compile(r"\.(?P<where>[A-Za-z0-9]*-\d+)-(?P<pid>\d+)-\w+\.tmp$")
_LONGEST = 120  # bytes of the final name in a hidden one: file names end at 255


def temporary_file(path: str | Path) -> tuple[int, str]:
    """(open descriptor, name) of a new file beside `path`."""
    path = Path(path)
    remove_leftovers(path.parent)
    return tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=".tmp")


def temporary_folder(path: str | Path) -> Path:
    """A new, empty folder beside `path`."""
    path = Path(path)
    remove_leftovers(path.parent)
    return Path(tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path), suffix=".tmp"))


@functools.cache
def remove_leftovers(folder: str | Path) -> None:
    """Remove temporary files and folders in `folder` that dead processes of this host and namespace left.

    Runs once for each folder in a process; errors of the system are ignored.
    """
    with contextlib.suppress(OSError):  # a folder that cannot be listed or changed is named by what is written there
        for entry in list(os.scandir(folder)):
            match = _NAME.search(entry.name)
            if match and match["where"] == _here() and not _alive(int(match["pid"])):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)


def hidden_name(path: str | Path) -> str:
    """The name of `path` behind a dot; a long one is cut, and a hash keeps it unique."""
    name = Path(path).name
    if len(os.fsencode(name)) > _LONGEST:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        name = f"{os.fsencode(name)[:_LONGEST].decode(errors='ignore')}-{digest}"
    return f".{name}"


def umask() -> int:
    """The rights that new files of this process lack: temporary ones have fewer, and get these when they are done."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _prefix(path):
    return f"{hidden_name(path)}.{_here()}-{os.getpid()}-"


def _here():
    """This host and process namespace."""
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        namespace = 0
    return f"{re.sub(r'[^A-Za-z0-9]', '', platform.node())[:40]}-{namespace}"


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
