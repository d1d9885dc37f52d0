"""Sampled latent augmentation of many tasks at once with PyTorch, against one copy of the shift bank on the device.

What the `sampled` forms of the classifiers do for one task on the CPU, with a leading axis of T tasks, in the basis of
the same shift space, to the same tolerances. The augmented rows are written down here, as
float32: a GPU reads them faster than it looks them up.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lowshot.classifiers.logistic_regression import (
    COARSE_TOLERANCE,
    SAMPLED_TOLERANCE,
    limit,
    off_scale,
    penalty_of,
)
from lowshot.classifiers.logistic_regression import sampled as sampled_alone
from lowshot.classifiers.nearest_centroid import one_hot
from lowshot.solvers.descent import conjugate_gradients, minimise
from lowshot.solvers.shift_space import LEAD, shift_space

if TYPE_CHECKING:
    from lowshot.augmentations.latent_aug import LatentShifts
    from lowshot.dictionary import Dictionary
    from lowshot.solvers.shift_space import ShiftSpace

ROW_BYTES = 4 * 2**30  # of augmented rows at once, at most; and no more than a quarter of the memory that is free


def sampled(weights_of: Callable, support: np.ndarray, labels: np.ndarray, ways: int, query: np.ndarray,
            draws: np.ndarray, augmentation: "LatentShifts", device: str) -> np.ndarray:
    """Classes (T, q) in [0, ways) int64. weights_of: `Classifier.on_device()`. support (T, n, D), labels (T, n), query
    (T, q, D), draws (T, n, A−1): as in `lowshot.prediction`. device: a PyTorch device name."""
    if weights_of is logistic_regression and off_scale(support).any():  # float32 does not do: one by one, on the CPU
        return np.stack([sampled_alone(z, y, ways, rows, augmentation).classes(q)
                         for z, y, q, rows in zip(support, labels, query, draws, strict=True)])
    bank = device_bank(augmentation.dictionary, device)
    clusters = augmentation.nearest(support)
    member = one_hot(labels, ways)
    size = tasks_at_once(draws.shape[1] * (draws.shape[2] + 1) * support.shape[2], device)
    predicted = []
    for start in range(0, len(support), size):
        part = slice(start, start + size)
        tensors = [torch.from_numpy(np.ascontiguousarray(array[part])).to(device)
                   for array in (support, clusters, draws)]
        rows = Rows.of_tasks(tensors[0], tensors[1], tensors[2], bank)
        weights = weights_of(rows, torch.from_numpy(member[part]).to(device), bank)
        predicted.append(rows.predict(weights, torch.from_numpy(query[part]).to(device)).cpu().numpy())
    return np.concatenate(predicted)


def tasks_at_once(numbers: int, device: str) -> int:
    """Tasks of so many augmented numbers each that are worked on together."""
    room = ROW_BYTES
    if device != "cpu":
        room = min(room, torch.cuda.mem_get_info(device)[0] // 4)
    return max(1, room // (4 * numbers))


@lru_cache(maxsize=2)
def device_bank(dictionary: "Dictionary", device: str) -> "Bank":
    """The Bank of a dictionary on a device, kept for the two used last."""
    return Bank(shift_space(dictionary), device)


class Bank:
    """A ShiftSpace on a device, K clusters of S shifts of width D.

    shifts: (K·S, D) float32, rotated. basis: (D, D) float32. lead: (K, L, L) float64, leading block of each rotated
    covariance; variances: (K, D) float64, its diagonal.
    """

    def __init__(self, space: "ShiftSpace", device: str) -> None:
        everyone = np.eye(len(space))
        width = min(LEAD[1], len(space.basis))

        def there(array):
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        self.space, self.size = space, space.dictionary.num_shift_vectors
        self.shifts = torch.cat([there(space.bank(k)) for k in range(len(space))])
        self.basis = there(space.basis)
        self.lead, self.variances = there(space.lead_moments(everyone, width)), there(space.variances(everyone))


class Rows:
    """The n·A augmented rows of each of T tasks, rotated and centred on the mean of the supports.

    supports: (T, n, D), shifts: (T, n, A−1, D), both float32. clusters: (T, n). centre: (T, 1, D) float64.
    """

    def __init__(self, supports: Any, shifts: Any, clusters: Any, centre: Any, basis: Any) -> None:
        self.supports, self.shifts, self.clusters, self.centre, self.basis = supports, shifts, clusters, centre, basis

    @classmethod
    def of_tasks(cls, support: Any, clusters: Any, draws: Any, bank: "Bank") -> "Rows":
        """support (T, n, D); clusters (T, n): nearest prototypes; draws (T, n, A−1): rows of the clusters' shifts."""
        centre = support.double().mean(1, keepdim=True)
        rows = (clusters[:, :, None] * bank.size + draws).flatten()
        shifts = bank.shifts.index_select(0, rows).view(*draws.shape, -1)
        return cls((support - centre).float() @ bank.basis, shifts, clusters, centre, bank.basis)

    @property
    def n_aug(self) -> int:
        """A: rows that one support stands for."""
        return self.shifts.shape[2] + 1

    def leading(self, width: int) -> Any:
        """The same rows, only their first `width` columns."""
        return Rows(self.supports[..., :width].contiguous(), self.shifts[..., :width].contiguous(), self.clusters,
                    self.centre, self.basis)

    def forward(self, weights: Any) -> Any:
        """Logits (T, k, n, A) float32 of weights (T, k, D+1), the last column the biases."""
        weights = weights.float()
        linear = weights[..., :-1]
        own = linear @ self.supports.mT + weights[..., -1:]                                  # (T, k, n)
        shifted = (linear @ self.shifts.flatten(1, 2).mT).unflatten(2, self.shifts.shape[1:3])  # (T, k, n, A−1)
        return torch.cat([own[..., None], shifted + own[..., None]], 3)

    def backward(self, values: Any) -> Any:
        """(T, k, D+1) float64: Σ over rows of values (T, k, n, A) float32 times the row, and at the end Σ of values."""
        own = values.sum(3)                                                                  # (T, k, n)
        linear = values[..., 1:].flatten(2) @ self.shifts.flatten(1, 2) + own @ self.supports
        return torch.cat([linear.double(), own.sum(2, keepdim=True, dtype=torch.float64)], 2)

    def predict(self, weights: Any, query: Any) -> Any:
        """Classes (T, q) of query (T, q, D), as it came, by weights (T, k, D+1) of the rotated, centred rows."""
        turned = weights[..., :-1] @ self.basis.double().T                                   # (T, k, D)
        return ((query - self.centre) @ turned.mT + weights[..., None, :, -1]).argmax(2)


