"""Cropping, resizing, flipping: (H, W, 3) uint8 in, uint8 out. Always in the worker: they set the size of a batch.

Every operation has `width`, the number of its random parameters; `draw(rng, height, width) -> (width,) float64`;
`apply(image, parameters) -> image`.
"""

import math

import cv2
import numpy as np
from PIL import Image

from fewshot_wsi.foundation.errors import UserError

INTERPOLATIONS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC,
                  "lanczos": Image.LANCZOS}


def resize(image, height, width, interpolation=None):
    """Resized by Pillow with the named interpolation; None: bilinear, larger images by OpenCV, which is faster.

    Pillow widens its filter with the scale, so that nothing aliases.
    """
    if image.shape[:2] == (height, width):
        return image
    if interpolation is not None:
        return np.asarray(Image.fromarray(image).resize((width, height), INTERPOLATIONS[interpolation]))
    if height >= image.shape[0] and width >= image.shape[1]:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(Image.fromarray(image).resize((width, height), Image.BILINEAR))


class RandomResizedCrop:
    """A window of random area and aspect ratio, resized to `size` × `size` (or size = (height, width)).

    scale: bounds of the window's share of the area; ratio: bounds of width / height, sampled on a log scale. Ten
    attempts to fit a window in, then the largest central one within the bounds of the ratio, as torchvision does.
    """

    width = 4  # top, left, height, width

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
        self.size = _pair(size)
        self.scale, self.ratio = _interval(scale, "scale"), _interval(ratio, "ratio")

    def draw(self, rng, height, width):
        low, high = map(math.log, self.ratio)
        for _ in range(10):
            area = height * width * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(low, high))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return np.array([rng.integers(height - h + 1), rng.integers(width - w + 1), h, w], np.float64)
        w, h = width, height
        if width / height < self.ratio[0]:
            h = round(w / self.ratio[0])
        elif width / height > self.ratio[1]:
            w = round(h * self.ratio[1])
        return np.array([(height - h) // 2, (width - w) // 2, h, w], np.float64)

    def apply(self, image, parameters):
        top, left, height, width = parameters.astype(int)
        return resize(image[top:top + height, left:left + width], *self.size)


class RandomHorizontalFlip:
    width = 1

    def __init__(self, p=0.5):
        self.p = probability(p)

    def draw(self, rng, height, width):
        return np.array([rng.random() < self.p], np.float64)

    def apply(self, image, parameters):
        return cv2.flip(image, 1) if parameters[0] else image


class RandomVerticalFlip(RandomHorizontalFlip):
    def apply(self, image, parameters):
        return cv2.flip(image, 0) if parameters[0] else image


class _Fixed:
    width = 0

    def draw(self, rng, height, width):
        return np.empty(0)


class Resize(_Fixed):
    """size: an int for the shorter side (the longer follows in proportion), or (height, width).

    interpolation: 'nearest', 'bilinear', 'bicubic' or 'lanczos', as Pillow does it; None: see `resize`.
    """

    def __init__(self, size, interpolation=None):
        if interpolation not in (None, *INTERPOLATIONS):
            raise UserError(f"Resize: interpolation {interpolation!r}; choose {', '.join(INTERPOLATIONS)}")
        self.size = size if isinstance(size, int) else _pair(size)
        self.interpolation = interpolation

    def apply(self, image, parameters):
        if not isinstance(self.size, int):
            return resize(image, *self.size, self.interpolation)
        height, width = image.shape[:2]
        short = min(height, width)
        return resize(image, int(self.size * height / short), int(self.size * width / short), self.interpolation)


class CenterCrop(_Fixed):
    """The central `size` × `size` (or size = (height, width)) pixels."""

    def __init__(self, size):
        self.size = _pair(size)

    def apply(self, image, parameters):
        height, width = self.size
        if image.shape[0] < height or image.shape[1] < width:
            raise UserError(f"CenterCrop: an image of {image.shape[1]} × {image.shape[0]} pixels is smaller than the "
                            f"crop of {width} × {height}; put a Resize before it")
        top, left = round((image.shape[0] - height) / 2), round((image.shape[1] - width) / 2)
        return image[top:top + height, left:left + width]


def _pair(size):
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(n, int) and n > 0 for n in pair):
        raise UserError(f"size {size!r}: give a whole number of pixels, or (height, width)")
    return pair


def _interval(values, name):
    if len(values) != 2 or not 0 < values[0] <= values[1]:
        raise UserError(f"{name} {values!r}: give (low, high) with 0 < low <= high")
    return tuple(values)


def probability(p):
    """p, or UserError where it is none."""
    if not 0 <= p <= 1:
        raise UserError(f"p = {p!r} is no probability")
    return p
