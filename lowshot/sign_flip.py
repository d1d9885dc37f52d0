"""The sign-flip permutation test: were two methods equal, each task's difference could as well have the other sign.

Two-sided p of 'the differences d_t are symmetric about 0': the share of the 2^n sign patterns whose |sum| reaches the
observed one, n the number of differences that are not 0. Three ways, by what can be afforded:

- n <= EXACT_UP_TO: every pattern is tried;
- p < TAIL: the saddlepoint approximation of Lugannani and Rice (1980; for permutations Robinson 1982). With
  K(s) = sum_t log cosh(s d_t) and s such that K'(s) = x,

      P(sum >= x) = 1 - Phi(w) + phi(w) (1/u - 1/w),    w = sqrt(2 (s x - K(s))),    u = s sqrt(K''(s))

  x is the observed |sum| less the smallest |d_t|, so that steps of equal differences count as a whole. No number of
  draws sets a floor, so a correction for any number of comparisons can reject;
- otherwise p = (1 + hits) / (1 + DRAWS) over seeded draws, which keeps the test valid.
"""

from functools import lru_cache

import numpy as np
from scipy import optimize, stats

from fewshot_wsi.foundation import seeds

DRAWS = 10_000
EXACT_UP_TO = 16      # differences; 2^16 sign patterns are enumerated
TAIL = 1e-3
FEW_TASKS = 17        # up to so many, skewed differences reject too often: 13 % at a nominal 5 %
BLOCK = 1 << 21       # numbers of one block of sign patterns, so that it stays in cache
EXACT, SADDLEPOINT, SAMPLED = "exact", "saddlepoint", "sampled"


def sign_flip_p(differences: np.ndarray, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """p of each row and how it was found (EXACT, SADDLEPOINT or SAMPLED).

    differences: (k, T) floats. Returns ((k,) floats, list of k str).
    """
    differences = np.asarray(differences, dtype=np.float64)
    p, ways = np.empty(len(differences)), [SAMPLED] * len(differences)
    for row, values in enumerate(differences):
        values = np.abs(values[values != 0])
        if len(values) <= EXACT_UP_TO:
            p[row], ways[row] = _exact(differences[row], values), EXACT
        else:
            p[row] = saddlepoint_p(abs(differences[row].sum()), values)
            ways[row] = SADDLEPOINT if p[row] < TAIL else SAMPLED
    rest = [row for row, way in enumerate(ways) if way == SAMPLED]
    if rest:
        p[rest] = _drawn(differences[rest], seed)
    return p, ways


def smallest_p(differences: np.ndarray) -> float:
    """The smallest p that any differences of this many non-zero tasks can have: 2^(1 - n). differences: (T,)."""
    return max(2.0 ** (1 - max(int(np.count_nonzero(differences)), 1)), float(np.finfo(float).tiny))


def _reached(sums, observed, sizes):
    """Whether |sum| reaches the observed one; an equal one counts, whatever rounding does to either."""
    return np.abs(sums) >= np.abs(observed) - 1e-9 * sizes


def _exact(differences, values):
    if not len(values):
        return 1.0
    signs = 1.0 - 2 * ((np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1)
    return float(_reached(signs @ values, differences.sum(), values.sum()).mean())


def saddlepoint_p(observed: float, values: np.ndarray) -> float:
    """Two-sided p of the observed |sum| of `values` (n,) > 0 with random signs; see the module's docstring."""
    largest = values.sum()
    x = observed - values.min()
    if x <= 0:
        return 1.0
    if observed >= largest * (1 - 1e-9):
        return smallest_p(values)
    values, x = values / values.max(), x / values.max()
    top = 1.0
    while (values * np.tanh(top * values)).sum() < x:  # ends: the limit is the sum of values, which is above x
        top *= 2
    s = optimize.brentq(lambda s: (values * np.tanh(s * values)).sum() - x, 0.0, top, xtol=1e-13, rtol=1e-13)
    size = s * values
    w = np.sqrt(2 * (s * x - (size + np.log1p(np.exp(-2 * size)) - np.log(2)).sum()))
    u = s * np.sqrt((values ** 2 / np.cosh(np.minimum(size, 300)) ** 2).sum())
    if w < 1e-3:  # the two terms cancel; the body is left to the draws
        return 1.0
    tail = stats.norm.sf(w) + stats.norm.pdf(w) * (1 / u - 1 / w)
    return float(np.clip(2 * tail, smallest_p(values), 1))


def _drawn(differences, seed):
    observed, sizes = differences.sum(1), np.abs(differences).sum(1)
    hits = sum(_reached(signs @ differences.T, observed, sizes).sum(0) for signs in _flips(differences.shape[1], seed))
    return (1 + hits) / (1 + DRAWS)


def _flips(count, seed):
    """Seeded sign patterns in blocks: (rows, count) float64 of -1 and 1, DRAWS rows together."""
    rows = max(1, BLOCK // count)
    for packed in _packed_flips(count, seed, rows):
        yield 2 * np.unpackbits(packed, axis=1, count=count).astype(np.float64) - 1


@lru_cache(maxsize=2)
def _packed_flips(count, seed, rows):
    """The patterns, eight to a byte: every comparison of `count` tasks uses the same ones."""
    rng = seeds.generator(seed, "comparison/sign_flip", count)
    return [rng.integers(256, size=(min(rows, DRAWS - start), -(-count // 8)), dtype=np.uint8)
            for start in range(0, DRAWS, rows)]
