"""From marked regions to the area and the points of each class, and a line about everything that is left out."""

from dataclasses import dataclass, replace

import numpy as np
import shapely

from fewshot_wsi.foundation.errors import UserError

IGNORED = "Ignore*"  # QuPath's class for what belongs to no class; other names with a star are not used at all


@dataclass(frozen=True)
class Marked:
    """What is marked on one slide, pixels of level 0.

    shapes: dict from class name to its valid area, which lies inside the slide; no two classes share area.
    regions: dict from class name to the shapes of its single regions, each within the class's area.
    points: dict from class name to (n, 2) float64, inside the slide.
    notices: one line for each kind of mark that was not taken as it is."""
    shapes: dict
    regions: dict
    points: dict
    notices: tuple

    @property
    def classes(self):
        """Names of the classes that have area or points, sorted: tuple of str."""
        return tuple(sorted(self.shapes.keys() | self.points.keys()))


def mark_classes(regions, size):
    """Marked of a list of Region on a slide of `size` = (width, height).

    - Regions without a class and of classes with a star are not used, but `Ignore*` takes its area out of all classes.
    - A hole (`Region.hole`) takes its area out of the regions of its class that it does not surround.
    - Where regions of two classes overlap, the smaller one counts; of equally large ones neither.
    - What lies outside the slide is cut off.

    UserError: nothing is left."""
    notices = []
    known = _with_class(regions, notices)
    areas = _inside([replace(one, shape=_polygons(one.shape)) for one in known], size, notices)
    areas = _undivided(_without_holes(areas), notices)
    parts = {name: [one.shape for one in areas if one.name == name and one.shape.area]
             for name in sorted({one.name for one in areas} - {IGNORED})}
    for name in [name for name, shapes in parts.items() if not shapes]:
        notices.append(f"nothing of the area of {name!r} is left: other regions cover it")
        del parts[name]
    shapes = {name: shapely.union_all(ones) for name, ones in parts.items()}
    points = _points(known, size, notices)
    if not shapes and not points:
        raise UserError(f"no region of a class lies inside the slide of {size[0]} × {size[1]} px"
                        + (f" ({'; '.join(notices)})" if notices else "") + "; is the annotation that of this slide?")
    return Marked(shapes, parts, points, tuple(notices))


def _with_class(regions, notices):
    nameless = sum(region.name is None for region in regions)
    if nameless:
        notices.append(f"{_count(nameless, 'region')} without a class: not used")
    starred = sorted({one.name for one in regions if one.name and one.name.endswith("*") and one.name != IGNORED})
    if starred:
        notices.append(f"classes with a star are not used: {', '.join(starred)}")
    known = [one for one in regions if one.name and one.name not in starred]
    for name in sorted({one.name for one in known}):
        flat = sum(one.name == name and not _polygons(one.shape).area and not len(_dots(one.shape)) for one in known)
        if flat:
            notices.append(f"{_count(flat, 'region')} of {name!r} without an area (lines, empty): not used")
    return known


def _inside(regions, size, notices):
    """`regions` with an area, cut at the edges of the slide."""
    slide = shapely.box(0, 0, *size)
    regions = [one for one in regions if one.shape.area]
    inside = [replace(one, shape=_polygons(one.shape.intersection(slide))) for one in regions]
    for name in sorted({one.name for one in regions}):
        pairs = [(old.shape.area, new.shape.area) for old, new in zip(regions, inside, strict=True) if old.name == name]
        outside = sum(not new for _, new in pairs)
        cut = sum(0 < new < old * (1 - 1e-9) for old, new in pairs)
        if outside:
            notices.append(f"{_count(outside, 'region')} of {name!r} outside the slide of {size[0]} × {size[1]} px: "
                           "not used")
        if cut:
            notices.append(f"{_count(cut, 'region')} of {name!r} cut at the edge of the slide")
    return [one for one in inside if one.shape.area]


def _without_holes(regions):
    """The regions that are no holes, less the holes of their class; a region inside a hole, an island, counts."""
    found = []
    for one in (region for region in regions if not region.hole):
        holes = [hole.shape for hole in regions if hole.hole and hole.name == one.name
                 and not hole.shape.covers(one.shape)]
        found.append(replace(one, shape=one.shape.difference(shapely.union_all(holes))) if holes else one)
    return found


def _undivided(regions, notices):
    """`regions` less what smaller regions of other classes cover, and less the ignored area."""
    tree = shapely.STRtree([one.shape for one in regions])
    shared, left = {}, []
    for one in regions:
        above = [other for other in (regions[row] for row in tree.query(one.shape, predicate="intersects"))
                 if other.name != one.name and _goes_before(other, one)]
        rest = one.shape.difference(shapely.union_all([other.shape for other in above])) if above else one.shape
        for other in above:
            if other.name != IGNORED:
                both = shared.setdefault(tuple(sorted((one.name, other.name))), [])
                both.append(one.shape.intersection(other.shape))
        left.append(replace(one, shape=_polygons(rest)))
    areas = {pair: shapely.union_all(shapes).area for pair, shapes in sorted(shared.items())}
    notices += [f"{one!r} and {other!r} overlap ({area:,.0f} px²): the smaller region counts, of two that are equally "
                "large neither" for (one, other), area in areas.items() if area >= 1]
    return left


def _goes_before(other, one):
    if IGNORED in (other.name, one.name):
        return other.name == IGNORED
    return other.shape.area <= one.shape.area * (1 + 1e-9)


def _points(regions, size, notices):
    """dict from class to (n, 2) points inside the slide."""
    found = {}
    for name in sorted({one.name for one in regions} - {IGNORED}):
        points = np.concatenate([_dots(one.shape) for one in regions if one.name == name])
        inside = (points >= 0).all(axis=1) & (points < size).all(axis=1)
        if not inside.all():
            notices.append(f"{_count((~inside).sum(), 'point')} of {name!r} outside the slide: not used")
        if inside.any():
            found[name] = points[inside]
    return found


def _polygons(shape):
    """The polygons of a shape as one valid shape, empty where there are none."""
    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.union_all(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON])


def _dots(shape):
    """(n, 2) coordinates of the points of a shape."""
    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.get_coordinates(parts[shapely.get_type_id(parts) == shapely.GeometryType.POINT])


def _count(number, what):
    return f"{number} {what}{'' if number == 1 else 's'}"
