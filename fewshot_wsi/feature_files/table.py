"""What every reader returns: the rows of one slide or file, with what identifies them, read block by block."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.bounded import CHUNK_LIMIT, MIB
from fewshot_wsi.foundation.errors import UserError

FEATURES = ("features", "feats", "embeddings", "embedding")
COORDS = ("coords", "coordinates")
NAMES = ("names", "name", "paths", "path", "filenames", "filename", "files", "file")
SLIDES = ("slides", "slide", "slide_ids", "slide_id", "slide_names", "slide_name")
UNITS = {"px": "px", "pixel": "px", "pixels": "px", "um": "um", "µm": "um", "μm": "um", "micron": "um",
         "microns": "um", "micrometer": "um", "micrometers": "um"}
BLOCK_BYTES = 2**26
_MOST_A_ROW = 16  # values of names or coordinates that are read at all
INFLATED, INFLATED_FROM = 1000, 2**28  # declared bytes for each stored one, and declared bytes from which that counts


@dataclass(frozen=True)
class FeatureTable:
    """N rows of one file.

    path: the file. rows, dim: N, D. dtype: float16, float32 or float64. blocks: gives consecutive blocks (n, D) of all
    rows, in order. names: (N,) str or None. slides: (N,) str, slide of each row, or None where `slide` holds for all.
    slide: what the slide may be called, such as ('slide1', 'made_trident'). coords: (N, 2) float64 x and y of upper
    left corners, or None. unit: of the coordinates: 'px' of level 0, 'um', or None where the file does not say it.
    encoder: its name, where the file has it.
    """
    path: Path
    rows: int
    dim: int
    dtype: np.dtype
    blocks: Callable[[], Iterator[np.ndarray]]
    names: np.ndarray | None = None
    slides: np.ndarray | None = None
    slide: tuple[str, ...] = ()
    coords: np.ndarray | None = None
    unit: str | None = "px"
    encoder: str | None = None

    def checked_blocks(self) -> Iterator[np.ndarray]:
        """`blocks`, finite or a UserError that names the row."""
        start = 0
        for block in self.blocks():
            bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
            if bad.size:
                raise UserError(f"{self.path}: row {start + bad[0]} holds NaN or infinite values; extract it again")
            yield block
            start += len(block)
        if start != self.rows:
            raise UserError(f"{self.path}: ends after {start} of its {self.rows} rows; make it again")


def table_of(path: Path, arrays: Mapping, attributes: Mapping, slide: tuple = ()) -> FeatureTable:
    """FeatureTable of named arrays, as HDF5, Zarr, .npz and PyTorch files hold them.

    arrays: name -> array with `shape`, `dtype` and slices; features are (N, D), or (1, N, D) with a batch axis, or
    (D,).
    attributes: of the file and of its arrays, in one dict. slide: names of the slide, the file's own last.
    UserError: no features, shapes that do not fit, an unknown unit.
    """
    key, features = _only(arrays, FEATURES, path)
    if features is None:
        raise UserError(f"{path}: holds no features; looked for {', '.join(FEATURES)}, there is "
                        f"{', '.join(map(str, arrays)) or 'nothing'}")
    table = rows_of(path, features)
    coords, names, slides = (_column(arrays, known, table.rows, path) for known in (COORDS, NAMES, SLIDES))
    if coords is not None and (coords.ndim != 2 or coords.shape[1] != 2 or coords.dtype.kind not in "iuf"):
        raise UserError(f"{path}: coordinates are numbers (N, 2), x and y, but these are {coords.dtype} {coords.shape}")
    return replace(
        table, names=texts(names), slides=texts(slides), slide=(*_own_name(attributes), *slide),
        coords=None if coords is None else coords.astype(np.float64), unit=_unit(attributes, key, path),
        encoder=_text(attributes.get("encoder") or attributes.get("extractor") or attributes.get("model_name")))


def rows_of(path: Path, features) -> FeatureTable:
    """FeatureTable of an array (N, D), (1, N, D) or (D,) alone."""
    shape = tuple(features.shape)
    batch = len(shape) == 3 and shape[0] == 1
    if not (batch or len(shape) in (1, 2)) or not shape[-1] or np.dtype(features.dtype).kind != "f":
        raise UserError(f"{path}: features are floats (N, D), but these are {features.dtype} {shape}")
    rows, dim, dtype = (1 if len(shape) == 1 else shape[-2]), shape[-1], np.dtype(features.dtype)
    step = block_rows(dim, dtype)

    def blocks():
        if len(shape) == 1:
            yield np.asarray(features[:])[None]
        else:
            for start in range(0, rows, step):
                yield np.asarray(features[0, start:start + step] if batch else features[start:start + step])
    return FeatureTable(path, rows, dim, dtype, blocks)


def block_rows(dim: int, dtype) -> int:
    """Rows of a block of some 64 MB."""
    return max(1, BLOCK_BYTES // (dim * np.dtype(dtype).itemsize))


def refuse_inflated(path: Path, what: str, declared: int, stored: int) -> None:
    """UserError for an array that declares far more bytes than are stored for it."""
    if declared > INFLATED_FROM and declared > INFLATED * max(1, stored):
        raise UserError(f"{path}: {what} declares {declared:,} bytes, but {stored:,} are stored; it is damaged or made "
                        "to fill the memory, and is not read")


def refuse_large_chunks(path: Path, what: str, size: int) -> None:
    """UserError for an array of which `size` bytes have to be unpacked at once."""
    if size > CHUNK_LIMIT:
        raise UserError(f"{path}: {what} is stored in chunks of {size / MIB:,.0f} MiB, more than the "
                        f"{CHUNK_LIMIT // MIB} that are unpacked at once; store it in smaller ones")


def texts(values) -> np.ndarray | None:
    """(N,) array of str from an array of strings or bytes."""
    if values is None:
        return None
    return np.array([value.decode() if isinstance(value, bytes) else str(value) for value in np.ravel(values)],
                    dtype=object)


def _only(arrays, known, path):
    """(name, array) of the one array with a `known` name; (None, None) where there is none."""
    found = [name for name in arrays if str(name).lower() in known]
    if len(found) > 1:
        raise UserError(f"{path}: holds {' and '.join(map(repr, found))}; which is meant is not known, keep one")
    return (found[0], arrays[found[0]]) if found else (None, None)


def _column(arrays, known, rows, path):
    name, array = _only(arrays, known, path)
    if array is None:
        return None
    shape = array.shape or (1,)
    batch = len(shape) > 1 and shape[0] == 1 and shape[1] == rows
    if not batch and shape[0] != rows:
        raise UserError(f"{path}: {rows} rows of features, but {shape[0]} of {name}")
    if math.prod(shape) > _MOST_A_ROW * rows:
        raise UserError(f"{path}: {name} of {' × '.join(map(str, shape))} values; one or two a row are expected")
    values = np.atleast_1d(np.asarray(array[...]))
    return values[0] if batch else values


def _own_name(attributes):
    name = _text(attributes.get("name"))
    return (name,) if name else ()


def _unit(attributes, key, path):
    given = _text(attributes.get("unit"))
    if given is None:
        return None if key == "feats" else "px"  # STAMP has had pixels and microns
    if given.lower() not in UNITS:
        raise UserError(f"{path}: coordinates in the unit {given!r}; known are px (of level 0) and um")
    return UNITS[given.lower()]


def _text(value):
    value = value.decode() if isinstance(value, bytes) else value
    return str(value) if isinstance(value, str | np.str_) and value else None
