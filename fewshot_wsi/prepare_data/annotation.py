"""The challenge's annotations of one slide as coverage of a coarse grid: binary TIFF masks or ImageScope's XML."""

from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import find_files
from fewshot_wsi.prepare_data.imagescope import read_regions
from fewshot_wsi.prepare_data.masks import mask_cover
from fewshot_wsi.prepare_data.regions import combined, cover

LAYERS = ("whole", "viable")
RULES = 2        # raise it when the same annotation is to give other classes
LARGER = 1.02    # viable by whole area from which on the two count as exchanged


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
    layer_ids: dict from the XML's Annotation Id to 'whole' or 'viable', where name and colour do not say.
    UserError: files that are not readable, and areas that look exchanged.
    """
    whole, viable = (mask_cover(path, place, sizes) for path in files) if len(files) == 2 else \
        polygon_cover(files[0], place, layer_ids or {})
    if viable.sum() > LARGER * whole.sum():
        names = " and ".join(path.name for path in files) if len(files) == 2 else f"the layers of {files[0].name}"
        raise UserError(f"the viable area is larger than the whole one; are {names} exchanged?")
    outer = np.maximum(whole, viable)
    return np.stack([1 - outer, outer - viable, viable])


def polygon_cover(path, place, layer_ids):
    """[whole, viable], each (rows, columns) float32, of ImageScope's XML. UserError: nothing inside the slide."""
    shapes = combined(read_regions(path, LAYERS, layer_ids), LAYERS)
    found = [cover(shapes[layer], place) for layer in LAYERS]
    if not any(layer.any() for layer in found):
        raise UserError(f"{path.name}: no region lies inside the slide of {place.width} × {place.height} px")
    return found
