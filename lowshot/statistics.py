"""Statistics of one run: F1 of every class in every task, and what is said about all tasks together.

Figures are fractions 0 … 1. Every interval here is *closed*: Student's t over tasks, which speaks of further tasks from
the same images, not of new data. Comparisons between runs are in `lowshot.comparison`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

QUANTILES = (5, 25, 50, 75, 95)


def confusion(truth: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Confusion matrices of all tasks at once.

    truth: (Q,) or (T, Q) ints; predictions: (T, Q) ints; both in [0, num_classes).
    Returns (T, num_classes, num_classes) int64: [task, true class, predicted class].
    """
    predictions = np.asarray(predictions, dtype=np.int64)
    truth = np.broadcast_to(np.asarray(truth, dtype=np.int64), predictions.shape)
    for name, labels in (("truth", truth), ("predictions", predictions)):
        if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(f"{name} outside the classes 0 … {num_classes - 1}")
    tasks = np.arange(len(predictions))[:, None]
    cells = (tasks * num_classes + truth) * num_classes + predictions
    counts = np.bincount(cells.ravel(), minlength=len(predictions) * num_classes ** 2)
    return counts.reshape(-1, num_classes, num_classes)


def f1_scores(truth: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """F1 of each class in each task: 2 tp / (2 tp + fp + fn), and 0 for a class neither present nor predicted.

    Equals scikit-learn's `f1_score(average=None, labels=range(num_classes), zero_division=0)` task by task.
    Arguments as in `confusion`; returns (T, num_classes) float64.
    """
    return f1_of_confusion(confusion(truth, predictions, num_classes))


def f1_of_confusion(counts: np.ndarray) -> np.ndarray:
    """counts: (…, C, C) as from `confusion`; returns (…, C) float64."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    both = counts.sum(-1) + counts.sum(-2)  # present + predicted = 2 tp + fp + fn
    return np.divide(2.0 * hits, both, out=np.zeros(hits.shape), where=both > 0)


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that a task holds. counts: (T, C, C); returns (T,) float64."""
    present = counts.sum(-1)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    recall = np.divide(hits, present, out=np.full(hits.shape, np.nan), where=present > 0)
    return np.nanmean(recall, axis=-1)


def t_interval(scores: np.ndarray, confidence: float = 0.95) -> Any:
    """Mean over tasks (axis 0) and half-width t_{(1 + confidence)/2, T−1} · s / √T.

    The half-width is NaN for a single task: one figure has no spread.
    """
    scores = np.asarray(scores, dtype=np.float64)
    count = len(scores)
    if count < 2:
        return scores.mean(0), np.full(scores.shape[1:], np.nan)[()]
    half = stats.t.ppf((1 + confidence) / 2, count - 1) * scores.std(0, ddof=1) / np.sqrt(count)
    return scores.mean(0), half


def harmonic_mean(parts: np.ndarray, axis: int = -1) -> Any:
    """Harmonic mean of figures >= 0; 0 where one of them is 0."""
    parts = np.asarray(parts, dtype=np.float64)
    zero = (parts == 0).any(axis)
    inverse = (1.0 / np.where(parts == 0, 1.0, parts)).mean(axis)
    return np.where(zero, 0.0, 1.0 / inverse)[()]


def group_scores(f1: np.ndarray, class_groups: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """Mean F1 of each group of classes in each task.

    f1: (T, C). class_groups: name -> class numbers. Returns dict of name -> (T,), with 'harmonic_mean' of all
    groups, task by task, added where there are two groups or more; {} without groups.
    """
    scores = {name: f1[:, list(classes)].mean(1) for name, classes in class_groups.items()}
    if len(scores) > 1:
        scores["harmonic_mean"] = harmonic_mean(np.stack(list(scores.values())), axis=0)
    return scores


def summary(scores: np.ndarray) -> dict:
    """What is kept of one figure per task. scores: (T,). Returns dict: mean, sd, ci95 (half-width), quantiles;
    sd and ci95 are None for a single task."""
    mean, half = t_interval(scores)
    quantiles = np.percentile(scores, QUANTILES)
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return {"mean": float(mean), "sd": spread, "ci95": None if np.isnan(half) else float(half),
            "quantiles": {str(q): float(value) for q, value in zip(QUANTILES, quantiles, strict=True)}}


def published_block(f1: np.ndarray) -> list[tuple[float, float]]:
    """The figures of the published print-out: (mean, 95 % half-width) of each class, then of the last line.

    Half-widths are Student's t over tasks (`t_interval`). The last line averages the class means and *the class half-
    widths*; it is not the interval of the macro F1. f1: (T, C). Returns list of C + 1 pairs of fractions; half-widths
    are NaN for a single task.
    """
    means, halves = t_interval(f1)
    return [*zip(means.tolist(), halves.tolist(), strict=True), (float(np.mean(means)), float(np.mean(halves)))]


def run_statistics(predictions: np.ndarray, query_labels: np.ndarray, num_classes: int,
                   class_groups: Mapping[str, Sequence[int]], supports: np.ndarray,
                   queries: np.ndarray) -> tuple[np.ndarray, dict]:
    """All statistics of one run, ready for JSON.

    predictions: (T, Q) ints; query_labels: (Q,); supports (T, n) and queries (T, Q): rows of the feature stores.
    Returns (f1 (T, num_classes) float64, dict). Keys of the dict: num_tasks, confidence, class_f1 (list of
    `summary`, in label order), macro_f1, accuracy, balanced_accuracy, groups (name -> summary, 'harmonic_mean'
    among them, of each task and then summarised), harmonic_mean_of_means (of the groups' means over tasks, as the paper
    computes it; None with fewer than two groups), published_last_line (mean, mean_of_class_half_widths), confusion
    (summed over tasks),
    distinct_support, distinct_query.
    """
    counts = confusion(query_labels, predictions, num_classes)
    f1 = f1_of_confusion(counts)
    mean, half = published_block(f1)[-1]
    means = [f1[:, list(classes)].mean() for classes in class_groups.values()]
    accuracy = np.diagonal(counts, axis1=1, axis2=2).sum(1) / counts.sum((1, 2))
    return f1, {
        "num_tasks": len(f1), "confidence": 0.95,
        "class_f1": [summary(column) for column in f1.T],
        "macro_f1": summary(f1.mean(1)),
        "accuracy": summary(accuracy),
        "balanced_accuracy": summary(balanced_accuracy(counts)),
        "groups": {name: summary(scores) for name, scores in group_scores(f1, class_groups).items()},
        "harmonic_mean_of_means": float(harmonic_mean(np.array(means))) if len(means) > 1 else None,
        "published_last_line": {"mean": mean, "mean_of_class_half_widths": None if np.isnan(half) else half},
        "confusion": counts.sum(0).tolist(),
        "distinct_support": int(np.unique(supports).size), "distinct_query": int(np.unique(queries).size)}
