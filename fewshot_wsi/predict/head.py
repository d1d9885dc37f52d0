"""The head: a fitted classifier on disk, with all that says what it is for.

    head/head.npz     supports' features and labels, and the linear scores (columns, bias[, centre]) or, for classifiers
                      without linear form, the rows that they are fitted to again
    head/head.json    classes, method, encoder and preprocessing, dictionary, supports with hashes, conformal threshold,
                      leave-one-out estimate, hash of the arrays
"""

import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.base import clone

from fewshot_wsi import __version__
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import arrays_sha256, json_sha256, read_json, write_json, write_npz
from fewshot_wsi.foundation.keys import nearest_known
from fewshot_wsi.foundation.locks import locked
from lowshot.classifiers import classifiers
from lowshot.fitting import Fitted, refit
from lowshot.solvers.planes import Planes

SCHEMA = 1
UNIT = 1e-2  # a length within this of 1 is unit length


@dataclass(frozen=True, eq=False)
class Head:
    """fitted: the classifier. features (n, D) float32, labels (n,) int64: all supports, calibration ones among them.
    facts: JSON-able dict with `classes`, `supports` (path, class, group, sha256 each), `method`, `encoder`,
    `preprocessing`, `choice`, `dictionary`, `conformal` (coverage, n, threshold) or None, `estimate`."""
    fitted: Fitted
    features: np.ndarray
    labels: np.ndarray
    facts: dict

    @property
    def classes(self):
        return tuple(self.facts["classes"])

    @property
    def names(self):
        """(n,) paths of the supports."""
        return tuple(one["path"] for one in self.facts["supports"])

    @property
    def arrays(self):
        fitted, planes = self.fitted, self.fitted.planes
        own = {"rows": fitted.rows, "row_labels": fitted.row_labels} if planes is None else {
            "columns": planes.columns, "bias": planes.bias, "centre": planes.centre}
        own["base_mean"] = fitted.classifier.estimator.get_params().get("base_mean")
        return {name: np.ascontiguousarray(array) for name, array in
                {"features": self.features, "labels": self.labels, **own}.items() if array is not None}

    @property
    def identity(self):
        return json_sha256([SCHEMA, json.loads(json.dumps(self.facts)), arrays_sha256(**self.arrays)])

    def check_rows(self, features, rows, where):
        """UserError where features (b, D) of these rows are not scaled as the supports are, or not as wide."""
        dim = self.features.shape[1]
        if features.shape[1] != dim:
            raise UserError(f"{where}: features of width {features.shape[1]}, the classifier is fitted to {dim}; use "
                            "features of the same encoder")
        lengths, unit = _lengths(features), _lengths(self.features)
        if not _is_unit(unit).all():
            if len(lengths) and _is_unit(lengths).all() and not _is_unit(unit).any():
                raise UserError(f"{where}: features of unit length, but those of the supports are not (lengths "
                                f"{unit.min():.3g} to {unit.max():.3g}); normalise both or neither")
            return
        wrong = np.flatnonzero(~_is_unit(lengths))
        if wrong.size:
            row = rows[int(np.flatnonzero(features.any(axis=1))[wrong[0]])]
            raise UserError(f"{where}: row {row} has the length {lengths[wrong[0]]:.3g}, the supports have unit "
                            "length; divide each row by its Euclidean length, as wsi_workdir/extract.py does")


def _lengths(features):
    """Of the rows that are not zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", features, features))
    return lengths[lengths > 0]


def _is_unit(lengths):
    return np.abs(lengths - 1) < UNIT


def save_head(folder, head, overwrite=False):
    """Write the head; the same one is kept. UserError: another one is there. JSON last: without it there is no head."""
    folder = Path(folder)
    with locked(folder):
        path = folder / "head.json"
        if path.exists() and not overwrite:
            if read_json(path, "head").get("identity") != head.identity:
                raise UserError(f"{folder}: holds another head; choose another --save or replace it with --overwrite")
            return
        path.unlink(missing_ok=True)
        write_npz(folder / "head.npz", **head.arrays)
        write_json(path, {"schema": SCHEMA, "version": __version__, "identity": head.identity, **head.facts})


def load_head(folder):
    """The Head in `folder`. UserError: none, damaged, or of a classifier that is not known here."""
    folder = Path(folder)
    facts = read_json(folder / "head.json", "head (wsi_workdir/predict.py --save makes one)")
    try:
        with np.load(folder / "head.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        schema, identity = facts.pop("schema"), facts.pop("identity")
        facts.pop("version")
        name = facts["method"]["classifier"]
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"{folder}: not a readable head ({error}); save it again") from None
    if schema != SCHEMA:
        raise UserError(f"{folder}: a head of version {schema} of its format, this program reads {SCHEMA}; save it "
                        "again")
    if name not in classifiers():
        raise UserError(f"{folder}: a head of the classifier {name!r}{nearest_known(name, classifiers())}")
    try:
        head = Head(_fitted(classifiers()[name], arrays), arrays["features"], arrays["labels"], facts)
        same = head.identity == identity
    except KeyError as error:
        raise UserError(f"{folder}: not a readable head ({error} is missing); save it again") from None
    if not same:
        raise UserError(f"{folder}: head.npz and head.json do not belong together; save it again")
    return head


def _fitted(classifier, arrays):
    if "base_mean" in arrays:
        estimator = clone(classifier.estimator).set_params(base_mean=arrays["base_mean"])
        classifier = replace(classifier, estimator=estimator)
    if "columns" not in arrays:
        return refit(classifier, arrays["rows"], arrays["row_labels"])
    planes = Planes(arrays["columns"], arrays["bias"], arrays.get("centre"))
    return Fitted(classifier, len(planes.bias), planes)
