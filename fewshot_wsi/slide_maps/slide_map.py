"""The map of one slide: class and scores of each tile, the area of each class, and the table of its tiles."""

from dataclasses import dataclass

import numpy as np

from fewshot_wsi.foundation.tables import write_table
from fewshot_wsi.slide_maps.grid import TileGrid

DIGITS = 6  # decimals of scores


@dataclass(frozen=True, eq=False)
class SlideMap:
    """Tiles of `grid` (n) and their classes. name: of the slide. labels: (n,) int32 numbers of `classes`. kind:
    'probability', 'score' or None. outputs: (n, ways) float64 of that kind, margin: (n,) that of the class less the
    largest other one; None where the classifier has neither."""
    name: str
    grid: TileGrid
    classes: tuple
    labels: np.ndarray
    kind: str | None
    outputs: np.ndarray | None
    margin: np.ndarray | None

    @property
    def areas(self):
        """(ways,) mm² of each class."""
        return np.bincount(self.labels, weights=self.grid.areas, minlength=len(self.classes))

    @property
    def counts(self):
        """(ways,) tiles of each class."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def image(self, values, empty):
        """(rows, columns) of the map: `values` (n,) where there are tiles, `empty` elsewhere."""
        picture = np.full(self.grid.shape, empty, dtype=np.result_type(values))
        picture[tuple(self.grid.cells.T)] = values
        return picture


def write_tiles(path, found):
    """tiles.csv, a row a tile: x, y (upper left corner) and side in pixels of level 0, class, the output of each class,
    margin."""
    side = [round(length) for length in found.grid.place.side]
    outputs = [f"{found.kind}_{name}" for name in found.classes] + ["margin"] if found.kind else []
    numbers = np.round(np.column_stack([found.outputs, found.margin]), DIGITS).tolist() if found.kind else [[]] * len(
        found.labels)
    write_table(path, ["x", "y", "width", "height", "class", *outputs], (
        [x, y, *side, found.classes[label], *row]
        for (x, y), label, row in zip(found.grid.corners.tolist(), found.labels, numbers, strict=True)))


def write_summary(path, maps):
    """summary.csv, a row a slide: tiles, mm² of tissue, mm² and share of each class. maps: dict from slide name to the
    record that `run` keeps."""
    classes = next(iter(maps.values()))["classes"] if maps else []
    header = ["slide", "tiles", "mm2", *(f"mm2_{name}" for name in classes), *(f"share_{name}" for name in classes)]
    write_table(path, header, ([name, one["tiles"], round(sum(one["mm2"]), DIGITS),
                                *(round(area, DIGITS) for area in one["mm2"]),
                                *(round(area / sum(one["mm2"]), DIGITS) for area in one["mm2"])]
                               for name, one in sorted(maps.items())))
