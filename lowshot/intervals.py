"""How far a mean over tasks can be trusted: on this data set (closed), and on new data from its source (open).

*Closed*: Student's t over tasks. It answers "what would more tasks from these same images give?" and shrinks with the
number of tasks, whatever the number of images.

*Open*: tasks reuse images, and images come from few slides, patients or originals. It answers "what would another data
set with as many *units* (slides, …), sampled anew from the same source, give?", in one of two ways.

The *formula* is the infinitesimal jackknife: a cluster bootstrap over units has, to first order and in the limit of
endlessly many draws, the variance sum_g D_g^2, D_g = (1/T) sum_t x_tg as `lowshot.influence` defines it. Finite T adds
noise to that sum; taking out the products of a task with itself removes it on average:

    excess = a sum_g [ D_g^2 - (1/T^2) sum_t x_tg^2 ]                    G: smallest number of units of a class
    noise  = a (1/T^2) sqrt( 2 sum_g [ (sum_t x_tg^2)^2 - sum_t x_tg^4 ] )
    open half-width = t_{G-1} * sqrt( s^2 / T + sum_sides max(excess + k * noise, 0) )

`noise` is the standard error of `excess` where units do not matter at all. It is added so that few tasks give a wider
interval rather than a lucky narrow one, and fades as 1/T. Where no unit is sampled on both sides, supports and
queries have their own excess and noise, k = 1/2, and a = G/(G-1) corrects for the mean, as in any sample variance.
Where units are shared, there is one sum, k = 1, and a = (G/(G-1))^3: the effects of a unit as support and as query
then multiply, which a first-order form does not see (the bootstrap sees more of it, there a = (G/(G-1))^2).
`benchmarks/coverage.py` measures that intervals hold the truth with these k and a. The t interval over disjoint tasks
that Lafargue et al. (2024, "Oops, I sampled it again") ask for is a special case.

The *bootstrap* (`lowshot.resampling`) draws units and then tasks anew, fits and scores them. With m_b the mean of
resample b, open half-width = t_{G-1} * sqrt(a var_b(m_b)). It holds for any way of drawing tasks.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from lowshot.influence import FEWEST_UNITS, too_few

if TYPE_CHECKING:
    from lowshot.influence import Influence, Units
    from lowshot.resampling import Bootstrap

LEVEL = 0.95
OUT_OF_REACH, UNKNOWN = "out of reach", "cannot be told"  # instead of a number of tasks
FORMULA, BOOTSTRAP = "formula", "bootstrap"
FEW_TASKS = "wide for want of tasks: more of them or --open bootstrap would narrow it"


@dataclass(frozen=True)
class Interval:
    """mean ± half, in the unit of the scores. half is None where it cannot be estimated; `note` then says why. With a
    half-width it says what would narrow it, where that is known."""
    mean: float
    half: float | None
    n: int                       # what it is computed over: tasks (closed) or units (open)
    note: str = ""
    p: float | None = None       # two-sided, of 'the mean is 0', by the same t distribution
    way: str = ""                # open: FORMULA or BOOTSTRAP

    @property
    def low(self) -> float | None:
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        return None if self.half is None else self.mean + self.half

    def __str__(self):
        return f"no interval ({self.note})" if self.half is None else f"± {100 * self.half:.1f}"

    def holds(self, value: float) -> bool:
        return self.half is not None and self.mean - self.half <= value <= self.mean + self.half


def _t(level, freedom):
    return stats.t.ppf(0.5 + level / 2, freedom)


def _interval(mean, variance, freedom, n, level, way=""):
    error = math.sqrt(variance)
    p = 2 * stats.t.sf(abs(mean) / error, freedom) if error > 0 else float(mean == 0)
    return Interval(float(mean), float(_t(level, freedom) * error), n, p=float(p), way=way)


def closed_interval(scores: np.ndarray, level: float = LEVEL) -> "Interval":
    """t interval of the mean over tasks. scores: (T,). One task has no half-width."""
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) < 2:
        return Interval(float(scores.mean()), None, len(scores), "one task has no spread")
    return _interval(scores.mean(), scores.var(ddof=1) / len(scores), len(scores) - 1, len(scores), level)


def _correction(count, power):
    """a of the module's docstring, for G = count."""
    return (count / (count - 1)) ** power


def unit_variance(influence: "Influence", units: "Units") -> list[tuple[float, float]]:
    """[(excess, noise), …] of the module's docstring: the variance of the mean over tasks that comes from which units
    were sampled, for supports and queries apart, or for both together where they share units.

    excess may come out below 0 where units hardly matter.
    """
    pairs, tasks = units.pairs, len(units.support)
    total, second, fourth = influence.of_units(pairs)
    sides = [slice(None)] if units.shared else [pairs.mean > 0, pairs.mean == 0]
    scale = _correction(units.count, 3 if units.shared else 1) / tasks ** 2
    return [(float((total[side] ** 2 - second[side]).sum()) * scale,
             math.sqrt(max(2 * (second[side] ** 2 - fourth[side]).sum(), 0.0)) * scale) for side in sides]


def _units_share(sides, noise=1.0):
    """sum_sides max(excess + k * noise, 0); noise: factor on the noise."""
    return sum(max(excess + noise * own / len(sides), 0.0) for excess, own in sides)


def _freedom(units, tasks):
    return min(units.count, tasks) - 1


def half_width(variance: float, freedom: int, level: float = LEVEL) -> float:
    """Half-width of a t interval of that variance of the mean and so many degrees of freedom."""
    return float(_t(level, freedom) * math.sqrt(variance))


