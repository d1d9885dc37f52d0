"""Many runs on many workers, and one result whatever their number.

Every run is cut into chunks of tasks; the cuts depend on the run alone. Chunks go to workers through joblib (processes
of this machine, or a Dask cluster), come back in any order, and are kept in a hidden folder beside the result, named by
a hash of all that decides the run. So a run that was killed goes on with the chunks that are missing, and a change of
any input starts a new folder. With the last chunk the result is written and the folder removed.
"""

import contextlib
import datetime
import functools
import importlib.metadata
import os
import platform
import shutil
import sys
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import threadpool_limits

from lowshot.errors import UserError
from lowshot.evaluate import score_chunk
from lowshot.files import write_npy
from lowshot.inputs import Inputs
from lowshot.progress import bar
from lowshot.results import read_result, write_result
from lowshot.settings import Settings
from lowshot.statistics import run_statistics

BACKENDS = ("loky", "dask")
PACKAGES = ("lowshot", "numpy", "scipy", "scikit-learn", "joblib")


@dataclass(frozen=True)
class Outcome:
    """What became of one run: its result file, and whether it was there already."""
    settings: Settings
    path: Path
    kept: bool


def run_all(settings, *, workers=1, backend="loky", scheduler=None, quiet=False, on_done=None):
    """Do every run whose result is not there yet; returns a list of Outcome in the order of `settings`.

    settings: list of Settings. workers: processes on this machine (`loky`); a Dask cluster uses what it has.
    on_done: called with each Outcome as soon as its result is written. All inputs are checked before the first run.
    """
    if backend not in BACKENDS:
        raise UserError(f"--backend {backend!r}: known are {', '.join(BACKENDS)}")
    inputs, boards = Inputs(), {}
    tell = on_done or (lambda outcome: None)
    for run in map(inputs.prepare, settings):
        path = run.settings.result_file
        if is_done(run):
            tell(Outcome(run.settings, path, True))
        elif path not in boards:
            boards[path] = _Board(run)
    facts = _facts(workers if backend == "loky" else None, backend)
    done, total = (sum(getattr(board, name) for board in boards.values()) for name in ("kept", "tasks"))
    title = "meta-test" if len(boards) == 1 else f"{len(boards)} runs"
    with bar(desc=title, total=total, initial=done, unit="tasks", quiet=quiet or not boards) as shown:
        for board in boards.values():
            if not board.missing:
                tell(board.write(facts))
        for path, chunk, predictions, seconds in _scored(boards, workers, backend, scheduler):
            board = boards[path]
            board.add(*chunk, predictions, seconds)
            shown.update(len(predictions))
            if not board.missing:
                tell(board.write(facts))
    return [Outcome(one, one.result_file, one.result_file not in boards) for one in settings]


def is_done(run):
    """Whether the result of a Run is there, by content: same configuration, classes, hashes of what was read, and rule
    of evaluation (results that do not name theirs are of the first)."""
    path = run.settings.result_file
    if not path.exists():
        return False
    try:
        there = read_result(path)
    except UserError as error:
        print(f"notice: {error}", file=sys.stderr)
        return False
    if there.data.get("evaluation", 1) != run.head["evaluation"]:
        return False
    return all(there.data[key] == run.head[key] for key in ("config", "classes", "class_groups", "hashes"))


def remove_chunks(path):
    """Remove the finished chunks of a run that has the result file `path`, or is to begin anew."""
    for folder in filter(Path.is_dir, path.parent.glob(f".{path.stem}.*")):
        shutil.rmtree(folder, ignore_errors=True)


def _facts(workers, backend):
    """What the `.meta.json` says about this call."""
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    versions = {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}
    return {"started": started, "host": platform.node(), "workers": workers, "backend": backend, "versions": versions}


