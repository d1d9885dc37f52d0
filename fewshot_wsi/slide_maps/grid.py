"""The tiles of a slide that lie on tissue, and the cell of the map that each of them stands for."""

from dataclasses import dataclass

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.prepare_data.cutting import MAX_INK
from fewshot_wsi.slides.geometry import Geometry, geometry, read_grid
from fewshot_wsi.slides.tiles import tile_corners, tile_shares
from fewshot_wsi.slides.tissue import check_brightfield, tissue_and_ink


@dataclass(frozen=True, eq=False)
class TileGrid:
    """Tiles of one slide, row by row as scanners write them. All lengths in pixels of level 0.

    cells: (n, 2) int64 row and column of each tile. corners: (n, 2) int64 its upper left corner (x, y).
    x_edges, y_edges: (columns + 1,), (rows + 1,) int64 edges of the cells of the map, which share no area: with tiles
    side by side the cell is the tile, else it is the middle of the tile, one stride wide. mpp: (x, y) µm a pixel.
    """
    place: Geometry
    cells: np.ndarray
    corners: np.ndarray
    x_edges: np.ndarray
    y_edges: np.ndarray
    mpp: tuple

    def __len__(self):
        return len(self.cells)

    @property
    def shape(self):
        """(rows, columns) of the map."""
        return len(self.y_edges) - 1, len(self.x_edges) - 1

    @property
    def boxes(self):
        """(n, 4) int64: x0, y0, x1, y1 of the cell of each tile."""
        row, column = self.cells.T
        return np.stack([self.x_edges[column], self.y_edges[row], self.x_edges[column + 1], self.y_edges[row + 1]], 1)

    @property
    def areas(self):
        """(n,) mm² of each cell."""
        x0, y0, x1, y1 = self.boxes.T
        return (x1 - x0) * (y1 - y0) * (self.mpp[0] * self.mpp[1] * 1e-6)


def tissue_grid(slide, settings):
    """(TileGrid, tissue, ink) of a Slide: tiles of which `settings` (CuttingSettings) says how large, how fine and how
    much tissue; the last two (rows, columns) bool on the coarse grid.

    UserError: no microns per pixel, a dark slide, a slide smaller than a tile, no tissue."""
    place = geometry(slide, tile=settings.tile, mpp=settings.target_mpp, slide_mpp=settings.mpp)
    colours = read_grid(slide, place)
    check_brightfield(colours)
    tissue, ink = tissue_and_ink(colours)
    xs, ys = tile_corners(place, settings.stride)
    if not len(xs) or not len(ys):
        raise UserError(f"of {place.width} × {place.height} px is smaller than one tile of {place.side[0]:.0f} px; "
                        "give a smaller --tile")
    clean = (tile_shares(tissue, place, xs, ys) >= settings.min_tissue) & (
        tile_shares(ink, place, xs, ys) <= MAX_INK)
    cells = np.argwhere(clean)
    if not len(cells):
        raise UserError(f"has no tissue: of {clean.size} tiles none has {settings.min_tissue:.0%} of it without ink; "
                        "lower --min_tissue if there is some")
    corners = np.stack([xs[cells[:, 1]], ys[cells[:, 0]]], axis=1)
    own = (settings.mpp, settings.mpp) if settings.mpp else slide.mpp
    edges = [_edges(len(at), side, settings) for at, side in zip((xs, ys), place.side, strict=True)]
    return TileGrid(place, cells, corners, *edges, tuple(own)), tissue, ink


def _edges(count, side, settings):
    """(count + 1,) int64: edges of cells one stride wide, in the middle of tiles of `side` level-0 pixels."""
    step = side * settings.stride / settings.tile
    return np.floor((side - step) / 2 + np.arange(count + 1) * step + 1e-6).astype(np.int64)
