"""RidgeClassifier of scikit-learn: least squares on ±1 targets, penalty |w|², free intercept, largest score wins.

With X and Y centred on their means over the rows, W minimises |XW − Y|² + |W|²:
    primal (D × D)  (XᵀX + I) W = XᵀY           where there are more rows than columns,
    dual   (n × n)  W = Xᵀα, (XXᵀ + I) α = Y    where there are fewer.
scores = (q − x̄)·W + ȳ. With two classes scikit-learn fits one column; the two columns here are its negative and itself.
"""

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import blas, lapack
from sklearn.linear_model import RidgeClassifier

from lowshot.classifiers import Classifier, register
from lowshot.classifiers.nearest_centroid import one_hot
from lowshot.solvers.augmented import AugmentedRows
from lowshot.solvers.descent import conjugate_gradients
from lowshot.solvers.planes import Planes
from lowshot.solvers.shift_space import shift_space

if TYPE_CHECKING:
    from lowshot.augmentations.latent_aug import LatentShifts

# Total variance, summed over rows, up to which float32 factors keep the needed digits: it bounds the condition number.
FLOAT32_LIMIT = 1e5  # of expected moments
LINEAR_LIMIT = 1e3   # of supports alone, where scikit-learn's float32 is to be matched
ROUTINES = {np.float32: (blas.saxpy, blas.ssyrk, lapack.spotrf, lapack.spotrs),
            np.float64: (blas.daxpy, blas.dsyrk, lapack.dpotrf, lapack.dpotrs)}


def batched(support: np.ndarray, labels: np.ndarray, ways: int) -> Planes:
    """Planes of T tasks. support (T, n, D); labels (T, n) in [0, ways)."""
    rows = support.astype(np.float64)
    centre = rows.mean(axis=1, keepdims=True)                       # (T, 1, D)
    rows -= centre
    targets = 2 * np.swapaxes(one_hot(labels, ways), 1, 2) - 1      # (T, n, ways)
    offset = targets.mean(axis=1, keepdims=True)                    # (T, 1, ways)
    weights = np.array([_weights(*task) for task in zip(rows, targets - offset, strict=True)])  # (T, D, ways)
    return Planes(weights, (offset - centre @ weights)[:, 0])


def _weights(rows, targets):
    """W (D, ways) of one task: centred rows (n, D) and targets (n, ways), float64."""
    dual = rows.shape[0] <= rows.shape[1]
    dtype = np.float32 if np.vdot(rows, rows) < LINEAR_LIMIT else np.float64
    _, syrk, potrf, potrs = ROUTINES[dtype]
    right = targets if dual else rows.T @ targets
    penalty = np.eye(len(right), dtype=dtype, order="F")
    gram = syrk(1, rows.T.astype(dtype, copy=False), trans=dual, lower=1, beta=1, c=penalty, overwrite_c=1)
    factor, info = potrf(gram, lower=1)
    if info:  # so large that the penalty is lost in rounding: the smallest solution, as with scikit-learn
        solution = np.linalg.lstsq(gram + np.tril(gram, -1).T, right)[0]
    else:
        solution, _ = potrs(factor, right.astype(dtype), lower=1)
    return rows.T @ solution if dual else solution


def expected(support: np.ndarray, labels: np.ndarray, ways: int, augmentation: "LatentShifts") -> Planes:
    """Planes of T tasks where each support's A features are replaced by their expectation over the draws.

    The features of support z in cluster k are z (once) and z + δ (A−1 times), δ of mean 0 and covariance Σ_k. The
    expected sums are
        E Σ x = A z,     E Σ x xᵀ = A z zᵀ + (A−1) Σ_k,
    so with Z the supports, centred (and Y likewise), and n_k supports in cluster k,
        G = A ZᵀZ + (A−1) Σ_k n_k Σ_k + I,     G W = A ZᵀY.
    G is positive definite; one Cholesky factor a task, in float32 unless the variances are large.
    """
    space = shift_space(augmentation.dictionary)
    solved = [_expected_task(*task, ways, augmentation.n_aug, space)
              for task in zip(support, labels, augmentation.nearest(support), strict=True)]
    return Planes(*(np.array(part) for part in zip(*solved, strict=True)))


