"""Many runs on many workers, and one result whatever their number.

Every run is cut into pieces: chunks of tasks, and resamples where its open interval is a bootstrap (see
`unfinished`). The cuts depend on the run alone. Pieces go to workers through joblib (processes
of this machine, or a Dask cluster), come back in any order, and are kept in a hidden folder beside the result, named by
a hash of all that decides the run. So a run that was killed continues with the pieces that are missing, and a change of
any input starts a new folder. With the last piece the result is written and the folder removed.
"""

import contextlib
import datetime
import functools
import logging
import os
import platform
import resource
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import threadpool_limits

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.foundation.progress import bar
from fewshot_wsi.meta_test.cluster import cluster, versions
from fewshot_wsi.meta_test.inputs import Inputs
from fewshot_wsi.meta_test.settings import RunSettings
from fewshot_wsi.meta_test.unfinished import UnfinishedRun, is_done, score_piece

logger = logging.getLogger(__name__)

BACKENDS = ("loky", "dask")


@dataclass(frozen=True)
class RunOutcome:
    """What became of one run: its result file, and whether it was there already."""
    settings: RunSettings
    path: Path
    kept: bool


def run_all(settings, *, workers=1, backend="loky", scheduler=None, quiet=False, on_done=None):
    """Do every run whose result is not there yet; returns a list of RunOutcome in the order of `settings`.

    settings: list of RunSettings. workers: processes on this machine (`loky`); a Dask cluster uses what it has.
    on_done: called with each RunOutcome as soon as its result is written. All inputs are checked before the first run.
    """
    if backend not in BACKENDS:
        raise UserError(f"--backend {backend!r}: known are {', '.join(BACKENDS)}")
    inputs, report = Inputs(), on_done or (lambda outcome: None)
    runs = [inputs.prepare(one) for one in settings]
    with contextlib.ExitStack() as held:
        locks = _lock([run.settings.result_file for run in runs if not is_done(run)], held)
        return _run_locked(runs, locks, report, workers, backend, scheduler, quiet)


def _lock(paths, held):
    """{path: ExitStack that holds its lock}, in the same order in every process, so that none waits for another."""
    locks = {}
    _allow_open_files(len(paths))
    for path in sorted(set(paths)):
        locks[path] = held.enter_context(contextlib.ExitStack())
        locks[path].enter_context(locked(path))
    return locks


def _allow_open_files(count):
    """Raise the limit of open files so that `count` more are below it, as far as the machine permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 512  # of the workers, memory maps and pipes
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _run_locked(runs, locks, report, workers, backend, scheduler, quiet):
    unfinished = {}
    for run in runs:
        path = run.settings.result_file
        if path not in locks or is_done(run):  # another command may have made it while this one waited
            report(RunOutcome(run.settings, path, True))
        elif path not in unfinished:
            unfinished[path] = UnfinishedRun(run)
    _say_cost(unfinished.values())
    facts = _facts(workers if backend == "loky" else None, backend)
    done, total = (sum(getattr(one, name) for one in unfinished.values()) for name in ("kept", "tasks"))
    title = "meta-test" if len(unfinished) == 1 else f"{len(unfinished)} runs"

    def finish(one):
        one.write(facts)
        locks[one.run.settings.result_file].close()
        report(RunOutcome(one.run.settings, one.run.settings.result_file, False))

    with bar(desc=title, total=total, initial=done, unit="tasks", quiet=quiet or not unfinished) as shown:
        for one in unfinished.values():
            one.prepare()
            if not one.missing:
                finish(one)
        for path, piece, values, seconds in _scored(unfinished.values(), workers, backend, scheduler):
            one = unfinished[path]
            one.add(piece, values, seconds)
            shown.update(one.size(piece))
            if not one.missing:
                finish(one)
    return [RunOutcome(run.settings, run.settings.result_file, run.settings.result_file not in unfinished)
            for run in runs]


def _facts(workers, backend):
    """What the `.meta.json` says about this call."""
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"started": started, "host": platform.node(), "workers": workers, "backend": backend,
            "versions": versions()}


def _say_cost(unfinished):
    """What bootstraps add, before the first task is scored."""
    runs = [one for one in unfinished if one.run.design is not None]
    if runs:
        own, more = sum(one.run.tasks.num_tasks for one in runs), sum(one.tasks for one in runs)
        logger.warning(f"--open bootstrap scores {more - own:,} tasks of resampled data besides the {own:,} of "
                       f"{len(runs)} run{'s' * (len(runs) > 1)}: it takes about {round(more / own):,} times as long")


def _scored(unfinished, workers, backend, scheduler):
    """Yield (result file, piece, values, seconds) of every missing piece, in the order in which they are done.

    Runs of one model go side by side: a worker holds the features and the dictionary of one model at a time. What runs
    on a GPU stays in this process, meanwhile the workers do the rest: one copy of a shift bank on the device is enough.
    """
    ordered = sorted(unfinished, key=lambda one: (one.run.settings.task, one.run.settings.model))
    jobs = [(one.run, piece) for one in ordered for piece in one.missing]
    here = [(run, piece) for run, piece in jobs if backend == "loky" and run.job.device != "cpu"]
    there = [(run, piece) for run, piece in jobs if backend != "loky" or run.job.device == "cpu"]
    workers = min(workers, len(there))
    parent = os.getpid() if backend == "loky" and workers > 1 else None
    calls = (joblib.delayed(_timed)(run.settings.result_file, run.job, piece, parent) for run, piece in there)
    own = (_timed(run.settings.result_file, run.job, piece) for run, piece in here)
    return _results_of(calls, own, workers, backend, scheduler) if jobs else ()


def _timed(path, job, piece, parent=None):
    """In a worker: one piece, with one BLAS thread, so that neither speed nor rounding depends on the neighbours."""
    if parent is not None:
        _end_with(parent)
    begin = time.perf_counter()
    with threadpool_limits(1):
        values = score_piece(job, piece)
    return path, piece, values, time.perf_counter() - begin


@functools.cache
def _end_with(parent):
    """End this process when its parent does: killed by force, the parent cannot stop its workers."""
    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()


def _results_of(calls, own, workers, backend, scheduler):
    """Yield the results of joblib calls in the order in which they come, and `own`, results made in this process."""
    if backend == "loky" and workers <= 1:
        yield from own
        yield from (function(*args) for function, args, _ in calls)
        return
    # loky starts a worker anew when its memory grows, as it does with the first dictionary; nothing is lost
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    with cluster(scheduler) if backend == "dask" else joblib.parallel_config("loky"):
        n_jobs = -1 if backend == "dask" else workers
        pool = joblib.Parallel(n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="3*n_jobs")
        try:
            running = pool(calls)
            yield from own
            yield from running
        except TerminatedWorkerError:
            raise UserError("a worker process was killed, perhaps for want of memory; finished work is kept: run the "
                            "same command again, with fewer worker processes") from None


def worker_count(num_threads):
    """Processes for `--num_threads`: as many, but not more than this machine has cores (published default: 48)."""
    if num_threads < 1:
        raise UserError(f"--num_threads {num_threads}: give a whole number from 1")
    return min(num_threads, joblib.cpu_count())
