"""The base dictionary and latent augmentation as scikit-learn estimators."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, ClusterMixin, MetaEstimatorMixin, clone
from sklearn.linear_model import RidgeClassifier
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from fewshot_wsi.foundation.errors import InputError
from lowshot.augmentations.latent_aug import LatentShifts
from lowshot.dictionary import build_dictionary, load_dictionary, save_dictionary


class BaseDictionary(ClusterMixin, BaseEstimator):
    """k-means clusters of base features, and how the features of each cluster vary (Yang et al. 2022, section 3.2).

    n_prototypes: K. n_shifts: S, shifts per cluster. max_iter, kmeans_seed: of k-means on L2-normalised features.
    random_state: int, of the shifts.

    Fitted to X (N, D): `prototypes_` (K, D) float64, mean of each cluster's features as they are; `covariances_`
    (K, D, D) float64, ddof 1; `counts_` (K,) int; `labels_` (N,) int32, nearest prototype of each row of X;
    `n_iter_`, iterations of k-means.
    """

    def __init__(self, n_prototypes: int = 16, *, n_shifts: int = 2000, max_iter: int = 20, kmeans_seed: int = 66,
                 random_state: int = 0) -> None:
        self.n_prototypes = n_prototypes
        self.n_shifts = n_shifts
        self.max_iter = max_iter
        self.kmeans_seed = kmeans_seed
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> "BaseDictionary":
        """X: (N, D), N ≥ n_prototypes; y is not used."""
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=self.n_prototypes)
        dictionary = build_dictionary(X, num_prototypes=self.n_prototypes, num_shift_vectors=self.n_shifts,
                                      iterations=self.max_iter, kmeans_seed=self.kmeans_seed,
                                      seed=_seed(self.random_state))
        self._take(dictionary)
        self.labels_, self.n_iter_ = self.predict(X), dictionary.n_iter
        return self

    def _take(self, dictionary):
        self.dictionary_ = dictionary
        self.prototypes_, self.covariances_ = _read_only(dictionary.prototypes), _read_only(dictionary.covariances)
        self.n_features_in_ = dictionary.dim
        if "counts" in dictionary.how:
            self.counts_ = np.array(dictionary.how["counts"])

    def predict(self, X: np.ndarray) -> np.ndarray:
        """(N,) int32: number of the nearest prototype of each row, the cluster that latent augmentation draws from."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return LatentShifts(self.dictionary_, 1).nearest(X).astype(np.int32)

    def shifts(self, k: int) -> np.ndarray:
        """(S, D) float64 shifts of cluster k: draws from a normal distribution with its covariance."""
        check_is_fitted(self)
        return _read_only(self.dictionary_.shifts(k))

    def save(self, folder: str | Path, prefix: str) -> None:
        """Write the files of the published form: `<prefix>_PROTO_BANK_<K>.npy`, `…_COV_BANK_…`, `…_SHIFT_BANK_…`."""
        check_is_fitted(self)
        save_dictionary(folder, prefix, self.dictionary_)

    @classmethod
    def load(cls, folder: str | Path, prefix: str, n_prototypes: int = 16) -> "BaseDictionary":
        """A fitted BaseDictionary from files of the published form; ValueError where they are missing or damaged."""
        found = load_dictionary(folder, prefix, n_prototypes)
        made = cls(n_prototypes, n_shifts=found.num_shift_vectors, max_iter=found.how.get("iterations", 20),
                   kmeans_seed=found.how.get("kmeans_seed", 66), random_state=found.seed)
        made._take(found)
        return made


