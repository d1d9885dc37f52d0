"""Annotated regions as shapely geometries, and the share of each cell of a grid that they cover."""

from dataclasses import dataclass

import numpy as np
import shapely

FULL = 1 - 1e-9  # a share from which on a box counts as covered: geometry is exact up to rounding


@dataclass(frozen=True)
class Region:
    name: str | None                  # what is marked: a class, or a layer as 'whole'; None where nothing says
    shape: shapely.geometry.base.BaseGeometry  # in pixels of level 0, valid; empty where nothing is enclosed
    hole: bool = False                # a part that does not belong


def polygon(points):
    """Valid shape of a ring of points (x, y), empty for less than three. What a line that crosses itself encloses twice
    is outside."""
    if len(points) < 3:
        return shapely.Polygon()
    return shapely.make_valid(shapely.Polygon(points))


def ellipse(x0, y0, x1, y1):
    """The ellipse in the box of two corners."""
    circle = shapely.Point(0, 0).buffer(1, quad_segs=64)
    centre, radii = ((x0 + x1) / 2, (y0 + y1) / 2), (abs(x1 - x0) / 2, abs(y1 - y0) / 2)
    return shapely.affinity.translate(shapely.affinity.scale(circle, *radii, origin=(0, 0)), *centre)


def combined(regions, layers):
    """dict from layer to the shape of its regions less the holes. layers: from the outermost inwards.

    A hole takes its area out of its own layer and of those within. A region that lies in a hole, an island, counts; a
    hole in an island takes its area out again.
    """
    shapes, holes = dict.fromkeys(layers, shapely.Polygon()), {layer: [] for layer in layers}
    for region in sorted(regions, key=lambda one: -one.shape.area):
        if region.hole:
            for layer in layers[layers.index(region.name):]:
                shapes[layer] = shapes[layer].difference(region.shape)
                holes[layer].append(region.shape)
        else:
            cut = shapely.union_all([hole for hole in holes[region.name] if not hole.covers(region.shape)])
            shapes[region.name] = shapes[region.name].union(region.shape.difference(cut))
    return shapes


def cover(shape, place):
    """(rows, columns) float32: share of each cell of the grid of `place` (geometry.Geometry) that the shape covers."""
    shares = np.zeros(place.grid, dtype=np.float32)
    boxes = [(shape, 0, place.grid[0], 0, place.grid[1])]
    while boxes:  # halve the box until it is covered, empty or one cell
        whole, top, bottom, left, right = boxes.pop()
        x0, y0 = left * place.cell, top * place.cell
        x1, y1 = min(right * place.cell, place.width), min(bottom * place.cell, place.height)
        part = shapely.clip_by_rect(whole, x0, y0, x1, y1)
        share = part.area / ((x1 - x0) * (y1 - y0))
        if share >= FULL or (bottom - top, right - left) == (1, 1):
            shares[top:bottom, left:right] = min(share, 1)
        elif share > 0 and bottom - top >= right - left:
            middle = (top + bottom) // 2
            boxes += [(part, top, middle, left, right), (part, middle, bottom, left, right)]
        elif share > 0:
            middle = (left + right) // 2
            boxes += [(part, top, bottom, left, middle), (part, top, bottom, middle, right)]
    return shares
