"""The augmented rows of one task as an operator: products with them, but never the rows themselves.

Row (i, j) of n·A is z_i + δ_ij with δ_i0 = 0 and δ_ij a drawn shift. Many draws hit the same shift, so the different
shifts are gathered once, X (m, D); with weights W (k, D) and biases b
    logits       W·z_i + b + (X Wᵀ)[drawn]            one product with X and a look-up,
    gradient     Rᵀ summed by support · z + Rᵀ summed by shift · X    one product with X and two sums.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AugmentedRows:
    """supports: (n, D) float32, rotated and centred. shifts: (m, D) float32. drawn: (n, A−1) int rows of `shifts`.
    centre: (D,) float64 mean of the supports as they came, basis: (D, D) of the shift space."""
    supports: np.ndarray
    shifts: np.ndarray
    drawn: np.ndarray
    centre: np.ndarray
    basis: np.ndarray

    @classmethod
    def of_task(cls, support, clusters, draws, space):
        """support (n, D); clusters (n,): nearest prototypes; draws (n, A−1): rows of the clusters' banks."""
        centre = support.mean(axis=0, dtype=np.float64)
        rotated = (support - centre).astype(np.float32) @ space.basis
        size = space.dictionary.num_shift_vectors
        used, place = np.unique(clusters, return_inverse=True)
        flat = place[:, None] * size + draws                        # (n, A−1) in [0, used · size)
        hit = np.zeros(len(used) * size, dtype=bool)
        hit[flat] = True
        drawn = (np.cumsum(hit) - 1)[flat]
        rows = np.flatnonzero(hit)
        shifts = np.empty((len(rows), support.shape[1]), dtype=np.float32)
        bounds = np.searchsorted(rows, np.arange(len(used) + 1) * size)
        for number, (k, start, stop) in enumerate(zip(used, bounds[:-1], bounds[1:], strict=True)):
            np.take(space.bank(k), rows[start:stop] - number * size, axis=0, out=shifts[start:stop], mode="clip")
        return cls(rotated, shifts, drawn, centre, space.basis)

    @property
    def shots(self):
        """A: rows that one support stands for."""
        return self.drawn.shape[1] + 1

    def leading(self, width):
        """The same rows, only their first `width` columns."""
        supports, shifts = (np.ascontiguousarray(part[:, :width]) for part in (self.supports, self.shifts))
        return AugmentedRows(supports, shifts, self.drawn, self.centre, self.basis)

    def forward(self, weights):
        """Logits (k, n, A) float32 of weights (k, D+1) float32, the last column the biases."""
        linear = np.ascontiguousarray(weights[:, :-1])
        own = linear @ self.supports.T + weights[:, -1:]            # (k, n)
        logits = np.empty((*own.shape, self.shots), dtype=np.float32)
        logits[:, :, 0] = own
        by_shift = np.ascontiguousarray((self.shifts @ linear.T).T)     # (k, m)
        np.add(by_shift[:, self.drawn], own[:, :, None], out=logits[:, :, 1:])
        return logits

    def backward(self, values):
        """(k, D+1) float32: Σ over rows of values (k, n, A) float32 times the row, and at the end Σ of values."""
        own = values.sum(axis=2)                                    # (k, n)
        drawn = self.drawn.ravel()
        by_shift = np.array([np.bincount(drawn, one.ravel(), len(self.shifts)) for one in values[:, :, 1:]])
        linear = by_shift.astype(np.float32) @ self.shifts + own @ self.supports
        return np.concatenate([linear, own.sum(axis=1, keepdims=True)], axis=1)

    def predict(self, weights, query):
        """Classes (q,) of query (q, D), as it came, by weights (k, D+1) of the rotated, centred rows."""
        turned = weights[:, :-1].astype(np.float32) @ self.basis.T  # (k, D)
        return np.argmax((query - self.centre) @ turned.T + weights[:, -1], axis=1)
