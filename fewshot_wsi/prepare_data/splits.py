"""Which images are held out: seeded, the same on every machine. Each split is (N,) bool, True = held out."""

import numpy as np

from fewshot_wsi.foundation import seeds
from fewshot_wsi.foundation.errors import UserError

PURPOSE = "prepare_data/split"
CLOSE = 0.005  # grouped: each class this near to the share is near enough to stop looking


def random_split(count, share, seed):
    """round(share · count) of `count` images, regardless of class (so NCT was split)."""
    return _first_of(np.arange(count), count, share, seeds.generator(seed, PURPOSE, "random"), "the data set")


def stratified_split(labels, share, seed, names=None):
    """The same share of each class. labels: (N,) int. UserError for a class that cannot be on both sides."""
    labels = np.asarray(labels)
    held = np.zeros(labels.size, dtype=bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rng = seeds.generator(seed, PURPOSE, "stratified", int(label))
        held |= _first_of(rows, labels.size, share, rng, f"class {_name(label, names)}")
    return held


def grouped_split(labels, groups, share, seed, names=None):
    """Whole groups on one side, the share of each class as near to `share` as groups allow.

    labels, groups: (N,) int. Minimises Σ_c (held_c / n_c − share)², starting from a seeded order of the groups, by
    moving single groups and then pairs across as long as that helps; a class absent from one side costs more than any
    deviation. UserError for a class whose images are all in one group.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    _check_share(share)
    _, column = np.unique(labels, return_inverse=True)
    _, row = np.unique(groups, return_inverse=True)
    counts = np.zeros((row.max() + 1, column.max() + 1))  # (groups, classes)
    np.add.at(counts, (row, column), 1)
    for label, spread in zip(np.unique(labels), (counts > 0).sum(axis=0), strict=True):
        if spread < 2:
            raise UserError(f"class {_name(label, names)}: all its images are in one group, which can only be on one "
                            "side of the split; give finer groups, or a split of your own")
    order = seeds.generator(seed, PURPOSE, "grouped").permutation(len(counts))
    held = _balance(counts[order] / counts.sum(axis=0), share)
    chosen = np.zeros(len(counts), dtype=bool)
    chosen[order] = held
    return chosen[row]


def _balance(shares, target):
    """shares: (G, C), columns sum to 1. (G,) bool whose column sums are near `target`."""
    held, total = np.zeros(len(shares), dtype=bool), np.zeros(shares.shape[1])
    for group in np.argsort(-shares.max(axis=1), kind="stable"):  # large groups first, while there is room to choose
        if _cost(total + shares[group], target) < _cost(total, target):
            held[group], total = True, total + shares[group]
    while np.abs(total - target).max() > CLOSE:
        flips = _best_move(shares, held, total, target)
        if not flips:
            break
        held[flips] = ~held[flips]
        total = shares[held].sum(axis=0)
    return held


def _best_move(shares, held, total, target):
    """The one group, or the pair across, whose change of side lowers the cost most; [] where none does."""
    changes = np.where(held[:, None], -shares, shares)  # (G, C): what flipping each group adds
    least = _cost(total, target) - 1e-12
    costs = _cost(total + changes, target)
    if costs.min() < least:
        return [int(costs.argmin())]
    others = np.flatnonzero(~held)
    best = []
    for group in np.flatnonzero(held):
        costs = _cost(total + changes[group] + changes[others], target)
        if costs.size and costs.min() < least:
            least, best = costs.min(), [int(group), int(others[costs.argmin()])]
    return best


def _cost(total, target):
    """Sum of squared deviations (last axis), plus a large amount for each class that lacks a side."""
    one_sided = (total < 1e-9) | (total > 1 - 1e-9)
    return np.square(total - target).sum(axis=-1) + 10.0 * one_sided.sum(axis=-1)


def _first_of(rows, count, share, rng, what):
    _check_share(share)
    number = round(share * rows.size)
    if not 0 < number < rows.size:
        raise UserError(f"{what}: {share:g} of {rows.size} images leaves one side of the split empty; "
                        "give more images or another share")
    held = np.zeros(count, dtype=bool)
    held[rng.permutation(rows)[:number]] = True
    return held


def _check_share(share):
    if not 0 < share < 1:
        raise UserError(f"the held-out share is between 0 and 1, got {share:g}")


def _name(label, names):
    return repr(names[label]) if names is not None else str(label)
