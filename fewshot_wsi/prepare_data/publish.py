"""All lists of a data set appear together or not at all, and nothing that exists is replaced unasked."""

import contextlib
import os
import shutil
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256
from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.foundation.tables import write_table
from fewshot_wsi.foundation.temporary import temporary_folder, umask

_READY = ".publishing"  # complete and on disk, on its way to the final names


def publish(folder, writers, *, overwrite=False):
    """Write the files of `writers` into `folder`, all or none. Returns 'written' or 'unchanged'.

    writers: dict from file name to a function of one argument, the path to write (see `lists`, `groups`).
    Everything is written beside its place first. A new folder then appears in one move; in an existing one the files
    are moved in from a folder that is only named `.publishing` when it is complete, so that a stop in mid-move is
    finished by the next call. UserError: a file exists with other content and not `overwrite`.
    """
    folder = Path(folder)
    with locked(folder):
        return _publish(folder, writers, overwrite)


def _publish(folder, writers, overwrite):
    if folder.is_dir():
        _move_in(folder)
    work = temporary_folder((folder if folder.is_dir() else folder.parent) / "lists")
    try:
        for name, write in writers.items():
            write(work / name)
        if not folder.is_dir():
            os.chmod(work, 0o777 & ~umask())
            os.replace(work, folder)
            return "written"
        changed = [name for name in writers if not _equal(work / name, folder / name)]
        there = [name for name in changed if (folder / name).exists()]
        if there and not overwrite:
            raise UserError(f"{folder}: there already, with other content: {', '.join(there[:3])}"
                            f"{' …' if len(there) > 3 else ''}; give --overwrite to replace, or another --out")
        for name in writers.keys() - set(changed):
            os.unlink(work / name)
        os.replace(work, folder / _READY)
        _move_in(folder)
        return "written" if changed else "unchanged"
    finally:
        shutil.rmtree(work, ignore_errors=True)


def lists(stem, names, labels):
    """Writers of the two forms of one list: `<stem>.txt` and `<stem>_labeled.txt`. names, labels: equal length.
    UserError for an empty list."""
    names, labels = list(names), list(labels)
    if not names:
        raise UserError(f"the list {stem} would be empty; it needs at least one image")
    return {f"{stem}.txt": lambda path: write_list(path, names),
            f"{stem}_labeled.txt": lambda path: write_list(path, names, labels)}


def groups(members, name="groups.csv"):
    """Writer of a group table. members: dict from path to group name."""
    return table(name, ("path", "group"), members.items())


def table(name, header, rows):
    """Writer of a CSV file. header: column names. rows: tuples, as many values as columns."""
    return {name: lambda path: write_table(path, header, rows)}


def _move_in(folder):
    ready = folder / _READY
    if not ready.is_dir():
        return
    for name in sorted(os.listdir(ready)):
        os.replace(ready / name, folder / name)
    os.rmdir(ready)


def _equal(new, old):
    with contextlib.suppress(FileNotFoundError):
        return new.stat().st_size == old.stat().st_size and file_sha256(new) == file_sha256(old)
    return False
