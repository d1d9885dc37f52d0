"""Writing a features file and its provenance in blocks, so that an interrupted run continues where it stopped."""

import hashlib
import io
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import json_sha256, replacing, write_json, write_npz
from fewshot_wsi.foundation.provenance import SCHEMA, identity, images_sha256, provenance_file


def remove_blocks(path: str | Path) -> None:
    """Remove what unfinished runs left of the features file `path`; the caller holds its lock."""
    for folder in Path(path).parent.glob(f".{Path(path).name}.*.parts"):
        shutil.rmtree(folder, ignore_errors=True)


class FeatureWriter:
    """Writes one features file in blocks of rows, in any order, from any number of processes, over any number of runs.

    Finished blocks lie in a hidden folder beside `path`, each a small .npz moved into place whole; `finish` joins them.
    The folder's name carries the hash of what the numbers depend on but for the images, and each block the hashes of
    its images, so a later run finds only blocks that are still right.
    provenance: the fields of the JSON that are known beforehand, IDENTITY among them. block: rows a block.
    """

    def __init__(self, path: str | Path, provenance: Mapping, *, rows: int, dim: int, block: int = 256) -> None:
        self.path, self.rows, self.dim, self.block = Path(path), rows, dim, block
        self.provenance = {"schema": SCHEMA, **provenance, "rows": rows, "dim": dim}
        key = json_sha256({**identity(provenance), "rows": rows, "dim": dim, "block": block})[:16]
        self.folder = self.path.parent / f".{self.path.name}.{key}.parts"

    def __len__(self) -> int:
        """Number of blocks."""
        return -(-self.rows // self.block)

    def rows_of(self, number: int) -> range:
        """Rows of block `number`, as a range."""
        return range(number * self.block, min((number + 1) * self.block, self.rows))

    def started(self) -> bool:
        """Whether an earlier run was interrupted after it began to write these features."""
        return self.folder.is_dir()

    def missing(self, hashes_of: Callable[[range], Sequence[str]]) -> list[int]:
        """Numbers of the blocks that are not on disk yet, or were made of other images, ascending.

        hashes_of: function from rows to the hashes of their images as they are now.
        """
        def right(number):
            stored = self._stored(number)
            return stored is not None and stored[1] == list(hashes_of(self.rows_of(number)))

        return [number for number in range(len(self)) if not right(number)]

    def write(self, number: int, features: np.ndarray, hashes: Sequence[str]) -> None:
        """features: (rows of the block, D), finite; stored as float32. hashes: SHA-256 of each row's image file."""
        expected = (len(self.rows_of(number)), self.dim)
        if features.shape != expected:
            raise ValueError(f"block {number} of {self.path} has shape {features.shape}, expected {expected}")
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if bad.size:
            raise UserError(f"{self.path}: the features of row {self.rows_of(number)[bad[0]]} are NaN or infinite; "
                            "the weights are damaged or belong to another network")
        write_npz(self._part(number), features=np.ascontiguousarray(features, dtype=np.float32),
                  images=np.array(hashes, dtype="S64"))

    def finish(self) -> dict:
        """Join all blocks under the final name, with the JSON beside it, and return the provenance written.

        Its `zero_rows` are the rows that hold zeros alone and so have no unit length. The JSON goes first: stopped
        between the two renames, a reader finds a hash that does not match, and says so.
        """
        digest, zeros, hashes = hashlib.sha256(), list[int](), list[str]()
        with replacing(self.path) as stream:
            for piece in self._pieces(zeros, hashes):
                digest.update(piece)
                stream.write(piece)
            self.provenance.update(sha256=digest.hexdigest(), zero_rows=zeros, images_sha256=images_sha256(hashes))
            write_json(provenance_file(self.path), self.provenance)
        remove_blocks(self.path)
        return self.provenance

    def _pieces(self, zeros, hashes):
        """Bytes of the final .npy file: header, then block after block. Appends rows that are zero to
        `zeros`, hashes of images to `hashes`."""
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (self.rows, self.dim)})
        yield header.getvalue()
        for number in range(len(self)):
            features, images = self._stored(number)
            hashes += images
            zeros += [int(row) + self.rows_of(number)[0] for row in np.flatnonzero(~features.any(axis=1))]
            yield features.astype("<f4").tobytes()

    def _part(self, number):
        return self.folder / f"{number:06d}.npz"

    def _stored(self, number):
        """(features, hashes of their images) of a block on disk; None where it is absent or damaged."""
        try:
            with np.load(self._part(number), allow_pickle=False) as stored:
                return stored["features"], [one.decode() for one in stored["images"]]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
