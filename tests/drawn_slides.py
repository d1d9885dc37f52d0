"""Drawn slides with known masks: squares of two drawn tissues on glass, in stains of their own."""

import json

import numpy as np
import tifffile
from PIL import Image

from fewshot_wsi.pipeline.drawn import TISSUES
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
    write(path, pixels.astype(np.uint8), mpp)
    return path


def textured(path, mask, stain, side=SIDE, seed=0):
    """The same in drawn tissue (KINDS), all of it in one stain: only arrangement tells the classes apart."""
    rng = np.random.default_rng(seed)
    pixels = np.full((mask.shape[0] * side, mask.shape[1] * side, 3), 245, dtype=np.uint8)
    for row, column in np.argwhere(mask >= 0):
        drawn = draw_tile(rng, [(TISSUES["NCT"][KINDS[mask[row, column]]], 1.0)], side, stain)
        pixels[row * side:(row + 1) * side, column * side:(column + 1) * side] = drawn
    write(path, pixels, 0.5)
    return path


def write(path, pixels, mpp):
    height, width = pixels.shape[:2]
    stated = "" if mpp is None else f"|AppMag = 20|MPP = {mpp}"
    with tifffile.TiffWriter(path) as tiff:
        for level in (1, 4):
            part = np.asarray(Image.fromarray(pixels).resize((width // level, height // level), Image.Resampling.BOX))
            tiff.write(part, tile=(256, 256), photometric="rgb", metadata=None,
                       description=f"Aperio Image Library v1\n{width}x{height} (256x256) RAW{stated}")


def annotate(path, boxes, side=SIDE):
    """QuPath's GeoJSON of boxes: (class name, row, column, rows, columns), in tiles."""
    features = []
    for name, row, column, rows, columns in boxes:
        x0, y0, x1, y1 = (side * value for value in (column, row, column + columns, row + rows))
        features.append({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [
            [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]]}, "properties": {
                "objectType": "annotation", "classification": {"name": name}}})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path
