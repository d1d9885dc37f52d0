"""A list of operations in a config -> what the worker does with an image and what the device does with a batch."""

import numpy as np
import torch

from fewshot_wsi.foundation.errors import UserError
from openselfsup.registry import build
from openselfsup.transforms.batched import where_chosen
from openselfsup.transforms.color import ColorJitter, GaussianBlur, RandomGrayscale, Solarization
from openselfsup.transforms.geometry import (
    CenterCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomVerticalFlip,
    Resize,
    probability,
)
from openselfsup.transforms.stain import StainJitter


class RandomAppliedTrans:
    """All of `transforms`, one after the other, with probability p; else none of them."""

    def __init__(self, transforms, p=0.5):
        self.operations = [build(t, OPERATIONS, "RandomAppliedTrans.transforms") for t in transforms]
        self.p = probability(p)
        self.width = 1 + sum(op.width for op in self.operations)

    @property
    def batchable(self):
        return all(batchable(op) for op in self.operations)

    def draw(self, rng, height, width):
        applied = rng.random() < self.p
        return np.concatenate([[applied], *(op.draw(rng, height, width) for op in self.operations)])

    def apply(self, image, parameters):
        if not parameters[0]:
            return image
        return _apply_all(self.operations, image, parameters[1:])

    def apply_batch(self, images, parameters):
        chosen, at = parameters[:, 0], 1
        for op in self.operations:
            part = parameters[:, at:at + op.width]
            images = _where(images, chosen, op, part)
            at += op.width
        return images


def batchable(op):
    """Whether `op` has a batched form; a crop or a flip has none."""
    return getattr(op, "batchable", hasattr(op, "apply_batch"))


def _where(images, chosen, op, parameters):
    picked = chosen.bool()
    return where_chosen(images, chosen, lambda subset: op.apply_batch(subset, parameters[picked]))


def _apply_all(operations, image, parameters):
    at = 0
    for op in operations:
        image = op.apply(image, parameters[at:at + op.width])
        at += op.width
    return image


class ToTensor:
    """Levels 0 … 255 become 0 … 1. Done on the device, like Normalize."""


class Normalize:
    """(x − mean) / std, channel by channel."""

    def __init__(self, mean, std):
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise UserError(f"Normalize: mean and std are three numbers each, std > 0; got {mean!r} and {std!r}")
        self.mean, self.std = tuple(mean), tuple(std)


OPERATIONS = {kind.__name__: kind for kind in (
    RandomResizedCrop, RandomHorizontalFlip, RandomVerticalFlip, Resize, CenterCrop, ColorJitter, RandomGrayscale,
    GaussianBlur, Solarization, StainJitter, RandomAppliedTrans, ToTensor, Normalize)}


class Pipeline:
    """Built by `build_pipeline`. Call it with an image and a numpy Generator.

    image: (H, W, 3) uint8 RGB. Returns (image uint8, parameters (P,) float32 of the operations left to the device).
    `on_device`: the operations after the last one that has no batched form, where asked for; `finish` runs them.
    mean, std: of Normalize, or None where the config has none.
    """

    def __init__(self, operations, normalize, on_device):
        split = len(operations)
        while on_device and split and batchable(operations[split - 1]):
            split -= 1
        self.in_worker, self.on_device = operations[:split], operations[split:]
        self.mean, self.std = (normalize.mean, normalize.std) if normalize else (None, None)

    def __call__(self, image, rng):
        for op in self.in_worker:
            image = op.apply(image, op.draw(rng, *image.shape[:2]))
        left = [op.draw(rng, *image.shape[:2]) for op in self.on_device]
        return np.ascontiguousarray(image), np.concatenate([*left, ()]).astype(np.float32)

    def finish(self, images, parameters):
        """images: (n, 3, H, W) float32 in 0 … 255 on the device, parameters: (n, P) on the CPU."""
        at = 0
        for op in self.on_device:
            images = op.apply_batch(images, parameters[:, at:at + op.width])
            at += op.width
        return images

    def normalize(self, images):
        """0 … 255 to (x / 255 − mean) / std; to 0 … 1 without Normalize. In place."""
        if self.mean is None:
            return images.div_(255)
        mean, std = (torch.tensor(v).mul_(255).to(images.device, non_blocking=True).view(3, 1, 1)
                     for v in (self.mean, self.std))
        return images.sub_(mean).div_(std)


def build_pipeline(configs, where="pipeline", on_device=False, normalize=None):
    """Pipeline of a list of dicts.

    on_device: leave the trailing operations that have a batched form to `Pipeline.finish`.
    normalize: dict(mean=…, std=…) for a pipeline without Normalize (`prefetch=True`). UserError for what is unknown.
    """
    operations = [build(config, OPERATIONS, f"{where}[{i}]") for i, config in enumerate(configs)]
    last = [i for i, op in enumerate(operations) if isinstance(op, ToTensor | Normalize)]
    rest = operations[:len(operations) - len(last)]
    if last != list(range(len(rest), len(operations))) or len(last) > 2:
        raise UserError(f"{where}: ToTensor and Normalize come last, in this order")
    kinds = [type(op) for op in operations[len(rest):]]
    if kinds not in ([], [ToTensor], [ToTensor, Normalize]):
        raise UserError(f"{where}: Normalize needs a ToTensor before it")
    if normalize is not None:
        if Normalize in kinds:
            raise UserError(f"{where}: with prefetch=True the device normalises; leave Normalize out of the list")
        return Pipeline(rest, Normalize(**normalize), on_device)
    return Pipeline(rest, operations[-1] if Normalize in kinds else None, on_device)
