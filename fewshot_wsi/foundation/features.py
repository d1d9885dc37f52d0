"""Reading the feature store: (N, D) arrays on disk, memory-mapped, each beside a JSON that says what made it.

    extracted_feats/<model>/<set>.npy    (N, D), one row an image of the list; extracted: float32, unit length
    extracted_feats/<model>/<set>.json   provenance: weights, list, config, encoder, hash of the .npy
    extracted_feats/<set>_labels.npy     int64 (N,), shared by all models

`feature_writer` makes the first two, block by block; a reader sees the old pair, the new pair or an error, never half.
"""

import functools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.bounded import read_npy
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256
from fewshot_wsi.foundation.lists import check_labels
from fewshot_wsi.foundation.provenance import RAW, UNIT, labels_sha256, provenance_file, read_provenance, rows_sha256

logger = logging.getLogger(__name__)

EXTRACT = "python wsi_workdir/extract.py"
_CHUNK = 16384  # rows looked at in one go, so that checks need little memory
LENGTH_ERROR = 1e-3  # of rows of unit length: what float16 keeps of them


def load_features(path: str | Path, rows: int | None = None, made_by: str = EXTRACT, *,
                  half: bool = False) -> np.ndarray:
    """Features in `path`, checked: (N, D) float32, read-only, memory-mapped (float16 and float64: in memory).

    rows: how many there must be, None for any. made_by: the command that an error names. half: float16 features stay
    float16 and memory-mapped, for a caller that turns the rows it works on into float32.
    A missing provenance JSON gives one line on stderr. UserError: missing, no 2-D float array, not finite, another
    number of rows, or not the file that its JSON describes. The expensive checks run once per file and process.
    """
    check_features(path, rows, made_by)
    features = read_npy(path)
    kept = (np.float32, np.float16) if half else (np.float32,)
    return features if features.dtype in kept else features.astype(np.float32)


def check_features(path: str | Path, rows: int | None = None, made_by: str = EXTRACT) -> tuple[int, int]:
    """(N, D) of features that `load_features` would return, checked block by block; arguments and errors as there."""
    path = Path(path)
    shape = open_features(path, rows, made_by).shape
    _checked(path, made_by)
    return shape


def open_features(path: str | Path, rows: int | None = None, made_by: str = EXTRACT) -> np.ndarray:
    """Features in `path` as they are, (N, D) of any float type, memory-mapped; of their content nothing is checked.

    UserError: missing, no 2-D float array, or another number of rows.
    """
    path = Path(path)
    features = _open(path, made_by)
    if features.ndim != 2 or features.dtype.kind != "f" or 0 in features.shape:
        raise UserError(f"{path}: features are a 2-D array of floats, (N, D), but this is {features.dtype} "
                        f"{features.shape}; make it again with {made_by}")
    if rows is not None and len(features) != rows:
        raise UserError(f"{path}: {len(features)} rows, but labels or list have {rows}; they belong to another list, "
                        f"make them again with {made_by}")
    return features


