"""NumPy files: a bare array (.npy), or features with coordinates, slides or names beside them (.npz)."""

from fewshot_wsi.feature_files.table import table_of
from fewshot_wsi.foundation import bounded
from fewshot_wsi.foundation.errors import UserError, one_line


def read_npy(path):
    """[FeatureTable] of a .npy file, memory-mapped. UserError: no array, pickled, or cut short."""
    try:
        array = bounded.read_npy(path)
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not a readable .npy file ({one_line(error)})") from None
    return [table_of(path, {"features": array}, {}, (path.stem,))]


def read_npz(path):
    """[FeatureTable] of a .npz file. UserError: no archive, pickled arrays, damaged, or far larger when unpacked."""
    try:
        arrays = bounded.read_npz(path, max(bounded.NPZ_LIMIT, 4 * path.stat().st_size))
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: not a readable .npz file ({one_line(error)})") from None
    return [table_of(path, arrays, {}, (path.stem,))]
