"""LogisticRegression of scikit-learn (C = 1, L2, free intercept), solved to its optimum.

Minimised: Σ over rows of cross-entropy(softmax(W·x + b), y) + ½|W|². With two classes scikit-learn fits one vector v
with ½|v|²; as W = (−v/2, v/2) that is ½·2·|W|², so the penalty is 2 there and 1 otherwise. The optimum has Σ_c W_c = 0.
The stopping rule is in `descent.minimise`. Features far from unit length go to `descent.newton`, in float64.
"""

from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.linear_model import LogisticRegression

from lowshot.classifiers import Classifier, register
from lowshot.classifiers.nearest_centroid import one_hot
from lowshot.solvers.augmented import AugmentedRows
from lowshot.solvers.descent import minimise, newton
from lowshot.solvers.planes import Planes
from lowshot.solvers.shift_space import shift_space

if TYPE_CHECKING:
    from lowshot.augmentations.latent_aug import LatentShifts

# where to stop: decrease of the summed loss still to be had, in nats, and as a share of what the first step promised
LINEAR_TOLERANCE = 1e-8, 1e-8
NEWTON_TOLERANCE = 1e-10, 1e-12
SAMPLED_TOLERANCE = 1e-2, 1e-5  # the loss is a sum over thousands of rows here
COARSE_TOLERANCE = 1e-1, 1e-4
UNIT = 0.25, 4.0          # mean squared length of supports between which `minimise` stops where it should
JITTER = 1e-12            # of the mean squared length of a row: repeated supports make the kernel singular


def batched(support: np.ndarray, labels: np.ndarray, ways: int) -> Planes:
    """Planes of T tasks. support (T, n, D); labels (T, n) in [0, ways). In float64.

    The solution lies in the span of the n supports. Where n ≤ D the problem is solved in n coordinates: with
    K = XXᵀ = LLᵀ (a jitter on the diagonal), rows L and W = V·L⁻¹·X keep all logits and |W| = |V|.
    """
    rows = support.astype(np.float64)
    centre = rows.mean(axis=1, keepdims=True)                       # (T, 1, D); the intercept takes it up
    rows -= centre
    small = rows.shape[1] <= rows.shape[2]
    if small:
        kernel = rows @ np.swapaxes(rows, 1, 2)                     # (T, n, n)
        size = np.trace(kernel, axis1=1, axis2=2) / rows.shape[1]
        jitter = np.where(size > 0, JITTER * size, 1)
        coordinates = np.linalg.cholesky(kernel + jitter[:, None, None] * np.eye(rows.shape[1]))
    else:
        coordinates = rows
    solved = _solve_linear(coordinates, one_hot(labels, ways), off_scale(support))
    weights, bias = solved[:, :, :-1], solved[:, :, -1:]
    if small:
        dual = np.linalg.solve(np.swapaxes(coordinates, 1, 2), np.swapaxes(weights, 1, 2))  # (T, n, ways)
        weights = np.swapaxes(dual, 1, 2) @ rows
    return Planes(np.swapaxes(weights, 1, 2), bias[:, :, 0], centre[:, 0])


def _solve_linear(rows, targets, off):
    """Weights (T, k, w+1) of rows (T, n, w) and targets (T, k, n). off (T,) bool: which tasks go to `newton`."""
    penalty = penalty_of(targets.shape[1])
    solved = np.zeros((len(rows), targets.shape[1], rows.shape[2] + 1))
    if not off.all():
        problem = _Linear(rows[~off], targets[~off], penalty)
        solved[~off], _ = minimise(problem, solved[~off], lambda first: limit(LINEAR_TOLERANCE, first))
    if off.any():
        problem = _ByClass(rows[off], targets[off], penalty)
        solved[off] = newton(problem, solved[off], partial(limit, NEWTON_TOLERANCE))
    return solved


