"""Labelled tiles: a tree of class folders, a list or a CSV."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import find_images, in_label_order
from fewshot_wsi.foundation.label_tables import read_label_table
from fewshot_wsi.foundation.lists import groups_of, read_groups, read_list
from fewshot_wsi.foundation.tables import plain_path


@dataclass(frozen=True)
class Supports:
    """names: (n,) paths below `root`, as given. labels: (n,) int64 numbers of `classes`. groups: (n,) int64 from 0;
    tiles of one number (slide, patient, original; copies of one path) belong together. grouped: whether the user named
    groups."""
    where: str
    root: Path
    names: tuple
    labels: np.ndarray
    classes: tuple
    groups: np.ndarray
    grouped: bool

    def __len__(self):
        return len(self.names)


def read_supports(path, root=None, groups=None, classes=None):
    """Supports of `path`: a folder with one folder a class, a CSV path,label[,group], or a list 'path label'.

    root: folder that the paths of a CSV or list start from (default: that of the file). groups: CSV path,group.
    classes: names in label order; default: sorted, numbers by value.
    UserError: what cannot be read, one class only, one path with two labels, classes that `classes` does not name.
    """
    path = Path(path)
    read = _from_folder if path.is_dir() else _from_csv if path.suffix.lower() == ".csv" else _from_list
    names, labels, named = read(path, classes)
    if groups is not None:
        named = groups_of(names, read_groups(groups), groups).tolist()
    order = _class_order(path, labels, classes)
    first = {}
    for name, label in zip(names, labels, strict=True):
        if first.setdefault(plain_path(name), label) != label:
            raise UserError(f"{path}: {name!r} has two labels, {first[plain_path(name)]!r} and {label!r}; keep one")
    numbers = np.array([order.index(label) for label in labels], dtype=np.int64)
    keys = [plain_path(name) for name in names] if named is None else named
    together = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    root = path if path.is_dir() else Path(root or path.parent)
    return Supports(str(path), root, tuple(names), numbers, order, np.array([together[key] for key in keys]),
                    named is not None)


def _class_order(path, labels, classes):
    present = in_label_order(labels, f"{path}: ")
    if len(present) < 2:
        raise UserError(f"{path}: all supports are of the class {present[0]!r}; a classifier needs at least two")
    if classes is not None and (sorted(classes) != sorted(present)):
        raise UserError(f"--classes names {', '.join(classes)}, but {path} has {', '.join(present)}; name each once")
    return tuple(classes or present)


def _from_folder(root, classes):
    names = find_images(root)
    loose = next((name for name in names if "/" not in name), None)
    if loose:
        raise UserError(f"{root}: {loose!r} lies in no class folder; supports are <class>/<tile>")
    return names, [name.split("/")[0] for name in names], None


def _from_csv(path, classes):
    table = read_label_table(path)
    nameless = [name for name, group in zip(table.names, table.groups, strict=True) if not group]
    if 0 < len(nameless) < len(table):
        raise UserError(f"{path}: {len(nameless)} of {len(table)} labelled tiles have no group, the first is "
                        f"{nameless[0]!r}; name all or none")
    return table.names, table.labels, None if nameless else table.groups


def _from_list(path, classes):
    images = read_list(path, labeled=True)
    if classes is None:
        return images.names, [str(label) for label in images.labels], None
    if images.labels.max() >= len(classes):
        raise UserError(f"{path}: the label {images.labels.max()} has no name among --classes {' '.join(classes)}")
    return images.names, [classes[label] for label in images.labels], None
