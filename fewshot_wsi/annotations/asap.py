"""Regions of ASAP's XML: Annotation > Coordinates > Coordinate, the class in PartOfGroup."""

import shapely

from fewshot_wsi.annotations.regions import Region, polygon
from fewshot_wsi.annotations.xml import checked_point

_AREAS = ("Polygon", "Rectangle", "Spline")
_POINTS = ("Dot", "PointSet")


def regions(path, root, origin=(0, 0)):
    """List of Region of the XML with the root element `root`; a group 'None' is no class.

    origin: of the slide; ASAP counts from the canvas of the file, not from the scan. UserError: a coordinate that is no
    number."""
    found = []
    for annotation in root.iter("Annotation"):
        points = [checked_point(path, one.get("X"), one.get("Y")) for one in annotation.iter("Coordinate")]
        group = (annotation.get("PartOfGroup") or "").strip()
        shape = _shape(annotation.get("Type"), points)
        shape = shapely.transform(shape, lambda at: at - origin)
        found.append(Region(None if group in ("", "None") else group, shape))
    return found


def _shape(kind, points):
    if kind in _POINTS:
        return shapely.MultiPoint(points)
    return polygon(points) if kind in _AREAS else shapely.LineString(points if len(points) > 1 else None)
