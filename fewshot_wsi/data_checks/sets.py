"""The lists to check: where their images lie, what their classes are called, which groups their images belong to."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.archived import missing_below
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import ImageList, read_groups, read_list
from fewshot_wsi.foundation.tables import plain_path


@dataclass(frozen=True)
class CheckedList:
    name: str                    # unique among the lists, short enough for a heading
    images: ImageList
    root: Path
    labels: np.ndarray           # (N,) int64, all 0 where the list has none
    classes: dict                # label: name
    groups: tuple | None = None  # of str or None (image without group), N entries; None where no table is given
    table: int | None = None     # which of the group tables
    rows: np.ndarray | None = None   # (N,) int64, rows of the measured images, set by `with_rows`

    def paths(self):
        return [Path(self.root, name) for name in self.images.names]


def load_sets(lists, roots, group_files, classes):
    """List of CheckedList, one for each of `lists`, paths of list files.

    roots: image folders: none (`<set>/data` for a list `<set>/meta/<list>`), one for all, or one per list. group_files:
    CSVs path,group; a list takes the first that names one of its images. classes: names in label order, or empty (then
    from the folders). UserError: wrong number of roots, no image of a list in its root, a label without a name, a list
    given twice.
    """
    if len(roots) not in (0, 1, len(lists)):
        raise UserError(f"{len(roots)} roots for {len(lists)} lists; give one --root, or one for each list")
    tables = [read_groups(path) for path in group_files]
    sets = []
    for position, (path, name) in enumerate(zip(lists, _short_names(lists), strict=True)):
        images = read_list(path)
        root = roots[position % len(roots)] if roots else _usual_root(images)
        if len(missing_below(root, images.names)) == len(images):
            raise UserError(f"{path}: none of its {len(images)} images lies in {root}, the first is "
                            f"{images.names[0]!r}; name the folder that the paths start from with --root")
        labels = np.zeros(len(images), np.int64) if images.labels is None else images.labels
        sets.append(CheckedList(name, images, root, labels, _class_names(images, classes),
                                *_groups(images, tables)))
    return sets


def _usual_root(images):
    """`<set>/data` of a list `<set>/meta/<list>`; UserError where there is none."""
    root = images.path.parent.parent / "data"
    if not root.is_dir():
        raise UserError(f"{images.path}: its images are not in {root}; name the folder that holds them with --root")
    return root


def _short_names(paths):
    """The file's name, or as many of its last folders as make it unlike the others."""
    parts = [Path(path).absolute().with_suffix("").parts[1:] for path in paths]
    if len(set(parts)) < len(parts):
        raise UserError("a list is named twice; name each once")
    names = []
    for own in parts:
        size = next(size for size in range(1, len(own) + 1)
                    if sum(other[-size:] == own[-size:] for other in parts) == 1)
        names.append("/".join(own[-size:]))
    return names


def _class_names(images, given):
    """dict from label to name: as given; else the folder that names each class; else 'class <label>'."""
    if images.labels is None:
        return {0: "all images"}
    labels = np.unique(images.labels).tolist()
    if given:
        if labels[-1] >= len(given):
            raise UserError(f"{images.path}: label {labels[-1]} but --classes names {len(given)} classes")
        return {label: given[label] for label in labels}
    folders = [name.split("/")[:-1] for name in images.names]
    for part in range(-1, -min(map(len, folders)) - 1, -1):
        seen = {label: set() for label in labels}
        for label, path in zip(images.labels.tolist(), folders, strict=True):
            seen[label].add(path[part])
        named = {label: next(iter(names)) for label, names in seen.items() if len(names) == 1}
        if len(named) == len(labels) == len(set(named.values())):
            return named
    return {label: f"class {label}" for label in labels}


def _groups(images, tables):
    """(groups, which table) of the first table that knows one of the images, or (None, None)."""
    for number, table in enumerate(tables):
        found = tuple(table.get(plain_path(name)) or None for name in images.names)
        if any(found):
            return found, number
    return None, None
