"""The map as QuPath's GeoJSON: the regions of each class, with holes; if wanted, a square for each tile."""

import json

import numpy as np
import shapely

from fewshot_wsi.annotations.classes import IGNORED
from fewshot_wsi.foundation.files import write_text
from fewshot_wsi.slide_maps.colours import ABSTAINED, colours_of, rgb


def class_regions(found):
    """List of (number of the class, shapely Polygon): the connected regions of each class, the union of the cells of
    their tiles, pixels of level 0. Tiles that touch by a corner alone are two regions."""
    return [(int(label), shape) for label in np.unique(found.labels)
            for shape in _regions(found, found.labels == label)]


def _regions(found, chosen):
    """List of Polygon: the connected regions of the tiles that are `chosen` (n,) bool."""
    whole = shapely.union_all(shapely.box(*found.grid.boxes[chosen].T.astype(float)))
    return [shapely.simplify(part, 0) for part in shapely.get_parts(whole)]


def write_geojson(path, found, tiles=False):
    """A FeatureCollection of annotations, one for each connected region of a class, with its area in mm². Regions that
    the conformal sets abstain from lie over these, with the name 'abstained' and QuPath's class for what is not to be
    used. tiles: add a tile object for each tile, with the outputs of the classifier as measurements."""
    colours = [rgb(colour) for colour in colours_of(found.classes)]
    area = found.grid.mpp[0] * found.grid.mpp[1] * 1e-6
    features = [_feature("annotation", shape, found.classes[label], colours[label], {"Area mm^2": shape.area * area})
                for label, shape in class_regions(found)]
    if found.inside is not None:
        features += [_feature("annotation", shape, IGNORED, rgb(ABSTAINED), {"Area mm^2": shape.area * area},
                              "abstained") for shape in _regions(found, found.abstained)]
    if tiles:
        for place, (box, label) in enumerate(zip(found.grid.boxes.tolist(), found.labels, strict=True)):
            features.append(_feature("tile", shapely.box(*box), found.classes[label], colours[label],
                                     _measurements(found, place)))
    write_text(path, json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False) + "\n")


def _measurements(found, place):
    if found.kind is None:
        return {}
    values = zip(found.classes, found.outputs[place].tolist(), strict=True)
    sets = {} if found.inside is None else {
        **{f"in set {name}": int(one) for name, one in zip(found.classes, found.inside[place], strict=True)},
        "abstained": int(found.abstained[place])}
    return {**{f"{found.kind} {name}": value for name, value in values}, "margin": float(found.margin[place]), **sets}


def _feature(kind, shape, label, colour, measurements, name=None):
    """label: of the class; name: of the object itself."""
    return {"type": "Feature", "geometry": _geometry(shape), "properties": {
        "objectType": kind, **({"name": name} if name else {}),
        "classification": {"name": label, "color": list(colour)}, "measurements": measurements}}


def _geometry(shape):
    """Coordinates as whole numbers, which they are."""
    rings = [shape.exterior, *shape.interiors]
    return {"type": "Polygon", "coordinates": [np.rint(np.asarray(ring.coords)).astype(int).tolist()
                                               for ring in rings]}