def sampled(support: np.ndarray, labels: np.ndarray, ways: int, draws: np.ndarray,
            augmentation: "LatentShifts") -> Planes:
    """Planes of one task: support (n, D), labels (n,), draws (n, A−1).

    First in the leading columns of the shift space, where a pass costs little, then from there in all columns.
    Preconditioner: Hessian with each support's softmax weights replaced by their mean over its A rows and its shifts'
    moments by their expectation, in the leading columns with all couplings between classes; its diagonal elsewhere.
    """
    space = shift_space(augmentation.dictionary)
    clusters = augmentation.nearest(support)
    lead = space.lead_width((draws.shape[1] + 1) * len(support), ways)
    targets = np.repeat(one_hot(labels, ways), draws.shape[1] + 1, axis=1)[None]  # (1, ways, n·A)
    if off_scale(support):
        rows = AugmentedRows.of_task_in_float64(support, clusters, draws, space)
        problem = _Sampled(rows, targets.astype(np.float64), penalty_of(ways), clusters, space, lead, renew=())
        weights = newton(problem, np.zeros((1, ways, support.shape[1] + 1)), partial(limit, NEWTON_TOLERANCE))
        return rows.planes(weights[0])
    rows, targets = AugmentedRows.of_task(support, clusters, draws, space), targets.astype(np.float32)
    coarse = _Sampled(rows.leading(lead), targets, penalty_of(ways), clusters, space, lead, renew=(0, 1, 2, 4))
    start = np.zeros((1, ways, lead + 1))
    weights, first = minimise(coarse, start, lambda first: limit(COARSE_TOLERANCE, first))
    tail = np.zeros((1, ways, support.shape[1] - lead))
    weights = np.concatenate([weights[..., :-1], tail, weights[..., -1:]], axis=2)
    fine = _Sampled(rows, targets, penalty_of(ways), clusters, space, lead, renew=(0,))
    weights, _ = minimise(fine, weights, lambda _: limit(SAMPLED_TOLERANCE, first))
    return rows.planes(weights[0])


def off_scale(support: np.ndarray) -> np.ndarray:
    """(…,) bool: where supports (…, n, D) are far from unit length, by their mean square."""
    square = np.einsum("...ij,...ij->...", support, support, dtype=np.float64) / support.shape[-2]
    return (square < UNIT[0]) | (square > UNIT[1])


def limit(tolerance: tuple[float, float], first: np.ndarray) -> np.ndarray:
    """Where each task stops, of the first gᵀ·H·g (T,)."""
    return (tolerance[1] * first).clip(max=tolerance[0])


def penalty_of(ways: int) -> float:
    """Of |W|²/2; see the module."""
    return 2.0 if ways == 2 else 1.0


class _Linear:
    """Logistic regression on rows (T, n, w) float64; see `descent.minimise`."""
    renew = (0,)

    def __init__(self, rows, targets, penalty):
        self.rows = np.concatenate([rows, np.ones((*rows.shape[:2], 1))], axis=2)  # (T, n, w+1)
        self.targets, self.penalty = targets, penalty

    def forward(self, weights):
        return weights @ np.swapaxes(self.rows, 1, 2)

    def backward(self, values):
        return values @ self.rows

    def precondition(self, shares):
        """Inverse of XᵀX/k + penalty: the Hessian where all classes are equally likely, which is where it starts."""
        ridge = np.full(self.rows.shape[2], self.penalty)
        ridge[-1] = 1e-6 * self.rows.shape[1]
        moments = np.swapaxes(self.rows, 1, 2) @ self.rows / shares.shape[1]
        inverse = np.linalg.inv(moments + np.diag(ridge))
        return lambda vectors: vectors @ inverse


class _ByClass(_Linear):
    """The same with the inverse Hessian of each class as preconditioner, for `descent.newton`."""

    def precondition(self, shares):
        """Inverse of Xᵀ diag(p_a (1 − p_a)) X + penalty, class by class."""
        heavy = np.sqrt(shares * (1 - shares))[..., None] * self.rows[:, None]        # (T, k, n, w+1)
        hessian = np.swapaxes(heavy, 2, 3) @ heavy
        hessian[..., range(hessian.shape[2]), range(hessian.shape[2])] += self.penalty
        inverse = np.linalg.inv(hessian)
        return lambda vectors: (inverse @ vectors[..., None])[..., 0]


