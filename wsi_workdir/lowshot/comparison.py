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
EXACT_UP_TO = 16      # tasks; 2^16 sign patterns are enumerated
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


def compare_scores(a, b, seed=0, units=None, moves=None):
    """Comparison of two methods' scores on the same tasks. a, b: (T,) floats.

    units: `intervals.Units` of the tasks, moves: A's `units.moves` minus B's; both or neither.
    """
    return compare_many([(a, b)], seed, units, None if units is None else [moves])[0]


def compare_many(pairs, seed=0, units=None, moves=None):
    """Comparisons of many pairs of scores on the same tasks, all against the same sign patterns.

    pairs: sequence of (a, b), each (T,) floats; moves: one per pair where `units` are given. Returns list.
    """
    if not len(pairs):
        return []
    differences = np.array([np.subtract(a, b, dtype=np.float64) for a, b in pairs])
    p_values, exact = sign_flip_p(differences, seed)
    opened = [None] * len(pairs) if units is None else \
        [open_interval(d, m, units) for d, m in zip(differences, moves, strict=True)]
    return [Comparison(closed_interval(d), o, float((d > 0).mean()), float((d == 0).mean()), float(p), exact)
            for d, o, p in zip(differences, opened, p_values, strict=True)]


def compare_results(a, b, units=None, seed=0):
    """Comparison of two `results.Result`; UserError where they were not scored on the same tasks."""
    check_same_tasks(a, b)
    scores = a.f1.mean(1), b.f1.mean(1)
    if units is None:
        return compare_scores(*scores, seed)
    moves = [units.moves(score, macro_influence(result)) for score, result in zip(scores, (a, b), strict=True)]
    return compare_scores(*scores, seed, units, moves[0] - moves[1])


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


def sign_flip_p(differences, seed=0, draws=DRAWS):
    """Two-sided p of 'the differences are symmetric about 0', for each row, and whether it is exact.

    p = share of sign patterns whose |sum| reaches the observed one. With at most EXACT_UP_TO tasks every pattern is
    tried; otherwise p = (1 + hits) / (1 + draws) over seeded draws, which keeps the test valid.
    differences: (k, T) floats, or (T,) for one p. Returns ((k,) floats or one float, bool).
    """
    differences = np.asarray(differences, dtype=np.float64)
    tasks = differences.shape[-1]
    exact = tasks <= EXACT_UP_TO
    # a sum equal to the observed one counts, whatever rounding does to either
    observed = np.abs(differences.sum(-1)) - 1e-9 * np.abs(differences).sum(-1)
    patterns = _every_flip(tasks) if exact else _flips(tasks, seed, draws)
    hits = sum((np.abs(signs @ differences.T) >= observed).sum(0) for signs in patterns)
    p = hits / 2 ** tasks if exact else (1 + hits) / (1 + draws)
    return p, exact


def _every_flip(count):
    yield 1.0 - 2 * ((np.arange(2 ** count)[:, None] >> np.arange(count)) & 1)


def _flips(count, seed, draws):
    """Seeded sign patterns in blocks: (rows, count) float64 of -1 and 1, `draws` rows together."""
    rows = max(1, BLOCK // count)
    for packed in _packed_flips(count, seed, draws, rows):
        yield 2 * np.unpackbits(packed, axis=1, count=count).astype(np.float64) - 1


@lru_cache(maxsize=2)
def _packed_flips(count, seed, draws, rows):
    """The patterns, eight to a byte: every comparison of `count` tasks uses the same ones."""
    rng = seeds.generator(seed, "comparison/sign_flip", count)
    return [rng.integers(256, size=(min(rows, draws - start), -(-count // 8)), dtype=np.uint8)
            for start in range(0, draws, rows)]


def holm(p_values):
    """p values adjusted for their number (Holm, through statsmodels): (n,) floats; empty stays empty."""
    return multipletests(p_values, method="holm")[1] if len(p_values) else np.empty(0)