class LatentAugmentation(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Fit a classifier to features that vary as base features do: latent augmentation (Yang et al. 2022, section 3.2).

    Each row z of X becomes z and n_aug − 1 rows z + δ, δ sampled from the shifts of the prototype nearest to z.

    estimator: the classifier, RidgeClassifier where it is None. dictionary: a fitted BaseDictionary; `clone` keeps it,
    as it keeps a FrozenEstimator. None or an unfitted one is fitted to X itself: scikit-learn's conventions ask for
    that, it is not the method of the paper, and `evaluate` refuses it. n_aug: rows that one row stands for, itself
    included (`--num_aug_shots` of the commands). random_state: int; another one draws other shifts. In `evaluate` the
    draws of task t depend on seed and setting of the tasks, on t and on random_state, not on the classifier; within a
    Pipeline they depend on random_state alone.

    Fitted: `estimator_`, `dictionary_`, `classes_`.
    """

    def __init__(self, estimator: BaseEstimator | None = None, dictionary: "BaseDictionary | None" = None,
                 n_aug: int = 100, random_state: int = 0) -> None:
        self.estimator = estimator
        self.dictionary = dictionary
        self.n_aug = n_aug
        self.random_state = random_state

    @property
    def dictionary_is_fitted(self) -> bool:
        return hasattr(self.dictionary, "dictionary_")

    def __sklearn_clone__(self):
        params = {name: clone(value, safe=False) for name, value in self.get_params(deep=False).items()}
        if self.dictionary_is_fitted:
            params["dictionary"] = self.dictionary
        return type(self)(**params)

    def set_params(self, **params: Any) -> "LatentAugmentation":
        nested = [name for name in params if name.startswith("dictionary__")]
        if nested and self.dictionary_is_fitted:
            raise InputError(f"{nested[0]}: the dictionary is fitted, its parameters no longer matter; fit another one")
        return super().set_params(**params)

    @property
    def classifier(self) -> BaseEstimator:
        """The classifier that is fitted."""
        return RidgeClassifier() if self.estimator is None else self.estimator

    def with_seed(self) -> "LatentAugmentation":
        """This estimator with an int for its random_state, sampled once where it is a source of random numbers."""
        return clone(self).set_params(random_state=_seed(self.random_state))

    def shifts(self, seed: int = 0, dictionary: "BaseDictionary | None" = None) -> LatentShifts:
        """`LatentShifts` that this estimator draws for tasks of a seed. ValueError: its dictionary is not fitted."""
        dictionary = dictionary or self.dictionary
        if dictionary is None or not hasattr(dictionary, "dictionary_"):
            raise InputError("LatentAugmentation needs a dictionary that is fitted to base features: "
                             "BaseDictionary().fit(base)")
        return LatentShifts(dictionary.dictionary_, self.n_aug, "sampled", seed,
                            _seed(self.random_state))

    def fit(self, X: np.ndarray, y: np.ndarray) -> "LatentAugmentation":
        """X: (N, D); y: (N,) labels."""
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        if self.dictionary_is_fitted:
            self.dictionary_ = self.dictionary
        else:
            self.dictionary_ = clone(BaseDictionary() if self.dictionary is None else self.dictionary).fit(X)
        augmented = self.shifts(dictionary=self.dictionary_).augment(X, "", 0).reshape(-1, X.shape[1])
        self.estimator_ = clone(self.classifier).fit(augmented, np.repeat(y, self.n_aug))
        self.classes_ = self.estimator_.classes_
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self._fitted("predict", X)

    @available_if(lambda self: _has(self, "decision_function"))
    def decision_function(self, X: np.ndarray) -> np.ndarray:
        return self._fitted("decision_function", X)

    @available_if(lambda self: _has(self, "predict_proba"))
    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self._fitted("predict_proba", X)

    def _fitted(self, method, X):
        check_is_fitted(self)
        return getattr(self.estimator_, method)(validate_data(self, X, dtype=[np.float64, np.float32], reset=False))


def _has(augmented, method):
    return hasattr(getattr(augmented, "estimator_", augmented.classifier), method)


def _read_only(array):
    view = array.view()
    view.flags.writeable = False
    return view


def _seed(random_state):
    """An int >= 0 of scikit-learn's random_state; the int itself where it is one."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2 ** 31))
