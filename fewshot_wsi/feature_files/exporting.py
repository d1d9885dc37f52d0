"""From the feature store to files that other tools read: HDF5, Zarr or Parquet, with names, labels and provenance."""

import os
import shutil
from pathlib import Path

import numpy as np

from fewshot_wsi.feature_files.packages import needed
from fewshot_wsi.feature_files.table import block_rows
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import normalization
from fewshot_wsi.foundation.files import replacing
from fewshot_wsi.foundation.provenance import features_sha256, read_provenance
from fewshot_wsi.foundation.temporary import temporary_folder


def export(source: Path, target: Path, features: np.ndarray, listed) -> None:
    """Write `features` (N, D) of the file `source` to `target`, its ending the format, whole or not at all.

    listed: ImageList of the rows, whose names and labels go with them, or None. Features keep their type. Beside them:
    `names` (N,), `labels` (N,), and as attributes (Parquet: metadata) encoder, normalize and the file's sha256.
    """
    facts = {"normalize": normalization(source), "sha256": features_sha256(source)}
    encoder = (read_provenance(source) or {}).get("encoder")
    facts |= {"encoder": encoder} if encoder else {}
    WRITERS[target.suffix](target, features, listed, facts)


def _blocks(features):
    step = block_rows(features.shape[1], features.dtype)
    return ((start, features[start:start + step]) for start in range(0, len(features), step))


def _hdf5(target, features, listed, facts):
    h5py = needed("h5py", target)
    with replacing(target, "w+b") as stream:
        with h5py.File(stream, "w") as file:
            file.attrs.update(facts)
            stored = file.create_dataset("features", features.shape, features.dtype)
            for start, block in _blocks(features):
                stored[start:start + len(block)] = block
            if listed is not None:
                file.create_dataset("names", data=list(listed.names), dtype=h5py.string_dtype())
                if listed.labels is not None:
                    file["labels"] = listed.labels


def _zarr(target, features, listed, facts):
    zarr = needed("zarr", target)
    work = temporary_folder(target)
    try:
        group = zarr.open_group(work / "store", mode="w", attributes=facts)
        rows = min(len(features), block_rows(features.shape[1], features.dtype))
        stored = group.create_array("features", shape=features.shape, dtype=features.dtype,
                                    chunks=(rows, features.shape[1]), config={"write_empty_chunks": True})
        for start, block in _blocks(features):
            stored[start:start + len(block)] = block
        if listed is not None:
            group.create_array("names", data=np.array(listed.names, dtype=np.dtypes.StringDType()))
            if listed.labels is not None:
                group.create_array("labels", data=listed.labels)
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(work / "store", target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _parquet(target, features, listed, facts):
    pyarrow, parquet = needed("pyarrow", target), needed("pyarrow.parquet", target)
    number = pyarrow.from_numpy_dtype(features.dtype)
    fields = [("features", pyarrow.list_(number, features.shape[1]))]
    if listed is not None:
        fields += [("name", pyarrow.string())] + [("label", pyarrow.int64())] * (listed.labels is not None)
    schema = pyarrow.schema(fields, metadata=facts)
    with replacing(target) as stream, parquet.ParquetWriter(stream, schema) as writer:
        for start, block in _blocks(features):
            rows = slice(start, start + len(block))
            flat = pyarrow.array(np.ascontiguousarray(block).ravel(), number)
            columns = [pyarrow.FixedSizeListArray.from_arrays(flat, features.shape[1])]
            if listed is not None:
                columns.append(pyarrow.array(listed.names[rows], pyarrow.string()))
                columns += [] if listed.labels is None else [pyarrow.array(listed.labels[rows])]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))


WRITERS = {".h5": _hdf5, ".zarr": _zarr, ".parquet": _parquet}


def check_rows(features, listed) -> None:
    """UserError where a list is not that of the rows."""
    if listed is not None and len(listed) != len(features):
        raise UserError(f"{listed.path}: {len(listed)} lines, but there are {len(features)} rows of features")
