"""Is one method better than another? Paired, task by task, on the same tasks.

The p value comes from a sign-flip permutation test: were the two methods equal, each task's difference could as well
have had the other sign. It speaks of further tasks from the same images (closed); `Comparison.open` says what is left
of the difference for new images, slides or patients.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from statsmodels.stats.multitest import multipletests

from lowshot import seeds
from lowshot.errors import UserError
from lowshot.intervals import Interval, closed_interval, f1_influence, open_interval

DRAWS = 10_000
EXACT_UP_TO = 16      # differing tasks; 2^16 sign patterns are enumerated
BLOCK = 1 << 21       # numbers of one block of sign patterns, so that it stays in cache
ALPHA = 0.05


@dataclass(frozen=True)
class Comparison:
    """A minus B on the macro F1 of the same tasks, in fractions."""
    closed: Interval        # mean difference, t over tasks
    open: Interval | None   # for new units of the same source; None where no units were given
    won: float              # share of tasks where A is better
    tied: float             # share of tasks with equal scores
    p: float                # sign-flip permutation, two-sided
    exact: bool             # every sign pattern was tried, or DRAWS seeded ones


def compare_scores(a, b, seed=0, units=None, influence=None):
    """Comparison of two methods' scores on the same tasks. a, b: (T,) floats.

    units: `intervals.Units` of the tasks, influence: (T, Q), A's `f1_influence` minus B's; both or neither.
    """
    difference = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    p, exact = sign_flip_p(difference, seed)
    return Comparison(closed_interval(difference),
                      None if units is None else open_interval(difference, influence, units),
                      float((difference > 0).mean()), float((difference == 0).mean()), p, exact)


def compare_results(a, b, units=None, seed=0):
    """Comparison of two `results.Result`; UserError where they were not scored on the same tasks."""
    check_same_tasks(a, b)
    influence = macro_influence(a) - macro_influence(b) if units is not None else None
    return compare_scores(a.f1.mean(1), b.f1.mean(1), seed, units, influence)


def macro_influence(result):
    """(T, Q): derivative of each task's macro F1 by the weight of its queries."""
    return f1_influence(result.predictions, result.query_labels, np.full(result.f1.shape, 1 / result.f1.shape[1]))


def check_same_tasks(a, b):
    """UserError unless both results hold the same tasks, by the content hash of the task file."""
    if a.hashes["tasks"] != b.hashes["tasks"] or a.f1.shape != b.f1.shape:
        raise UserError(f"{a.path} and {b.path} were scored on different tasks ({_tasks(a)} and {_tasks(b)}); "
                        "a paired comparison needs the same task file for both")


def _tasks(result):
    return f"{result.config['task']}, {len(result.f1)} tasks, hash {result.hashes['tasks'][:12]}"


def sign_flip_p(difference, seed=0, draws=DRAWS):
    """Two-sided p of 'the differences are symmetric about 0', and whether it is exact.

    p = share of sign patterns whose |sum| reaches the observed one. With at most EXACT_UP_TO non-zero differences
    every pattern is tried; otherwise p = (1 + hits) / (1 + draws) over seeded draws, which keeps the test valid.
    difference: (T,) floats.
    """
    size = np.abs(difference[difference != 0])
    if not size.size:
        return 1.0, True
    observed = abs(difference.sum()) * (1 - 1e-9)  # a tie must count as one whatever the order of summing
    if size.size <= EXACT_UP_TO:
        patterns = 1 - 2 * ((np.arange(2 ** size.size)[:, None] >> np.arange(size.size)) & 1)
        return float((np.abs(patterns @ size) >= observed).mean()), True
    hits = sum(int((np.abs(signs @ size) >= observed).sum()) for signs in _flips(size.size, seed, draws))
    return (1 + hits) / (1 + draws), False


def _flips(count, seed, draws):
    """Seeded sign patterns in blocks: (rows, count) float32 of -1 and 1, `draws` rows together."""
    rows = max(1, BLOCK // count)
    for packed in _packed_flips(count, seed, draws, rows):
        yield 2 * np.unpackbits(packed, axis=1, count=count).astype(np.float32) - 1


@lru_cache(maxsize=2)
def _packed_flips(count, seed, draws, rows):
    """The patterns, eight to a byte: every comparison of `count` tasks uses the same ones."""
    rng = seeds.generator(seed, "comparison/sign_flip", count)
    return [rng.integers(256, size=(min(rows, draws - start), -(-count // 8)), dtype=np.uint8)
            for start in range(0, draws, rows)]


def holm(p_values):
    """p values adjusted for their number (Holm, through statsmodels): (n,) floats; empty stays empty."""
    return multipletests(p_values, method="holm")[1] if len(p_values) else np.empty(0)
