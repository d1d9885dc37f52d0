"""Score a chunk of tasks: rows in, predicted labels out.

A `Job` holds paths and settings only, so that it travels to any worker; each process opens a file once and keeps it,
memory-mapped, for all chunks of all runs.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.features import load_views
from lowshot.dictionary import load_dictionary
from lowshot.latent_aug import LatentAugmentation
from lowshot.resampling import load_design, resample
from lowshot.solvers import predict
from lowshot.statistics import f1_scores, group_scores

CHUNK_TASKS = 50            # tasks a chunk, at most
CHUNK_BYTES = 64 * 2 ** 20  # support features a chunk, at most (one task at least)


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know of one run. Paths are absolute; beside each stands the hash of what is in it, so
    that a process that keeps files open never takes an old one for a new one."""
    tasks: tuple            # (path, hash)
    support_features: tuple
    query_features: tuple
    mode: str
    clf: str
    solver: str
    device: str
    setting: str            # with seed and task number, names the draws of latent augmentation
    seed: int = 0
    aug_times: int = 0      # views of a support tile, the original included; 0 and 1: the original alone
    views: tuple = ()       # (folder, prefix) of the augmented views
    dictionary: tuple = ()  # (folder, prefix, K, hash)
    num_aug_shots: int = 1
    latent: str = "sampled"
    design: tuple = ()      # (path, hash) of the resamples of the open interval


def chunk_bounds(num_tasks, supports, dim):
    """[(start, stop), …] of the chunks; they depend on the run alone, never on the workers.

    supports: support features a task, views counted. dim: their width.
    """
    size = max(1, min(CHUNK_TASKS, CHUNK_BYTES // (supports * dim * 4)))
    return [(start, min(start + size, num_tasks)) for start in range(0, num_tasks, size)]


def score_chunk(job, start, stop):
    """Predicted labels of the tasks start … stop − 1: (stop − start, Q) int16."""
    tasks = _tasks(*job.tasks)
    return _predicted(job, tasks["support"][start:stop], tasks["query"][start:stop], tasks["support_labels"],
                      job.setting, np.arange(start, stop))


def _predicted(job, support, query, labels, setting, numbers):
    """(t, Q) int16 of tasks given as rows, support (t, n) and query (t, Q). setting, numbers (t,): name the draws."""
    features = _features(*job.support_features)[support]  # (t, n, D)
    if job.aug_times > 1:
        features = with_views(features, support, job)
        labels = np.repeat(labels, job.aug_times)
    predicted = predict(job.clf, features, labels, _features(*job.query_features)[query], solver=job.solver,
                        device=job.device, augmentation=_augmentation(job), setting=setting, task_numbers=numbers)
    return predicted.astype(np.int16)


def score_resample(job, number):
    """Figures of resample `number` of the open interval: [mean macro F1 of its tasks, means of `group_scores` in their
    order …, how often it was drawn again], float64."""
    design = _design(*job.design)
    support, query, again = resample(design, number)
    rules = design.rules
    ways, setting = len(rules.classes), f"{job.setting}/open/{number}"
    labels, query_labels = (np.repeat(np.arange(ways), count) for count in (rules.shots, rules.queries))
    dim = _features(*job.support_features).shape[1]
    predicted = np.concatenate([
        _predicted(job, support[start:stop], query[start:stop], labels, setting, np.arange(start, stop))
        for start, stop in chunk_bounds(len(support), support.shape[1] * max(1, job.aug_times), dim)])
    f1 = f1_scores(query_labels, predicted, ways)
    groups = group_scores(f1, rules.class_groups)
    return np.array([f1.mean(), *(scores.mean() for scores in groups.values()), again])


def with_views(features, rows, job):
    """Support features and their augmented views, tile by tile: (t, n, D), (t, n) -> (t, n·aug_times, D).

    The original is the first view; augmented view k of the store is view k + 1.
    """
    t, n, dim = features.shape
    unique, where = np.unique(rows, return_inverse=True)
    views = np.empty((t, n, job.aug_times, dim), dtype=np.float32)
    views[:, :, 0] = features
    for view in range(1, job.aug_times):
        views[:, :, view] = load_views(*job.views, view - 1, unique)[where.reshape(t, n)]
    return views.reshape(t, n * job.aug_times, dim)


@functools.lru_cache(maxsize=8)
def _tasks(path, identity):
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in ("support", "query", "support_labels")}


@functools.lru_cache(maxsize=2)
def _design(path, identity):
    return load_design(Path(path))


@functools.lru_cache(maxsize=4)
def _features(path, sha256):
    return np.load(path, mmap_mode="r", allow_pickle=False).astype(np.float32, copy=False)


@functools.lru_cache(maxsize=1)
def _dictionary(folder, prefix, num_prototypes, identity):
    return load_dictionary(folder, prefix, num_prototypes)


@functools.lru_cache(maxsize=1)
def _augmentation(job):
    if job.mode != "latent_aug":
        return None
    return LatentAugmentation(_dictionary(*job.dictionary), job.num_aug_shots, job.latent, job.seed)