def open_variance(scores: np.ndarray, sides: list[tuple[float, float]]) -> float:
    """Variance behind the open interval by the formula: s^2 / T + sum_sides max(excess + k * noise, 0).

    scores: (T,); sides: `unit_variance`."""
    return float(scores.var(ddof=1)) / len(scores) + _units_share(sides)


def open_interval(scores: np.ndarray, influence: "Influence", units: "Units", level: float = LEVEL) -> "Interval":
    """Open interval by the formula; see the module's docstring.

    scores: (T,); influence: `units.influence(scores, …)`. For a paired difference: differences of both.
    """
    scores = np.asarray(scores, dtype=np.float64)
    why = "one task has no spread" if len(scores) < 2 else units.unknown
    if why:
        return Interval(float(scores.mean()), None, units.count, why)
    sides = unit_variance(influence, units)
    known = scores.var(ddof=1) / len(scores) + _units_share(sides, noise=0)
    variance = open_variance(scores, sides)
    found = _interval(scores.mean(), variance, _freedom(units, len(scores)), units.count, level, FORMULA)
    return replace(found, note=FEW_TASKS) if known < variance / 2 else found


def bootstrap_variance(resampled: np.ndarray, units: int, shared: bool) -> float:
    """a var_b(m_b) of the module's docstring. resampled: (B,); units: G; shared: units are on both sides."""
    return float(np.var(resampled, ddof=1)) * _correction(units, 2 if shared else 1)


def bootstrap_interval(mean: float, bootstrap: "Bootstrap", group: str | None = None,
                       level: float = LEVEL) -> "Interval":
    """Open interval by the bootstrap. mean: of the tasks themselves; bootstrap: `resampling.Bootstrap`; group: name of
    one of its class groups instead of the macro F1. For a paired difference: differences of both."""
    few = too_few(bootstrap.units, bootstrap.unit)
    if few:
        return Interval(float(mean), None, bootstrap.units, few)
    resampled = bootstrap.macro if group is None else bootstrap.groups[group]
    variance = bootstrap_variance(resampled, bootstrap.units, bootstrap.shared)
    return _interval(mean, variance, bootstrap.units - 1, bootstrap.units, level, BOOTSTRAP)


def tasks_for(target: float, scores: np.ndarray, influence: "Influence | None" = None, units: "Units | None" = None,
              level: float = LEVEL) -> Any:
    """Number of tasks whose half-width is `target` (unit of the scores), or OUT_OF_REACH or UNKNOWN.

    Without `units` the closed interval is meant, with them the open one by the formula: with n tasks instead of T

        half(n) = t * sqrt(s^2 / n + sum_sides max(excess + k * noise * T / n, 0))

    with `unit_variance` in two parts: what units do stays however many tasks are sampled. Where that leaves the target
    unmet, it is out of reach if it does so even with every `excess` at its lower confidence bound (at `level`), and
    unknown otherwise: more tasks are needed to know.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) < 2 or (units is not None and units.unknown):
        return UNKNOWN
    sides = [] if units is None or influence is None else unit_variance(influence, units)
    below = stats.norm.ppf(level)
    lower = sum(max(excess - below * noise, 0.0) for excess, noise in sides)
    return _search(target, scores.var(ddof=1), lambda n: _units_share(sides, len(scores) / n) if sides else 0.0, lower,
                   math.inf if units is None else units.count, level)


def bootstrap_tasks_for(target: float, scores: np.ndarray, bootstrap: "Bootstrap", level: float = LEVEL) -> Any:
    """As `tasks_for`, for an open interval by the bootstrap: its variance less s^2 / T is what units do.

    A bootstrap variance of B resamples has a chi-squared distribution of B - 1 degrees of freedom, which gives its
    lower confidence bound.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) < 2 or bootstrap.units < FEWEST_UNITS:
        return UNKNOWN
    spread, freedom = scores.var(ddof=1), len(bootstrap.macro) - 1
    variance = bootstrap_variance(bootstrap.macro, bootstrap.units, bootstrap.shared)
    units, lower = (max(one - spread / len(scores), 0.0)
                    for one in (variance, variance * freedom / stats.chi2.ppf(level, freedom)))
    return _search(target, spread, lambda n: units, lower, bootstrap.units, level)


def _search(target, spread, units, lower, count, level):
    """Smallest n with t * sqrt(spread / n + units(n)) <= target; n < count lowers the degrees of freedom."""
    def half(n):
        return _t(level, min(n, count) - 1) * math.sqrt(spread / n + units(n))

    endless = _t(level, count - 1)
    if endless * math.sqrt(units(math.inf)) >= target:
        return OUT_OF_REACH if endless * math.sqrt(lower) >= target else UNKNOWN
    low, high = 2, 2
    while half(high) > target:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if half(middle) <= target else (middle + 1, high)
    return high


def score_interval(mean: float, variance: float, units: int, level: float = LEVEL) -> tuple[float, float]:
    """(low, high) of a share `mean` in [0, 1] that was measured once, on `units` independent units.

    Wilson's score interval at the effective sample size of Korn and Graubard (1998), with Student's t of units − 1:

        n = min(mean (1 − mean) / variance, units),   low, high = roots p of (mean − p)^2 = t^2 p (1 − p) / n

    So a share of 1 from few units has an interval too, where its estimated variance, 0, would give none.
    variance: of the mean, estimated over the units. Fewer than two units: (0, 1).
    """
    if units < 2:
        return 0.0, 1.0
    inside = mean * (1 - mean)
    n = min(inside / variance, units) if variance > 0 and inside > 0 else units
    square = _t(level, units - 1) ** 2 / n
    centre = (mean + square / 2) / (1 + square)
    half = math.sqrt(square * inside + square ** 2 / 4) / (1 + square)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
