"""The map of one slide: class and scores of each tile, the area of each class, and the table of its tiles."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fewshot_wsi.foundation.tables import write_table
from fewshot_wsi.predict.columns import TEXT, WHOLE, abstained, score_columns, score_header, write_columns
from fewshot_wsi.slide_maps.grid import TileGrid

DIGITS = 6  # decimals of scores


@dataclass(frozen=True, eq=False)
class SlideMap:
    """Tiles of `grid` (n) and their classes. name: of the slide. labels: (n,) int32 numbers of `classes`. kind:
    'probability', 'score' or None. outputs: (n, ways) float64 of that kind, margin: (n,) that of the class less the
    largest other one; None where the classifier has neither. inside: (n, ways) bool conformal sets, or None."""
    name: str
    grid: TileGrid
    classes: tuple
    labels: np.ndarray
    kind: str | None
    outputs: np.ndarray | None
    margin: np.ndarray | None
    inside: np.ndarray | None = None

    @property
    def areas(self):
        """(ways,) mm² of each class."""
        return np.bincount(self.labels, weights=self.grid.areas, minlength=len(self.classes))

    @property
    def counts(self):
        """(ways,) tiles of each class."""
        return np.bincount(self.labels, minlength=len(self.classes))

    @cached_property
    def abstained(self):
        """(n,) bool: tiles whose conformal set is not one class; None without sets."""
        return None if self.inside is None else abstained(self.inside)

    @property
    def abstained_area(self):
        """mm² of these tiles; None without sets."""
        return None if self.inside is None else float(self.grid.areas[self.abstained].sum())

    def image(self, values, empty):
        """(rows, columns) of the map: `values` (n,) where there are tiles, `empty` elsewhere."""
        picture = np.full(self.grid.shape, empty, dtype=np.result_type(values))
        picture[tuple(self.grid.cells.T)] = values
        return picture


def write_tiles(path, found):
    """tiles.csv or tiles.parquet, a row a tile: x, y (upper left corner) and side in pixels of level 0, class, the
    output of each class, margin; with conformal sets the classes of the set and whether it abstains."""
    place = [(name, WHOLE) for name in ("x", "y", "width", "height")]
    header = [*place, ("class", TEXT), *score_header(found.kind, found.classes, found.inside is not None)]
    sides = [np.full(len(found.labels), round(length)) for length in found.grid.place.side]
    scores = score_columns(found.outputs, found.margin, found.inside, DIGITS)
    names = np.array(found.classes, dtype=object)[found.labels]
    write_columns(path, header, [[one.tolist() for one in (*found.grid.corners.T, *sides, names, *scores)]])


def write_summary(path, maps, scores=None):
    """summary.csv, a row a slide: tiles, mm² of tissue, mm² and share of each class, and of what is abstained from
    where there are conformal sets. maps: dict from slide name to the record that `one_slide` keeps. scores: dict from
    slide name to its macro F1, where labels of slides are known."""
    first = next(iter(maps.values()))
    header = ["slide", "tiles", "mm2", *(f"mm2_{name}" for name in first["classes"]),
              *(f"share_{name}" for name in first["classes"])]
    header += ["mm2_abstained", "share_abstained"] if first["conformal"] else []
    write_table(path, header + ([] if scores is None else ["macro_f1"]), (
        _summary(name, one, scores) for name, one in sorted(maps.items())))


def _summary(name, record, scores):
    whole = sum(record["mm2"])
    row = [name, record["tiles"], *(round(area, DIGITS) for area in (whole, *record["mm2"])),
           *(round(area / whole, DIGITS) for area in record["mm2"])]
    if record["conformal"]:
        row += [round(record["mm2_abstained"], DIGITS), round(record["mm2_abstained"] / whole, DIGITS)]
    return row if scores is None else [*row, round(scores[name], DIGITS) if name in scores else None]
