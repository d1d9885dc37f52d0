"""The challenge's annotations of one slide as coverage of a coarse grid: binary TIFF masks or ImageScope's XML."""

from pathlib import Path

import numpy as np

from fewshot_wsi.annotations import imagescope
from fewshot_wsi.annotations.regions import combined, cover
from fewshot_wsi.annotations.xml import read_root
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import find_files
from fewshot_wsi.prepare_data.cutting import Marks
from fewshot_wsi.prepare_data.masks import mask_cover

LAYERS = ("whole", "viable")
CLASSES = 3      # outside, whole but not viable, viable
COLOURS = {65535: "whole", 255: "viable"}  # LineColor is 0xBBGGRR: yellow, red
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


class PaipAreas:
    """What `cutting` asks of an annotation, for the challenge's: the cover of its three classes."""

    every_class = True  # a slide that lacks one is left out

    def source(self):
        return {"rules": RULES}

    def mark(self, job, slide, place, settings):
        ids = dict(zip(settings.layer_ids, LAYERS, strict=False))
        return Marks(class_cover(job.files, place, slide.level_sizes, ids))


def class_cover(files, place, sizes, layer_ids=None):
    """(3, rows, columns) float32: the share of each cell that is outside, whole but not viable, viable tumour.

    files: as `files_of` gives. place: geometry.Geometry. sizes: (width, height) of each level of the slide.
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
    shapes = combined(read_regions(path, layer_ids), LAYERS)
    found = [cover(shapes[layer], place) for layer in LAYERS]
    if not any(layer.any() for layer in found):
        raise UserError(f"{path.name}: no region lies inside the slide of {place.width} × {place.height} px")
    return found


def read_regions(path, layer_ids):
    """List of Region of ImageScope's XML, each of a layer in LAYERS and with an area.

    The layer of an Annotation: layer_ids by its Id, else the one of LAYERS in its Name, else its line colour (yellow
    whole, red viable). UserError: not such XML, a layer without a region."""
    root = read_root(path)
    if root.tag != "Annotations":
        raise UserError(f"{path.name} is not ImageScope's XML: it begins with <{root.tag}>, not <Annotations>")
    every = imagescope.regions(path, root, lambda annotation, _: _layer(annotation, layer_ids))
    found = [region for region in every if region.name and region.shape.area > 0]
    for layer in LAYERS:
        if not any(region.name == layer for region in found):
            raise UserError(f"{path.name} has no region of the layer {layer!r}; its Annotation elements are "
                            f"{_described(root) or 'none'}; name them with --xml_layers WHOLE_ID VIABLE_ID")
    return found


def _layer(annotation, layer_ids):
    if layer_ids:
        return layer_ids.get(annotation.get("Id"))
    name = annotation.get("Name", "").lower()
    named = [layer for layer in LAYERS if layer in name]
    return named[0] if len(named) == 1 else COLOURS.get(_integer(annotation.get("LineColor")))


def _described(root):
    return ", ".join(f"Id {a.get('Id')} (name {a.get('Name', '')!r}, colour {a.get('LineColor')})"
                     for a in root.iter("Annotation"))


def _integer(text):
    return int(text) if text and text.isascii() and text.isdigit() else None
