"""Classifiers of meta-testing, many tasks at once: `predict`."""

import numpy as np

from lowshot.errors import UserError
from lowshot.solvers import reference

CLASSIFIERS = ("Ridge", "logistic_regression", "nearest_centroid")
SOLVERS = ("batched", "sklearn")


def predict(clf, support, labels, query, *, solver="batched", device="cpu", augmentation=None, setting="",
            task_numbers=None):
    """Predicted labels (T, q) int64 of T tasks.

    clf: 'Ridge', 'logistic_regression' or 'nearest_centroid', scikit-learn's with the published settings.
    support: (T, n, D) float32; labels: (n,) or (T, n) ints, any values; query: (T, q, D) float32.
    solver: 'batched' or 'sklearn' (the published estimators, one task at a time).
    augmentation: LatentAugmentation or None; its draws are keyed by `setting` and `task_numbers` (T,), by default
    0 … T−1. The predictions of a task do not depend on which tasks it shares the call with.
    """
    support, query = np.asarray(support), np.asarray(query)
    labels = np.broadcast_to(np.asarray(labels, dtype=np.int64), support.shape[:2])
    numbers = np.arange(len(support)) if task_numbers is None else np.asarray(task_numbers)
    _check(clf, solver, augmentation)
    return reference.predict(clf, support, labels, query, augmentation, setting, numbers)


def _check(clf, solver, augmentation):
    if clf not in CLASSIFIERS:
        raise UserError(f"classifier {clf!r}: known are {', '.join(CLASSIFIERS)}")
    if solver not in SOLVERS:
        raise UserError(f"solver {solver!r}: known are {', '.join(SOLVERS)}")
    if augmentation is not None and augmentation.kind == "expected":
        if clf == "logistic_regression":
            raise UserError("expected latent augmentation has no closed form for logistic_regression; "
                            "use --latent sampled, or Ridge or nearest_centroid")
        if solver == "sklearn":
            raise UserError("expected latent augmentation has no scikit-learn form; "
                            "use --solver batched or --latent sampled")
