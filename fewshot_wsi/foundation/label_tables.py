"""Tables of labels, `path,label` and any of `lists.OWNERS`, as the labelling page exports them for classifiers."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import OWNERS, SPLIT_BY, owners_of
from fewshot_wsi.foundation.tables import plain_path, read_table, unique_rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelTable:
    """Labelled images, in the order of the file."""
    path: Path
    names: tuple[str, ...]   # paths of the images, as written
    labels: tuple[str, ...]  # class names
    groups: tuple[str, ...]  # what keeps images together, as `lists.read_groups` has it; '' where none is given

    def __len__(self) -> int:
        return len(self.names)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order in which they first occur."""
        return tuple(dict.fromkeys(self.labels))


def read_label_table(path: str | Path) -> LabelTable:
    """The rows of a CSV `path,label` (and any of `lists.OWNERS`) that have a label; the others are counted in a notice.

    An image that is named twice counts once. UserError: no such CSV, no label at all, a row without path, an image with
    two labels or groups."""
    rows = read_table(path, ("path", "label", *OWNERS), ("path", "label"))
    nameless = next((line for line, row in rows if not row["path"]), None)
    if nameless:
        raise UserError(f"{path}, line {nameless}: no path")
    count = len(rows)
    rows = [(line, row) for line, row in rows if row["label"]]
    if not rows:
        raise UserError(f"{path}: no row has a label; label tiles first")
    if len(rows) < count:
        logger.warning(f"{path}: {count - len(rows)} of {count} rows have no label and are left out")
    compared = [(line, {**row, "path": plain_path(row["path"])}) for line, row in rows]
    unique_rows(compared, "path", path)
    first = {plain_path(row["path"]): row for _, row in reversed(rows)}
    kept = [first[name] for name in dict.fromkeys(row["path"] for _, row in compared)]
    owners, notices = owners_of(kept, path)
    for notice in notices:
        logger.warning(notice)
    groups = next((owners[kind] for kind in SPLIT_BY if kind in owners), [""] * len(kept))
    return LabelTable(Path(path), tuple(row["path"] for row in kept), tuple(row["label"] for row in kept),
                      tuple(groups))


def rows_of(table: LabelTable, names: Sequence[str], where: object) -> np.ndarray:
    """(n,) int64, the place in `names` of each image of `table`. UserError: one that is not there; `where` says what
    holds the names."""
    places = {plain_path(name): place for place, name in enumerate(names)}
    missing = [name for name in table.names if plain_path(name) not in places]
    if missing:
        raise UserError(f"{table.path}: {len(missing)} of {len(table)} images are not in {where}, the first is "
                        f"{missing[0]!r}; paths must be as in the list")
    return np.array([places[plain_path(name)] for name in table.names], dtype=np.int64)
