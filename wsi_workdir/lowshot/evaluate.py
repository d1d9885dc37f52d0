"""Score a chunk of tasks: rows in, predicted labels out.

A `Job` holds paths and settings only, so that it travels to any worker; each process opens a file once and keeps it,
memory-mapped, for all chunks of all runs.
"""

import functools
from dataclasses import dataclass

import numpy as np

from lowshot.dictionary import load_dictionary
from lowshot.features import load_views
from lowshot.latent_aug import LatentAugmentation
from lowshot.solvers import predict

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


def chunk_bounds(num_tasks, supports, dim):
    """[(start, stop), …] of the chunks; they depend on the run alone, never on the workers.

    supports: support features a task, views counted. dim: their width.
    """
    size = max(1, min(CHUNK_TASKS, CHUNK_BYTES // (supports * dim * 4)))
    return [(start, min(start + size, num_tasks)) for start in range(0, num_tasks, size)]


def score_chunk(job, start, stop):
    """Predicted labels of the tasks start … stop − 1: (stop − start, Q) int16."""
    tasks = _tasks(*job.tasks)
    support, query = tasks["support"][start:stop], tasks["query"][start:stop]
    labels = tasks["support_labels"]
    features = _features(*job.support_features)[support]  # (t, n, D)
    if job.aug_times > 1:
        features = with_views(features, support, job)
        labels = np.repeat(labels, job.aug_times)
    predicted = predict(job.clf, features, labels, _features(*job.query_features)[query], solver=job.solver,
                        device=job.device, augmentation=_augmentation(job), setting=job.setting,
                        task_numbers=np.arange(start, stop))
    return predicted.astype(np.int16)


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
