"""Image files below a folder, in an order that no machine changes, under names that a list can hold."""

import os
import unicodedata
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError

SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".webp"})


def find_images(root):
    """Relative POSIX paths (list of str, sorted by code point) of all images below `root`; links are followed.

    Hidden files and folders are passed over. UserError: no such folder, no image, a name that no list can hold.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    found, seen = [], set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_refuse):
        place = os.stat(folder)
        if (place.st_dev, place.st_ino) in seen:  # a link back up the tree
            folders.clear()
            continue
        seen.add((place.st_dev, place.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = Path(folder).relative_to(root)
        found += [(relative / name).as_posix() for name in files
                  if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES]
    if not found:
        raise UserError(f"{root}: no image below this folder ({', '.join(sorted(SUFFIXES))})")
    check_listable(found, root)
    return sorted(found)


def _refuse(error):
    raise error


def check_listable(names, where):
    """UserError if a name holds what a text list cannot: a line break, blanks at an end, bytes that are not UTF-8."""
    for name in names:
        if len(name.splitlines()) != 1 or name != name.strip():
            raise UserError(f"{where}: {name!r} holds a line break or begins or ends with a blank; rename it")
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise UserError(f"{where}: the file name {name!r} is not UTF-8; rename it") from None


def same_but_for_case(names):
    """Pairs (earlier, later) of different names that a file system blind to case or to the form of umlauts confuses."""
    first, pairs = {}, []
    for name in names:
        other = first.setdefault(_folded(name), name)
        if other != name:
            pairs.append((other, name))
    return pairs


def _folded(name):
    return unicodedata.normalize("NFC", name).casefold()
