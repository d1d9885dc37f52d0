"""Regions of Aperio ImageScope's XML: Annotation > Region > Vertex."""

import math

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, parse
from shapely import box

from fewshot_wsi.foundation.errors import UserError, one_line
from fewshot_wsi.prepare_data.regions import Region, ellipse, polygon

COLOURS = {65535: "whole", 255: "viable"}  # LineColor is 0xBBGGRR: yellow, red
RECTANGLE, ELLIPSE = "1", "2"  # Region Type; two vertices are the corners of the box


def read_regions(path, layers, layer_ids):
    """List of Region of the XML file `path`.

    The layer of an Annotation: layer_ids by its Id, else the one of `layers` in its Name, else its line colour (yellow
    whole, red viable). A Region with NegativeROA="1" is a hole. UserError: not such XML, entities or a document type
    (never resolved), a layer without a region, a vertex that is no number.
    """
    root = _root(path)
    found = []
    for annotation in root.iter("Annotation"):
        layer = _layer(annotation, layers, layer_ids)
        for region in annotation.iter("Region"):
            points = [_vertex(path, vertex) for vertex in region.iter("Vertex")]
            shape = _shape(region.get("Type"), points)
            if layer and shape is not None and shape.area > 0:
                found.append(Region(layer, shape, region.get("NegativeROA") == "1"))
    for layer in layers:
        if not any(region.layer == layer for region in found):
            raise UserError(f"{path.name} has no region of the layer {layer!r}; its Annotation elements are "
                            f"{_described(root) or 'none'}; name them with --xml_layers WHOLE_ID VIABLE_ID")
    return found


def _root(path):
    try:
        root = parse(path, forbid_dtd=True).getroot()
    except (ParseError, DefusedXmlException, UnicodeDecodeError, LookupError, ValueError) as error:
        raise UserError(f"{path.name} is not usable XML ({one_line(error)})") from None
    except OSError as error:
        raise UserError(f"{path.name} is not readable ({one_line(error)})") from None
    if root.tag != "Annotations":
        raise UserError(f"{path.name} is not ImageScope's XML: it begins with <{root.tag}>, not <Annotations>")
    return root


def _shape(kind, points):
    """Shape of a Region's Type and vertices; None for a click, an arrow or a ruler, which enclose nothing."""
    if kind == ELLIPSE and 2 <= len(points) <= 4:
        xs, ys = zip(*points, strict=True)
        return ellipse(min(xs), min(ys), max(xs), max(ys))
    if kind == RECTANGLE and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    return polygon(points) if len(points) > 2 else None


def _layer(annotation, layers, layer_ids):
    if layer_ids:
        return layer_ids.get(annotation.get("Id"))
    name = annotation.get("Name", "").lower()
    named = [layer for layer in layers if layer in name]
    return named[0] if len(named) == 1 else COLOURS.get(_integer(annotation.get("LineColor")))


def _vertex(path, vertex):
    try:
        point = float(vertex.get("X")), float(vertex.get("Y"))
    except (TypeError, ValueError):
        point = (math.nan, math.nan)
    if not all(math.isfinite(value) and abs(value) < 1e9 for value in point):
        raise UserError(f"{path.name}: a vertex is no point: X={vertex.get('X')!r} Y={vertex.get('Y')!r}")
    return point


def _described(root):
    return ", ".join(f"Id {a.get('Id')} (name {a.get('Name', '')!r}, colour {a.get('LineColor')})"
                     for a in root.iter("Annotation"))


def _integer(text):
    return int(text) if text and text.isascii() and text.isdigit() else None