def _expected_task(support, labels, clusters, ways, n_aug, space):
    """Weights (D, ways), biases (ways,) and centre (D,) of one task."""
    used, counts = np.unique(clusters, return_counts=True)
    covariances = [space.covariance(k, np.float32) for k in used]
    rows = support.astype(np.float64)                               # (n, D)
    centre = rows.mean(axis=0)
    rows -= centre
    variances = np.array([np.trace(covariance) for covariance in covariances])
    size = n_aug * (rows**2).sum() + (n_aug - 1) * (counts @ variances)
    dtype = np.float32 if size < FLOAT32_LIMIT else np.float64
    if dtype == np.float64:
        covariances = [space.covariance(k, dtype) for k in used]
    axpy, syrk, potrf, potrs = ROUTINES[dtype]
    gram = np.eye(rows.shape[1], dtype=dtype, order="F")
    for count, covariance in zip(counts, covariances, strict=True):  # symmetric, so the memory order does not matter
        axpy(covariance.ravel(), gram.ravel(order="K"), a=(n_aug - 1.0) * count)
    gram = syrk(n_aug, rows.T.astype(dtype), beta=1, c=gram, lower=1, overwrite_c=1)
    factor, info = potrf(gram, lower=1, overwrite_a=1, clean=0)
    if info:
        raise np.linalg.LinAlgError("the expected moments are not positive definite")
    targets = 2 * one_hot(labels, ways) - 1                         # (ways, n)
    offset = targets.mean(axis=1)
    moments = n_aug * rows.T @ (targets - offset[:, None]).T        # (D, ways)
    weights, _ = potrs(factor, np.asfortranarray(moments, dtype=dtype), lower=1)
    return weights, offset, centre


def sampled(support: np.ndarray, labels: np.ndarray, ways: int, draws: np.ndarray,
            augmentation: "LatentShifts") -> Planes:
    """Planes of one task: support (n, D), labels (n,), draws (n, A−1).

    Conjugate gradients on (XᵀX + I) W = XᵀY, all classes at once, X centred and never formed: a product with XᵀX is
    one pass over the sampled shifts. Preconditioned by the expected moments (see `expected`) in leading directions of
    the shift space and their diagonal elsewhere: a few passes. Stops when no class has a residual over 1e-4 of its
    right-hand side, in the Euclidean norm.
    """
    space = shift_space(augmentation.dictionary)
    clusters = augmentation.nearest(support)
    rows = AugmentedRows.of_task(support, clusters, draws, space)
    member = one_hot(labels, ways)                                  # (ways, n)
    total = rows.n_aug * len(support)
    sums = rows.backward(np.repeat(member[:, :, None], rows.n_aug, axis=2).astype(np.float32))[:, :-1]
    sums = sums.astype(np.float64)                                  # (ways, D) Σ x over the rows of each class
    centre = sums.sum(axis=0) / total
    share = member.sum(axis=1) / len(support)                       # (ways,) of the rows
    right = 2 * (sums - total * share[:, None] * centre)            # XᶜᵀYᶜ, Y = 2·member − 1

    def times_gram(weights):
        values = rows.forward(np.pad(weights, ((0, 0), (0, 1))).astype(np.float32))
        again = rows.backward(values)[:, :-1].astype(np.float64)
        return again - total * (weights @ centre)[:, None] * centre + weights

    weights = conjugate_gradients(times_gram, right, _precondition(rows, clusters, space))
    bias = 2 * share - 1 - weights @ centre
    return rows.planes(np.column_stack([weights, bias]))


def _precondition(rows, clusters, space):
    """Function (ways, D) → (ways, D): the inverse of M + A·ZᶜᵀZᶜ, where M holds the expected moments of the shifts in
    the leading columns and their diagonal elsewhere. By Woodbury's identity it takes one n × n system:
        M⁻¹ − M⁻¹Zᶜᵀ (I/A + Zᶜ M⁻¹ Zᶜᵀ)⁻¹ Zᶜ M⁻¹.
    """
    supports = rows.supports.astype(np.float64)                     # (n, D), centred
    counts = np.bincount(clusters, minlength=len(space)) * (rows.n_aug - 1.0)
    lead = space.lead_width(rows.n_aug * len(clusters), 1)
    block = np.linalg.inv(np.eye(lead) + space.lead_moments(counts, lead))
    diagonal = 1 + space.variances(counts)[lead:]

    def apart(vectors):                                             # M⁻¹ of each row
        return np.concatenate([vectors[:, :lead] @ block, vectors[:, lead:] / diagonal], axis=1)

    spread = apart(supports)                                        # (n, D)
    inner = np.linalg.inv(np.eye(len(supports)) / rows.n_aug + spread @ supports.T)
    return lambda vectors: apart(vectors) - (vectors @ spread.T) @ inner @ spread


def _on_device():
    from lowshot.solvers import many  # here, not above: it imports PyTorch
    return many.ridge


register(Classifier("Ridge", RidgeClassifier(), batched=batched, sampled=sampled, expected=expected,
                    on_device=_on_device))
