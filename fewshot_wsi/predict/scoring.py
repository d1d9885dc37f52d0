"""One block of queries: class, outputs, margin, nearest supports, conformal set."""

from functools import cached_property

import numpy as np

from lowshot.conformal import nonconformity

NEAREST = 3  # supports named for each query


class Scorer:
    """Asks the Head `head` about blocks of features."""

    def __init__(self, head):
        self.head = head

    def __call__(self, features, faults):
        """dict of arrays about features (b, D) float32; faults: {place: why the tile has none}.

        label (b,) int32, −1 for a fault; nearest (b, k) int32 rows of the supports; outputs (b, ways) and margin (b,)
        float64 where the classifier has scores; inside (b, ways) bool with conformal sets; fault (b,) text.
        """
        labels, outputs = self.head.fitted(features)
        reasons = np.array([faults.get(place, "") for place in range(len(features))], dtype=str)
        found = {"label": np.where(reasons == "", labels, -1).astype(np.int32), "nearest": self.nearest(features),
                 "fault": reasons}
        if outputs is None:
            return found
        apart = nonconformity(outputs)                                          # (b, ways)
        found |= {"outputs": outputs, "margin": -apart[np.arange(len(labels)), labels]}
        if self.head.facts["conformal"]:
            found["inside"] = apart <= self.head.facts["conformal"]["threshold"]
        return found

    def nearest(self, features):
        """(b, k) int32 rows of the supports by Euclidean distance, the nearest first; of equal ones the first row."""
        supports, centre = self._centred
        squares = (supports ** 2).sum(axis=1) - 2 * ((features - centre) @ supports.T)  # (b, n), less |q|²
        k = min(NEAREST, len(supports))
        places = np.empty((len(features), k), dtype=np.int32)
        for turn in range(k):
            places[:, turn] = squares.argmin(axis=1)
            squares[np.arange(len(features)), places[:, turn]] = np.inf
        return places

    @cached_property
    def _centred(self):
        """Supports (n, D) less their mean, and that mean (D,), float32: what they have in common takes no digits."""
        centre = self.head.features.mean(axis=0)
        return self.head.features - centre, centre
