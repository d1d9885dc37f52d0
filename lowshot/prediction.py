"""Predictions of many tasks at once: `predict`.

Where the classifier has a batched form it is used; any other scikit-learn classifier is fitted one task at a time.
"""

import contextlib
import functools
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone

from fewshot_wsi.foundation.device import choose_device
from fewshot_wsi.foundation.errors import InputError
from lowshot.augmentations.latent_aug import LatentShifts
from lowshot.classifiers import find_classifier
from lowshot.solvers.planes import Planes

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

SOLVERS = ("batched", "sklearn")
LARGEST = 1e15  # level of a feature up to which sums of its squares keep to float32, as latent augmentation does
BLOCK_BYTES = 2**23  # float64 supports and queries worked on at once: what a cache holds


def predict(classifier: Any, support: np.ndarray, labels: np.ndarray, query: np.ndarray, *, solver: str = "batched",
            device: str = "cpu", augmentation: Any = None, base: Any = None, classes: np.ndarray | None = None,
            setting: str = "", task_numbers: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """Predicted labels (T, q) int64 of T tasks.

    classifier: a name of `lowshot.classifiers`, or an unfitted scikit-learn classifier.
    support: (T, n, D) float32; labels: (n,) or (T, n) ints, any values, at least two; query: (T, q, D) float32.
    solver: 'batched', or 'sklearn' for one fit of the estimator a task in any case.
    device: 'cpu', 'cuda' or 'auto'; sampled latent augmentation runs there, many tasks at once, the rest is small.
    augmentation: LatentAugmentation(…).shifts(seed), or what another Augmentation makes, or None. Its draws are keyed
    by `setting` and `task_numbers` (T,), by default 0 … T−1.
    base: fitted BaseDictionary, for classifiers that look at the base features.
    classes: (C,) what an estimator gets to see instead of the labels 0 … C−1; None: the labels themselves.

    On the CPU the predictions of a task do not depend, to the last bit, on those that share its call.
    ValueError: unknown names, shapes that disagree, fewer than two classes, numbers that are not finite.
    """
    support, query = np.asarray(support), np.asarray(query)
    numbers = np.arange(len(support)) if task_numbers is None else np.asarray(task_numbers)
    classifier = find_classifier(classifier).fitted_to(getattr(base, "dictionary_", base))
    check_choices(classifier, solver, augmentation)
    labels = check_arrays(support, np.asarray(labels), query, numbers)
    form = form_of(classifier, solver, augmentation)
    if device != "auto" or form == "sampled":
        device = choose_device(device)
    if augmentation is not None and form != "estimator":
        check_size(support, query, augmentation.dictionary.prototypes)
    predicted = np.empty(query.shape[:2], dtype=np.int64)
    if form == "estimator":
        for row, (*arrays, number) in enumerate(zip(support, labels, query, numbers, strict=True)):
            predicted[row] = _task_classes(classifier, classes, *arrays, augmentation, setting, number)
        return predicted
    if form != "sampled" or classifier.on_device is None:
        device = "cpu"
    fit = functools.partial(_on_device if device != "cpu" else _on_cpu, classifier, form, augmentation, setting, device)
    step = max(1, BLOCK_BYTES // (8 * support.shape[2] * (support.shape[1] + query.shape[1])))
    if device != "cpu":
        step = max(1, len(support))  # many.sampled cuts blocks of its own
    for classes, members in _alike(labels):
        for start in range(0, len(members), step):
            rows = _span(members[start:start + step])
            coded = np.searchsorted(classes, labels[rows])  # (t, n) in [0, ways)
            predicted[rows] = classes[fit(support[rows], coded, len(classes), query[rows], numbers[rows])]
    return predicted


def _task_classes(classifier, classes, support, labels, query, *how):
    """Labels (q,) that the estimator predicts for one task, of those in `labels`."""
    numbers = np.unique(labels)
    shown = numbers if classes is None else np.asarray(classes)[numbers]
    found = predict_task(classifier.estimator, support, shown[np.searchsorted(numbers, labels)], query, *how)
    order = np.argsort(shown)
    places = order[np.searchsorted(shown[order], found).clip(max=len(shown) - 1)]
    if np.shape(found) != (len(query),) or np.any(shown[places] != found):
        raise InputError(f"{classifier.name} predicts what is none of the classes; is it a classifier?")
    return numbers[places]


def predict_task(estimator: "BaseEstimator", support: np.ndarray, labels: np.ndarray, query: np.ndarray,
                 augmentation: Any = None, setting: str = "", number: int = 0) -> np.ndarray:
    """Predictions (q,) of a fresh `estimator` fitted to one task: support (n, D), labels (n,), query (q, D)."""
    rows, labels = fit_rows(support, labels, augmentation, setting, number)
    with quiet_centroids():
        return clone(estimator).fit(rows, labels).predict(query)


def fit_rows(support: np.ndarray, labels: np.ndarray, augmentation: Any, setting: str,
             number: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows (m, D), labels (m,)) that an estimator is fitted to: the supports (n, D), each with its augmentations."""
    if augmentation is None:
        return support, labels
    rows = augmentation.augment(support, setting, number).reshape(-1, support.shape[1])
    return rows, np.repeat(labels, augmentation.n_aug)


@contextlib.contextmanager
def quiet_centroids() -> Iterator[None]:
    """One shot a class has no within-class variance: NearestCentroid says so at every fit and does not use it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="sklearn.neighbors._nearest_centroid")
        yield


def form_of(classifier: Any, solver: str, augmentation: Any) -> str:
    """Which form of a Classifier predicts: 'batched', 'sampled', 'expected' or 'estimator'."""
    if solver == "sklearn" or not (augmentation is None or isinstance(augmentation, LatentShifts)):
        return "estimator"
    form = "batched" if augmentation is None or augmentation.n_aug == 1 else augmentation.kind
    return "estimator" if getattr(classifier, form) is None else form


def fit_planes(classifier: Any, form: str, augmentation: Any, support: np.ndarray, labels: np.ndarray, ways: int,
               setting: str, numbers: np.ndarray) -> list[Planes]:
    """Planes of a block of tasks, in one object or one each: support (T, n, D), labels (T, n) in [0, ways), numbers
    (T,) of the tasks. form: of `form_of`, but not 'estimator'. ValueError: features that the form cannot work on."""
    with _within_range(classifier):
        if form == "batched":
            return [classifier.batched(support, labels, ways)]
        if form == "expected":
            return [classifier.expected(support, labels, ways, augmentation)]
        return [classifier.sampled(z, y, ways, augmentation.draws(setting, number, len(z)), augmentation)
                for z, y, number in zip(support, labels, numbers, strict=True)]


@contextlib.contextmanager
def _within_range(classifier):
    try:
        yield
    except np.linalg.LinAlgError:
        raise InputError(f"{classifier.name}: the features are too large, or too uneven, for the batched "
                         "solver; scale them to unit length, or use the solver 'sklearn'") from None


# A block of tasks: (…, support, labels in [0, ways), ways, query, numbers) → classes (T, q)

def _on_cpu(classifier, form, augmentation, setting, device, support, labels, ways, query, numbers):
    planes = fit_planes(classifier, form, augmentation, support, labels, ways, setting, numbers)
    if form != "sampled":
        return planes[0].classes(query)
    return np.array([one.classes(q) for one, q in zip(planes, query, strict=True)])


def _on_device(classifier, form, augmentation, setting, device, support, labels, ways, query, numbers):
    from lowshot.solvers import many  # here, not above: it imports PyTorch
    draws = np.array([augmentation.draws(setting, number, support.shape[1]) for number in numbers])
    with _within_range(classifier):
        return many.sampled(classifier.on_device(), support, labels, ways, query, draws, augmentation,
                            device.removeprefix("torch-"))


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


def check_choices(classifier: Any, solver: str, augmentation: Any) -> None:
    """ValueError: no such solver, or expected augmentation where there is no form of it."""
    if solver not in SOLVERS:
        raise InputError(f"solver {solver!r}: known are {', '.join(SOLVERS)}")
    if isinstance(augmentation, LatentShifts) and augmentation.kind == "expected":
        if classifier.expected is None:
            raise InputError(f"expected latent augmentation has no closed form for {classifier.name}; use the sampled")
        if solver == "sklearn":
            raise InputError("expected latent augmentation has no scikit-learn form; use the solver 'batched', or "
                            "sampled augmentation")


def check_size(*arrays: np.ndarray) -> None:
    """ValueError: features too large for latent augmentation."""
    largest = max(np.abs(array).max(initial=0) for array in arrays)
    if largest > LARGEST:
        raise InputError(f"features reach {largest:.0e}, too large for latent augmentation, which works in float32; "
                        "scale them down, or use the solver 'sklearn'")


def check_arrays(support: np.ndarray, labels: np.ndarray, query: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Labels (T, n) int64. ValueError: shapes that disagree, one class only, numbers that are not finite."""
    if support.ndim != 3 or query.ndim != 3 or len(support) != len(query) or support.shape[2] != query.shape[2]:
        raise InputError(f"support {support.shape} and query {query.shape}: expected (tasks, rows, width), "
                        "with the same tasks and width")
    if labels.shape not in (support.shape[:2], support.shape[1:2]) or numbers.shape != support.shape[:1]:
        raise InputError(f"labels {labels.shape} or task numbers {numbers.shape} do not fit support {support.shape}")
    if labels.dtype.kind not in "iubf" or not np.array_equal(labels, labels.astype(np.int64)):
        raise InputError(f"labels are {labels.dtype}; expected whole numbers")
    labels = np.broadcast_to(labels.astype(np.int64), support.shape[:2])
    if support.size and (labels == labels[:, :1]).all(axis=1).any():
        raise InputError("a task has supports of one class only; a classifier needs at least two")
    if not (np.isfinite(support).all() and np.isfinite(query).all()):
        raise InputError("features hold numbers that are not finite; extract them again")
    return labels
