"""Jobs for the augmented views of a set: one features file a view, of all rows or of those that tasks use."""

from dataclasses import replace

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import write_npy
from fewshot_wsi.foundation.provenance import provenance_file, read_provenance, rows_sha256
from openselfsup import distributed


def view_jobs(job, first, count, overwrite):
    """Jobs of the views `first` … `first + count - 1` of `job`: NCT_aug.npy becomes NCT_aug_<view>.npy.

    With `job.rows`, NCT_aug_rows.npy says which rows of the set the files hold (int32, ascending); it is written here.
    All views beside each other hold the same rows: UserError where the existing ones hold others, unless `overwrite`,
    which removes them.
    """
    folder, prefix = job.output.parent, job.output.stem
    index = folder / f"{prefix}_rows.npy"
    if distributed.rank() == 0:  # files are the first process's business
        _settle_rows(folder, prefix, index, job.rows, overwrite)
    return [replace(job, output=folder / f"{prefix}_{view}.npy", view=view, labels_file=None)
            for view in range(first, first + count)]


def _settle_rows(folder, prefix, index, rows, overwrite):
    views = [path for path in sorted(folder.glob(f"{prefix}_*.npy")) if path != index]
    others = [path for path in views if not _holds(path, index, rows)]
    if others and not overwrite:
        raise UserError(f"{folder}: {len(others)} views hold other rows than asked for now, the first is "
                        f"{others[0].name}; choose another --output folder, or replace them with --overwrite")
    for path in others:
        path.unlink()
        provenance_file(path).unlink(missing_ok=True)
    if rows is None:
        index.unlink(missing_ok=True)
    elif others or not views or not index.exists():
        write_npy(index, rows.astype(np.int32))


def _holds(path, index, rows):
    made = read_provenance(path)
    if made is None:  # the authors' form: all rows, unless there is an index
        return rows is None and not index.exists()
    return made.get("view_rows_sha256") == (None if rows is None else rows_sha256(rows))


def saving(rows, total, views):
    """One line: what taking only `rows` of `total` images saves."""
    return (f"views of the {len(rows)} images that the tasks use, instead of all {total}: {len(rows) * views} to "
            f"compute instead of {total * views}, {100 * (1 - len(rows) / total):.1f} % saved")
