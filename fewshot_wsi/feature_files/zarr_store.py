"""Zarr: features, coordinates and names of one slide a store, or of one slide a group; or one array alone."""

import math
import os
from pathlib import Path

from fewshot_wsi.feature_files.packages import needed
from fewshot_wsi.feature_files.table import COORDS, FEATURES, refuse_inflated, refuse_large_chunks, table_of
from fewshot_wsi.foundation.bounded import MIB, check_regular
from fewshot_wsi.foundation.errors import UserError, one_line

_DESCRIPTIONS = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
_DESCRIPTION_LIMIT = 16 * MIB


def read(path):
    """[FeatureTable] of a Zarr folder, version 2 or 3.

    UserError, in one line: no store, codecs that are not installed or would run code, features of which chunks are
    missing.
    """
    zarr = needed("zarr", path)
    _check_files(path)
    try:
        opened = zarr.open(path, mode="r")
        if isinstance(opened, zarr.Array):
            return [table_of(path, {"features": _checked(path, opened)}, dict(opened.attrs), (path.stem,))]
        if any(name.lower() in FEATURES for name in opened.array_keys()):
            return [_table(path, opened, (path.stem,))]
        groups = dict(opened.groups())
        return [_table(path, group, (name,)) for name, group in groups.items()] or [_table(path, opened, (path.stem,))]
    except UserError:
        raise
    except Exception as error:  # stores, codecs and metadata each have their own
        raise UserError(f"{path}: not a readable Zarr store ({one_line(error)[:160]})") from None


def _check_files(path):
    """UserError unless a store is of regular files, those that describe it no larger than any description."""
    for place, _, names in os.walk(path):
        for name in names:
            size = check_regular(Path(place, name)).st_size
            if name in _DESCRIPTIONS and size > _DESCRIPTION_LIMIT:
                raise UserError(f"{Path(place, name)}: {size / MIB:,.0f} MiB that describe a store, more than are read")


def _table(path, group, slide):
    arrays = {name: _checked(path, array) for name, array in group.arrays()}
    attributes = dict(group.attrs)
    for array in arrays.values():
        attributes |= dict(array.attrs)
    return table_of(path, arrays, attributes, slide)


def _checked(path, array):
    codecs = [*(array.filters or ()), *(array.compressors or ())]
    if any("pickle" in repr(codec).lower() for codec in codecs):
        raise UserError(f"{path}: {array.name} is stored as pickles, which would run code; store it as plain values")
    kept = (array.basename or "features").lower() in (*FEATURES, *COORDS)
    absent = array.nchunks - array.nchunks_initialized if kept and array.size > 2 else 0
    if absent:  # Zarr would read zeros
        raise UserError(f"{path}: {array.name} declares {' × '.join(map(str, array.shape))} values, but {absent} of "
                        f"its {array.nchunks} parts are not there; make it again")
    refuse_inflated(path, array.name, array.nbytes, array.nbytes_stored())
    refuse_large_chunks(path, array.name, math.prod(array.chunks) * array.dtype.itemsize)
    return array
