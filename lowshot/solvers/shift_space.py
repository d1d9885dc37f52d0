"""The shift banks of a dictionary in a basis where their leading columns hold most of the variance.

Ridge, logistic regression and nearest centroid do not change when supports, shifts and queries are all rotated by the
same orthogonal matrix. In the basis of the eigenvectors of the clusters' pooled second moment a solver can first work
on a few dozen leading columns, where nearly everything happens, and meet the others with a problem almost solved.
"""

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from fewshot_wsi.foundation.byte_cache import ByteCache

if TYPE_CHECKING:
    from lowshot.dictionary import Dictionary

CACHE_BYTES = 2**30  # of float32 banks, and of moments, held in memory; others are made again when they are needed
LEAD = (16, 96)      # fewest and most leading columns
UNKNOWNS = 400       # most unknowns of a factor over all classes together


@lru_cache(maxsize=2)
def shift_space(dictionary: "Dictionary") -> "ShiftSpace":
    """The ShiftSpace of a dictionary, kept for the two used last."""
    return ShiftSpace(dictionary)


class ShiftSpace:
    """Rotated banks and moments of a Dictionary with K clusters of width D; everything is made when first needed."""

    def __init__(self, dictionary: "Dictionary") -> None:
        self.dictionary = dictionary
        self._banks, self._moments = ByteCache(CACHE_BYTES), ByteCache(CACHE_BYTES)
        self._rotated: dict = {}

    def __len__(self):
        return len(self.dictionary)

    @cached_property
    def eigen(self) -> Any:
        """basis (D, D) float64, columns by descending variance; their second moments (D,), pooled over clusters."""
        d = self.dictionary
        weights = np.asarray(d.how.get("counts", np.ones(len(d))), dtype=np.float64)
        weights = weights / weights.sum()
        centred = d.prototypes - weights @ d.prototypes
        pooled = (centred.T * weights) @ centred
        for weight, covariance in zip(weights, d.covariances, strict=True):
            pooled += weight * covariance
        values, vectors = np.linalg.eigh(pooled)
        return vectors[:, ::-1], values[::-1].clip(0)

    @cached_property
    def basis(self) -> np.ndarray:
        """(D, D) float32."""
        return np.ascontiguousarray(self.eigen[0], dtype=np.float32)

    def bank(self, k: int) -> np.ndarray:
        """(S, D) float32: the shifts of cluster k, rotated."""
        return self._banks.get(k, lambda: self.dictionary.shifts(k).astype(np.float32) @ self.basis)

    def covariance(self, k: int, dtype: DTypeLike) -> np.ndarray:
        """(D, D) of `dtype`: Σ_k, the covariance of cluster k, not rotated."""
        return self._moments.get((k, dtype), lambda: np.ascontiguousarray(self.dictionary.covariances[k], dtype=dtype))

    def _rotated_moments(self, k):
        """Leading block (L, L) and diagonal (D,) of the rotated covariance of cluster k."""
        if k not in self._rotated:
            half = self.dictionary.covariances[k].astype(np.float32) @ self.basis
            lead = self.basis[:, :LEAD[1]].T @ half[:, :LEAD[1]]
            diagonal = np.einsum("ij,ij->j", self.basis, half).clip(0)
            self._rotated[k] = lead.astype(np.float64), diagonal.astype(np.float64)
        return self._rotated[k]

    def lead_moments(self, weights: np.ndarray, lead: Any) -> Any:
        """(…, lead, lead) float64: Σ_k weights[…, k] · leading block of the rotated covariance k. weights: (…, K)."""
        return self._weighted(weights, 0, np.s_[:lead, :lead])

    def variances(self, weights: np.ndarray) -> Any:
        """(…, D) float64: Σ_k weights[…, k] · diagonal of the rotated covariance k. weights: (…, K)."""
        return self._weighted(weights, 1, np.s_[:])

    def _weighted(self, weights, which, part):
        used = np.flatnonzero(weights.any(axis=tuple(range(weights.ndim - 1))))
        if not used.size:
            used = np.zeros(1, dtype=int)
        stack = np.stack([self._rotated_moments(k)[which][part] for k in used])
        flat = weights[..., used] @ stack.reshape(len(used), -1)
        return flat.reshape(*weights.shape[:-1], *stack.shape[1:])

    def lead_width(self, num_rows: int, ways: int) -> int:
        """Number of leading columns: those whose variance times `num_rows` exceeds 0.1, where the penalty is 1.

        From LEAD[0] to LEAD[1] columns, at most D, and so few that ways · (lead + 1) is at most UNKNOWNS.
        """
        strong = int((self.eigen[1] * num_rows > 0.1).sum())
        return min(max(strong, LEAD[0]), LEAD[1], max(1, UNKNOWNS // ways - 1), len(self.basis))
