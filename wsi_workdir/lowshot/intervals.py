"""How far a mean over tasks can be trusted: on this data set (closed), and on new data from its source (open).

*Closed*: Student's t over tasks. It answers "what would more tasks from these same images give?" and shrinks with the
number of tasks, whatever the number of images.

*Open*: tasks reuse images, and images come from few slides, patients or originals. Drawing those *units* anew moves
every task that holds them. With y_t the score of task t, e_t = y_t - mean, c_tg the number of draws from unit g among
the supports of t, and q_tg the derivative of y_t by the weight of unit g among its queries, unit g moves the mean by

    D_g = (1/T) sum_t x_tg,     x_tg = c_tg * e_t + q_tg

and a cluster bootstrap over units has, to first order and in the limit of endlessly many draws, the variance
sum_g D_g^2 (the infinitesimal jackknife: no draws, no seed, no refit). Finite T adds noise to that sum; taking out the
products of a task with itself removes it:

    V_units = { sum_g [ D_g^2 - (1/T^2) sum_t x_tg^2 ] + noise } * G / (G - 1)
    noise   = (1/T^2) sqrt( 2 sum_g [ (sum_t x_tg^2)^2 - sum_t x_tg^4 ] )
    open half-width = t_{G-1} * sqrt(s^2 / T + max(V_units, 0))

`noise` is the standard error that the first sum has where units do not matter at all. It is added so that few tasks
give a wider interval rather than a lucky narrow one, and fades as 1/T. G is the smallest number of units
that any class is drawn from. Where tasks share no unit V_units is 0: the t interval
over disjoint tasks that Lafargue et al. (2024, "Oops, I sampled it again") ask for is a special case, and so is the
cluster bootstrap over slides where all shots of a task come from one slide.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from lowshot.statistics import t_interval

LEVEL = 0.95
OUT_OF_REACH, UNKNOWN = "out of reach", "cannot be told"  # instead of a number of tasks


@dataclass(frozen=True)
class Interval:
    """mean ± half, in the unit of the scores. half is None where it cannot be estimated; `note` then says why."""
    mean: float
    half: float | None
    n: int                # what it was taken over: tasks (closed) or units (open)
    note: str = ""

    @property
    def low(self):
        return None if self.half is None else self.mean - self.half

    @property
    def high(self):
        return None if self.half is None else self.mean + self.half

    def holds(self, value):
        return self.half is not None and self.low <= value <= self.high


@dataclass(frozen=True)
class Units:
    """Which unit (image, slide, patient, original) every draw of every task comes from; made by `build_units`.

    support: (T, n), query: (T, Q) unit numbers; equal numbers are the same unit, on both sides.
    """
    support: np.ndarray
    query: np.ndarray
    name: str       # what a unit is
    count: int      # smallest number of units that any class is drawn from
    one_draw: bool  # all supports of a task come from one unit, which was drawn once

    @cached_property
    def pattern(self):
        """(place of each draw among the distinct (task, unit) pairs, unit of each pair), draws as `moves` has them."""
        draws = np.concatenate([self.support[:, :1] if self.one_draw else self.support, self.query], axis=1)
        units = np.unique(draws, return_inverse=True)[1].reshape(draws.shape)
        total = int(units.max()) + 1
        pairs, places = np.unique(np.arange(len(draws))[:, None] * total + units, return_inverse=True)
        return places.ravel(), pairs % total

    def moves(self, scores, influence):
        """x_tg of the module's docstring, a value for each distinct (task, unit) pair; linear in both arguments.

        scores: (T,); influence: (T, Q) from `f1_influence`.
        """
        errors = np.broadcast_to((scores - scores.mean())[:, None], self.support.shape)
        values = np.concatenate([errors[:, :1] if self.one_draw else errors, influence], axis=1)
        return np.bincount(self.pattern[0], values.ravel())


def build_units(support, query, support_labels, query_labels, name="image"):
    """Units of a task set. support: (T, n), query: (T, Q) unit numbers; labels: (n,), (Q,) ints."""
    count = min(np.unique(units[:, labels == label]).size
                for units, labels in ((support, support_labels), (query, query_labels)) for label in np.unique(labels))
    one_draw = support.shape[1] > 1 and bool((support == support[:, :1]).all())
    return Units(support, query, name, int(count), one_draw)


def closed_interval(scores, level=LEVEL):
    """t interval of the mean over tasks. scores: (T,). One task has no half-width."""
    mean, half = t_interval(scores, level)
    if len(scores) < 2:
        return Interval(float(mean), None, len(scores), "one task has no spread")
    return Interval(float(mean), float(half), len(scores))


def _t(level, freedom):
    return stats.t.ppf(0.5 + level / 2, freedom)


def f1_influence(predictions, labels, slopes):
    """Derivative of each task's score by the weight of each of its queries, (T, Q) float64.

    predictions: (T, Q), labels: (Q,) ints in [0, C). slopes: (T, C), derivative of the score by each class's F1
    (1/C each for the macro F1). Weights count within a query's own class, whose total stays the same.

        F1_c = 2 TP_c / (P_c + N_c)  with P_c queries predicted and N_c queries truly c
    """
    classes = slopes.shape[1]
    tasks = np.arange(len(predictions))[:, None]
    predicted = np.bincount((tasks * classes + predictions).ravel(), minlength=slopes.size).reshape(slopes.shape)
    hits = predictions == labels
    true = np.bincount((tasks * classes + np.where(hits, labels, 0)).ravel(), hits.ravel(), slopes.size)
    size = predicted + np.bincount(labels, minlength=classes)  # P_c + N_c, (T, C)
    pull = np.divide(slopes, size, out=np.zeros(slopes.shape), where=size > 0)
    drag = pull * np.divide(2 * true.reshape(slopes.shape), size, out=np.zeros(slopes.shape), where=size > 0)
    slope = 2 * hits * pull[:, labels] - drag[:, labels] - np.take_along_axis(drag, predictions.astype(np.intp), 1)
    for label in np.unique(labels):
        own = labels == label
        slope[:, own] -= slope[:, own].mean(axis=1, keepdims=True)
    return slope


def unit_variance(moves, units):
    """The two parts of V_units of the module's docstring, (excess, noise): variance of the mean over tasks that comes
    from which units were drawn.

    moves: from `Units.moves`. excess may come out below 0 where units hardly matter.
    """
    owner = units.pattern[1]
    square = moves ** 2
    moved, squares, fourths = (np.bincount(owner, values) for values in (moves, square, square ** 2))
    excess = (moved ** 2 - squares).sum()
    noise = math.sqrt(max(2 * (squares ** 2 - fourths).sum(), 0.0))  # 0 where no unit is shared
    scale = units.count / (units.count - 1) / len(units.support) ** 2
    return float(excess) * scale, noise * scale


def open_interval(scores, moves, units, level=LEVEL):
    """Interval of the mean over tasks for new units from the same source; see the module's docstring.

    scores: (T,); moves: `units.moves(scores, influence)`. For a paired difference: differences of both.
    """
    scores = np.asarray(scores, dtype=np.float64)
    mean = float(scores.mean())
    if len(scores) < 2:
        return Interval(mean, None, units.count, "one task has no spread")
    if units.count < 2:
        return Interval(mean, None, units.count, f"a class is drawn from one {units.name} only")
    variance = scores.var(ddof=1) / len(scores) + max(sum(unit_variance(moves, units)), 0.0)
    return Interval(mean, float(_t(level, _freedom(units, len(scores))) * math.sqrt(variance)), units.count)


def _freedom(units, tasks):
    return min(units.count, tasks) - 1


def tasks_for(target, scores, moves=None, units=None, level=LEVEL):
    """Number of tasks whose half-width is `target` (unit of the scores), or OUT_OF_REACH or UNKNOWN.

    Without `units` the closed interval is meant, with them the open one: with n tasks instead of T

        half(n) = t * sqrt(s^2 / n + max(excess + noise * T / n, 0))

    with `unit_variance` in two parts: what units do stays however many tasks are drawn. Where that leaves the target
    unmet, it is out of reach if it does so even with `excess` at its lower confidence bound (at `level`), and unknown
    otherwise: more tasks are needed to tell.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if len(scores) < 2 or (units is not None and units.count < 2):
        return UNKNOWN
    spread = scores.var(ddof=1)
    excess, noise = (0.0, 0.0) if units is None else unit_variance(moves, units)

    def half(n):
        freedom = n - 1 if units is None else _freedom(units, n)
        return _t(level, freedom) * math.sqrt(spread / n + max(excess + noise * len(scores) / n, 0.0))

    endless = math.inf if units is None else units.count - 1
    if _t(level, endless) * math.sqrt(max(excess, 0.0)) >= target:
        surely = excess - stats.norm.ppf(level) * noise
        return OUT_OF_REACH if _t(level, endless) * math.sqrt(max(surely, 0.0)) >= target else UNKNOWN
    low, high = 2, 2
    while half(high) > target:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if half(middle) <= target else (middle + 1, high)
    return high
