"""Drawn slides with known masks: regions of tissue on glass, all of a slide in one stain, written as a scanner does."""

import json

import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree

from fewshot_wsi.pipeline.tissue import draw_tile

GLASS = -1
CELLS = 16          # of the mask, along a tile
WIDTHS = (3, 20)    # tiles: diameter of the largest circle in a region, and its longer extent
_BLOCK = 256        # pixels a side that are drawn at once
_WHITE = 245


def draw_mask(rng, tiles, classes):
    """(CELLS · tiles, CELLS · tiles) int8: a class or GLASS for each cell. Regions of 0 … classes − 1, three at least,
    are WIDTHS tiles wide, their borders wave, and a tile and a half along the edges is glass.

    tiles: along a side of the slide."""
    while True:
        mask = _regions(rng, tiles, classes)
        if set(np.unique(mask)) == {GLASS, *range(classes)} and _within_widths(mask):
            return mask


def _regions(rng, tiles, classes):
    """Cells of a Voronoi diagram of random sites, five tiles apart, bent by a smooth field; neighbours differ."""
    sites = []
    for point in rng.uniform(3, tiles - 3, (tiles * tiles, 2)):
        if all(np.hypot(*(point - other)) > rng.uniform(5, 9) for other in sites):
            sites.append(point)
    side = CELLS * tiles
    bend = [ndimage.gaussian_filter(rng.standard_normal((side, side)), CELLS, mode="reflect") for _ in range(2)]
    places = np.indices((side, side)) / CELLS + 0.35 * np.array([field / field.std() for field in bend])
    nearest = cKDTree(sites).query(places.transpose(1, 2, 0))[1]
    mask = _coloured(rng, nearest, len(sites), classes)[nearest].astype(np.int8)
    inside = (places > 1.5).all(axis=0) & (places < tiles - 1.5).all(axis=0)
    return np.where(inside, mask, np.int8(GLASS))


def _coloured(rng, nearest, count, classes):
    """(count,) class of each site: one that fewest of its neighbours have, at random among those."""
    pairs = np.concatenate([np.stack([one.ravel(), other.ravel()], 1) for one, other in (
        (nearest[1:], nearest[:-1]), (nearest[:, 1:], nearest[:, :-1]))])
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    chosen = np.full(count, -1)
    for site in rng.permutation(count):
        beside = np.concatenate([pairs[pairs[:, 0] == site, 1], pairs[pairs[:, 1] == site, 0]])
        used = np.bincount(chosen[beside][chosen[beside] >= 0], minlength=classes)
        chosen[site] = rng.choice(np.flatnonzero(used == used.min()))
    return chosen


def _within_widths(mask):
    for label in range(mask.max() + 1):
        parts, count = ndimage.label(mask == label)
        depth = ndimage.distance_transform_edt(mask == label)
        inner = 2 * ndimage.maximum(depth, parts, np.arange(1, count + 1)) / CELLS
        outer = max(max(part.stop - part.start for part in where) for where in ndimage.find_objects(parts)) / CELLS
        if inner.min() < WIDTHS[0] or outer > WIDTHS[1]:
            return False
    return True


def draw_slide(rng, mask, tissues, stain, tile):
    """(h, w, 3) uint8: `tissues` (a Tissue for each class of `mask`), in one stain. tile: pixels, a multiple of
    CELLS."""
    whole = np.kron(mask, np.ones((tile // CELLS,) * 2, dtype=np.int8))
    pixels = np.full((*whole.shape, 3), _WHITE, dtype=np.uint8)
    for top in range(0, whole.shape[0], _BLOCK):
        for left in range(0, whole.shape[1], _BLOCK):
            place = slice(top, top + _BLOCK), slice(left, left + _BLOCK)
            for label in np.unique(whole[place]):
                if label != GLASS:
                    own = whole[place] == label
                    drawn = draw_tile(rng, [(tissues[label], 1.0)], _BLOCK, stain)
                    pixels[place][own] = drawn[:own.shape[0], :own.shape[1]][own]
    return pixels


def write_slide(path, pixels, mpp=0.5):
    """An SVS with two levels. pixels: (h, w, 3) uint8. mpp: microns a pixel it states; None: none."""
    height, width = pixels.shape[:2]
    stated = "" if mpp is None else f"|AppMag = 20|MPP = {mpp}"
    with tifffile.TiffWriter(path) as tiff:
        for level in (1, 4):
            part = np.asarray(Image.fromarray(pixels).resize((width // level, height // level), Image.Resampling.BOX))
            tiff.write(part, tile=(256, 256), photometric="rgb", metadata=None,
                       description=f"Aperio Image Library v1\n{width}x{height} (256x256) RAW{stated}")


def tile_majority(mask):
    """(rows, columns) int64: the class, or GLASS, that most cells of each tile have."""
    rows, columns = (side // CELLS for side in mask.shape)
    cells = mask.reshape(rows, CELLS, columns, CELLS).swapaxes(1, 2).reshape(rows, columns, -1)
    kinds = np.unique(mask)
    return kinds[(cells[..., None] == kinds).sum(axis=2).argmax(axis=-1)].astype(np.int64)


def write_boxes(path, boxes, tile):
    """QuPath's GeoJSON of boxes: (class name, row, column, rows, columns), in tiles of `tile` pixels."""
    features = []
    for name, row, column, rows, columns in boxes:
        x0, y0, x1, y1 = (tile * value for value in (column, row, column + columns, row + rows))
        features.append({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [
            [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]]}, "properties": {
                "objectType": "annotation", "classification": {"name": name}}})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path
