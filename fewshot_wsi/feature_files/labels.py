"""The list that features are imported for: which tiles, in which order, of which class."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import read_list
from fewshot_wsi.foundation.tables import plain_path, read_table
from fewshot_wsi.prepare_data.table import TileTable, number_classes

TABLES = (".csv", ".tsv")
ALIASES = {"path": ("path", "name", "file", "filename"), "slide": ("slide", "slide_id"), "x": ("x",), "y": ("y",),
           "label": ("label", "class"), "group": ("group", "patient", "case_id")}


@dataclass(frozen=True)
class LabelList:
    """N tiles. names: (N,) what they are called on the list that is written. labels: (N,) int64. classes: their names.

    coords: (N, 2) int64, level-0 pixels, and slides: tuple of str, for tiles named by slide and place; else None.
    groups: tuple of str or None. path: the file.
    """
    path: Path
    names: tuple[str, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    slides: tuple[str, ...] | None = None
    coords: np.ndarray | None = None
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def take(self, kept: np.ndarray) -> "LabelList":
        """The tiles where `kept` (N,) is True; all classes keep their numbers."""
        def of(values):
            return None if values is None else tuple(value for value, keep in zip(values, kept, strict=True) if keep)
        return LabelList(self.path, of(self.names), self.labels[kept], self.classes, of(self.slides),
                         None if self.coords is None else self.coords[kept], of(self.groups))


def read_labels(path) -> LabelList:
    """LabelList of a table (CSV: path,label or slide,x,y,label, and perhaps group) or of a list, `path label` a line.

    UserError: a tile twice, a value that is missing, coordinates that are no whole numbers.
    """
    path = Path(path)
    return _from_table(path) if path.suffix.lower() in TABLES else _from_list(path)


def _from_list(path):
    listed = read_list(path, labeled=True)
    _refuse_repeats(path, [(number, plain_path(name)) for number, name in enumerate(listed.names, 1)])
    classes = tuple(map(str, range(int(listed.labels.max()) + 1)))
    return LabelList(path, listed.names, listed.labels, classes)


def _from_table(path):
    known = [name for names in ALIASES.values() for name in names]
    rows = read_table(path, known, ())
    if not rows:
        raise UserError(f"{path}: the table is empty")
    columns = {role: next((name for name in names if name in rows[0][1]), None) for role, names in ALIASES.items()}
    places = all(columns[role] for role in ("slide", "x", "y"))
    if not columns["label"] or not (places or columns["path"] or columns["slide"]):
        raise UserError(f"{path}: the first line must name the columns slide,x,y,label (level-0 pixels) or path,label; "
                        f"it names, of those, {', '.join(filter(None, columns.values())) or 'none'}")
    for role in ("slide", "x", "y", "label", "group") if places else ("path", "label", "group"):
        _refuse_gaps(path, rows, columns[role])
    labels, classes = number_classes(TileTable((), tuple(row[columns["label"]] for _, row in rows)))
    groups = tuple(row[columns["group"]] for _, row in rows) if columns["group"] else None
    if not places:
        names = tuple(plain_path(row[columns["path"] or columns["slide"]]) for _, row in rows)
        _refuse_repeats(path, [(line, name) for (line, _), name in zip(rows, names, strict=True)])
        return LabelList(path, names, labels, classes, groups=groups)
    slides = tuple(row[columns["slide"]] for _, row in rows)
    coords = np.array([[_pixel(path, line, row[columns[axis]]) for axis in "xy"] for line, row in rows], dtype=np.int64)
    names = tuple(f"{plain_path(slide)}/{x}_{y}" for slide, (x, y) in zip(slides, coords.tolist(), strict=True))
    _refuse_repeats(path, [(line, name) for (line, _), name in zip(rows, names, strict=True)])
    return LabelList(path, names, labels, classes, slides, coords, groups)


def _pixel(path, line, text):
    try:
        value = float(text)
        if value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        value = text
    raise UserError(f"{path}, line {line}: {text!r} is no whole number of pixels; x and y are of level 0") from None


def _refuse_gaps(path, rows, column):
    line = next((line for line, row in rows if column and not row[column]), None)
    if line:
        raise UserError(f"{path}, line {line}: no {column}")


def _refuse_repeats(path, lines):
    first: dict[str, int] = {}
    for line, name in lines:
        if len(name.splitlines()) != 1:
            raise UserError(f"{path}, line {line}: {name!r} is no name on one line")
        if first.setdefault(name, line) != line:
            raise UserError(f"{path}, line {line}: {name!r} stands in line {first[name]} already; name each tile once")
