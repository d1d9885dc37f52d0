"""Drawn slides with known masks: squares of two drawn tissues on glass, in stains of their own."""

import numpy as np

from fewshot_wsi.pipeline.drawn import TISSUES
from fewshot_wsi.pipeline.drawn_slides import write_boxes, write_slide
from fewshot_wsi.pipeline.tissue import draw_tile

SIDE = 64             # pixels of a tile
KINDS = ("LYM", "MUS")
COLOURS = {0: (200, 90, 170), 1: (150, 70, 190)}


def coloured(path, mask, side=SIDE, mpp=0.5, colours=COLOURS, noise=12):
    """A slide of `mask` (rows, columns) int, one value a tile: −1 glass, else the class, each of its colour."""
    rng = np.random.default_rng(0)
    whole = np.kron(mask, np.ones((side, side), dtype=int))
    pixels = np.full((*whole.shape, 3), 245)
    for label, colour in colours.items():
        inside = whole == label
        pixels[inside] = np.array(colour) + rng.integers(-noise, noise + 1, (inside.sum(), 3))
    write_slide(path, pixels.astype(np.uint8), mpp)
    return path


def textured(path, mask, stain, side=SIDE, seed=0):
    """The same in drawn tissue (KINDS), all of it in one stain: only arrangement tells the classes apart."""
    rng = np.random.default_rng(seed)
    pixels = np.full((mask.shape[0] * side, mask.shape[1] * side, 3), 245, dtype=np.uint8)
    for row, column in np.argwhere(mask >= 0):
        drawn = draw_tile(rng, [(TISSUES["NCT"][KINDS[mask[row, column]]], 1.0)], side, stain)
        pixels[row * side:(row + 1) * side, column * side:(column + 1) * side] = drawn
    write_slide(path, pixels)
    return path


def annotate(path, boxes, side=SIDE):
    """`write_boxes` of tiles of SIDE pixels."""
    return write_boxes(path, boxes, side)
