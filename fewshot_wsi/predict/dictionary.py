"""The base dictionary of a head: read from its files, or made of any unlabelled features."""

import re
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import load_features
from fewshot_wsi.foundation.provenance import features_sha256
from fewshot_wsi.predict.encoding import check_same_encoder, features_identity
from lowshot.dictionary import build_dictionary, load_dictionary

_PROTOTYPES = re.compile(r"(.+)_PROTO_BANK_(\d+)\.npy")


def read_dictionary(path, dim):
    """(Dictionary, facts for the head) of a folder that holds one, or of its file <prefix>_PROTO_BANK_<K>.npy.

    dim: width of the features. UserError: none or several are there, or it is of other features.
    """
    path = Path(path)
    files = sorted(path.glob("*_PROTO_BANK_*.npy")) if path.is_dir() else [path]
    found = [match for file in files if (match := _PROTOTYPES.fullmatch(file.name))]
    if len(found) != 1:
        raise UserError(f"{path}: {'several dictionaries are' if found else 'no dictionary is'} here; name one file "
                        "<prefix>_PROTO_BANK_<K>.npy, as wsi_workdir/dict_construction.py makes it")
    folder = path if path.is_dir() else path.parent
    dictionary = load_dictionary(folder, found[0][1], int(found[0][2]), dim)
    return dictionary, {"identity": dictionary.identity, "file": str((folder / found[0][0]).absolute()),
                        "how": dictionary.how}


def make_dictionary(path, encoder, dim, num_prototypes, seed):
    """(Dictionary, facts for the head) of the features file `path`: of this encoder (dict of IDENTITY) and width."""
    features = load_features(path)
    if features.shape[1] != dim:
        raise UserError(f"{path}: features of width {features.shape[1]}, those of the supports have {dim}; "
                        "use features of the same encoder")
    check_same_encoder(encoder, features_identity(path), "those of the supports", path)
    dictionary = build_dictionary(features, num_prototypes=num_prototypes, seed=seed)
    how = {**dictionary.how, "features": str(Path(path).absolute()), "features_sha256": features_sha256(path)}
    return dictionary, {"identity": dictionary.identity, "base": how["features"], "how": how}
