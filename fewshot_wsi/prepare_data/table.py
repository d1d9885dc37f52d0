"""The images of a data set and what is known of each: class, group, side. From class folders or from a CSV."""

import logging
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import check_listable, find_images, in_label_order
from fewshot_wsi.foundation.lists import OWNERS, SPLIT_BY, groups_of, owners_of, read_owners
from fewshot_wsi.foundation.tables import plain_path, read_table

logger = logging.getLogger(__name__)

COLUMNS = ("path", "label", "split", *OWNERS)


@dataclass(frozen=True)
class TileTable:
    """Equally long tuples of str, one entry an image; None where nothing is known."""
    paths: tuple                  # relative to the data root, POSIX
    classes: tuple                # class names
    splits: tuple | None = None
    owners: dict = field(default_factory=dict)  # kind of `lists.OWNERS` -> tuple of names

    def __len__(self):
        return len(self.paths)

    @property
    def groups(self):
        """What keeps images together, as `lists.read_groups` has it; None where no owner is known."""
        return next((self.owners[kind] for kind in SPLIT_BY if kind in self.owners), None)


def from_folders(root, class_part=-1, group_part=None, split_part=None):
    """Images below `root`; the numbered part of each path names its class, group, split.

    Parts are those of the folder, 0 first: in `a/b/tile.png` part 0 (or -2) is `a`, part 1 (or -1) is `b`.
    UserError for an image that lies less deep than the part asked for."""
    paths = find_images(root)

    def column(part):
        return None if part is None else tuple(_part(root, path, part) for path in paths)
    return TileTable(tuple(paths), column(class_part), column(split_part),
                     {} if group_part is None else {"group": column(group_part)})


def from_csv(path, root):
    """TileTable of a CSV with the columns path,label[,split] and any of `lists.OWNERS`; see `tables.read_table`.

    Paths are relative to `root`, or absolute and below it, with slashes or backslashes, letters in either form.
    UserError names the line: a missing column or value, a path twice or outside root; images that are not there are
    counted and the first is named."""
    path, root = Path(path), Path(root)
    rows = read_table(path, COLUMNS, ("path", "label"))
    if not rows:
        raise UserError(f"{path}: no image below the first line")
    names = [_on_disk(root, _below(root, row["path"], path, line)) for line, row in rows]
    check_listable(names, path)
    first = {}
    for name, (line, row) in zip(names, rows, strict=True):
        if first.setdefault(name, line) != line:
            raise UserError(f"{path}, line {line}: {name!r} stands in line {first[name]} already")
        if not row["label"]:
            raise UserError(f"{path}, line {line}: {name!r} has no label")
    missing = [name for name in names if not (root / name).is_file()]
    if missing:
        raise UserError(f"{path}: {len(missing)} of {len(names)} images are not below {root}, the first is "
                        f"{missing[0]!r}; name the folder that the paths start from instead of {root}")

    def column(key):
        return tuple(row[key] for _, row in rows) if key in rows[0][1] else None
    owners, notices = owners_of([row for _, row in rows], path)
    for notice in notices:
        logger.warning(notice)
    return TileTable(tuple(names), column("label"), column("split"),
                     {kind: tuple(found) for kind, found in owners.items()})


def with_groups(table, csv_path):
    """`table` with the owners of a CSV path,group (or other `lists.OWNERS`); UserError for an image without one."""
    owners, notices = read_owners(csv_path)
    for notice in notices:
        logger.warning(notice)
    for known in owners.values():
        groups_of(table.paths, known, csv_path)
    return replace(table, owners={kind: tuple(known[plain_path(name)] for name in table.paths)
                                  for kind, known in owners.items()})


def number_classes(table, order=None):
    """(labels (N,) int64, class names in label order). order: the expected names, or None: sorted, numbers by value.

    UserError: names that differ only in case or in the form of an umlaut; an order that is not that of the classes."""
    present = in_label_order(table.classes)
    order = list(order or present)
    if sorted(order) != sorted(present):
        raise UserError(f"--classes names {', '.join(order)} but the images have {', '.join(present)}; "
                        "name each class once")
    number = {name: label for label, name in enumerate(order)}
    return np.array([number[name] for name in table.classes], dtype=np.int64), tuple(order)


def _part(root, path, part):
    folders = path.split("/")[:-1]
    if not -len(folders) <= part < len(folders):
        raise UserError(f"{root}: {path!r} has {len(folders)} folder(s) above the file, part {part} is not among them "
                        "(0 is the first, -1 the one right above the file)")
    return folders[part]


def _below(root, name, path, line):
    if not name:
        raise UserError(f"{path}, line {line}: no path")
    full = Path(name if (root / name).is_file() else name.replace("\\", "/"))
    if full.is_absolute():
        if not full.is_relative_to(root.absolute()):
            raise UserError(f"{path}, line {line}: {name} does not lie below {root}")
        full = full.relative_to(root.absolute())
    if ".." in full.parts:
        raise UserError(f"{path}, line {line}: {name!r} leads out of {root}; give paths below it")
    return full.as_posix()


def _on_disk(root, name):
    """`name`, or the same name with its letters in the other form, where that is the one of an image."""
    forms = (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
    return next((form for form in forms if (root / form).is_file()), name)
