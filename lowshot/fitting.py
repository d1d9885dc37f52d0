"""One classifier, fitted once and kept: `fit`. What it predicts is what `prediction.predict` predicts for the task."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import clone

from fewshot_wsi.foundation.errors import InputError
from lowshot.classifiers import Classifier, find_classifier
from lowshot.prediction import (
    check_arrays,
    check_choices,
    check_size,
    fit_planes,
    fit_rows,
    form_of,
    quiet_centroids,
)
from lowshot.solvers.planes import Planes

PROBABILITY, SCORE = "probability", "score"


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted classifier of `ways` classes, numbered from 0.

    planes: the linear scores that it decides by; where it has no such form, `estimator` is fitted instead, to
    rows (m, D) of labels row_labels (m,).
    """
    classifier: Classifier
    ways: int
    planes: Planes | None = None
    rows: np.ndarray | None = None
    row_labels: np.ndarray | None = None
    estimator: Any = None  # of scikit-learn, fitted

    @property
    def kind(self) -> str | None:
        """What `outputs` are: PROBABILITY, SCORE, or None where the classifier names classes and no more."""
        if self.planes is not None:
            return PROBABILITY if self.classifier.probabilistic else SCORE
        if hasattr(self.estimator, "predict_proba"):
            return PROBABILITY
        return SCORE if hasattr(self.estimator, "decision_function") else None

    def __call__(self, query: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(classes (q,) int64, outputs (q, ways) float64 or None) of query (q, D)."""
        if self.planes is None:
            with quiet_centroids():
                return np.asarray(self.estimator.predict(query)).astype(np.int64), self._of_estimator(query)
        scores = self.planes.scores(query)
        return scores.argmax(axis=1), softmax(scores, axis=1) if self.kind == PROBABILITY else scores

    def _of_estimator(self, query):
        if self.kind is None:
            return None
        if self.kind == PROBABILITY:
            return np.asarray(self.estimator.predict_proba(query), dtype=np.float64)
        scores = np.asarray(self.estimator.decision_function(query), dtype=np.float64)
        return np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores


def fit(classifier: Any, support: np.ndarray, labels: np.ndarray, *, augmentation: Any = None, base: Any = None,
        setting: str = "", number: int = 0) -> Fitted:
    """Fit a classifier to the supports of one task.

    classifier: a name of `lowshot.classifiers`, or an unfitted scikit-learn classifier. support: (n, D); labels: (n,)
    ints 0 … ways−1, each class present. augmentation, base: as of `prediction.predict`; with the same setting and task
    number the draws are those of the engine, and so are the classes.
    ValueError: as of `prediction.predict`; a transductive classifier, which cannot be kept.
    """
    support, labels = np.asarray(support, dtype=np.float32), np.asarray(labels)
    classifier = find_classifier(classifier).fitted_to(getattr(base, "dictionary_", base))
    if classifier.transductive:
        raise InputError(f"{classifier.name} is transductive: its predictions depend on which queries come together; "
                         "evaluate it on tasks instead")
    check_choices(classifier, "batched", augmentation)
    labels = check_arrays(support[None], labels, support[None, :0], np.array([number]))[0]
    ways = int(labels.max()) + 1
    form = form_of(classifier, "batched", augmentation)
    if form == "estimator":
        return refit(classifier, *fit_rows(support, labels, augmentation, setting, number))
    if augmentation is not None:
        check_size(support, augmentation.dictionary.prototypes)
    planes, = fit_planes(classifier, form, augmentation, support[None], labels[None], ways, setting,
                         np.array([number]))
    if form != "sampled":  # one of the T = 1 tasks
        planes = Planes(planes.columns[0], planes.bias[0], None if planes.centre is None else planes.centre[0])
    return Fitted(classifier, ways, planes)


def refit(classifier: Classifier, rows: np.ndarray, labels: np.ndarray) -> Fitted:
    """Fitted of a classifier without linear form. rows: (m, D), augmented ones among them; labels: (m,)."""
    estimator = clone(classifier.estimator)
    if estimator.get_params().get("random_state", 0) is None:  # so that the same rows give the same classifier
        estimator.set_params(random_state=0)
    with quiet_centroids():
        estimator.fit(rows, labels)
    return Fitted(classifier, int(labels.max()) + 1, None, rows, labels, estimator)
