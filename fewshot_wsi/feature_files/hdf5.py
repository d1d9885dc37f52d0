"""HDF5 of TRIDENT, CLAM and STAMP: features and coordinates of one slide a file, or of one slide a group."""

import contextlib
import math

from fewshot_wsi.feature_files.packages import needed
from fewshot_wsi.feature_files.table import FEATURES, refuse_inflated, refuse_large_chunks, table_of
from fewshot_wsi.foundation.errors import UserError, one_line

_OVERHEAD = 1 << 16  # bytes that filters may add to an array


def read(path):
    """[FeatureTable] of an HDF5 file.

    UserError, in one line: no HDF5 or cut short; links to other files; arrays that are stored elsewhere, only in
    part, or with a filter that is not installed.
    """
    h5py = needed("h5py", path)
    with _opened(h5py, path) as file:
        if any(name.lower() in FEATURES for name in file):
            return [_table(h5py, path, file, (path.stem,))]
        groups = {name: _follow(h5py, path, file, name) for name in file}
        groups = {name: group for name, group in groups.items() if isinstance(group, h5py.Group)}
        if not groups:
            return [_table(h5py, path, file, (path.stem,))]  # says what is missing
        return [_table(h5py, path, group, (name,)) for name, group in groups.items()]


@contextlib.contextmanager
def _opened(h5py, path):
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise UserError(f"{path}: not a readable HDF5 file ({one_line(error)})") from None


def _table(h5py, path, group, slide):
    found = {name: _follow(h5py, path, group, name) for name in group}
    arrays = {name: _Rows(h5py, path, one) for name, one in found.items() if isinstance(one, h5py.Dataset)}
    attributes = dict(group.file.attrs) | dict(group.attrs)
    for array in arrays.values():
        attributes |= array.attributes
    return table_of(path, arrays, attributes, slide)


def _follow(h5py, path, group, name):
    link = group.get(name, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise UserError(f"{path}: {name} is a link into another file, {link.filename}, and is not followed; copy what "
                        "is there into one file (h5repack, h5copy)")
    if isinstance(link, h5py.SoftLink):  # its way may lead through another file
        raise UserError(f"{path}: {name} is a link to {link.path} and is not followed; h5repack makes a file without")
    return group[name]


class _Rows:
    """An array of a file that is opened for each read; checked to be whole when made."""

    def __init__(self, h5py, path, dataset):
        self._h5py, self._path, self._name = h5py, path, dataset.name
        self.shape, self.dtype = dataset.shape, dataset.dtype
        self.attributes = dict(dataset.attrs)
        self._check(dataset)

    def __getitem__(self, rows):
        with _opened(self._h5py, self._path) as file:
            dataset = file[self._name]
            if self._h5py.check_string_dtype(dataset.dtype):
                dataset = dataset.asstr()
            return dataset[rows]

    def _check(self, dataset):
        where, stored = f"{self._path}: {dataset.name}", dataset.id.get_storage_size()
        if dataset.is_virtual or dataset.external:
            raise UserError(f"{where} is stored in other files, which are not read; copy it into one file (h5repack)")
        if dataset.shape is None or not all(dataset.shape):
            return
        declared = math.prod(dataset.shape) * dataset.dtype.itemsize  # h5py's own product overflows
        properties = dataset.id.get_create_plist()
        for number in range(properties.get_nfilters()):
            code, _, _, name = properties.get_filter(number)
            if not self._h5py.h5z.filter_avail(code):
                raise UserError(f"{where} is compressed with the filter {name.decode() or code!r}, which is not "
                                "installed here; repack the file (h5repack -f GZIP=4)")
        refuse_inflated(self._path, dataset.name, declared, stored)
        written, wanted = int(stored >= declared), 1
        if dataset.chunks:
            chunks = math.prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
            room = 2 * chunks * math.prod(dataset.chunks) * dataset.dtype.itemsize + _OVERHEAD
            if stored > room:  # would unpack to who knows what
                raise UserError(f"{where} is stored in {stored:,} bytes, far more than its shape has; make it again")
            refuse_large_chunks(self._path, dataset.name, math.prod(dataset.chunks) * dataset.dtype.itemsize)
            written = dataset.id.get_num_chunks()
            wanted = chunks
        if written < wanted:
            raise UserError(f"{where} declares {' × '.join(map(str, dataset.shape))} values, but only a part was ever "
                            "written; make the file again")
