"""Every random draw of the project: a stream of its own, named by what it is for.

The same (seed, purpose, index) gives the same numbers in any process, on any machine, in any order of work.
"""

import hashlib

import numpy as np


def _entropy(part):
    if isinstance(part, str):  # not hash(): that differs from process to process
        return int.from_bytes(hashlib.sha256(part.encode()).digest()[:16], "little")
    if part < 0:
        raise ValueError(f"seeds and indices are not negative, got {part}")
    return int(part)


def sequence(seed: int, purpose: str, *index: object) -> np.random.SeedSequence:
    """SeedSequence of (seed, purpose, index). seed: int >= 0. purpose: str, as 'tasks/support'.
    index: ints >= 0 or strings, from the general to the particular: setting, task, class."""
    return np.random.SeedSequence([_entropy(part) for part in (seed, purpose, *index)])


def generator(seed: int, purpose: str, *index: object) -> np.random.Generator:
    """numpy Generator (PCG64) on `sequence(seed, purpose, *index)`."""
    return np.random.Generator(np.random.PCG64(sequence(seed, purpose, *index)))
