"""Regions of Hamamatsu's NDPA: nanometres from the centre of the glass slide, the class in the title."""

import numpy as np
import shapely

from fewshot_wsi.annotations.regions import Region, polygon
from fewshot_wsi.annotations.xml import checked_point
from fewshot_wsi.foundation.errors import UserError

_OFFSETS = ("hamamatsu.XOffsetFromSlideCentre", "hamamatsu.YOffsetFromSlideCentre")


def regions(path, root, slide):
    """List of Region of the XML with the root element `root`; slide: the NDPI that it belongs to.

    With (o_x, o_y) the scan's centre from the glass's centre in nm, m µm a pixel and (w, h) the size of the scan,
    x_pixel = (x_nm - o_x) / (1000 m_x) + w / 2. UserError: the slide does not state these; a point that is
    no number."""
    offset, scale = _frame(path, slide)

    def pixels(at):
        return (at - offset) / scale + np.array(slide.size) / 2

    return [Region((view.findtext("title") or "").strip() or None, shapely.transform(_shape(path, annotation), pixels))
            for view in root.iter("ndpviewstate") for annotation in view.iter("annotation")]


def _frame(path, slide):
    """((2,) nm of the scan's centre, (2,) nm a pixel)."""
    try:
        offset = np.array([float(slide.properties[key]) for key in _OFFSETS])
    except (KeyError, ValueError):
        raise UserError(f"{path.name} counts nanometres from the centre of a Hamamatsu slide, but {slide.reader} finds "
                        "no such centre in this one; give the NDPI file that it was drawn on") from None
    if slide.mpp is None:
        raise UserError(f"{path.name} counts in nanometres, but the slide states no micrometres per pixel")
    return offset, 1000 * np.array(slide.mpp)


def _shape(path, annotation):
    """Shape in nm: a closed line, a circle or rectangle is an area; a pin is a point; else a line, or nothing."""
    points = [checked_point(path, one.findtext("x"), one.findtext("y")) for one in annotation.iter("point")]
    if annotation.get("type") == "pin":
        return shapely.Point(checked_point(path, annotation.findtext("x"), annotation.findtext("y")))
    if annotation.get("type") == "circle":
        x, y = checked_point(path, annotation.findtext("x"), annotation.findtext("y"))
        radius, _ = checked_point(path, annotation.findtext("radius"), 0)
        return shapely.Point(x, y).buffer(radius, quad_segs=64)
    if (annotation.findtext("closed") or "").strip() == "1" or annotation.get("specialtype") == "rectangle":
        return polygon(points)
    return shapely.LineString(points if len(points) > 1 else None)
