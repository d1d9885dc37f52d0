"""From feature files of other tools to the feature store: rows in the order of a list, and their provenance."""

import hashlib
import io
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewshot_wsi.feature_files.labels import LabelList
from fewshot_wsi.feature_files.matching import match
from fewshot_wsi.feature_files.readers import feature_files, read_features
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import load_features, unit_length
from fewshot_wsi.foundation.files import file_sha256, replacing, write_json
from fewshot_wsi.foundation.printable import some
from fewshot_wsi.foundation.provenance import RAW, SCHEMA, UNIT, labels_sha256, provenance_file

logger = logging.getLogger(__name__)



@dataclass(frozen=True)
class ImportSettings:
    """How rows are matched and stored. slide, unit, mpp, by_order: as of `matching.match`."""
    normalize: str = UNIT          # or RAW
    allow_missing: bool = False    # leave out tiles of the list that have no features, instead of refusing
    slide: str | None = None
    unit: str | None = None
    mpp: float | None = None
    by_order: bool = False
    encoder: str | None = None     # its name, where the files do not say it


def collect(paths, wanted: LabelList, settings: ImportSettings):
    """Match the features in the files and folders `paths` with the tiles of `wanted`.

    Returns ([FeatureTable] with rows, Match, LabelList of the tiles that have features). Match.targets index the list
    returned, Match.missing the one given. Logs how many rows are matched, are on no list, or are missing. UserError:
    missing tiles without `settings.allow_missing`, features of several widths or encoders, nothing that matches.
    """
    tables = [table for path in feature_files(paths) for table in read_features(path)]
    empty = [table for table in tables if not table.rows]
    if empty:
        logger.info(f"{len(empty)} slides have no tiles: {some([table.path for table in empty])}")
    tables = [table for table in tables if table.rows]
    if not tables:
        raise UserError(f"{some(list(paths))}: no file has a row of features")
    _check_alike(tables)
    found = match(tables, wanted, slide=settings.slide, unit=settings.unit, mpp=settings.mpp,
                  by_order=settings.by_order)
    rows, files = sum(table.rows for table in tables), len({table.path for table in tables})
    logger.info(f"{len(wanted) - len(found.missing):,} of {len(wanted):,} tiles of {wanted.path} found by {found.how} "
                f"in {rows:,} rows of {files:,} files")
    if found.extra:
        logger.warning(f"{len(found.extra):,} rows are not on {wanted.path} and are left out: "
                       f"{_some_rows(found.extra)}")
    if len(found.missing):
        _report_missing(found, wanted, settings)
        kept = np.ones(len(wanted), dtype=bool)
        kept[found.missing] = False
        places = np.append(np.cumsum(kept) - 1, -1)  # -1 stays -1
        found = type(found)([places[rows] for rows in found.targets], found.how, found.extra, found.missing)
        wanted = wanted.take(kept)
    return tables, found, wanted


def store(output: Path, tables, found, wanted: LabelList, settings: ImportSettings, list_file: Path) -> dict:
    """Write the features in the order of `wanted`, and the JSON beside them, each whole or not at all.

    Returns the JSON. Features are float16 where every input is, else float32. A row that is there twice with the same
    values counts once.
    UserError: twice with other values, numbers that are not finite or too large for the type.
    """
    half = all(table.dtype == np.float16 for table in tables)
    dtype, shape = np.dtype("<f2" if half else "<f4"), (len(wanted), tables[0].dim)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    with replacing(output, "w+b") as stream:
        stream.write(header.getvalue())
        stream.truncate(len(header.getvalue()) + dtype.itemsize * shape[0] * shape[1])
        stream.flush()
        rows = np.memmap(stream, dtype, "r+", len(header.getvalue()), shape)
        zeros, repeats = _fill(rows, tables, found, wanted, settings)
        rows.flush()
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        provenance = _provenance(tables, found, wanted, settings, list_file) | {
            "rows": shape[0], "dim": shape[1], "dtype": dtype.name, "sha256": digest, "zero_rows": zeros,
            "repeated_rows": repeats}
        write_json(provenance_file(output), provenance)
    load_features(output)
    return provenance