class _Sampled:
    """Logistic regression of one task (T = 1) on AugmentedRows of some width ≥ lead; see `descent.minimise`."""

    def __init__(self, rows, targets, penalty, clusters, space, lead, renew):
        self.rows, self.targets, self.penalty, self.renew = rows, targets, penalty, renew
        self.clusters, self.space, self.lead = clusters, space, lead

    def forward(self, weights):
        logits = self.rows.forward(weights[0].astype(self.rows.supports.dtype))
        return logits.reshape(1, len(logits), -1)

    def backward(self, values):
        return self.rows.backward(values[0].reshape(values.shape[1], -1, self.rows.n_aug))[None]

    def precondition(self, shares):
        ways, lead = shares.shape[1], self.lead
        shares = shares[0].reshape(ways, -1, self.rows.n_aug)        # (k, n, A)
        factor = _factor(self._lead_hessian(shares))
        tail = self._tail_inverse(shares)

        def apply(gradient):
            ends = np.concatenate([gradient[0, :, :lead], gradient[0, :, -1:]], axis=1)
            ends = cho_solve(factor, ends.ravel(), check_finite=False).reshape(ways, lead + 1)
            return np.concatenate([ends[:, :lead], tail(gradient[0, :, lead:-1]), ends[:, lead:]], axis=1)[None]
        return apply

    def _lead_hessian(self, shares):
        """(k(lead+1), k(lead+1)): blocks Σ_i w_i (A z zᵀ + (A−1) Σ_cluster(i)), w_i the mean of p_a (δ_ab − p_b)."""
        ways, n_aug, lead = len(shares), self.rows.n_aug, self.lead
        first, second = np.triu_indices(ways)
        means = -np.einsum("ani,bni->abn", shares, shares)[first, second].astype(np.float64) / n_aug   # (pairs, n)
        means[first == second] += shares.mean(axis=2)
        moments = np.empty((len(first), lead + 1, lead + 1))
        rows = self._lead_rows
        moments[:] = n_aug * (rows.T * means[:, None]) @ rows
        moments[:, :lead, :lead] += self.space.lead_moments(self._by_cluster(means), lead)
        hessian = np.empty((ways, lead + 1, ways, lead + 1))
        hessian[first, :, second], hessian[second, :, first] = moments, moments
        classes = np.arange(ways)
        hessian[classes, :lead, classes, :lead] += self.penalty * np.eye(lead)
        hessian[:, lead, :, lead] += shares[0].size / ways**2        # equal biases change nothing: keeps them in place
        return hessian.reshape(ways * (lead + 1), -1)

    def _tail_inverse(self, shares):
        """Function (k, width − lead) → the same: the inverse, class by class, of
        penalty + variances of the shifts + A Σ_i w_i z zᵀ, by Woodbury's identity on the n supports."""
        supports = self.rows.supports[:, self.lead:].astype(np.float64)  # (n, t)
        if not supports.shape[1]:
            return lambda vectors: vectors
        means = (shares * (1 - shares)).mean(axis=2, dtype=np.float64)   # (k, n)
        diagonal = self.penalty + self.space.variances(self._by_cluster(means))[:, self.lead:]  # (k, t)
        heavy = np.sqrt(self.rows.n_aug * means)[:, :, None] * supports  # (k, n, t)
        spread = heavy / diagonal[:, None]
        inner = np.linalg.inv(np.eye(len(supports)) + spread @ np.swapaxes(heavy, 1, 2))  # (k, n, n)

        def apply(vectors):
            inside = inner @ (spread @ vectors[:, :, None])              # (k, n, 1)
            return vectors / diagonal - (np.swapaxes(spread, 1, 2) @ inside)[:, :, 0]
        return apply

    def _by_cluster(self, means):
        """(…, K): (A−1) · Σ of means (…, n) over the supports of each cluster."""
        return (self.rows.n_aug - 1) * means @ (self.clusters[:, None] == np.arange(len(self.space)))

    @cached_property
    def _lead_rows(self):
        supports = self.rows.supports[:, :self.lead].astype(np.float64)
        return np.concatenate([supports, np.ones((len(supports), 1))], axis=1)


def _factor(matrix):
    """Cholesky factor of a positive definite matrix, its diagonal raised where rounding makes it indefinite."""
    jitter = 0.0
    while True:
        try:
            return cho_factor(matrix + jitter * np.eye(len(matrix)) if jitter else matrix, check_finite=False)
        except np.linalg.LinAlgError:
            jitter = max(10 * jitter, JITTER * np.trace(matrix) / len(matrix))


def _on_device():
    from lowshot.solvers import many  # here, not above: it imports PyTorch
    return many.logistic_regression


register(Classifier("logistic_regression", LogisticRegression(max_iter=1000), label="Logistic regression", short="LR",
                    batched=batched, sampled=sampled, on_device=_on_device, probabilistic=True))
