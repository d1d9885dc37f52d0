"""What made a features file: the JSON beside it, and which of its fields decide the numbers."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.files import arrays_sha256, file_sha256, read_json

SCHEMA = 1
# what decides the numbers; a new version of the code, another batch size or device is written down, not compared
IDENTITY = ("encoder", "weights_sha256", "list_sha256", "config_sha256", "seed", "view", "view_rows_sha256",
            "precision")
ENCODER = ("encoder", "weights_sha256", "config_sha256")  # of these, what says which encoder made features
PRECISIONS = ("float32", "bf16")  # of a network's products; features are stored as float32 with either
UNIT, RAW = "unit", "raw"  # `normalize` of a provenance: rows of length 1 (or 0) as published, or as they were made


def read_provenance(path: str | Path) -> dict | None:
    """The provenance of the features in `path` as a dict, or None where there is no JSON beside them."""
    beside = provenance_file(path)
    return read_json(beside, "provenance of features") if beside.exists() else None


def provenance_file(path: str | Path) -> Path:
    return Path(path).with_suffix(".json")


def features_sha256(path: str | Path) -> str:
    """Hash of the .npy file: from its JSON, computed where there is none."""
    return (read_provenance(path) or {}).get("sha256") or file_sha256(path)


def labels_sha256(labels: np.ndarray) -> str:
    """Hash of (N,) labels by value: int32 and int64, and files of any .npy version, agree."""
    return arrays_sha256(labels=np.asarray(labels, dtype=np.int64))


def rows_sha256(rows: np.ndarray) -> str:
    """Hash of rows of a set, by value."""
    return arrays_sha256(rows=np.asarray(rows, dtype=np.int64))


def images_sha256(hashes: Sequence[str]) -> str:
    """Hash of all images of a features file, from the hashes of its rows' image files in order."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def differences(provenance: Mapping, target: Mapping) -> list[str]:
    """Names of the fields of IDENTITY in which two provenances differ; empty: the same features."""
    return [key for key in IDENTITY if identity(provenance)[key] != identity(target)[key]]


def identity(provenance: Mapping) -> dict:
    """The fields of IDENTITY; features whose provenance names no precision are of float32."""
    return {key: provenance.get(key, PRECISIONS[0] if key == "precision" else None) for key in IDENTITY}
