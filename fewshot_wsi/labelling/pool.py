"""The tiles to choose from: features, and the image that each row is of."""

from dataclasses import dataclass

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import load_features
from fewshot_wsi.foundation.files import file_sha256
from fewshot_wsi.foundation.lists import ImageList, read_list
from fewshot_wsi.foundation.provenance import read_provenance


@dataclass(frozen=True, eq=False)
class LabellingPool:
    features: np.ndarray  # (N, D) float32
    images: ImageList     # of N names

    def __len__(self):
        return len(self.features)


def load_pool(features_file, list_file=None):
    """LabellingPool of a features file, its names from the list that it was extracted from, or `list_file`.

    UserError: no list known or there, or another list than the features were made from.
    """
    provenance = read_provenance(features_file) or {}
    list_file = list_file or provenance.get("list")
    if list_file is None:
        raise UserError(f"{features_file}: nothing beside it says which images its rows are of; give --list FILE")
    if provenance.get("view_rows_sha256"):
        raise UserError(f"{features_file}: features of augmented views of some rows; give those of the tiles "
                        "themselves")
    images = read_list(list_file)
    made_from = provenance.get("list_sha256")
    if made_from and made_from != file_sha256(list_file):
        raise UserError(f"{list_file}: not the list that {features_file} was made from, or it has changed since; give "
                        "that one with --list FILE, or extract again")
    return LabellingPool(load_features(features_file, len(images)), images)
