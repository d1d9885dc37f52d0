"""How the mean over tasks depends on the units (images, slides, patients, originals) that its tiles come from.

With y_t the score of task t, c_tg the number of its supports from unit g, and q_tg the derivative of y_t by the weight
of unit g among its queries, the derivative of the mean over tasks by the weight of unit g is

    D_g = (1/T) sum_t x_tg,     x_tg = (c_tg - mean_t c_tg) r_t + q_tg

where r_t is y_t - mean, less what the difficulty of the queries of task t explains of it. Supports and queries are
sampled independently, so leaving that out changes no expectation; it removes most of the noise where shots are many.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

GROUPED = "tasks sampled by the rule 'grouped' need --open bootstrap"
FEWEST_UNITS = 3  # a class from fewer units says nothing about others


@dataclass(frozen=True)
class Units:
    """Which unit every tile of every task comes from; made by `build_units`.

    support: (T, n), query: (T, Q) unit numbers from 0, equal on both sides where the unit is. images: (T, Q) numbers
    of the query images.
    """
    support: np.ndarray
    query: np.ndarray
    images: np.ndarray
    name: str           # what a unit is
    count: int          # smallest number of units that any class is sampled from
    shared: bool        # some unit is sampled on both sides
    one_draw: bool      # all supports of a task come from one unit, which was sampled once (homo mode)
    unknown: str = ""   # why the open interval cannot be computed from the scores of these tasks; '' where it can

    @cached_property
    def pairs(self) -> "Pairs":
        """`Pairs` of the distinct (unit, task)."""
        support = self.support[:, :1] if self.one_draw else self.support
        tasks, supports = len(support), support.shape[1]
        codes = np.concatenate([support, self.query], axis=1).astype(np.int64) * tasks + np.arange(tasks)[:, None]
        pairs, places = np.unique(codes, return_inverse=True)
        places = places.reshape(codes.shape)
        units, first = np.unique(pairs // tasks, return_index=True)
        count = np.bincount(places[:, :supports].ravel(), minlength=len(pairs)).astype(np.float64)
        mean = np.add.reduceat(count, first) / tasks
        sizes = np.diff(first, append=len(pairs))
        return Pairs(pairs % tasks, first, count, mean, count - np.repeat(mean, sizes), places[:, supports:].ravel())

    @cached_property
    def _repeats(self):
        return _Repeats(self.query), _Repeats(self.images)

    def influence(self, scores: np.ndarray, queries: np.ndarray) -> "Influence":
        """`Influence` of one figure. scores: (T,); queries: (T, Q), its derivatives by query weights (`f1_influence`).
        """
        unit, image = self._repeats
        known = unit.expected(queries)
        known = known + image.expected(queries - known)
        errors, known = scores - scores.mean(), known.sum(axis=1)
        known -= known.mean()
        size = known @ known
        share = np.clip(known @ errors / size, 0, 1) if size > 0 else 0.0
        return Influence(errors - share * known,
                         np.bincount(self.pairs.query, queries.ravel(), len(self.pairs.task)))


@dataclass(frozen=True)
class Pairs:
    """The P distinct (unit, task) of a task set, sorted by unit; G units."""
    task: np.ndarray    # (P,)
    first: np.ndarray   # (G,) first pair of each unit
    count: np.ndarray   # (P,) c_tg: supports of the task from the unit
    mean: np.ndarray    # (G,) mean of c_tg over all tasks
    excess: np.ndarray  # (P,) c_tg - mean
    query: np.ndarray   # (T*Q,) pair of each query


@dataclass(frozen=True)
class Influence:
    """r_t and q_tg of the module's docstring. The influence of a difference is the difference of influences."""
    residual: np.ndarray  # (T,)
    query: np.ndarray     # (P,), in the order of `Units.pairs`

    def __sub__(self, other: "Influence") -> "Influence":
        return Influence(self.residual - other.residual, self.query - other.query)

    def of_units(self, pairs: "Pairs") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(sum_t x_tg, sum_t x_tg^2, sum_t x_tg^4) of every unit, each (G,)."""
        def over_tasks(values):
            return np.add.reduceat(values, pairs.first)

        residual = self.residual[pairs.task]
        square, squares = residual ** 2, self.residual ** 2
        x2 = (pairs.excess * residual + self.query) ** 2
        mean2 = pairs.mean ** 2  # a task without the unit has x = -mean * r
        second = over_tasks(x2) + mean2 * np.maximum(squares.sum() - over_tasks(square), 0)
        fourth = over_tasks(x2 ** 2) + mean2 ** 2 * np.maximum((squares ** 2).sum() - over_tasks(square ** 2), 0)
        return over_tasks(pairs.count * residual + self.query), second, fourth


class _Repeats:
    """What the other tasks say about each query of a task, where the same image or unit is asked about in several."""

    def __init__(self, ids):
        tasks = np.arange(len(ids))[:, None]
        ids = np.unique(ids, return_inverse=True)[1].reshape(ids.shape)
        self.ids = ids
        self.own = np.unique(tasks * (ids.max() + 1) + ids, return_inverse=True)[1].ravel()  # (task, id) of each query
        self.others = (np.bincount(ids.ravel())[ids] - np.bincount(self.own)[self.own].reshape(ids.shape))

    def expected(self, values):
        """(T, Q): mean of `values` (T, Q) over the same id in other tasks, shrunk towards 0 as an id's effect and the
        rest of the variance ask for (empirical Bayes, variances by the method of moments)."""
        flat = values.ravel()
        own = np.bincount(self.own, flat)[self.own].reshape(values.shape)
        rest = np.bincount(self.ids.ravel(), flat)[self.ids] - own
        known = self.others > 0
        mean = np.divide(rest, self.others, out=np.zeros(values.shape), where=known)
        between = (values * mean).sum() / max(known.sum(), 1)
        if between <= 0:
            return np.zeros(values.shape)
        return rest / (self.others + max((values ** 2).mean() / between - 1, 0))


def build_units(support: np.ndarray, query: np.ndarray, support_labels: np.ndarray, query_labels: np.ndarray,
                name: str = "image", images: np.ndarray | None = None, unknown: str = "") -> "Units":
    """Units of a task set.

    support: (T, n), query: (T, Q) unit numbers >= 0; labels: (n,), (Q,) ints; images: (T, Q) numbers of the query
    images, the units themselves where they are left out; unknown: as in `Units`.
    """
    count = min(np.unique(units[:, labels == label]).size
                for units, labels in ((support, support_labels), (query, query_labels)) for label in np.unique(labels))
    one_draw = support.shape[1] > 1 and bool((support == support[:, :1]).all())
    shared = np.intersect1d(support, query).size > 0
    return Units(support, query, query if images is None else images, name, int(count), shared, one_draw,
                 too_few(count, name) or unknown)


def too_few(count: int, name: str) -> str:
    """Why `count` units, each called `name`, give no open interval; '' where they are enough."""
    if count >= FEWEST_UNITS:
        return ""
    return f"a class is sampled from {('no', 'one', 'two')[count]} {name}{'s' * (count != 1)} only"


def macro_influence(predictions: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """`f1_influence` of the macro F1 over C classes: (T, Q)."""
    return f1_influence(predictions, labels, np.full((len(predictions), classes), 1 / classes))


def f1_influence(predictions: np.ndarray, labels: np.ndarray, slopes: np.ndarray) -> np.ndarray:
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
    by_size = np.divide(slopes, size, out=np.zeros(slopes.shape), where=size > 0)
    loss = by_size * np.divide(2 * true.reshape(slopes.shape), size, out=np.zeros(slopes.shape), where=size > 0)
    slope = 2 * hits * by_size[:, labels] - loss[:, labels] - np.take_along_axis(loss, predictions.astype(np.intp), 1)
    for label in np.unique(labels):
        own = labels == label
        slope[:, own] -= slope[:, own].mean(axis=1, keepdims=True)
    return slope
