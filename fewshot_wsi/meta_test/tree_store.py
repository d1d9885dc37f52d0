"""The authors' task tree as the only input of a run: its task files hold the features themselves.

Where the feature store of a model is not there, the features of all tasks are gathered into arrays of one row a tile,
so that a run continues as it would with the store.
"""

from dataclasses import dataclass

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import arrays_sha256
from fewshot_wsi.meta_test.legacy import features_path, listed_rows, read_arrays, row_digest, tree_task_set
from lowshot.tasks import TaskSet

ABSENT = -1  # label of a row that no task uses


@dataclass(frozen=True, eq=False)
class TreeSide:
    """Support or query tiles of a tree. Row i is tile i of the set where the tree lists rows, else the i-th seen."""
    features: np.ndarray  # (N, D) float32; zero where no task uses the row
    labels: np.ndarray    # (N,) int64; ABSENT where no task uses the row

    @property
    def sha256(self):
        return arrays_sha256(features=self.features)


@dataclass(frozen=True, eq=False)
class TreeStore:
    tasks: TaskSet
    support: TreeSide
    query: TreeSide
    listed: bool  # whether rows are those of the protocol's lists


def has_features(plan, stem, model):
    """Whether the first task of the tree beside `plan.path` has features: of `model`, or of no named model."""
    return features_path(plan.path.parent / "task_0", stem, model).is_file()


def read_tree_store(plan, stem, model):
    """TreeStore of the authors' tree of a TaskPlan, by its feature files alone.

    UserError: files missing or damaged, tasks of other sizes, or one row with two features or labels.
    """
    folder = plan.path.parent
    listed = listed_rows(folder / "task_0", stem) is not None
    sides, rows = (_Gathering(), _Gathering()), ([], [])
    for i in range(plan.num_tasks):
        task = folder / f"task_{i}"
        path = features_path(task, stem, model)
        arrays = read_arrays(path)
        if [a.ndim for a in arrays] != [2, 1, 2, 1] or any(len(arrays[s]) != len(arrays[s + 1]) for s in (0, 2)):
            raise UserError(f"{path}: expected features and labels of support and query, found "
                            f"{[f'{a.dtype} {a.shape}' for a in arrays]}")
        if not all(np.isfinite(arrays[s]).all() for s in (0, 2)):
            raise UserError(f"{path}: a feature is infinite or no number; make the task again")
        known = listed_rows(task, stem) if listed else (None, None)
        if known is None:
            raise UserError(f"{task}: no file {stem}_idxs.npy, but the first task has one; copy the tree again")
        for side, found, at, numbers in zip(sides, rows, (0, 2), known, strict=True):
            found.append(side.take(arrays[at], arrays[at + 1], numbers, path))
    support, query = (side.finish() for side in sides)
    if support.features.shape[1] != query.features.shape[1]:
        raise UserError(f"{folder}: support features are {support.features.shape[1]} wide, query features "
                        f"{query.features.shape[1]}; sample the tasks again from features of one encoder")
    tasks = tree_task_set(plan, stem, list(zip(*rows, strict=True)), support.labels, query.labels)
    return TreeStore(tasks, support, query, listed)


class _Gathering:
    """Tiles of one side, task after task."""

    def __init__(self):
        self.seen = {}     # row: (feature (D,) float32, label)
        self.numbers = {}  # digest of a feature: row, where the tree lists none

    def take(self, features, labels, rows, path):
        """(n,) int64 rows of these tiles."""
        features = np.asarray(features, dtype=np.float32)
        if rows is None:
            rows = [self.numbers.setdefault(row_digest(row), len(self.numbers)) for row in features]
        if len(rows) != len(features) or min(rows, default=0) < 0:
            raise UserError(f"{path}: {len(features)} features, but {len(rows)} rows beside them, or negative ones")
        for row, feature, label in zip(rows, features, labels, strict=True):
            first, known = self.seen.setdefault(int(row), (feature, int(label)))
            if known != label or first.shape != feature.shape or not np.array_equal(first, feature):
                raise UserError(f"{path}: row {row} has another feature or label here than in a task before; the tree "
                                "mixes tasks of different data: sample them again")
        return np.array(rows, dtype=np.int64)

    def finish(self):
        dim = len(next(iter(self.seen.values()))[0])
        features = np.zeros((max(self.seen) + 1, dim), dtype=np.float32)
        labels = np.full(len(features), ABSENT, dtype=np.int64)
        for row, (feature, label) in self.seen.items():
            features[row], labels[row] = feature, label
        return TreeSide(features, labels)
