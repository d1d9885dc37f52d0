"""The grid of tiles of a slide, and what share of each tile cells of the coarse grid cover."""

import numpy as np


def tile_corners(place, stride):
    """(xs, ys): (columns,) and (rows,) int64 left and upper edges of the tiles that lie wholly inside, level 0.

    place: geometry.Geometry. stride: pixels of a tile between neighbours. Empty where the slide is smaller than a tile.
    """
    steps = [side * stride / place.tile for side in place.side]
    xs, ys = (np.arange(0, size - side + 1e-6, step).astype(np.int64)
              for size, side, step in zip((place.width, place.height), place.side, steps, strict=True))
    return xs, ys


def tile_shares(cells, place, xs, ys):
    """(len(ys), len(xs)) float: mean of `cells` (rows, columns) under each tile, by sums from the corner.

    The edges of a tile are rounded to whole cells."""
    rows, columns = place.grid
    sums = np.zeros((rows + 1, columns + 1))
    sums[1:, 1:] = cells.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    left, top = (np.rint(at / place.cell).astype(np.int64) for at in (xs, ys))
    left, top = np.minimum(left, columns - 1), np.minimum(top, rows - 1)
    right = np.clip(np.rint((xs + place.side[0]) / place.cell).astype(np.int64), left + 1, columns)
    bottom = np.clip(np.rint((ys + place.side[1]) / place.cell).astype(np.int64), top + 1, rows)
    upper, lower = sums[top], sums[bottom]
    total = lower[:, right] - lower[:, left] - upper[:, right] + upper[:, left]
    return total / ((bottom - top)[:, None] * (right - left))
