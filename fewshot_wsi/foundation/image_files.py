"""Image files below a folder, in an order that no machine changes, under names that a list can hold."""

import os
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from fewshot_wsi.foundation.archived import archive_of
from fewshot_wsi.foundation.errors import UserError

SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".jp2", ".j2k", ".bmp", ".webp"})


def find_images(root: str | Path) -> list[str]:
    """Relative POSIX paths (list of str, sorted by code point) of all images below `root`; see `find_files`.

    UserError: no such folder, no image, a name that no list can hold.
    """
    found = find_files(root, SUFFIXES)
    if not found:
        raise UserError(f"{root}: no image below this folder ({', '.join(sorted(SUFFIXES))})")
    check_listable(found, root)
    return found


def find_files(root: str | Path, suffixes: Collection[str]) -> list[str]:
    """Relative POSIX paths (list of str, sorted by code point) of all files below `root` that end in one of `suffixes`.

    root may be a zip archive; the one folder that all its files lie below is then left out of the paths.
    Hidden files and folders are passed over, `._` files of macOS among them. Links are followed, two links to one
    folder both, but not a link to a folder that it lies in. UserError: no such folder.
    """
    root = Path(root)
    if root.is_file() and (archived := archive_of(root)) is not None:
        archive, _ = archived
        names = [name.removeprefix(archive.top) for name in archive.names]
        return sorted(name for name in names if not any(part.startswith(".") for part in name.split("/"))
                      and os.path.splitext(name)[1].lower() in suffixes)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    found = []
    above: dict[str, frozenset] = {}  # the folders that each folder lies in, itself among them
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_refuse):
        stat, parents = os.stat(folder), above.get(os.path.dirname(folder), frozenset())
        place = (stat.st_dev, stat.st_ino)
        if place in parents:
            folders.clear()
            continue
        above[folder] = parents | {place}
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(folder).relative_to(root)
        found += [(relative / name).as_posix() for name in files
                  if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes]
    return sorted(found)


def _refuse(error):
    raise error


def check_listable(names: Iterable[str], where: object) -> None:
    """UserError if a name holds what a text list cannot: a line break, blanks at an end, bytes that are not UTF-8."""
    for name in names:
        if len(name.splitlines()) != 1 or name != name.strip():
            raise UserError(f"{where}: {name!r} holds a line break or begins or ends with a blank; rename it")
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise UserError(f"{where}: the file name {name!r} is not UTF-8; rename it") from None


def same_but_for_case(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs (earlier, later) of different names that a file system blind to case or to the form of umlauts confuses."""
    pairs = []
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(_folded(name), name)
        if other != name:
            pairs.append((other, name))
    return pairs


def in_label_order(names: Iterable[str], where: str = "") -> list[str]:
    """The distinct class names, numbers by value and first, then by code point.

    UserError, which begins with `where`: names that differ only in case or in the form of a letter."""
    found = sorted(set(names), key=lambda name: (0, int(name), name) if name.isascii() and name.isdigit()
                   else (1, 0, name))
    refuse_alike(found, where)
    return found


def refuse_alike(classes: Iterable[str], where: str = "") -> None:
    """UserError, which begins with `where`: class names that differ only in case or in the form of a letter."""
    for one, other in same_but_for_case(classes):
        raise UserError(f"{where}the classes {one!r} and {other!r} differ only in case or in the form of a letter; "
                        "rename one")


def _folded(name):
    return unicodedata.normalize("NFC", name).casefold()
