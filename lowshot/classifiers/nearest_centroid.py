"""NearestCentroid of scikit-learn, Euclidean: the class whose mean support is nearest; a tie goes to the first class.

|q − c|² = |q|² − 2 q·c + |c|²; |q|² is the same for every class. With m the mean of the centroids and d = c − m, what
differs between classes is |d|² − 2 (q − m)·d: centroids of a common offset cancel before they are multiplied. The
score of a class is the negative of it, so that score differences are those of −|q − c|².
"""

from typing import TYPE_CHECKING

import numpy as np
from sklearn.neighbors import NearestCentroid

from lowshot.classifiers import Classifier, register
from lowshot.solvers.augmented import AugmentedRows
from lowshot.solvers.planes import Planes
from lowshot.solvers.shift_space import shift_space

if TYPE_CHECKING:
    from lowshot.augmentations.latent_aug import LatentShifts


def batched(support: np.ndarray, labels: np.ndarray, ways: int) -> Planes:
    """Planes of T tasks. support (T, n, D); labels (T, n) in [0, ways)."""
    member = one_hot(labels, ways)                                                    # (T, ways, n)
    centroids = member @ support.astype(np.float64) / member.sum(axis=2, keepdims=True)  # (T, ways, D)
    return nearest(centroids)


def expected(support: np.ndarray, labels: np.ndarray, ways: int, augmentation: "LatentShifts") -> Planes:
    """As `batched`: shifts have mean 0, so the expected mean of a support's A features is the support itself, and
    latent augmentation, which adds noise to the centroids, adds nothing in the limit of many draws."""
    return batched(support, labels, ways)


def sampled(support: np.ndarray, labels: np.ndarray, ways: int, draws: np.ndarray,
            augmentation: "LatentShifts") -> Planes:
    """Planes of one task: support (n, D), labels (n,), draws (n, A−1)."""
    space = shift_space(augmentation.dictionary)
    rows = AugmentedRows.of_task(support, augmentation.nearest(support), draws, space)
    member = np.repeat(one_hot(labels, ways)[:, :, None], rows.n_aug, axis=2)          # (ways, n, A)
    sums = rows.backward(member.astype(np.float32))[:, :-1].astype(np.float64)
    centroids = sums / member.sum(axis=(1, 2))[:, None]
    centroids = centroids @ rows.basis.T + rows.centre
    return nearest(centroids)


def nearest(centroids: np.ndarray) -> Planes:
    """Planes whose classes are the nearest of centroids (…, ways, D) float64."""
    centre = centroids.mean(axis=-2, keepdims=True)
    apart = centroids - centre
    own = ((apart + 2 * centre) * apart).sum(axis=-1)                                  # (…, ways) |d|² + 2 m·d
    return Planes(2 * np.swapaxes(apart, -1, -2), -own)


def one_hot(labels: np.ndarray, ways: int) -> np.ndarray:
    """(…, ways, n) float64 of labels (…, n)."""
    return (labels[..., None, :] == np.arange(ways)[:, None]).astype(np.float64)


def _on_device():
    from lowshot.solvers import many  # here, not above: it imports PyTorch
    return many.nearest_centroid


register(Classifier("nearest_centroid", NearestCentroid(), label="Nearest centroid", short="NC", batched=batched,
                    sampled=sampled, expected=expected, on_device=_on_device))
