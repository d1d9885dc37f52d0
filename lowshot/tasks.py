"""Task files: which rows of which sets make up each meta-testing task.

A task is rows, not features, so that one file serves every encoder. `<workdir>/tasks/<task>/<stem>.npz` holds `support`
(T, ways·shots) and `query` (T, ways·queries) int32, their labels (ways·shots,) and (ways·queries,) int16, classes in
ascending order, and `meta`, a JSON text. No pickle anywhere.
"""

import json
import zipfile
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import arrays_sha256, write_npz

SCHEMA = 1
ARRAYS = ("support", "query", "support_labels", "query_labels")


@dataclass(frozen=True)
class TaskSet:
    support: np.ndarray         # (T, ways*shots) int32, rows of the support set, classes in ascending order
    query: np.ndarray           # (T, ways*queries) int32, rows of the query set
    support_labels: np.ndarray  # (ways*shots,) int16, the same in every task
    query_labels: np.ndarray    # (ways*queries,) int16
    meta: dict = field(default_factory=dict)
    path: Path | None = None    # file or folder it was read from

    num_tasks = property(lambda self: len(self.support))
    ways = property(lambda self: len(np.unique(self.support_labels)))
    shots = property(lambda self: len(self.support_labels) // self.ways)
    queries = property(lambda self: len(self.query_labels) // self.ways)

    @cached_property
    def identity(self):
        """Hash of the four arrays: equal exactly where the tasks are."""
        return arrays_sha256(**{name: getattr(self, name) for name in ARRAYS})

    def first(self, count):
        """The first `count` tasks, as a TaskSet of its own."""
        return replace(self, support=self.support[:count], query=self.query[:count])


def make_task_set(support, query, num_classes, meta, path=None):
    """TaskSet from rows in class order: support (T, ways·shots) and query (T, ways·queries), ways = num_classes."""
    labels = [np.repeat(np.arange(num_classes, dtype=np.int16), rows.shape[1] // num_classes)
              for rows in (support, query)]
    return TaskSet(support.astype(np.int32), query.astype(np.int32), *labels, meta, path)


def task_stem(ways, shots, tag=None, sampling="published"):
    """Name of a task file without its ending: '9-way-5-shot_wo_7', '5-way-10-shot_grouped'."""
    novel = "" if tag is None else f"_wo_{tag}"
    return f"{ways}-way-{shots}-shot{novel}" + ("" if sampling == "published" else f"_{sampling}")


def save_tasks(path, tasks):
    """Write a TaskSet in one move; equal tasks make equal files."""
    meta = json.dumps({"schema": SCHEMA, **tasks.meta}, sort_keys=True, ensure_ascii=False)
    write_npz(path, **{name: getattr(tasks, name) for name in ARRAYS}, meta=np.array(meta))


def load_tasks(path, made_by="python wsi_workdir/tools/generate_task.py --initialization"):
    """TaskSet from a file; UserError where it is missing (naming the command `made_by`), damaged or inconsistent."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ARRAYS}
            meta = json.loads(str(stored["meta"]))
    except FileNotFoundError:
        raise UserError(f"{path}: no such task file; make it with {made_by}") from None
    except (ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable task file ({type(error).__name__}: {error}); "
                        f"make it again with {made_by}") from None
    if meta.get("schema") != SCHEMA:
        raise UserError(f"{path}: tasks of schema {meta.get('schema')!r}, this version reads {SCHEMA}; "
                        f"make them again with {made_by}")
    tasks = TaskSet(**arrays, meta=meta, path=path)
    _check_shapes(tasks)
    return tasks


def _check_shapes(tasks):
    rows, labels = (tasks.support, tasks.query), (tasks.support_labels, tasks.query_labels)
    sound = (all(r.ndim == 2 and r.dtype.kind in "iu" and r.size and r.min() >= 0 for r in rows)
             and all(y.shape == r.shape[1:] and y.dtype.kind in "iu" for r, y in zip(rows, labels, strict=True))
             and len(tasks.support) == len(tasks.query)
             and np.array_equal(np.unique(labels[0]), np.unique(labels[1])))
    if not sound:
        raise UserError(f"{tasks.path}: damaged task file (its arrays do not fit together); make it again")


def check_rows(rows, labels, expected, what):
    """Every row must exist and have the label that the task says.

    rows: (T, n) of one set; labels: (N,) of that set; expected: (n,). `what` names the rows, for the error.
    """
    if rows.max() >= len(labels):
        raise UserError(f"{what}: row {rows.max()} is asked for, but the set has {len(labels)} rows; "
                        "tasks and labels belong to different data: draw the tasks again with --overwrite")
    wrong = labels[rows] != expected
    if wrong.any():
        task, column = np.argwhere(wrong)[0]
        raise UserError(f"{what}: task {task} takes row {rows[task, column]} for class {expected[column]}, but "
                        f"its label is {labels[rows[task, column]]}; tasks and labels belong to different data: "
                        "draw the tasks again with --overwrite")