def row_blocks(path: str | Path, size: int = _CHUNK) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first row, features (at most `size`, D) as stored) of a features file, in order.

    Each block is mapped anew, so that no more than one counts as this process's memory.
    """
    rows = len(read_npy(path))
    for start in range(0, rows, size):
        yield start, read_npy(path)[start:start + size]


def normalization(path: str | Path, made_by: str = EXTRACT) -> str:
    """UNIT where all rows of the features in `path` have length 1 (or 0), else RAW; looked at once."""
    return UNIT if _checked(Path(path), made_by) else RAW


def load_labels(path: str | Path, num_classes: int | None = None, made_by: str = EXTRACT) -> np.ndarray:
    """Labels in `path`: (N,) int64. UserError: missing, no 1-D whole numbers, or outside [0, num_classes)."""
    labels = _open(Path(path), made_by)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not labels.size:
        raise UserError(f"{path}: labels are a 1-D array of whole numbers, but this is {labels.dtype} {labels.shape}; "
                        f"make it again with {made_by}")
    labels = labels.astype(np.int64)
    check_labels(labels, labels.max() + 1 if num_classes is None else num_classes, path)
    return labels


def load_set(features_path: str | Path, labels_path: str | Path, num_classes: int | None = None,
             made_by: str = EXTRACT) -> tuple[np.ndarray, np.ndarray]:
    """(features (N, D) float32, labels (N,) int64) that belong together.

    UserError where either is at fault, where their lengths differ, or where the features were made from a list with
    other labels.
    """
    labels = load_labels(labels_path, num_classes, made_by)
    return load_labeled(features_path, labels, labels_path, made_by), labels


def load_labeled(features_path: str | Path, labels: np.ndarray, source: str | Path, made_by: str = EXTRACT, *,
                 half: bool = False) -> np.ndarray:
    """`load_features` for labels (N,) int64 from the file `source`; UserError where the two do not belong together."""
    features = load_features(features_path, len(labels), made_by, half=half)
    made_with = (read_provenance(features_path) or {}).get("labels_sha256")
    if made_with and made_with != labels_sha256(labels):
        raise UserError(f"{source}: not the labels that {features_path} was extracted with; the list has changed "
                        f"since, make both again with {made_by} --overwrite")
    return features


def load_views(folder: str | Path, prefix: str, view: int, rows: np.ndarray, made_by: str = EXTRACT) -> np.ndarray:
    """Augmented view number `view` of the given rows of a set: (len(rows), D) float32, in the order of `rows`.

    rows: (n,) ints, rows of the set, repeats allowed. Reads <folder>/<prefix>_<view>.npy; <prefix>_rows.npy beside it
    says which rows of the set the file holds, without it the file holds all of them (the authors' form).
    UserError: the view or one of the rows was never extracted.
    """
    folder, rows = Path(folder), np.asarray(rows, dtype=np.int64)
    path, index = folder / f"{prefix}_{view}.npy", folder / f"{prefix}_rows.npy"
    held = _held_rows(index, made_by) if index.exists() else None
    features = load_features(path, None if held is None else len(held), made_by)
    provenance = read_provenance(path)
    if provenance and provenance.get("view_rows_sha256") != (None if held is None else rows_sha256(held)):
        raise UserError(f"{path}: made of other rows than {index} names; make it again with {made_by} --overwrite")
    where = rows if held is None else np.searchsorted(held, rows).clip(max=len(held) - 1)
    absent = (rows < 0) | (rows >= len(features)) if held is None else held[where] != rows
    if absent.any():
        raise UserError(f"{path}: {absent.sum()} of {len(rows)} rows asked for have no view here, the first is row "
                        f"{rows[absent][0]}; extract the views of these tasks with {made_by}")
    return features[where]


def unit_length(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows / Euclidean length as float32, (k,) indices of rows of length zero, which stay zero instead of NaN)."""
    features = np.asarray(features, dtype=np.float32)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(lengths > 0, lengths, 1), np.flatnonzero(lengths == 0)


def _open(path, made_by):
    try:
        return read_npy(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; make it with {made_by}") from None
    except (ValueError, IsADirectoryError) as error:
        raise UserError(f"{path}: not a readable .npy file ({error}); make it again with {made_by}") from None


def _held_rows(path, made_by):
    rows = _open(path, made_by)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not rows.size or (np.diff(rows) <= 0).any():
        raise UserError(f"{path}: not a list of ascending rows; make it again with {made_by} --overwrite")
    return rows.astype(np.int64)


def _checked(path, made_by):
    """Whether all rows have unit length (or are zero); UserError as of `load_features`."""
    stat = path.stat()
    return _check_once(str(path), stat.st_mtime_ns, stat.st_size, made_by)


@functools.lru_cache(maxsize=1024)
def _check_once(path, changed, size, made_by):
    """changed and size are the key of the cache: a file that was replaced is checked again."""
    provenance = read_provenance(path)
    if provenance is None:
        logger.warning(f"{path} has no provenance JSON; its length and values are checked, its origin is not known")
    elif provenance.get("sha256") != file_sha256(path):
        raise UserError(f"{path}: not the file that {provenance_file(path)} describes; make it again with "
                        f"{made_by} --overwrite")
    unit = True
    for start, block in row_blocks(path):
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if bad.size:
            raise UserError(f"{path}: row {start + bad[0]} holds NaN or infinite values; check the weights that made "
                            f"it and make it again with {made_by} --overwrite")
        unit = unit and are_unit(block)
    if not unit and (provenance or {}).get("normalize") == UNIT:
        raise UserError(f"{path}: its JSON says that all rows have unit length, but they have not; make it again with "
                        f"{made_by} --overwrite")
    return unit


def are_unit(features: np.ndarray) -> bool:
    """Whether all rows of features (N, D) have length 1 within what float16 keeps of it, or are zero."""
    lengths = np.linalg.norm(features.astype(np.float64), axis=1)
    return bool(((np.abs(lengths - 1) < LENGTH_ERROR) | (lengths == 0)).all())