def nearest_centroid(rows: "Rows", member: Any, bank: "Bank") -> Any:
    """Weights (T, k, D+1): scores 2 q·c − |c|² of the means c of the classes' rows. member: (T, k, n) of 0 and 1."""
    centroids = rows.backward(_spread(member, rows))[..., :-1] / (rows.n_aug * member.sum(2, keepdim=True))
    return torch.cat([2 * centroids, -(centroids**2).sum(2, keepdim=True)], 2)


def ridge(rows: "Rows", member: Any, bank: "Bank") -> Any:
    """Weights (T, k, D+1) of (XᵀX + I) W = XᵀY, X and Y centred; see `ridge.sampled`."""
    total = rows.n_aug * member.shape[2]
    sums = rows.backward(_spread(member, rows))[..., :-1]              # (T, k, D)
    centre = sums.sum(1, keepdim=True) / total
    share = member.mean(2, keepdim=True)                               # (T, k, 1) of the rows
    right = 2 * (sums - total * share * centre)

    def times_gram(weights):
        again = rows.backward(rows.forward(torch.nn.functional.pad(weights, (0, 1))))[..., :-1]
        return again - total * (weights @ centre.mT) * centre + weights

    weights = conjugate_gradients(times_gram, right, _ridge_inverse(rows, bank))
    return torch.cat([weights, 2 * share - 1 - weights @ centre.mT], 2)


def _ridge_inverse(rows, bank):
    """Function (T, k, D) → the same; `ridge._precondition`, task by task."""
    supports = rows.supports.double()
    counts = _by_cluster(torch.ones_like(rows.clusters, dtype=torch.float64)[:, None], rows, bank)[:, 0]  # (T, K)
    lead = bank.space.lead_width(rows.n_aug * supports.shape[1], 1)
    block = torch.linalg.inv(_eye(lead, supports) + torch.einsum("tc,cij->tij", counts, bank.lead[:, :lead, :lead]))
    diagonal = 1 + (counts @ bank.variances)[:, None, lead:]           # (T, 1, D − lead)

    def apart(vectors):
        return torch.cat([vectors[..., :lead] @ block, vectors[..., lead:] / diagonal], 2)

    spread = apart(supports)                                           # (T, n, D)
    inner = torch.linalg.inv(_eye(supports.shape[1], supports) / rows.n_aug + spread @ supports.mT)
    return lambda vectors: apart(vectors) - (vectors @ spread.mT) @ inner @ spread


def logistic_regression(rows: "Rows", member: Any, bank: "Bank") -> Any:
    """Weights (T, k, D+1) of penalised cross-entropy, first in the leading columns; as in `logistic_regression`."""
    tasks, ways, count = member.shape
    lead = bank.space.lead_width(rows.n_aug * count, ways)
    problem = partial(_Logistic, targets=_spread(member, rows).flatten(2), bank=bank, lead=lead)
    start = member.new_zeros(tasks, ways, lead + 1)
    weights, first = minimise(problem(rows.leading(lead), renew=(0, 1, 2, 4)), start, partial(limit, COARSE_TOLERANCE))
    tail = member.new_zeros(tasks, ways, rows.supports.shape[2] - lead)
    weights = torch.cat([weights[..., :-1], tail, weights[..., -1:]], 2)
    return minimise(problem(rows, renew=(0,)), weights, lambda _: limit(SAMPLED_TOLERANCE, first))[0]


