"""Sets of tasks: which rows of which features make up each meta-testing task (episode).

A task is rows, not features, so that one set serves every encoder. In a file `<workdir>/tasks/<task>/<stem>.npz` it is
`support` (T, ways·shots) and `query` (T, ways·queries) int32, their labels (ways·shots,) and (ways·queries,) int16,
classes in ascending order, and `meta`, a JSON text. No pickle anywhere.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fewshot_wsi.foundation.bounded import parse_json, read_npz
from fewshot_wsi.foundation.errors import InputError
from fewshot_wsi.foundation.files import arrays_sha256, write_npz
from lowshot.grouped import VERSION as GROUPED_VERSION
from lowshot.influence import GROUPED, build_units
from lowshot.sampling import RULES, Pool, SampledTasks, draw_tasks

if TYPE_CHECKING:
    from lowshot.influence import Units

logger = logging.getLogger(__name__)

SCHEMA = 1
ARRAYS = ("support", "query", "support_labels", "query_labels")


@dataclass(frozen=True)
class TaskSet:
    """T tasks; made by `sample_tasks` or `load_tasks`. Labels are class numbers, 0 … ways − 1."""
    support: np.ndarray         # (T, ways*shots) int32, rows of the support set, classes in ascending order
    query: np.ndarray           # (T, ways*queries) int32, rows of the query set
    support_labels: np.ndarray  # (ways*shots,) int16, the same in every task
    query_labels: np.ndarray    # (ways*queries,) int16
    meta: dict = field(default_factory=dict)  # how they were sampled
    path: Path | None = None    # file or folder it was read from
    groups: tuple = ()          # ('group' or 'image', unit of each row of the support set, of the query set)

    @property
    def num_tasks(self) -> int:
        return len(self.support)

    @property
    def ways(self) -> int:
        return len(np.unique(self.support_labels))

    @property
    def shots(self) -> int:
        return len(self.support_labels) // self.ways

    @property
    def queries(self) -> int:
        return len(self.query_labels) // self.ways

    @property
    def seed(self) -> int:
        return self.meta.get("seed", 0)

    @property
    def one_set(self) -> bool | None:
        """Whether supports and queries are rows of one set; None where that is not known."""
        if "support_set" in self.meta:
            return self.meta["support_set"] == self.meta["query_set"]
        return self.meta.get("one_set")

    @property
    def setting(self) -> str:
        """Names, with the seed, the random streams of these tasks."""
        meta = self.meta
        if "setting" in meta or "task" not in meta:
            return meta.get("setting", "")
        weight = meta.get("group_weight", "tiles")
        return f"{meta['task']}/{task_stem(self.ways, self.shots, meta.get('novel_class'), meta['sampling'], weight)}"

    @cached_property
    def identity(self) -> str:
        """Hash of the four arrays: equal exactly where the tasks are."""
        return arrays_sha256(**{name: getattr(self, name) for name in ARRAYS})

    @cached_property
    def units(self) -> "Units | None":
        """`influence.Units` of the tasks, for open intervals; None where no groups are known."""
        if not self.groups:
            return None
        name, support, query = self.groups
        unknown = GROUPED if self.meta.get("sampling") == "grouped" else ""
        return build_units(support[self.support], query[self.query], self.support_labels, self.query_labels, name,
                           self.query, unknown)

    def __repr__(self):
        return f"<TaskSet: {self.num_tasks} tasks, {self.ways}-way {self.shots}-shot, {self.queries} queries a class>"

    def with_groups(self, groups: np.ndarray, query_groups: np.ndarray | None = None) -> "TaskSet":
        """The same tasks with the group of each row, as `sample_tasks` takes them; files of tasks hold none."""
        units = _units(groups, query_groups, None, None, query_groups is None)
        for side, rows in zip(units, (self.support, self.query), strict=True):
            if rows.max() >= len(side):
                raise InputError(f"{len(side)} groups, but row {rows.max()} is in a task")
        return replace(self, groups=("group", *units))

    def first(self, count: int) -> "TaskSet":
        """The first `count` tasks, as a TaskSet of its own."""
        return replace(self, support=self.support[:count], query=self.query[:count])


def sample_tasks(y: np.ndarray, *, shots: int, queries: int = 15, num_tasks: int = 1000, seed: int = 0,
                 query_y: np.ndarray | None = None, groups: np.ndarray | None = None,
                 query_groups: np.ndarray | None = None, rule: str = "distinct", setting: str = "",
                 group_weight: str = "tiles") -> "TaskSet":
    """Draw tasks with all classes of `y`: `shots` supports and `queries` queries of each class.

    y: (N,) label of each row of the features, of any type. query_y: (M,) labels of the rows that queries are sampled
    from; by default supports and queries come from the same rows. groups (N,), query_groups (M,): slide, patient or
    original of each row; rows with equal values belong together, also between the two. Open intervals speak of new
    groups; without groups each row counts as one.
    rule: 'distinct' (no row twice in a task), 'grouped' (nor a group on both sides), 'disjoint' (no row in two tasks;
    as many tasks as the rows allow) or 'published' (queries with replacement, which may coincide with supports).
    group_weight: 'grouped' asks each group in proportion to its rows of a class ('tiles') or equally ('equal'), as far
    as rows permit; a warning names the shortfall.
    Task t comes from the random stream (seed, 'tasks', setting, t). Returns a TaskSet; ValueError where a class has too
    few rows.
    """
    y = _column(y, "y")
    classes, labels = _numbered(y, "y")
    one_set = query_y is None
    asked = labels if one_set else _coded_by(_column(query_y, "query_y"), classes, "query_y")
    if len(classes) < 2:
        raise InputError(f"y holds {len(classes)} class; a task needs at least two")
    if rule not in RULES:
        raise InputError(f"rule {rule!r}: known are {', '.join(RULES)}")
    for name, value in (("shots", shots), ("queries", queries), ("num_tasks", num_tasks), ("seed", seed)):
        least = 0 if name == "seed" else 1
        if not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name}={value!r}: give a whole number from {least}")
    images = np.arange(len(labels)), np.arange(len(asked)) + (0 if one_set else len(labels))
    units = _units(groups, query_groups, labels, asked, one_set)
    if rule == "grouped" and units is None:
        raise InputError("rule 'grouped' needs to know the groups: give groups=…")
    support = Pool("the support rows", labels, images[0], None if units is None else units[0])
    query = support if one_set else Pool("the query rows", asked, images[1], None if units is None else units[1])
    sampled = draw_tasks(support, query, [str(name) for name in classes], shots=shots, queries=queries,
                         num_tasks=num_tasks, rule=rule, seed=seed, setting=setting, group_weight=group_weight)
    warn_of_shortfall(sampled, classes, setting or "the tasks")
    meta = {"ways": len(classes), "shots": int(shots), "queries": int(queries), "num_tasks": len(sampled.support),
            "seed": int(seed), "sampling": rule, "setting": setting, "one_set": one_set,
            "classes": [getattr(one, "item", lambda one=one: one)() for one in classes],
            **grouped_meta(rule, group_weight)}
    made = make_task_set(sampled.support, sampled.query, len(classes), meta)
    return replace(made, groups=("image", *images) if units is None else ("group", *units))


def grouped_meta(rule: str, group_weight: str) -> dict:
    """What the meta of a task set says of the rule 'grouped', of which there are versions; {} of other rules."""
    return {"sampling_version": GROUPED_VERSION, "group_weight": group_weight} if rule == "grouped" else {}


def warn_of_shortfall(sampled: SampledTasks, classes: Sequence, what: str) -> None:
    """Warn where tiles do not permit that groups are asked about as they should be."""
    if sampled.shortfall is None:
        return
    for name, missing in zip(classes, sampled.shortfall, strict=True):
        if missing:
            logger.warning(f"{what}: {100 * missing:.1f} % of the queries of class {str(name)!r} fall to other groups "
                           "than their weights ask for; the tiles do not permit more")


def _column(values, name):
    # a list turns NaN into the text 'nan', so objects are looked at before it becomes an array
    objects = not isinstance(values, np.ndarray) or values.dtype == object
    missing = objects and any(map(_is_missing, np.ravel(np.asarray(values, dtype=object))))
    values = np.asarray(values)
    if values.ndim != 1 or not values.size:
        raise InputError(f"{name} has the shape {values.shape}; expected one value a row")
    if missing or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise InputError(f"{name} has rows without a value (NaN or None)")
    return values


def _is_missing(one):
    return one is None or (isinstance(one, float | np.floating) and one != one) or repr(one) in ("<NA>", "NaT")


def _numbered(values, name):
    """(different values, sorted; number (N,) of each). ValueError: values of kinds that have no order, as None."""
    try:
        return np.unique(values, return_inverse=True)
    except TypeError as error:
        raise InputError(f"{name} mixes values of several kinds ({error}); give texts or whole numbers") from None


def _coded_by(values, classes, name):
    """Class number (N,) int64 of each of `values`; `classes` is sorted. ValueError for a value that is no class."""
    places = np.searchsorted(classes, values).clip(max=len(classes) - 1)
    wrong = classes[places] != values
    if np.any(wrong):
        known = ", ".join(map(str, classes))
        raise InputError(f"{name} holds {values[wrong].tolist()[0]!r}, which is none of the classes {known}")
    return places


def _units(groups, query_groups, labels, asked, one_set):
    """Numbers (N,) and (M,) of groups, equal where the group is; None without groups."""
    if groups is None and query_groups is None:
        return None
    if one_set and query_groups is not None:
        raise InputError("query_groups is given without query_y: name the groups of both by `groups`")
    if groups is None or (query_groups is None and not one_set):
        raise InputError("groups and query_groups belong together: give both where query_y is given")
    sides = [_column(groups, "groups")] + ([] if one_set else [_column(query_groups, "query_groups")])
    for side, rows in zip(sides, (labels, asked), strict=False):
        if rows is not None and len(side) != len(rows):
            raise InputError(f"{len(side)} groups for {len(rows)} rows")
    kinds = {"number" if side.dtype.kind in "iub" else side.dtype.kind for side in sides}
    if len(kinds) > 1:
        raise InputError(f"groups are {sides[0].dtype}, query_groups {sides[1].dtype}: equal groups would not be "
                         "recognised; give both as texts or both as whole numbers")
    both = np.concatenate([side.astype(object) if "number" in kinds else side for side in sides])
    numbers = _numbered(both, "groups")[1]
    return numbers[:len(sides[0])], numbers if one_set else numbers[len(sides[0]):]


def class_labels(y: np.ndarray, tasks: "TaskSet") -> np.ndarray:
    """(ways,) the label of each class in the terms of `y`: as `sample_tasks` got them, or class numbers."""
    classes = np.asarray(tasks.meta.get("classes", np.arange(tasks.ways)))
    if np.asarray(y).dtype.kind in "iu" and classes.dtype.kind not in "iub":
        return np.arange(tasks.ways)  # task files name their classes; the labels of features are numbers
    return classes


def class_numbers(y: np.ndarray, tasks: "TaskSet", name: str = "y") -> np.ndarray:
    """(N,) int64: labels `y` as class numbers of `tasks`. ValueError: a label that is none of its classes."""
    y = _column(y, name)
    return _coded_by(y, class_labels(y, tasks), name)


def make_task_set(support: np.ndarray, query: np.ndarray, num_classes: int, meta: Mapping,
                  path: str | Path | None = None) -> "TaskSet":
    """TaskSet from rows in class order: support (T, ways·shots) and query (T, ways·queries), ways = num_classes."""
    support_labels, query_labels = (np.repeat(np.arange(num_classes, dtype=np.int16), rows.shape[1] // num_classes)
                                    for rows in (support, query))
    return TaskSet(support.astype(np.int32), query.astype(np.int32), support_labels, query_labels, dict(meta),
                   None if path is None else Path(path))


def task_stem(ways: int, shots: int, tag: str | int | None = None, sampling: str = "published",
              group_weight: str = "tiles") -> str:
    """File name of a task set, without its ending: '9-way-5-shot_wo_7', '5-way-10-shot_grouped'.

    tag: left-out classes, '7' or '78'. The defaults of sampling and group_weight are not named.
    """
    parts = [f"{ways}-way-{shots}-shot", f"wo_{tag}" if tag is not None else "",
             sampling if sampling != "published" else "", group_weight if group_weight != "tiles" else ""]
    return "_".join(filter(None, parts))


def save_tasks(path: str | Path, tasks: "TaskSet") -> None:
    """Write a TaskSet in one move; equal tasks make equal files."""
    meta = json.dumps({"schema": SCHEMA, **tasks.meta}, sort_keys=True, ensure_ascii=False)
    write_npz(path, **{name: getattr(tasks, name) for name in ARRAYS}, meta=np.array(meta))


def load_tasks(path: str | Path,
               made_by: str = "python wsi_workdir/tools/generate_task.py --task TASK --initialization") -> "TaskSet":
    """TaskSet from a file; InputError where it is missing (naming the command `made_by`), damaged or inconsistent."""
    path = Path(path)
    try:
        stored = read_npz(path)
        arrays = {name: stored[name] for name in ARRAYS}
        meta = parse_json(str(stored["meta"]).encode())
    except FileNotFoundError:
        raise InputError(f"{path}: no such task file; make it with {made_by}") from None
    except (ValueError, KeyError, IsADirectoryError) as error:
        raise InputError(f"{path}: not a readable task file ({type(error).__name__}: {error}); "
                        f"make it again with {made_by}") from None
    meta = meta if isinstance(meta, dict) else {}
    if meta.get("schema") != SCHEMA:
        raise InputError(f"{path}: tasks of schema {meta.get('schema')!r}, this version reads {SCHEMA}; "
                        f"make them again with {made_by}")
    tasks = TaskSet(**arrays, meta=meta, path=path)  # type: ignore[arg-type]
    _check_shapes(tasks)
    return tasks


def _check_shapes(tasks):
    rows, labels = (tasks.support, tasks.query), (tasks.support_labels, tasks.query_labels)
    sound = (all(r.ndim == 2 and r.dtype.kind in "iu" and r.size and r.min() >= 0 for r in rows)
             and all(y.shape == r.shape[1:] and y.dtype.kind in "iu" for r, y in zip(rows, labels, strict=True))
             and len(tasks.support) == len(tasks.query)
             and np.array_equal(np.unique(labels[0]), np.unique(labels[1])))
    if not sound:
        raise InputError(f"{tasks.path}: damaged task file (its arrays do not fit together); make it again")


def check_rows(rows: np.ndarray, labels: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Every row must exist and have the label that the task says.

    rows: (T, n) of one set; labels: (N,) of that set; expected: (n,). `what` names the rows, for the error.
    """
    if rows.max() >= len(labels):
        raise InputError(f"{what}: row {rows.max()} is asked for, but the set has {len(labels)} rows; tasks and "
                        "labels belong to different data: sample the tasks again (generate_task.py --overwrite)")
    wrong = labels[rows] != expected
    if wrong.any():
        task, column = np.argwhere(wrong)[0]
        raise InputError(f"{what}: task {task} takes row {rows[task, column]} for class {expected[column]}, but "
                        f"its label is {labels[rows[task, column]]}; tasks and labels belong to different data: "
                        "sample the tasks again (generate_task.py --overwrite)")