class _Board:
    """The chunks of one run: which are done, which are missing, and the result when none is."""

    def __init__(self, run):
        self.run, self.seconds = run, 0.0
        self.predictions = np.empty(run.tasks.query.shape, dtype=np.int16)
        self.missing = [bounds for bounds in run.bounds if not self._recall(*bounds)]
        self.tasks = run.tasks.num_tasks
        self.kept = self.tasks - sum(stop - start for start, stop in self.missing)

    def _file(self, start, stop):
        return self.run.folder / f"{start}-{stop}.npy"

    def _recall(self, start, stop):
        """Take over a chunk that an earlier call finished."""
        with contextlib.suppress(FileNotFoundError, ValueError, EOFError):
            stored = np.load(self._file(start, stop), allow_pickle=False)
            if stored.dtype == np.int16 and stored.shape == self.predictions[start:stop].shape:
                self.predictions[start:stop] = stored
                return True
        return False

    def add(self, start, stop, predictions, seconds):
        write_npy(self._file(start, stop), predictions)
        self.predictions[start:stop] = predictions
        self.seconds += seconds
        self.missing.remove((start, stop))

    def write(self, facts):
        """Write the result, remove the chunks, let go of the predictions, return the Outcome."""
        run, tasks = self.run, self.run.tasks
        f1, statistics = run_statistics(self.predictions, tasks.query_labels, tasks.ways, run.head["class_groups"],
                                        tasks.support, tasks.query)
        data = {**run.head, "f1": f1.tolist(), "statistics": statistics, "predictions": self.predictions,
                "queries": tasks.query, "query_labels": tasks.query_labels, "supports": tasks.support}
        meta = {**facts, "device": run.job.device, "seconds": round(self.seconds, 3),
                "tasks_kept_from_earlier": self.kept}
        path = run.settings.result_file
        write_result(path, data, meta)
        remove_chunks(path)
        self.predictions = None
        return Outcome(run.settings, path, False)


def _scored(boards, workers, backend, scheduler):
    """Yield (result file, chunk, predictions, seconds) of every missing chunk, in the order in which they are done.

    Runs of one model go side by side: a worker holds the features and the dictionary of one model at a time.
    """
    ordered = sorted(boards.values(), key=lambda board: (board.run.settings.task, board.run.settings.model))
    jobs = [(board, chunk) for board in ordered for chunk in board.missing]
    workers = min(workers, len(jobs))
    parent = os.getpid() if backend == "loky" and workers > 1 else None
    calls = (joblib.delayed(_timed)(board.run.settings.result_file, board.run.job, chunk, parent)
             for board, chunk in jobs)
    return _results_of(calls, workers, backend, scheduler) if jobs else ()


def _timed(path, job, chunk, parent=None):
    """In a worker: one chunk, with one BLAS thread, so that neither speed nor rounding depends on the neighbours."""
    if parent is not None:
        _end_with(parent)
    begin = time.perf_counter()
    with threadpool_limits(1):
        predictions = score_chunk(job, *chunk)
    return path, chunk, predictions, time.perf_counter() - begin


@functools.cache
def _end_with(parent):
    """End this process when its parent does: killed by force, that cannot tell its workers to stop."""
    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()


def _results_of(calls, workers, backend, scheduler):
    """Yield the results of joblib calls in the order in which they come."""
    if backend == "loky" and workers <= 1:
        yield from (function(*args) for function, args, _ in calls)
        return
    # loky starts a worker anew when its memory grows, as it does with the first dictionary; nothing is lost
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    with _cluster(backend, scheduler) if backend == "dask" else joblib.parallel_config("loky"):
        n_jobs = -1 if backend == "dask" else workers
        pool = joblib.Parallel(n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="3*n_jobs")
        try:
            yield from pool(calls)
        except TerminatedWorkerError:
            raise UserError("a worker process was killed, perhaps for want of memory; finished work is kept: run the "
                            "same command again, with fewer --num_threads") from None


@contextlib.contextmanager
def _cluster(backend, scheduler):
    """joblib's workers are those of the Dask cluster at address `scheduler`."""
    try:
        from distributed import Client
    except ImportError:
        raise UserError("--backend dask needs the package dask[distributed]: pip install 'dask[distributed]'") from None
    if not scheduler:
        raise UserError("--backend dask needs --scheduler ADDRESS, as tcp://host:8786")
    try:
        client = Client(scheduler, timeout=20)
    except (OSError, ValueError) as error:
        raise UserError(f"--scheduler {scheduler}: no Dask scheduler answers there ({error})") from None
    with client, joblib.parallel_config(backend, client=client):
        yield


def worker_count(num_threads):
    """Processes for `--num_threads`: as many, but not more than this machine has cores (published default: 48)."""
    if num_threads < 1:
        raise UserError(f"--num_threads {num_threads}: give a whole number from 1")
    return min(num_threads, joblib.cpu_count())


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return sys.modules[name].__version__ if name in sys.modules else None
