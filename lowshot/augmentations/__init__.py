"""Augmentations of support features, the modes of meta-testing besides `linear`: one file and one registration each.

An augmentation makes several features of each support. What it makes is fitted by any classifier, one fit a task; the
batched forms of `lowshot.classifiers` are those of latent augmentation.
"""

from collections.abc import Callable
from dataclasses import dataclass

from lowshot.registry import Registry


@dataclass(frozen=True, eq=False)
class Augmentation:
    """What the project knows of an augmentation."""
    name: str       # the mode, on the command line, in protocols and results
    label: str      # what the report adds to a method's name
    make: Callable  # (Dictionary, n_aug, kind, seed) -> what augments, with `n_aug` and
    #                 augment(support (n, D), setting, task) -> (n, n_aug, D) float64, each support itself first
    kinds: tuple = ("sampled",)  # of `--latent` that it knows


_REGISTRY = Registry(__name__)
register, augmentations = _REGISTRY.register, _REGISTRY.entries


def label_of(mode: str) -> str:
    """What the report adds to the name of a method of this mode; '' for linear."""
    known = augmentations().get(mode)
    return known.label if known else "" if mode == "linear" else mode
