"""The challenge's annotations of one slide as coverage of a coarse grid: binary TIFF masks or ImageScope's XML."""

import math
import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, parse
from PIL import Image, ImageDraw

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import find_files

LAYERS = ("whole", "viable")
COLOURS = {65535: "whole", 255: "viable"}  # ImageScope's LineColor is 0xBBGGRR: yellow, red
_BAD_TIFF = (tifffile.TiffFileError, ValueError, IndexError, KeyError, RuntimeError, OSError, zlib.error, struct.error)
_FINE = 2  # sub-cells a side when polygons are drawn


def find_annotations(folder):
    """dict from file name without suffix to path, of all .tif, .tiff and .xml below `folder`; keys hold the suffix
    as '.tif' or '.xml'. UserError: two files of one name."""
    found = {}
    for path in (Path(folder, name) for name in find_files(folder, (".tif", ".tiff", ".xml"))):
        key = path.stem + (".xml" if path.suffix.lower() == ".xml" else ".tif")
        if found.setdefault(key, path) != path:
            raise UserError(f"{path}: {found[key]} has the same name; leave the one that counts")
    return found


def files_of(name, known):
    """Annotation files of the slide `name`: (whole mask, viable mask) or (xml,). UserError names what is missing."""
    masks = [f"{name}_{layer}.tif" for layer in LAYERS]
    if all(mask in known for mask in masks):
        return tuple(known[mask] for mask in masks)
    if f"{name}.xml" in known:
        return (known[f"{name}.xml"],)
    absent = [mask for mask in masks if mask not in known]
    raise UserError(f"has no annotation: neither {' and '.join(absent)} nor {name}.xml was found")


def class_cover(files, place, sizes, layer_ids=None):
    """(3, rows, columns) float32: the share of each cell that is outside, whole but not viable, viable tumour.

    files: as `files_of` gives. place: slides.Geometry. sizes: (width, height) of each level of the slide.
    layer_ids: dict from the XML's Annotation Id to 'whole' or 'viable', where name and colour do not tell."""
    whole, viable = (mask_cover(path, place, sizes) for path in files) if len(files) == 2 else \
        polygon_cover(files[0], place, layer_ids or {})
    outer = np.maximum(whole, viable)
    return np.stack([1 - outer, outer - viable, viable])


def mask_cover(path, place, sizes):
    """(rows, columns) float32: share of each cell where the mask is not 0. Decoded strip by strip or tile by tile.

    UserError: not a TIFF, damaged, or its size is that of no level of the slide."""
    total = np.zeros(place.grid, dtype=np.float64)
    for inside, top, left, size in _segments(path):
        if size not in sizes:
            raise UserError(f"{path.name} has {size[0]} × {size[1]} px, the slide {sizes[0][0]} × {sizes[0][1]}; "
                            "a mask has the size of the slide or of one of its levels")
        inside = inside[:size[1] - top, :size[0] - left]  # tiles at the edge are padded
        across, down = place.width / size[0], place.height / size[1]  # level-0 pixels for one of the mask
        rows = ((top + np.arange(inside.shape[0]) + 0.5) * down).astype(np.int64) // place.cell
        columns = ((left + np.arange(inside.shape[1]) + 0.5) * across).astype(np.int64) // place.cell
        row, first_row = np.unique(rows, return_index=True)
        column, first_column = np.unique(columns, return_index=True)
        counts = np.add.reduceat(inside, first_column, axis=1, dtype=np.int64)
        total[row[:, None], column] += np.add.reduceat(counts, first_row, axis=0) * (across * down)
    return np.minimum(total / _cell_area(place), 1).astype(np.float32)


def _segments(path):
    """Of a TIFF's first page: (not 0 (h, w) bool, top, left, (width, height) of the page) for each decoded part."""
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            size = (page.imagewidth, page.imagelength)
            yield np.zeros((1, 1), dtype=bool), 0, 0, size  # the size is known before anything is decoded
            for data, (_, _, top, left, _), _ in page.segments():
                if data is not None:  # a sparse TIFF leaves out empty parts
                    yield (data > 0).any(axis=(0, 3)), top, left, size
    except _BAD_TIFF as error:
        raise UserError(f"{path.name} is not a readable mask ({_line(error)})") from None


def _cell_area(place):
    """(rows, columns): level-0 pixels in each cell; cells at the right and lower edge are cut."""
    rows, columns = place.grid
    heights = np.minimum(place.cell, place.height - np.arange(rows) * place.cell)
    widths = np.minimum(place.cell, place.width - np.arange(columns) * place.cell)
    return heights[:, None] * widths[None]


def polygon_cover(path, place, layer_ids):
    """[whole, viable], each (rows, columns) float32, from ImageScope's Annotation > Region > Vertex.

    The layer of an Annotation: layer_ids by its Id, else 'whole' or 'viable' in its Name, else its line colour (yellow
    whole, red viable). A Region with NegativeROA="1" is a hole. UserError: not such XML, entities or a document type
    (never resolved), no layer found, a vertex that is no number, nothing inside the slide."""
    fine = place.cell / _FINE
    size = tuple(count * _FINE for count in reversed(place.grid))
    drawn = {layer: Image.new("L", size) for layer in LAYERS}
    for layer, hole, polygon in sorted(_polygons(path, layer_ids), key=lambda entry: entry[1]):  # holes last
        ImageDraw.Draw(drawn[layer]).polygon([(x / fine, y / fine) for x, y in polygon], fill=0 if hole else 255)
    if not drawn["whole"].getbbox() and not drawn["viable"].getbbox():
        raise UserError(f"{path.name}: no region lies inside the slide of {place.width} × {place.height} px")
    return [np.asarray(image.reduce(_FINE), dtype=np.float32) / 255 for image in drawn.values()]


def _polygons(path, layer_ids):
    try:
        root = parse(path, forbid_dtd=True).getroot()
    except (ParseError, DefusedXmlException, UnicodeDecodeError, LookupError, ValueError) as error:
        raise UserError(f"{path.name} is not usable XML ({_line(error)})") from None
    except OSError as error:
        raise UserError(f"{path.name} is not readable ({_line(error)})") from None
    if root.tag != "Annotations":
        raise UserError(f"{path.name} is not ImageScope's XML: it begins with <{root.tag}>, not <Annotations>")
    found = []
    for annotation in root.iter("Annotation"):
        layer = _layer(annotation, layer_ids)
        for region in annotation.iter("Region"):
            polygon = [_vertex(path, vertex) for vertex in region.iter("Vertex")]
            if layer and len(polygon) > 2:  # fewer is a stray click
                found.append((layer, region.get("NegativeROA") == "1", polygon))
    for layer in LAYERS:
        if not any(entry[0] == layer for entry in found):
            raise UserError(f"{path.name} has no region of the layer {layer!r}; its Annotation elements are "
                            f"{_described(root) or 'none'}; tell which is which with --xml_layers WHOLE_ID VIABLE_ID")
    return found


def _layer(annotation, layer_ids):
    if layer_ids:
        return layer_ids.get(annotation.get("Id"))
    name = annotation.get("Name", "").lower()
    named = [layer for layer in LAYERS if layer in name]
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


def _line(error):
    return " ".join(str(error).split()) or type(error).__name__
