"""Annotations of QuPath's GeoJSON: a FeatureCollection, a bare array, or one Feature."""

import numpy as np
import shapely

from fewshot_wsi.annotations.regions import Region
from fewshot_wsi.foundation.bounded import JSON_LIMIT, parse_json, read_bounded
from fewshot_wsi.foundation.errors import UserError, one_line

_VALUES = 10_000_000  # of one file: three to a vertex
_LARGEST = 1e9  # pixels; what is beyond is no place on a slide


def regions(path):
    """(list of Region, number of objects that are no annotations: detections, cells, tiles, TMA cores).

    UserError: not GeoJSON, a geometry of an unknown kind, a coordinate that is no number."""
    features = _features(path)
    annotations = [feature for feature in features if _is_annotation(feature)]
    found = [Region(_class(path, feature), _shape(path, feature)) for feature in annotations]
    return found, len(features) - len(annotations)


def _features(path):
    try:
        value = parse_json(read_bounded(path, JSON_LIMIT).removeprefix(b"\xef\xbb\xbf"), _VALUES, nan=True)
    except ValueError as error:
        raise UserError(f"{path.name} is not GeoJSON ({one_line(error)}); export it again") from None
    except OSError as error:
        raise UserError(f"{path.name} is not readable ({one_line(error)})") from None
    if isinstance(value, dict):
        value = value.get("features", [value])
    whole = isinstance(value, list) and all(isinstance(one, dict) and one.get("type") == "Feature" for one in value)
    if not whole:
        raise UserError(f"{path.name} is not QuPath's GeoJSON: it holds no list of features; export it with File > "
                        "Export objects as GeoJSON")
    return value


def _is_annotation(feature):
    kind = str(_properties(feature).get("objectType") or feature.get("id") or "").lower()
    known = {"pathdetectionobject": 0, "pathcellobject": 0, "pathtileobject": 0, "tmacoreobject": 0,
             "detection": 0, "cell": 0, "tile": 0, "tma_core": 0, "root": 0, "pathrootobject": 0}
    return kind not in known


def _properties(feature):
    properties = feature.get("properties")
    return properties if isinstance(properties, dict) else {}


def _class(path, feature):
    """Name of the class: `name`, or `names` joined as QuPath shows them; None where it has none."""
    given = _properties(feature).get("classification")
    if isinstance(given, dict):
        names = given.get("names")
        given = ": ".join(map(str, names)) if isinstance(names, list) else given.get("name")
    if given is not None and not isinstance(given, str):
        raise UserError(f"{path.name}: the class {given!r} of a region is no text")
    return (given or "").strip() or None


def _shape(path, feature):
    geometry = feature.get("geometry")
    if not isinstance(geometry, dict) or not (geometry.get("coordinates") or geometry.get("geometries")):
        return shapely.Polygon()
    try:
        shape = shapely.force_2d(shapely.geometry.shape(geometry))
        coordinates = shapely.get_coordinates(shape)
    except (shapely.errors.ShapelyError, ValueError, TypeError, IndexError, KeyError, AttributeError,
            RecursionError) as error:
        raise UserError(f"{path.name}: a geometry of the type {geometry.get('type')!r} is not readable "
                        f"({one_line(error)})") from None
    far = ~(np.abs(coordinates) < _LARGEST).all(axis=1)  # NaN is far too
    if far.any():
        raise UserError(f"{path.name}: {coordinates[far][0].tolist()} is no place on a slide")
    return shapely.make_valid(shape)
