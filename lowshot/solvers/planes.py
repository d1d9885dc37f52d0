"""Linear scores of classes: what the batched forms of classifiers are fitted to."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Planes:
    """One weight vector and bias a class: scores = (query − centre) · columns + bias, the largest one wins.

    Leading dimensions (…) are those of the tasks, (T,) or none for one task.

    columns: (…, D, ways), float32 or float64. bias: (…, ways) float64. centre: (…, D) float64, or None for 0.
    """
    columns: np.ndarray
    bias: np.ndarray
    centre: np.ndarray | None = None

    def scores(self, query: np.ndarray) -> np.ndarray:
        """(…, q, ways) float64 of query (…, q, D)."""
        apart = query.astype(np.float64) if self.centre is None else query - self.centre[..., None, :]
        return apart @ self.columns + self.bias[..., None, :]

    def classes(self, query: np.ndarray) -> np.ndarray:
        """(…, q) int64 in [0, ways); a tie goes to the lower number."""
        return np.argmax(self.scores(query), axis=-1)