class _Logistic:
    """Logistic regression of T tasks on Rows of some width ≥ lead; as `logistic_regression._Sampled`."""

    def __init__(self, rows, targets, bank, lead, renew):
        self.rows, self.targets, self.bank, self.lead, self.renew = rows, targets, bank, lead, renew
        self.penalty = penalty_of(targets.shape[1])

    def forward(self, weights):
        return self.rows.forward(weights).flatten(2)

    def backward(self, values):
        return self.rows.backward(self._by_support(values))

    def precondition(self, shares):
        shares = self._by_support(shares)                              # (T, k, n, A)
        tasks, ways = shares.shape[:2]
        lead = self.lead
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(self._lead_hessian(shares)))
        tail = self._tail_inverse(shares)

        def apply(gradient):
            ends = torch.cat([gradient[..., :lead], gradient[..., -1:]], 2).view(tasks, 1, -1)
            ends = (ends @ inverse).view(tasks, ways, lead + 1)
            return torch.cat([ends[..., :lead], tail(gradient[..., lead:-1]), ends[..., lead:]], 2)
        return apply

    def _by_support(self, values):
        return values.unflatten(2, (self.rows.supports.shape[1], self.rows.n_aug))

    def _lead_hessian(self, shares):
        """(T, k(lead + 1), k(lead + 1)) float64, the approximate Hessian over the leading columns, of each task.

        As `_Sampled._lead_hessian` of lowshot.classifiers.logistic_regression, for many tasks. shares: (T, k, n, A),
        softmax.
        """
        tasks, ways, count, n_aug = shares.shape
        lead = self.lead
        means = -(shares.transpose(1, 2) @ shares.permute(0, 2, 3, 1)).double() / n_aug      # (T, n, k, k)
        means.diagonal(dim1=2, dim2=3).add_(shares.mean(3).mT)
        means = means.permute(0, 2, 3, 1).flatten(1, 2)                                      # (T, k·k, n)
        ends = torch.nn.functional.pad(self.rows.supports[..., :lead].double(), (0, 1), value=1)  # (T, n, lead + 1)
        hessian = n_aug * (ends.mT[:, None] * means[:, :, None]) @ ends[:, None]             # (T, k·k, lead+1, lead+1)
        moments = _by_cluster(means, self.rows, self.bank)                                   # (T, k·k, K)
        hessian[..., :lead, :lead] += (moments @ self.bank.lead[:, :lead, :lead].flatten(1)).unflatten(2, (lead, lead))
        hessian = hessian.unflatten(1, (ways, ways)).transpose(2, 3)                         # (T, k, lead+1, k, lead+1)
        classes = torch.arange(ways, device=hessian.device)
        hessian[:, classes, :lead, classes, :lead] += self.penalty * _eye(lead, hessian)
        hessian[:, :, lead, :, lead] += count * n_aug / ways**2  # equal biases change nothing: keeps them in place
        return hessian.reshape(tasks, ways * (lead + 1), -1)

    def _tail_inverse(self, shares):
        """Function (T, k, width − lead) → the same; `logistic_regression._Sampled._tail_inverse`, task by task."""
        supports = self.rows.supports[:, None, :, self.lead:].double()                       # (T, 1, n, t)
        if not supports.shape[3]:
            return lambda vectors: vectors
        means = (shares * (1 - shares)).mean(3, dtype=torch.float64)                         # (T, k, n)
        diagonal = self.penalty + _by_cluster(means, self.rows, self.bank) @ self.bank.variances[:, self.lead:]
        heavy = (self.rows.n_aug * means).sqrt()[..., None] * supports                       # (T, k, n, t)
        spread = heavy / diagonal[:, :, None]
        inner = torch.linalg.inv(_eye(supports.shape[2], supports) + spread @ heavy.mT)      # (T, k, n, n)

        def apply(vectors):
            inside = inner @ (spread @ vectors[..., None])                                   # (T, k, n, 1)
            return vectors / diagonal - (spread.mT @ inside)[..., 0]
        return apply


def _by_cluster(means, rows, bank):
    """(T, j, K): (A−1) · Σ of means (T, j, n) over the supports of each cluster."""
    member = torch.nn.functional.one_hot(rows.clusters, len(bank.space)).double()            # (T, n, K)
    return (rows.n_aug - 1) * means @ member


def _spread(member, rows):
    """(T, k, n, A) float32: member (T, k, n) for every row."""
    return member.float()[..., None].expand(*member.shape, rows.n_aug).contiguous()


def _eye(size, like):
    return torch.eye(size, dtype=like.dtype, device=like.device)
