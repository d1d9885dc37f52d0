"""Split-conformal sets: classes that a tile may have, right with a chosen probability (Vovk et al. 2005).

A part of the supports is held out, the classifier is fitted to the rest. With n held-out nonconformity scores and the
coverage 1 − α, the set of a query holds every class whose nonconformity is at most the ⌈(n + 1)(1 − α)⌉-th smallest of
them. A query that is exchangeable with the held-out supports then has its class in its set with probability ≥ 1 − α.
Tiles of one slide are not exchangeable with a tile of another one, so whole groups are held out and one tile of each
calibrates: coverage is that of tiles of new groups (Dunn, Wasserman and Ramdas 2022, "subsampling once").
"""

import math

import numpy as np

from fewshot_wsi.foundation.errors import InputError
from fewshot_wsi.foundation.seeds import generator


def nonconformity(outputs: np.ndarray) -> np.ndarray:
    """(q, ways): largest output of the other classes minus the class's own. outputs: (q, ways), scores or
    probabilities, two ways at least."""
    order = np.sort(outputs, axis=1)
    best, second = order[:, -1:], order[:, -2:-1]                             # equal where the best class is tied
    return np.where(outputs == best, second, best) - outputs


def rank(n: int, coverage: float) -> int:
    """⌈(n + 1) · coverage⌉, free of the rounding of decimal fractions."""
    return math.ceil((n + 1) * coverage - 1e-9)


def fewest(coverage: float) -> int:
    """Smallest n that gives sets: n ≥ 1/α − 1."""
    return next(n for n in range(1, 10**7) if rank(n, coverage) <= n)


def threshold(scores: np.ndarray, coverage: float) -> float:
    """The ⌈(n + 1) · coverage⌉-th smallest of scores (n,). ValueError: n is too small for it."""
    place = rank(len(scores), coverage)
    if place > len(scores):
        raise InputError(f"{len(scores)} held-out supports are too few for a coverage of {coverage:g}, which needs "
                         f"{fewest(coverage)}")
    return float(np.sort(scores)[place - 1])


def hold_out(labels: np.ndarray, groups: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(rows to fit to, rows to calibrate on), both ascending int64.

    labels: (n,) ints; groups: (n,) ints. Groups are visited in the random order of the stream (seed, 'conformal'), and
    each is held out unless a class in it would lose more than half of its groups. One random row of a group that is
    held out is for calibration; its others are in neither part.
    """
    rng = generator(seed, "conformal")
    of_class = {label: np.unique(groups[labels == label]).size for label in np.unique(labels)}
    may_lose = {label: count // 2 for label, count in of_class.items()}
    held = np.zeros(len(labels), dtype=bool)
    calibration = []
    for group in rng.permutation(np.unique(groups)):
        rows = np.flatnonzero(groups == group)
        inside = np.unique(labels[rows])
        if all(may_lose[label] > 0 for label in inside):
            for label in inside:
                may_lose[label] -= 1
            held[rows] = True
            calibration.append(int(rng.choice(rows)))
    return np.flatnonzero(~held), np.sort(np.array(calibration, dtype=np.int64))
