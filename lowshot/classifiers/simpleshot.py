"""SimpleShot (Wang et al. 2019, CL2N): nearest centroid of features centred on the mean of the base features and
brought to unit length."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize
from sklearn.utils.validation import check_is_fitted, validate_data

from lowshot.classifiers import Classifier, register


class SimpleShot(ClassifierMixin, BaseEstimator):
    """base_mean: (D,) mean of the base features. None: the mean of X in `fit`, which the paper does not do."""

    def __init__(self, base_mean: np.ndarray | None = None) -> None:
        self.base_mean = base_mean

    def fit(self, X: np.ndarray, y: np.ndarray) -> "SimpleShot":
        """X: (N, D); y: (N,) labels."""
        X, y = validate_data(self, X, y)
        self.centre_ = X.mean(axis=0) if self.base_mean is None else np.asarray(self.base_mean)
        if self.centre_.shape != X.shape[1:]:
            raise ValueError(f"base_mean has the shape {self.centre_.shape}, the features are {X.shape[1]} wide")
        self.nearest_ = NearestCentroid().fit(normalize(X - self.centre_), y)
        self.classes_ = self.nearest_.classes_
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        check_is_fitted(self)
        return self.nearest_.predict(normalize(validate_data(self, X, reset=False) - self.centre_))


register(Classifier("simpleshot", SimpleShot(), label="SimpleShot", uses_base=True))
