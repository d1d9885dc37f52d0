"""Classifiers of meta-testing, many tasks at once: `predict`.

    centroid, ridge, logistic   one classifier each; linear, and with latent augmentation
    augmented, shift_space      the augmented features of one task, without ever writing them all down
    many                        sampled augmentation of many tasks at once, on a GPU
    descent                     minimisers of logistic regression and of least squares
    reference                   the published scikit-learn estimators, one task at a time
"""

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from lowshot.solvers import centroid, logistic, reference, ridge
from lowshot.solvers.device import choose_device

CLASSIFIERS = {
    "Ridge": ridge,
    "logistic_regression": logistic,
    "nearest_centroid": centroid,
}
SOLVERS = ("batched", "sklearn")
LARGEST = 1e15  # level of a feature up to which sums of its squares keep to float32, as latent augmentation does
BLOCK_BYTES = 2**23  # float64 supports and queries worked on at once: what a cache holds


def predict(clf, support, labels, query, *, solver="batched", device="cpu", augmentation=None, setting="",
            task_numbers=None):
    """Predicted labels (T, q) int64 of T tasks.

    clf: 'Ridge', 'logistic_regression' or 'nearest_centroid', scikit-learn's with the published settings.
    support: (T, n, D) float32; labels: (n,) or (T, n) ints, any values, at least two; query: (T, q, D) float32.
    solver: 'batched' or 'sklearn' (the published estimators, one task at a time).
    device: 'cpu', 'cuda' or 'auto'; sampled latent augmentation runs there, many tasks at once, the rest is small.
    augmentation: LatentAugmentation or None; its draws are keyed by `setting` and `task_numbers` (T,), by default
    0 … T−1.

    On the CPU the predictions of a task do not depend, to the last bit, on the tasks that share its call.
    UserError: unknown names, shapes that disagree, fewer than two classes, numbers that are not finite.
    """
    support, query = np.asarray(support), np.asarray(query)
    numbers = np.arange(len(support)) if task_numbers is None else np.asarray(task_numbers)
    _check_names(clf, solver, augmentation)
    labels = _check_arrays(support, np.asarray(labels), query, numbers)
    if augmentation is not None and solver == "batched":
        _check_size(support, query, augmentation.dictionary.prototypes)
    if len(support) == 0:
        return np.empty(query.shape[:2], dtype=np.int64)
    if solver == "sklearn":
        return reference.predict(clf, support, labels, query, augmentation, setting, numbers)
    device = choose_device(device)
    fit = _method(clf, augmentation, setting, device)
    predicted = np.empty(query.shape[:2], dtype=np.int64)
    step = max(1, BLOCK_BYTES // (8 * support.shape[2] * (support.shape[1] + query.shape[1])))
    if device != "cpu":
        step = len(support)  # many.sampled cuts blocks of its own
    for classes, members in _alike(labels):
        for start in range(0, len(members), step):
            rows = _span(members[start:start + step])
            coded = np.searchsorted(classes, labels[rows])  # (t, n) in [0, ways)
            try:
                predicted[rows] = classes[fit(support[rows], coded, len(classes), query[rows], numbers[rows])]
            except np.linalg.LinAlgError:
                raise UserError(f"{clf}: the features are too large, or too uneven, for the batched solver; scale them "
                                "to unit length, or use --solver sklearn") from None
    return predicted


def _method(clf, augmentation, setting, device):
    """Function of a block of tasks, (support, labels in [0, ways), ways, query, numbers) → classes (t, q)."""
    classifier = CLASSIFIERS[clf]
    if augmentation is None or augmentation.num_aug_shots == 1:
        return lambda support, labels, ways, query, numbers: classifier.linear(support, labels, ways, query)
    if augmentation.kind == "expected":
        return lambda support, labels, ways, query, numbers: classifier.expected(support, labels, ways, query,
                                                                                 augmentation)

    def sampled(support, labels, ways, query, numbers):
        draws = (augmentation.draws(setting, number, support.shape[1]) for number in numbers)
        if device != "cpu":
            from lowshot.solvers import many  # here, not above: the few-shot half runs without PyTorch
            return many.sampled(clf, support, labels, ways, query, np.array(list(draws)), augmentation,
                                device.removeprefix("torch-"))
        return np.array([classifier.sampled(z, y, ways, q, drawn, augmentation)
                         for z, y, q, drawn in zip(support, labels, query, draws, strict=True)])
    return sampled


def _alike(labels):
    """(classes, task numbers) of tasks with the same classes; labels (T, n)."""
    equal, alike = {}, {}
    for task, row in enumerate(labels):
        equal.setdefault(row.tobytes(), []).append(task)
    for members in equal.values():
        alike.setdefault(tuple(np.unique(labels[members[0]])), []).extend(members)
    return [(np.array(classes), np.sort(members)) for classes, members in alike.items()]


def _span(numbers):
    """Ascending numbers as an index: a slice, which copies nothing, where none is left out."""
    first, last = numbers[0], numbers[-1]
    return slice(first, last + 1) if last - first == len(numbers) - 1 else numbers


def _check_names(clf, solver, augmentation):
    if clf not in CLASSIFIERS:
        raise UserError(f"classifier {clf!r}: known are {', '.join(CLASSIFIERS)}")
    if solver not in SOLVERS:
        raise UserError(f"solver {solver!r}: known are {', '.join(SOLVERS)}")
    if augmentation is not None and augmentation.kind == "expected":
        if clf == "logistic_regression":
            raise UserError("expected latent augmentation has no closed form for logistic_regression; "
                            "use --latent sampled, or Ridge or nearest_centroid")
        if solver == "sklearn":
            raise UserError("expected latent augmentation has no scikit-learn form; "
                            "use --solver batched or --latent sampled")


def _check_size(*arrays):
    largest = max(np.abs(array).max(initial=0) for array in arrays)
    if largest > LARGEST:
        raise UserError(f"features reach {largest:.0e}, too large for latent augmentation, which works in float32; "
                        "scale them down, or use --solver sklearn")


def _check_arrays(support, labels, query, numbers):
    """Labels (T, n) int64."""
    if support.ndim != 3 or query.ndim != 3 or len(support) != len(query) or support.shape[2] != query.shape[2]:
        raise UserError(f"support {support.shape} and query {query.shape}: expected (tasks, rows, width), "
                        "with the same tasks and width")
    if labels.shape not in (support.shape[:2], support.shape[1:2]) or numbers.shape != support.shape[:1]:
        raise UserError(f"labels {labels.shape} or task numbers {numbers.shape} do not fit support {support.shape}")
    labels = np.broadcast_to(labels.astype(np.int64), support.shape[:2])
    if support.size and (labels == labels[:, :1]).all(axis=1).any():
        raise UserError("a task has supports of one class only; a classifier needs at least two")
    if not (np.isfinite(support).all() and np.isfinite(query).all()):
        raise UserError("features hold numbers that are not finite; extract them again")
    return labels
