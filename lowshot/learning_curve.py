"""How F1 grows with the number of labels a class, and how many labels a wanted F1 takes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot_wsi.foundation.errors import InputError
from lowshot.evaluation import evaluate
from lowshot.intervals import Interval, bootstrap_interval
from lowshot.resampling import RESAMPLES, Bootstrap, Design, Rules, resample
from lowshot.sampling import Pool
from lowshot.tasks import class_labels, class_numbers, make_task_set, sample_tasks

if TYPE_CHECKING:
    from lowshot.tasks import TaskSet

SHOTS = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Point:
    """Macro F1 of tasks with `shots` labels a class, in fractions."""
    shots: int
    closed: Interval  # for further tasks from the same tiles
    open: Interval    # for new groups (slides, patients), or new images where no groups are known
    tasks: int
    unit: str         # what `open` speaks of: group or image

    @property
    def f1(self) -> float:
        return self.closed.mean


def learning_curve(classifier: Any, x: np.ndarray, y: np.ndarray, *, groups: np.ndarray | None = None,
                   shots: Sequence[int] = SHOTS, queries: int = 15, num_tasks: int = 200, resamples: int = RESAMPLES,
                   seed: int = 0) -> Iterator[Point]:
    """Points of the curve, in ascending order of `shots`, as far as the tiles go.

    classifier, x (N, D), y (N,): as of `evaluate`. groups: (N,) slide or patient of each row. With groups no task has
    one of them on both sides (the rule 'grouped'), and open intervals are bootstraps of `resamples` resamples of the
    groups; without, or where every group is one row, tasks follow the rule 'distinct', and open intervals the formula
    over images. Tasks of n shots come from the stream (seed, 'tasks', 'budget/<n>', number).
    Generator: ends before the first number of shots for which a class has too few tiles. InputError: too few for the
    smallest already.
    """
    if groups is not None and len(np.unique(groups)) == len(groups):
        groups = None
    numbers = sorted(set(shots))
    for place, count in enumerate(numbers):
        try:
            tasks = sample_tasks(y, shots=count, queries=queries, num_tasks=num_tasks, seed=seed, groups=groups,
                                 rule="distinct" if groups is None else "grouped", setting=f"budget/{count}")
        except InputError:
            if place == 0:
                raise
            return
        scores = evaluate(classifier, x, y, tasks)
        opened = scores.open if groups is None else _bootstrapped(classifier, x, y, groups, tasks, scores.mean,
                                                                  resamples)
        yield Point(count, scores.closed, opened, tasks.num_tasks, tasks.groups[0])


def _bootstrapped(classifier: Any, x: np.ndarray, y: np.ndarray, groups: np.ndarray, tasks: "TaskSet", mean: float,
                  resamples: int) -> Interval:
    """Open interval of the mean F1 of `tasks`, by drawing groups, then tasks, anew."""
    labels, units = class_numbers(y, tasks), np.unique(groups, return_inverse=True)[1]
    pool = Pool("the labelled tiles", labels, np.arange(len(labels)), units)
    rules = Rules([str(one) for one in class_labels(y, tasks)], tasks.shots, tasks.queries, tasks.num_tasks, "grouped",
                  False, False, tasks.seed, tasks.setting, "group", {})
    design = Design(pool, pool, units, units, rules)
    if design.unknown:
        return Interval(mean, None, design.count, design.unknown)
    means, repeated = [], 0
    for number in range(resamples):
        support, query, again = resample(design, number)
        drawn = make_task_set(support, query, tasks.ways, {**tasks.meta, "setting": f"{tasks.setting}/open/{number}"})
        means.append(evaluate(classifier, x, labels, drawn).mean)
        repeated += again
    found = Bootstrap(np.array(means), {}, "group", design.count, design.shared, repeated, design.identity)
    return bootstrap_interval(mean, found)


@dataclass(frozen=True)
class LabelsFor:
    """Labels a class from which on a curve stays at a wanted F1 or above; None where it does not get there."""
    target: float
    mean: int | None    # the mean itself
    closed: int | None  # the lower end of the closed interval
    open: int | None    # the lower end of the open interval
    last: Point         # of the curve
    best: Point


def labels_for(target: float, points: Iterable[Point]) -> LabelsFor:
    """How many labels a class it takes to reach F1 `target` (fraction): one of the numbers of the curve, never one in
    between, and only where no larger number falls below it again."""
    points = list(points)
    if not points:
        raise InputError("a curve without points reaches nothing")

    def first(values):
        reached = None
        for point, value in zip(reversed(points), reversed(values), strict=True):
            if value is None or value < target:
                break
            reached = point.shots
        return reached

    return LabelsFor(target, first([p.f1 for p in points]), first([p.closed.low for p in points]),
                     first([p.open.low for p in points]), points[-1], max(points, key=lambda p: p.f1))
