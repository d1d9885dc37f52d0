"""One run in pieces: what is finished of it, what is missing, and its result when nothing is.

A piece is a chunk of tasks, (start, stop), or a resample of the open interval, ('open', number). Finished pieces lie in
the run's hidden folder, so that a later call makes those that are missing.
"""

import contextlib
import logging
import shutil
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import write_npy
from fewshot_wsi.meta_test.evaluate import score_chunk, score_resample
from fewshot_wsi.meta_test.results import read_result, write_result
from lowshot.resampling import Bootstrap
from lowshot.statistics import group_scores, run_statistics

logger = logging.getLogger(__name__)


def score_piece(job, piece):
    """What `UnfinishedRun.add` takes for one piece."""
    return score_resample(job, piece[1]) if piece[0] == "open" else score_chunk(job, *piece)


def finished_result(run):
    """Result of a PreparedRun that is on disk, if it is of the same configuration, classes, input hashes and
    EVALUATION.

    A result that names no EVALUATION is of the first. None otherwise, with a warning where the file cannot be read. Its
    bootstrap is not compared.
    """
    path = run.settings.result_file
    if not path.exists():
        return None
    try:
        there = read_result(path)
    except UserError as error:
        logger.warning(error)
        return None
    same = there.data.get("evaluation", 1) == run.head["evaluation"] and all(
        there.data[key] == run.head[key] for key in ("config", "classes", "class_groups", "hashes"))
    return there if same else None


def is_done(run):
    """Whether nothing is missing of a Run: its result is there, with the bootstrap that it asks for."""
    there = finished_result(run)
    if there is None or run.design is None:
        return there is not None
    found, wanted = there.bootstrap, (run.design.identity, run.settings.open_resamples)
    return found is not None and (found.identity, len(found.macro)) == wanted


def remove_pieces(path):
    """Remove the finished pieces of a run that has the result file `path`, or is to begin anew."""
    for folder in filter(lambda found: found.is_dir(), path.parent.glob(f".{path.stem}.*")):
        shutil.rmtree(folder, ignore_errors=True)


class UnfinishedRun:
    """The pieces of one Run."""

    def __init__(self, run):
        self.run, self.seconds = run, 0.0
        self.predictions = np.empty(run.tasks.query.shape, dtype=np.int16)
        groups = group_scores(np.zeros((1, run.tasks.ways)), run.head["class_groups"])
        self.groups = list(groups)
        self.resamples = np.empty((run.settings.open_resamples if run.design else 0, len(groups) + 2))
        there = finished_result(run)
        if there is None:
            chunks = [bounds for bounds in run.bounds if not self._recall(bounds)]
        else:
            self.predictions[:], chunks = there.predictions, []
        again = [("open", number) for number in range(len(self.resamples))]
        self.missing = chunks + [piece for piece in again if not self._recall(piece)]
        self.tasks = run.tasks.num_tasks * (1 + len(self.resamples))
        self.kept = self.tasks - sum(map(self.size, self.missing))
        self.kept_tasks = run.tasks.num_tasks - sum(map(self.size, chunks))

    def size(self, piece):
        """Tasks of a piece."""
        return self.run.tasks.num_tasks if piece[0] == "open" else piece[1] - piece[0]

    def prepare(self):
        """Write what workers read."""
        design = self.run.design
        if design is not None:
            path = Path(self.run.job.design[0])
            if not path.exists():
                design.save(path)

    def _file(self, piece):
        if piece[0] == "open":
            return self.run.folder / f"open.{self.run.design.identity[:16]}.{piece[1]}.npy"
        return self.run.folder / f"{piece[0]}-{piece[1]}.npy"

    def _place(self, piece):
        """The part of the arrays that a piece fills."""
        return self.resamples[piece[1]] if piece[0] == "open" else self.predictions[piece[0]:piece[1]]

    def _recall(self, piece):
        """Take over a piece that an earlier call finished."""
        place = self._place(piece)
        with contextlib.suppress(FileNotFoundError, ValueError, EOFError):
            stored = np.load(self._file(piece), allow_pickle=False)
            if stored.dtype == place.dtype and stored.shape == place.shape:
                place[:] = stored
                return True
        return False

    def add(self, piece, values, seconds):
        write_npy(self._file(piece), values)
        self._place(piece)[:] = values
        self.seconds += seconds
        self.missing.remove(piece)

    def write(self, facts):
        """Write the result, remove the pieces, let go of the predictions."""
        run, tasks = self.run, self.run.tasks
        f1, statistics = run_statistics(self.predictions, tasks.query_labels, tasks.ways, run.head["class_groups"],
                                        tasks.support, tasks.query)
        data = {**run.head, "f1": f1.tolist(), "statistics": statistics, "predictions": self.predictions,
                "queries": tasks.query, "query_labels": tasks.query_labels, "supports": tasks.support}
        if run.design is not None:
            data |= self._bootstrap().as_json()
        meta = {**facts, "device": run.job.device, "seconds": round(self.seconds, 3),
                "tasks_kept_from_earlier": self.kept_tasks}
        path = run.settings.result_file
        write_result(path, data, meta)
        remove_pieces(path)
        self.predictions = None

    def _bootstrap(self):
        design = self.run.design
        groups = {name: self.resamples[:, 1 + place] for place, name in enumerate(self.groups)}
        return Bootstrap(self.resamples[:, 0], groups, design.rules.unit, design.count, design.shared,
                         int(self.resamples[:, -1].sum()), design.identity)
