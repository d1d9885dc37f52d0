"""The augmented rows of one task as an operator: products with them, but never the rows themselves.

Row (i, j) of n·A is z_i + δ_ij with δ_i0 = 0 and δ_ij a sampled shift. Many draws hit the same shift, so the different
shifts are gathered once, X (m, D); with weights W (k, D) and biases b
    logits       W·z_i + b + (X Wᵀ)[shift_rows]            one product with X and a look-up,
    gradient     Rᵀ summed by support · z + Rᵀ summed by shift · X    one product with X and two sums.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lowshot.solvers.planes import Planes

if TYPE_CHECKING:
    from lowshot.solvers.shift_space import ShiftSpace


@dataclass(frozen=True)
class AugmentedRows:
    """supports: (n, D) float32, rotated and centred. shifts: (m, D) float32. shift_rows: (n, A−1) int rows of `shifts`.
    centre: (D,) float64 mean of the supports as they came, basis: (D, D) of the shift space."""
    supports: np.ndarray
    shifts: np.ndarray
    shift_rows: np.ndarray
    centre: np.ndarray
    basis: np.ndarray

    @classmethod
    def of_task(cls, support: np.ndarray, clusters: np.ndarray, draws: np.ndarray,
                space: "ShiftSpace") -> "AugmentedRows":
        """support (n, D); clusters (n,): nearest prototypes; draws (n, A−1): rows of the clusters' banks."""
        centre = support.mean(axis=0, dtype=np.float64)
        rotated = (support - centre).astype(np.float32) @ space.basis
        size = space.dictionary.num_shift_vectors
        used, place = np.unique(clusters, return_inverse=True)
        flat = place[:, None] * size + draws                        # (n, A−1) in [0, used · size)
        hit = np.zeros(len(used) * size, dtype=bool)
        hit[flat] = True
        shift_rows = (np.cumsum(hit) - 1)[flat]
        rows = np.flatnonzero(hit)
        shifts = np.empty((len(rows), support.shape[1]), dtype=np.float32)
        bounds = np.searchsorted(rows, np.arange(len(used) + 1) * size)
        for number, (k, start, stop) in enumerate(zip(used, bounds[:-1], bounds[1:], strict=True)):
            np.take(space.bank(k), rows[start:stop] - number * size, axis=0, out=shifts[start:stop], mode="clip")
        return cls(rotated, shifts, shift_rows, centre, space.basis)

    @classmethod
    def of_task_in_float64(cls, support: np.ndarray, clusters: np.ndarray, draws: np.ndarray,
                           space: "ShiftSpace") -> "AugmentedRows":
        """As `of_task`, but in float64: for features whose columns are of very different scales."""
        basis, size = space.eigen[0], space.dictionary.num_shift_vectors
        centre = support.mean(axis=0, dtype=np.float64)
        flat, shift_rows = np.unique(clusters[:, None] * size + draws, return_inverse=True)
        shifts = np.empty((len(flat), support.shape[1]))
        for k in np.unique(flat // size):
            chosen = flat // size == k
            shifts[chosen] = space.dictionary.shifts(k)[flat[chosen] % size]
        return cls((support - centre) @ basis, shifts @ basis, shift_rows.reshape(draws.shape), centre, basis)

    @property
    def n_aug(self) -> int:
        """A: rows that one support stands for."""
        return self.shift_rows.shape[1] + 1

    def leading(self, width: int) -> "AugmentedRows":
        """The same rows, only their first `width` columns."""
        supports, shifts = (np.ascontiguousarray(part[:, :width]) for part in (self.supports, self.shifts))
        return AugmentedRows(supports, shifts, self.shift_rows, self.centre, self.basis)

    def forward(self, weights: np.ndarray) -> np.ndarray:
        """Logits (k, n, A) of weights (k, D+1), the last column the biases; all of the rows' dtype, float32."""
        linear = np.ascontiguousarray(weights[:, :-1])
        own = linear @ self.supports.T + weights[:, -1:]            # (k, n)
        logits = np.empty((*own.shape, self.n_aug), dtype=self.supports.dtype)
        logits[:, :, 0] = own
        by_shift = np.ascontiguousarray((self.shifts @ linear.T).T)     # (k, m)
        np.add(by_shift[:, self.shift_rows], own[:, :, None], out=logits[:, :, 1:])
        return logits

    def backward(self, values: np.ndarray) -> np.ndarray:
        """(k, D+1): Σ over rows of values (k, n, A) times the row, and at the end Σ of values; float32 as the rows."""
        own = values.sum(axis=2)                                    # (k, n)
        shift_rows = self.shift_rows.ravel()
        by_shift = np.array([np.bincount(shift_rows, one.ravel(), len(self.shifts)) for one in values[:, :, 1:]])
        linear = by_shift.astype(self.shifts.dtype) @ self.shifts + own @ self.supports
        return np.concatenate([linear, own.sum(axis=1, keepdims=True)], axis=1)

    def planes(self, weights: np.ndarray) -> Planes:
        """Planes for queries as they came, of weights (k, D+1) of the rotated, centred rows."""
        turned = weights[:, :-1].astype(self.supports.dtype) @ self.basis.T  # (k, D)
        return Planes(turned.T, weights[:, -1], self.centre)
