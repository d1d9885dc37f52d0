"""Which reader reads which file."""

import os
from pathlib import Path

from fewshot_wsi.feature_files import columns, hdf5, numpy_file, torch_file, zarr_store
from fewshot_wsi.feature_files.table import FeatureTable
from fewshot_wsi.foundation.bounded import check_regular
from fewshot_wsi.foundation.errors import UserError

READERS = {".h5": hdf5.read, ".hdf5": hdf5.read, ".pt": torch_file.read, ".pth": torch_file.read,
           ".npy": numpy_file.read_npy, ".npz": numpy_file.read_npz, ".zarr": zarr_store.read,
           ".parquet": columns.read_parquet, ".csv": columns.read_csv, ".tsv": columns.read_csv}


def feature_files(paths) -> list[Path]:
    """Feature files among `paths` and in folders among them, sorted; hidden files and other kinds do not count.

    UserError: a path that is not there, a file of a kind that no reader knows, a folder with none, or with several
    kinds (CLAM's .pt beside its .h5 would be everything twice).
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder of features")
        known = path.suffix.lower() in READERS
        if not known and not path.is_dir():
            raise UserError(f"{path}: not a kind of feature file that is known; known are {', '.join(READERS)}")
        found += [path] if known else _below(path)
    return list(dict.fromkeys(found))


def read_features(path: Path) -> list[FeatureTable]:
    """[FeatureTable] of one file: one, or one a slide where it holds several. UserError says what is wrong with it."""
    if not path.is_dir():
        check_regular(path)
    return READERS[path.suffix.lower()](path)


def _below(folder):
    found, seen = [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        if os.path.realpath(place) in seen:  # a link to a folder that it lies in
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        stores = [name for name in folders if name.lower().endswith(".zarr")]
        folders[:] = [name for name in folders if not name.startswith(".") and name not in stores]
        found += [Path(place, name) for name in (*stores, *files)
                  if not name.startswith(".") and Path(name).suffix.lower() in READERS]
    kinds = sorted({path.suffix.lower() for path in found})
    if len(kinds) > 1:
        raise UserError(f"{folder}: holds {' and '.join(kinds)} files; name the folder or the files of one kind")
    if not found:
        raise UserError(f"{folder}: holds no feature files; known are {', '.join(READERS)}")
    return sorted(found)
