"""Which tiles to label next: typical and spread while nothing is labelled, uncertain and spread afterwards.

Few labels teach a classifier most where they represent many tiles, so the first ones go to *typical* tiles (TypiClust;
Hacohen, Dekel and Weinshall, "Active Learning on a Budget", ICML 2022): k-means with as many clusters as tiles are
wanted, and of each cluster the tile of the highest typicality,

    typicality(x) = 1 / mean distance of x to its 20 nearest neighbours in the cluster.

Once a classifier can be fitted, the tiles that it is unsure of teach it more: of each cluster the one of the smallest
margin, the difference of its two highest class scores.

All distances are Euclidean, between features of unit length. Tiles with equal features count once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from fewshot_wsi.foundation.errors import InputError
from fewshot_wsi.foundation.features import unit_length
from fewshot_wsi.foundation.seeds import generator

NEIGHBOURS = 20
INITS = 3              # starts of k-means, the best of which counts
LARGEST_POOL = 50_000  # tiles that are clustered; of more, so many are sampled at random


@dataclass(frozen=True, eq=False)
class Selection:
    """n chosen rows of the features, the first to be labelled first."""
    rows: np.ndarray      # (n,) int64
    values: np.ndarray    # (n,) float64: typicality, or margin
    clusters: np.ndarray  # (n,) int64, how many tiles are in the cluster that a row stands for

    def __len__(self) -> int:
        return len(self.rows)


def select_typical(x: np.ndarray, budget: int, *, labeled: Sequence[int] | np.ndarray = (), seed: int = 0,
                   pool: int = LARGEST_POOL) -> Selection:
    """`budget` typical rows of different clusters, those of the largest cluster first.

    x: (N, D) features, of any length but zero. labeled: rows that have a label; they take part in the clustering, there
    is one more cluster for each, and clusters that hold none of them come first. pool: of more rows than that, so many
    are sampled at random. InputError: fewer different rows without a label than `budget`.
    """
    rows, features = _candidates(x, labeled, budget, seed, pool)
    known = np.isin(rows, labeled)
    assigned = _clusters(features, budget + int(known.sum()), seed)
    sizes, labels_in = np.bincount(assigned), np.bincount(assigned, weights=known)
    chosen, values, clusters = [], [], []
    for k in np.lexsort((-sizes, labels_in)):
        members = np.flatnonzero(assigned == k)
        typical = _typicality(features[members])
        typical[known[members]] = -1
        best = int(typical.argmax())
        if typical[best] >= 0:
            chosen.append(rows[members[best]])
            values.append(typical[best])
            clusters.append(sizes[k])
    return _selection(chosen[:budget], values[:budget], clusters[:budget])


def select_uncertain(x: np.ndarray, scores: np.ndarray, budget: int, *, labeled: Sequence[int] | np.ndarray,
                     seed: int = 0, pool: int = LARGEST_POOL) -> Selection:
    """`budget` rows of different clusters, each with the smallest margin of its cluster; the smallest of all first.

    x: (N, D) features; scores: (N, K) of K >= 2 classes, probabilities or decision values of a classifier; labeled:
    rows that have a label, which are not chosen. pool, errors: as of `select_typical`.
    """
    if scores.shape[:1] != x.shape[:1]:
        raise InputError(f"{len(x)} rows of features, but {len(scores)} of scores")
    rows, features = _candidates(x, labeled, budget, seed, pool, keep=False)
    margins = margins_of(scores[rows])
    assigned = _clusters(features, budget, seed)
    members = [np.flatnonzero(assigned == k) for k in np.unique(assigned)]
    best = np.array([own[margins[own].argmin()] for own in members])
    best = best[np.argsort(margins[best], kind="stable")]
    return _selection(rows[best], margins[best], np.bincount(assigned)[assigned[best]])


def margins_of(scores: np.ndarray) -> np.ndarray:
    """(N,) float64 differences of the two highest of scores (N, K); of scores (N,), the two-class decision values of
    scikit-learn, their size. InputError: one class."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim == 1:
        return np.abs(scores)
    if scores.shape[1] < 2:
        raise InputError("scores of one class have no margin; give at least two classes")
    highest = np.partition(scores, -2, axis=1)[:, -2:]
    return highest[:, 1] - highest[:, 0]


def _candidates(x, labeled, budget, seed, pool, keep=True):
    """(ascending rows, their features of unit length): all that differ, at most `pool`; labelled ones too or none."""
    x, labeled = np.asarray(x), np.asarray(labeled, dtype=np.int64)
    if budget < 1:
        raise InputError(f"budget {budget}: give a whole number from 1")
    if labeled.size and not 0 <= labeled.min() <= labeled.max() < len(x):
        raise InputError(f"labelled rows reach from {labeled.min()} to {labeled.max()}, but x has {len(x)} rows")
    free = np.setdiff1d(np.arange(len(x)), labeled)
    if len(free) > pool:
        free = np.sort(generator(seed, "selection/pool").choice(free, pool, replace=False))
    rows = np.concatenate([labeled, free])  # labelled ones first, so that their copies are left out
    features = unit_length(x[rows])[0]
    seen = {}
    for place, feature in enumerate(features):
        seen.setdefault(feature.tobytes(), place)
    places = np.array(list(seen.values()), dtype=np.int64)
    unlabeled = int((places >= len(labeled)).sum())
    if unlabeled < budget:
        raise InputError(f"budget {budget}: only {unlabeled} tiles without a label have different features; lower the "
                         "budget")
    places = places if keep else places[places >= len(labeled)]
    places = places[np.argsort(rows[places])]
    return rows[places], features[places]


def _clusters(features, count, seed):
    """(n,) cluster of each of features (n, D); one thread, so that the machine does not decide."""
    state = int(generator(seed, "selection/kmeans").integers(2 ** 31))
    with threadpool_limits(1):
        return KMeans(min(count, len(features)), n_init=INITS, random_state=state).fit_predict(features)


def _typicality(features):
    """(n,) typicality in a cluster (n, D); 0 where it is alone."""
    count = min(NEIGHBOURS, len(features) - 1)
    if count < 1:
        return np.zeros(len(features))
    with threadpool_limits(1):
        distances = NearestNeighbors(n_neighbors=count).fit(features).kneighbors()[0]
    return 1 / np.maximum(distances.mean(axis=1, dtype=np.float64), np.finfo(np.float32).eps)


def _selection(rows, values, clusters):
    return Selection(np.asarray(rows, dtype=np.int64), np.asarray(values, dtype=np.float64),
                     np.asarray(clusters, dtype=np.int64))
