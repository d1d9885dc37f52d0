"""Stained tissue, and pen or ink, on a coarse grid of a slide; distinguished by what each dye absorbs.

Haematoxylin absorbs red and green about equally and blue little, eosin almost only green. So tissue absorbs green most
(on tiles of four data sets red / green stays below 0.85, but for rare pixels). Blue, green and turquoise ink absorb
more red than green; red ink absorbs blue nearly as much as green, and hardly red; black ink absorbs all alike.
Optical density of a channel: -log10(colour / white).
"""

import numpy as np
from scipy import ndimage

from fewshot_wsi.foundation.errors import UserError

STAINED = (0.06, 0.15)  # bounds of the optical density in green from which a cell is tissue; between them Otsu decides
TINT = 0.02             # green over blue: grey dust and shadow have none
INK = 0.15              # optical density from which a wrong hue is ink and not noise
MARGIN = 2              # cells around ink that its edge spoils
DARK = 100              # level that the brightest tenth of a slide in bright field exceeds


def optical_density(grid):
    """grid: (rows, columns, 3) uint8 RGB. (rows, columns, 3) float, against the slide's own white."""
    white = np.maximum(np.percentile(grid.reshape(-1, 3), 99, axis=0), 200)
    return np.maximum(-np.log10(np.maximum(grid, 1) / white), 0)


def tissue_and_ink(grid):
    """Two (rows, columns) bool arrays: stained tissue, ink with a margin. A cell may be neither, never both."""
    red, green, blue = np.moveaxis(optical_density(grid), -1, 0)
    strongest = np.maximum(np.maximum(red, green), blue)
    weakest = np.minimum(np.minimum(red, green), blue)
    ink = (strongest > INK) & (red > 1.3 * green)                        # blue, green, turquoise
    ink |= (green > 0.6) & (blue > 0.85 * green) & (red < 0.3 * green)   # red
    ink |= (weakest > 0.6) & (strongest < 1.3 * weakest)                 # black
    ink = _without_single_cells(ink)  # single cells are nuclei or pigment
    ink = ndimage.binary_dilation(ink, iterations=MARGIN)
    stained = (green > np.clip(otsu(green), *STAINED)) & (green - blue > TINT)
    return stained & ~ink, ink


def _without_single_cells(mask):
    """`mask` without the cells that touch no other, not even by a corner."""
    neighbours = ndimage.convolve(mask.astype(np.int8), np.ones((3, 3), dtype=np.int8), mode="constant")
    return mask & (neighbours > 1)


def otsu(values, bins=256):
    """The threshold that splits `values` into two groups of least variance within."""
    counts, edges = np.histogram(values, bins=bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below, weighted = np.cumsum(counts), np.cumsum(counts * centres)
    above = below[-1] - below
    gap = weighted / np.maximum(below, 1) - (weighted[-1] - weighted) / np.maximum(above, 1)
    return edges[1 + int(np.argmax(below * above * gap ** 2))]


def check_brightfield(grid):
    """UserError for a slide without light: fluorescence, or scanned wrongly. grid: as in `tissue_and_ink`."""
    brightest = np.percentile(grid.max(axis=2), 90)  # cells at the edge hold some of the white around
    if brightest < DARK:
        raise UserError(f"is dark throughout (nine tenths of it are below level {brightest:.0f} of 255), as "
                        "fluorescence is; only stained slides in bright field can be used")
