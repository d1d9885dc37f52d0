"""Regions of Aperio ImageScope's XML: Annotation > Region > Vertex."""

from shapely import box

from fewshot_wsi.annotations.regions import Region, ellipse, polygon
from fewshot_wsi.annotations.xml import checked_point

RECTANGLE, ELLIPSE = "1", "2"  # Region Type; two vertices are the corners of the box


def regions(path, root, class_of):
    """List of Region of the XML with the root element `root`. A Region with NegativeROA="1" is a hole.

    class_of: function of an Annotation and a Region element that gives the class, or None.
    A click, an arrow or a ruler encloses nothing and has an empty shape. UserError: a vertex that is no number."""
    found = []
    for annotation in root.iter("Annotation"):
        for region in annotation.iter("Region"):
            points = [checked_point(path, vertex.get("X"), vertex.get("Y")) for vertex in region.iter("Vertex")]
            shape = _shape(region.get("Type"), points)
            found.append(Region(class_of(annotation, region), shape, region.get("NegativeROA") == "1"))
    return found


def named(annotation, region):
    """The class by the Name of the Annotation, else by the Text of the Region."""
    return (annotation.get("Name") or "").strip() or (region.get("Text") or "").strip() or None


def _shape(kind, points):
    if kind == ELLIPSE and 2 <= len(points) <= 4:
        xs, ys = zip(*points, strict=True)
        return ellipse(min(xs), min(ys), max(xs), max(ys))
    if kind == RECTANGLE and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    return polygon(points)
