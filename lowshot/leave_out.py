"""The leave-one-out estimate of a classifier: each group of supports predicted by a classifier that has not seen it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fewshot_wsi.foundation.seeds import generator
from lowshot.fitting import Fitted
from lowshot.influence import f1_influence
from lowshot.intervals import score_interval
from lowshot.statistics import f1_scores

MOST_FOLDS = 50  # where a class has more groups, several are left out at a time


@dataclass(frozen=True)
class LeftOut:
    """Macro F1 over all supports, each predicted without its group: the 95 % interval speaks of further groups."""
    macro: float
    low: float
    high: float
    groups: int
    folds: int


def too_few_groups(labels: np.ndarray, groups: np.ndarray) -> int | None:
    """The first class whose supports all come from one group, or None. labels, groups: (n,) ints."""
    return next((int(label) for label in np.unique(labels) if np.unique(groups[labels == label]).size < 2), None)


def leave_groups_out(fit_to: Callable[[np.ndarray, int], Fitted], features: np.ndarray, labels: np.ndarray,
                     groups: np.ndarray, seed: int = 0) -> LeftOut:
    """Leave-one-group-out macro F1 with its interval.

    fit_to: function (rows, fold) → Fitted to these supports. features: (n, D); labels: (n,) in [0, ways), each class
    in two groups at least (`too_few_groups`); groups: (n,) ints, from 0. The interval is that of `grouped_f1`.
    """
    folds = folds_of(labels, groups, seed)
    predicted = np.empty(len(labels), dtype=np.int64)
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        predicted[out] = fit_to(np.flatnonzero(~out), fold)(features[out])[0]
    return LeftOut(*grouped_f1(labels, predicted, groups, int(labels.max()) + 1), int(folds.max()) + 1)


def grouped_f1(labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray,
               ways: int) -> tuple[float, float, float, int]:
    """(macro F1 over the classes that `labels` hold, low, high, number of groups).

    labels, predicted: (n,) ints in [0, ways); groups: (n,) ints, from 0, each with a member.
    The variance of the macro F1 is G/(G−1) Σ_g I_g², I_g the derivative by the weight of group g
    (`influence.f1_influence`); the interval is that of `intervals.score_interval`, (0, 1) for one group.
    """
    there = np.bincount(labels, minlength=ways) > 0
    macro = float(f1_scores(labels, predicted[None], ways)[0, there].mean())
    each = f1_influence(predicted[None], labels, (there / there.sum())[None])[0]
    count = int(groups.max()) + 1
    variance = float((np.bincount(groups, each) ** 2).sum()) * count / max(count - 1, 1)
    return macro, *score_interval(macro, variance, count), count


def folds_of(labels: np.ndarray, groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """(n,) fold of each support: one group of each class at a time, in random order; at most MOST_FOLDS folds.

    Leaving out a group of one class alone would make that class the rare one, and a classifier that has little to go by
    would then never name it: worse than chance. No class loses all its supports at once; where groups hold several
    classes and that cannot be had so, each group is a fold."""
    count = int(groups.max()) + 1
    first = np.array([labels[groups == group][0] for group in range(count)])
    order = generator(seed, "leave_out").permutation(count)
    fold_of = np.empty(count, dtype=np.int64)
    for label in np.unique(first):
        own = order[first[order] == label]
        fold_of[own] = np.arange(len(own)) % MOST_FOLDS
    folds = fold_of[groups]
    spread = all(np.unique(folds[labels == label]).size > 1 for label in np.unique(labels))
    return folds if spread else groups
