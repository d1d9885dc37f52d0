"""Finished blocks of predictions: a hidden folder beside the output, so that a killed command continues."""

import shutil
import zipfile
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.files import json_sha256, write_npz
from fewshot_wsi.foundation.temporary import hidden_name


class Parts:
    """Blocks of the output `path`, each an .npz moved into place whole; the folder's name is a hash of `what` they are
    predicted from, so that a later run finds only blocks that are still right."""

    def __init__(self, path, what):
        self.key = json_sha256(what)
        self.path = Path(path)
        self.folder = self.path.parent / f"{hidden_name(self.path)}.{self.key[:16]}.parts"

    def missing(self, count):
        """Numbers of 0 … count − 1 that are not on disk, ascending."""
        return [number for number in range(count) if self.read(number) is None]

    def write(self, number, **arrays):
        write_npz(self._file(number), **arrays)

    def read(self, number):
        """dict of arrays, None where the block is absent or damaged."""
        try:
            with np.load(self._file(number), allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def remove(self):
        """These blocks and those of earlier runs; the caller holds the lock of the output."""
        for folder in self.path.parent.glob(f"{hidden_name(self.path)}.*.parts"):
            shutil.rmtree(folder, ignore_errors=True)

    def _file(self, number):
        return self.folder / f"{number:06d}.npz"
