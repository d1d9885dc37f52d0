"""Features on disk as rows with names: read block by block, found by name."""

from functools import cached_property
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import check_features, row_blocks
from fewshot_wsi.foundation.files import file_sha256, json_sha256
from fewshot_wsi.foundation.lists import read_list
from fewshot_wsi.foundation.provenance import features_sha256, read_provenance
from fewshot_wsi.foundation.tables import plain_path
from fewshot_wsi.predict.encoding import features_identity

BLOCK = 8192  # rows at a time


class StoredRows:
    """A features file: rows of width `dim`, with the names of its list, or with their numbers where there is none.

    list_file: image list of the rows; None: the one that the provenance names, if it still is that list.
    UserError: as of `check_features`; a list of another length.
    """
    block = BLOCK

    def __init__(self, path, list_file=None):
        self.path, self.list_file = Path(path), list_file
        self.rows, self.dim = check_features(path)

    def __len__(self):
        return self.rows

    def rows_of(self, number):
        return range(number * self.block, min((number + 1) * self.block, len(self)))

    @cached_property
    def names(self):
        made = read_provenance(self.path) or {}
        listed = self.list_file or made.get("list")
        if not self.list_file and not (listed and Path(listed).is_file() and made.get("view_rows_sha256") is None
                                       and file_sha256(listed) == made.get("list_sha256")):
            return tuple(map(str, range(len(self))))
        names = read_list(listed).names
        if len(names) != len(self):
            raise UserError(f"{listed}: {len(names)} lines, but {self.path} has {len(self)} rows; name the list that "
                            "the features were extracted from")
        return names

    @property
    def encoder(self):
        return features_identity(self.path)

    @cached_property
    def identity(self):
        return json_sha256([features_sha256(self.path), self.names])

    def read(self, numbers):
        """As `TileRows.read`; the features as stored, float32."""
        wanted = set(numbers)
        for start, features in row_blocks(self.path, self.block):
            if start // self.block in wanted:
                yield start // self.block, np.asarray(features, dtype=np.float32), {}

    def find(self, names, where):
        """(n, D) float32 features of the rows of these names. UserError: one is not among them."""
        known = {}
        for row, name in enumerate(self.names):
            known.setdefault(plain_path(name), row)
        rows = [known.get(plain_path(name)) for name in names]
        missing = [name for name, row in zip(names, rows, strict=True) if row is None]
        if missing:
            raise UserError(f"{where}: {len(missing)} of {len(names)} supports have no row in {self.path}, the first "
                            f"is {missing[0]!r}; paths must be as in the list of the features (first row: "
                            f"{self.names[0]!r})")
        return np.array(np.load(self.path, mmap_mode="r", allow_pickle=False)[np.array(rows)], dtype=np.float32)
