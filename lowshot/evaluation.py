"""Score a classifier on a set of tasks, all at once (`evaluate`) or in the chunks that the commands keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import Parallel, delayed

from fewshot_wsi.foundation.errors import InputError
from lowshot.comparison import compare_scores
from lowshot.estimators import LatentAugmentation
from lowshot.influence import macro_influence
from lowshot.intervals import Interval, closed_interval, open_interval
from lowshot.prediction import predict
from lowshot.statistics import f1_scores
from lowshot.tasks import TaskSet, check_rows, class_labels, class_numbers

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from lowshot.comparison import Comparison
    from lowshot.estimators import BaseDictionary
    from lowshot.influence import Influence

CHUNK_TASKS = 50            # tasks a chunk, at most
CHUNK_BYTES = 64 * 2 ** 20  # support features a chunk, at most (one task at least)
SMALLEST, LARGEST = 1e-30, 1e30  # of the largest feature: within, float32 keeps what float64 says


@dataclass(frozen=True, eq=False)
class Scores:
    """F1 of one classifier on a set of tasks, in fractions; made by `evaluate`."""
    f1: np.ndarray           # (T, ways) float64, F1 of each class in each task
    predictions: np.ndarray  # (T, ways*queries) int64 class numbers
    tasks: TaskSet

    @property
    def macro(self) -> np.ndarray:
        """(T,) macro F1 of each task."""
        return self.f1.mean(axis=1)

    @property
    def mean(self) -> float:
        """Macro F1, the mean over tasks."""
        return float(self.macro.mean())

    @property
    def closed(self) -> Interval:
        """Interval for further tasks from these rows."""
        return closed_interval(self.macro)

    @cached_property
    def influence(self) -> "Influence":
        """`Influence` of the macro F1 on `tasks.units`."""
        if self.tasks.units is None:
            raise InputError("these tasks have no groups: give them by TaskSet.with_groups")
        queries = macro_influence(self.predictions, self.tasks.query_labels, self.tasks.ways)
        return self.tasks.units.influence(self.macro, queries)

    @cached_property
    def open(self) -> Interval:
        """Interval for new groups (slides, patients) of the same source; for new rows where no groups were given."""
        if self.tasks.units is None:
            return Interval(self.mean, None, 0, "no groups are known: sample the tasks by sample_tasks")
        return open_interval(self.macro, self.influence, self.tasks.units)

    def __repr__(self):
        return f"<Scores: {self}>"

    def __str__(self):
        name = self.tasks.groups[0] if self.tasks.groups else "group"
        count = self.tasks.num_tasks
        return (f"F1 {100 * self.mean:.1f} %, {self.closed} for further tasks from these rows ({count} "
                f"task{'s' * (count > 1)}), {self.open} for new {name}s")


def evaluate(classifier: "BaseEstimator | str", x: np.ndarray, y: np.ndarray, tasks: TaskSet, *,
             query_x: np.ndarray | None = None, query_y: np.ndarray | None = None, views: Sequence[np.ndarray] = (),
             base: "BaseDictionary | None" = None, solver: str = "batched", device: str = "cpu",
             n_jobs: int | None = None) -> "Scores":
    """Fit `classifier` to the supports of every task, score it on the queries, return Scores.

    classifier: an unfitted scikit-learn classifier, LatentAugmentation around one, or a name of `lowshot.classifiers`.
    Where a batched form of it is known (type and parameters are equal) that is used; else it is fitted once a task.
    x: (N, D) features, worked on as float32; y: (N,) their labels, as `sample_tasks` got them; query_x, query_y: of the
    query rows, where these are others. views: sequence of (N, D), features of augmented views of each row of x, which
    join the supports. base: fitted BaseDictionary, for classifiers that look at the base features.
    solver: 'batched', or 'sklearn' for one fit a task in any case. device: 'cpu', 'cuda' or 'auto'. n_jobs: processes,
    as in joblib; the scores do not depend on it.
    ValueError: rows, labels and tasks that do not belong together.
    """
    x = _features(x, "x")
    asked = x if query_x is None else _features(query_x, "query_x")
    if (query_x is None) != (query_y is None):
        raise InputError("query_x and query_y belong together: give both or none")
    if tasks.one_set is not None and tasks.one_set != (query_x is None):
        raise InputError("the queries of these tasks are rows of " + (
            "the supports' set: leave query_x and query_y out" if tasks.one_set
            else "another set than the supports: give query_x and query_y"))
    for side, rows, features, labels, name in (
            (tasks.support, tasks.support_labels, x, y, "y"),
            (tasks.query, tasks.query_labels, asked, y if query_y is None else query_y, "query_y")):
        numbers = class_numbers(labels, tasks, name)
        if len(numbers) != len(features):
            raise InputError(f"{len(features)} rows of features, but {len(numbers)} labels in {name}")
        check_rows(side, numbers, rows, name)
    if not tasks.num_tasks:
        raise InputError("there is no task to evaluate")
    views = _views(views, x)
    supports = tasks.support.shape[1] * (1 + len(views))
    if isinstance(classifier, LatentAugmentation):
        classifier = classifier.with_seed()
    chunks = (delayed(predict_tasks)(classifier, x, tasks, asked, start, stop, views=views, base=base, solver=solver,
                                     device=device, classes=class_labels(y, tasks))
              for start, stop in chunk_bounds(tasks.num_tasks, supports, x.shape[1]))
    predictions = np.concatenate(Parallel(n_jobs)(chunks))
    return Scores(f1_scores(tasks.query_labels, predictions, tasks.ways), predictions, tasks)


def predict_tasks(classifier: Any, x: np.ndarray, tasks: TaskSet, query_x: np.ndarray, start: int = 0,
                  stop: int | None = None, *, views: Sequence = (), augmentation: Any = None, base: Any = None,
                  solver: str = "batched", device: str = "cpu", classes: np.ndarray | None = None) -> np.ndarray:
    """Predicted class numbers (t, ways·queries) int64 of the tasks start … stop − 1 of a TaskSet.

    Arguments as of `evaluate`, unchecked; augmentation, base: as of `predict`. Task t draws its augmentation from the
    stream (tasks.seed, 'latent_aug', tasks.setting, t), alone or among others.
    """
    rows = tasks.support[start:stop]
    support, labels = np.asarray(x[rows], dtype=np.float32), tasks.support_labels
    if len(views):
        support, labels = with_views(support, rows, views), np.repeat(labels, 1 + len(views))
    if isinstance(classifier, LatentAugmentation):
        base = classifier.dictionary if base is None else base
        classifier, augmentation = classifier.classifier, classifier.shifts(tasks.seed)
    query = np.asarray(query_x[tasks.query[start:stop]], dtype=np.float32)
    return predict(classifier, support, labels, query, solver=solver, device=device,
                   augmentation=augmentation, base=base, classes=classes, setting=tasks.setting,
                   task_numbers=np.arange(start, start + len(rows)))


def with_views(support: np.ndarray, rows: np.ndarray, views: Sequence) -> np.ndarray:
    """Supports and their augmented views: (t, n · (1 + views), D) float32; each tile is followed by its views.

    support: (t, n, D). rows: (t, n), rows of the supports. views: each gives features (m, D) by `view[rows]`, rows
    (m,).
    """
    t, n, dim = support.shape
    unique, where = np.unique(rows, return_inverse=True)
    together = np.empty((t, n, 1 + len(views), dim), dtype=np.float32)
    together[:, :, 0] = support
    for number, view in enumerate(views, start=1):
        together[:, :, number] = view[unique][where.reshape(t, n)]
    return together.reshape(t, -1, dim)


def chunk_bounds(num_tasks: int, supports: int, dim: int) -> list[tuple[int, int]]:
    """[(start, stop), …] of the chunks; they depend on the tasks alone, never on the processes.

    supports: support features a task, views counted. dim: their width.
    """
    size = max(1, min(CHUNK_TASKS, CHUNK_BYTES // (supports * dim * 4)))
    return [(start, min(start + size, num_tasks)) for start in range(0, num_tasks, size)]


def _features(x, name):
    x = np.asarray(x)
    if x.ndim != 2 or x.dtype.kind not in "fiu" or not x.shape[1]:
        raise InputError(f"{name} is an array {x.shape} of {x.dtype}; expected numbers (rows, width)")
    largest = np.abs(x).max() if x.dtype == np.float64 and x.size else 0
    if 0 < largest < SMALLEST or largest > LARGEST:
        raise InputError(f"{name} reaches {largest:.0e}, but is worked on as float32; scale the features")
    return x if x.dtype == np.float16 else x.astype(np.float32, copy=False)


def _views(views, x):
    views = [_features(view, "a view") for view in views]
    for view in views:
        if view.shape != x.shape:
            raise InputError(f"a view has the shape {view.shape}, x has {x.shape}: views hold the rows of x")
    return views


def compare(a: "Scores", b: "Scores", seed: int = 0) -> "Comparison":
    """Comparison of two Scores on the same tasks: do they differ? Positive: the first is higher.

    seed: of the sign patterns. ValueError: other tasks, or the same tasks with other groups.
    """
    if a.tasks.identity != b.tasks.identity:
        raise InputError("the two were scored on different tasks, which cannot be paired; evaluate both on one set")
    if not _same_groups(a.tasks.groups, b.tasks.groups):
        raise InputError("the two have the same tasks with other groups; evaluate both on one set of tasks")
    units = a.tasks.units
    return compare_scores(a.macro, b.macro, seed, units, None if units is None else a.influence - b.influence)


def _same_groups(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
