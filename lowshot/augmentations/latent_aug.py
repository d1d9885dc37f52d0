"""Latent augmentation: a support feature varies as the base features of its nearest cluster do.

z becomes {z} ∪ {z + δ_j}, j = 1 … A−1, δ_j sampled with replacement from the shift bank of z's nearest prototype
(Euclidean, features as stored); z + δ is not normalised again. `expected` is the limit of infinitely many draws.
"""

from dataclasses import dataclass

import numpy as np

from fewshot_wsi.foundation.errors import InputError
from fewshot_wsi.foundation.seeds import generator
from lowshot.augmentations import Augmentation, register
from lowshot.dictionary import Dictionary

KINDS = ("sampled", "expected")


@dataclass(frozen=True, eq=False)
class LatentShifts:
    """How the supports of a task are augmented.

    dictionary: the base dictionary whose shifts are sampled.
    n_aug: A, features that one support stands for, itself included; at least 1.
    kind: 'sampled' as published, or 'expected': every sum over the A features is replaced by its expectation.
    seed: draws come from the stream (seed, 'latent_aug', setting, task), so they are the same for any solver, any
    model and any order of tasks.
    repeat: another number gives the same tasks other, independent draws.
    """
    dictionary: Dictionary
    n_aug: int
    kind: str = "sampled"
    seed: int = 0
    repeat: int = 0

    def __post_init__(self):
        if self.kind not in KINDS:
            raise InputError(f"latent augmentation {self.kind!r}: known kinds are {', '.join(KINDS)}")
        if not isinstance(self.n_aug, int | np.integer) or self.n_aug < 1:
            raise InputError(f"n_aug {self.n_aug!r}: a support stands at least for itself, give a whole number from 1")

    def nearest(self, support: np.ndarray) -> np.ndarray:
        """Cluster (…, n) int64 of each support feature (…, n, D); a tie goes to the lower number."""
        prototypes = self.dictionary.prototypes
        if support.shape[-1] != prototypes.shape[1]:
            raise InputError(f"the features are {support.shape[-1]} wide, the dictionary {prototypes.shape[1]}; "
                            "build the dictionary from features of the same model")
        products = support.astype(np.float64) @ prototypes.T  # |z − c|² = |z|² − 2 z·c + |c|²
        return np.argmin((prototypes**2).sum(axis=1) - 2 * products, axis=-1)

    def draws(self, setting: str, task: int, num_supports: int) -> np.ndarray:
        """(n, A−1) int64 rows of the shift banks for one task; which bank is `nearest`'s affair."""
        repeat = [self.repeat] if self.repeat else []
        rng = generator(self.seed, "latent_aug", setting, int(task), *repeat)
        return rng.integers(self.dictionary.num_shift_vectors, size=(num_supports, self.n_aug - 1))

    def augment(self, support: np.ndarray, setting: str, task: int) -> np.ndarray:
        """(n, A, D) float64: each support of one task (n, D), first itself, then its sampled variations."""
        clusters, draws = self.nearest(support), self.draws(setting, task, len(support))
        augmented = np.repeat(support[:, None].astype(np.float64), self.n_aug, axis=1)
        for cluster in np.unique(clusters):
            rows = clusters == cluster
            augmented[rows, 1:] += self.dictionary.shifts(cluster)[draws[rows]]
        return augmented


register(Augmentation("latent_aug", "LA", LatentShifts, KINDS))
