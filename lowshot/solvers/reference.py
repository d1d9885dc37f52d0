"""The reference path: the published scikit-learn estimators, one task at a time, in float64 where augmented."""

import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import NearestCentroid

ESTIMATORS = {
    "Ridge": RidgeClassifier,
    "logistic_regression": lambda: LogisticRegression(max_iter=1000),
    "nearest_centroid": NearestCentroid,
}


def predict(clf, support, labels, query, augmentation, setting, numbers):
    """As `lowshot.solvers.predict` with solver='sklearn'; labels (T, n), numbers (T,)."""
    return np.array([predict_task(ESTIMATORS[clf](), *task, augmentation, setting, number)
                     for *task, number in zip(support, labels, query, numbers, strict=True)]).astype(np.int64)


def predict_task(estimator, support, labels, query, augmentation, setting, number):
    """Predictions (q,) of one task: support (n, D), labels (n,), query (q, D)."""
    if augmentation is not None:
        support = augmentation.augment(support, setting, number).reshape(-1, support.shape[1])
        labels = np.repeat(labels, augmentation.num_aug_shots)
    with warnings.catch_warnings():
        # one shot a class has no within-class variance: NearestCentroid says so at every fit and does not use it
        warnings.filterwarnings("ignore", module="sklearn.neighbors._nearest_centroid")
        return estimator.fit(support, labels).predict(query)
