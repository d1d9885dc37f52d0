"""Score a chunk of tasks: rows in, predicted labels out.

An `EvaluationJob` holds paths and settings only, so that it travels to any worker; each process opens a file once and
keeps it, memory-mapped, for all chunks of all runs.
"""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.features import load_views
from lowshot.augmentations import augmentations
from lowshot.classifiers import Classifier
from lowshot.dictionary import load_dictionary
from lowshot.evaluation import chunk_bounds, predict_tasks
from lowshot.resampling import load_design, resample
from lowshot.statistics import f1_scores, group_scores
from lowshot.tasks import load_tasks, make_task_set


@dataclass(frozen=True)
class EvaluationJob:
    """All that a worker needs to know of one run. Paths are absolute; beside each stands the hash of what is in it, so
    that a process that keeps files open never takes an old one for a new one."""
    tasks: tuple            # (path, hash)
    support_features: tuple
    query_features: tuple
    mode: str
    classifier: Classifier
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


def score_chunk(job, start, stop):
    """Predicted labels of the tasks start … stop − 1: (stop − start, Q) int16."""
    tasks = replace(_tasks(*job.tasks), meta={"seed": job.seed, "setting": job.setting})
    return _predicted(job, tasks, start, stop)


def _predicted(job, tasks, start, stop):
    dictionary = _dictionary(*job.dictionary) if job.dictionary else None
    make = augmentations()[job.mode].make if job.mode != "linear" else lambda *_: None
    augmentation = make(dictionary, job.num_aug_shots, job.latent, job.seed)
    views = [StoredView(*job.views, number) for number in range(job.aug_times - 1)]
    support, query = _features(*job.support_features), _features(*job.query_features)
    return predict_tasks(job.classifier, support, tasks, query, start, stop, views=views, augmentation=augmentation,
                         base=dictionary, solver=job.solver, device=job.device).astype(np.int16)


def score_resample(job, number):
    """Figures of resample `number` of the open interval: [mean macro F1 of its tasks, means of `group_scores` in their
    order …, how often it was sampled again], float64."""
    design = _design(*job.design)
    support, query, again = resample(design, number)
    ways = len(design.rules.classes)
    tasks = make_task_set(support, query, ways, {"seed": job.seed, "setting": f"{job.setting}/open/{number}"})
    dim = _features(*job.support_features).shape[1]
    predicted = np.concatenate([_predicted(job, tasks, start, stop) for start, stop in chunk_bounds(
        len(support), support.shape[1] * max(1, job.aug_times), dim)])
    f1 = f1_scores(tasks.query_labels, predicted, ways)
    groups = group_scores(f1, design.rules.class_groups)
    return np.array([f1.mean(), *(scores.mean() for scores in groups.values()), again])


@dataclass(frozen=True)
class StoredView:
    """One augmented view of the store, read row by row."""
    folder: str
    prefix: str
    number: int

    def __getitem__(self, rows):
        return load_views(self.folder, self.prefix, self.number, rows)


@functools.lru_cache(maxsize=8)
def _tasks(path, identity):
    return load_tasks(path)


@functools.lru_cache(maxsize=2)
def _design(path, identity):
    return load_design(Path(path))


@functools.lru_cache(maxsize=4)
def _features(path, sha256):
    features = np.load(path, mmap_mode="r", allow_pickle=False)
    return features if features.dtype == np.float16 else features.astype(np.float32, copy=False)


@functools.lru_cache(maxsize=1)
def _dictionary(folder, prefix, num_prototypes, identity):
    return load_dictionary(folder, prefix, num_prototypes)