def _fill(rows, tables, found, wanted, settings):
    """(rows that are zero, number of rows that were there twice); `rows` (N, D) is written."""
    written, zeros, repeats = np.zeros(len(rows), dtype=bool), list[int](), 0
    for table, targets in zip(tables, found.targets, strict=True):
        start = 0
        for block in table.checked_blocks():
            places = targets[start:start + len(block)]
            start += len(block)
            values, places = _stored(block[places >= 0], rows.dtype, settings, table), places[places >= 0]
            for value, place in zip(values, places, strict=True) if _again(written, places) else ():
                if written[place] and not np.array_equal(rows[place], value):
                    raise UserError(f"{table.path}: {wanted.names[place]} is there twice, with other features; name "
                                    "the files of one extraction")
                repeats += bool(written[place])
                written[place], rows[place] = True, value
            rows[places], written[places] = values, True
            zeros += places[~values.any(axis=1)].tolist()
    if repeats:
        logger.warning(f"{repeats} rows are there twice, with the same features, and count once")
    if zeros:
        logger.warning(f"{len(zeros)} tiles have features of zero, which have no unit length and stay zero: "
                       f"{some([wanted.names[row] for row in zeros])}")
    return sorted(set(zeros)), repeats


def _again(written, places):
    return written[places].any() or len(np.unique(places)) < len(places)


def _stored(block, dtype, settings, table):
    """(n, D) values as they are written."""
    values = block if settings.normalize == RAW else unit_length(block)[0]
    with np.errstate(over="ignore"):
        values = values.astype(dtype)
    if not np.isfinite(values).all():
        raise UserError(f"{table.path}: features too large for {dtype.name}; scale them down")
    return values


def _provenance(tables, found, wanted, settings, list_file):
    files = sorted({str(table.path) for table in tables})
    encoder = settings.encoder or next((table.encoder for table in tables if table.encoder), None)
    return {"schema": SCHEMA, "encoder": encoder, "weights_sha256": None, "config_sha256": None,
            "list": str(list_file), "list_sha256": file_sha256(list_file),
            "labels_sha256": labels_sha256(wanted.labels), "normalize": settings.normalize,
            "imported": {"files": files[:100], "num_files": len(files), "matched_by": found.how,
                         "extra_rows": len(found.extra), "missing_tiles": len(found.missing)}}


def _check_alike(tables):
    widths = Counter(table.dim for table in tables)
    if len(widths) > 1:
        usual = widths.most_common(1)[0][0]
        other = next(table for table in tables if table.dim != usual)
        raise UserError(f"{other.path}: features are {other.dim} wide, those of the other files {usual}; name the "
                        "files of one encoder")
    encoders = {table.encoder: table.path for table in reversed(tables) if table.encoder}
    if len(encoders) > 1:
        (one, here), (other, there) = list(encoders.items())[:2]
        raise UserError(f"{here} was made by {one}, {there} by {other}; name the files of one encoder")


def _report_missing(found, wanted, settings):
    names = some([wanted.names[row] for row in found.missing])
    if len(found.missing) == len(wanted):
        raise UserError(f"{wanted.path}: none of its {len(wanted)} tiles is in the files; the list begins with "
                        f"{wanted.names[0]}, the files with {_some_rows(found.extra)}")
    if settings.mpp and found.extra:
        logger.warning(f"tiles are missing and rows are left over; is --mpp {settings.mpp:g} that of the slides?")
    if not settings.allow_missing:
        raise UserError(f"{wanted.path}: {len(found.missing)} of {len(wanted)} tiles have no features: {names}; "
                        "extract them, or leave them out with --allow_missing")
    logger.warning(f"{len(found.missing)} of {len(wanted)} tiles have no features and are left out: {names}")


def _some_rows(names):
    """The first rows in words: the names of their tiles, or slide and corner."""
    return some([f"{name[0]}/{name[1]}_{name[2]}" if isinstance(name, tuple) else name for name in names])
