"""Colour jitter, grayscale, blur, solarisation with the published (Pillow's) semantics, on one uint8 image by OpenCV.

The blur is a true Gaussian; Pillow's is three box blurs, and differs from it by 0.3 to 0.6 grey levels on average.

Same interface as geometry.py. `apply_batch` is the same operation on (n, 3, H, W) float32 in 0 … 255 with parameters
(n, width), on any device; batched.py holds its arithmetic.
"""

import cv2
import numpy as np

from fewshot_wsi.foundation.errors import UserError
from openselfsup.transforms import batched
from openselfsup.transforms.geometry import probability

_LEVELS = np.arange(256, dtype=np.float32)


def _factors(value, name, centre=1.0, bound=np.inf):
    """torchvision's rule: v means [max(0, centre − v), centre + v]; a pair stays as it is."""
    low, high = (centre - value, centre + value) if np.isscalar(value) else value
    low = max(low, 0.0) if centre else low
    if not -bound <= low <= high <= bound:
        raise UserError(f"ColorJitter: {name}={value!r} gives no interval of factors")
    return low, high


class ColorJitter:
    """Brightness, contrast, saturation and hue, each by a uniformly distributed factor, in a random order."""

    width = 8  # four factors, then the order: which of the four comes first, second, …

    def __init__(self, brightness=0, contrast=0, saturation=0, hue=0):
        self.bounds = [_factors(brightness, "brightness"), _factors(contrast, "contrast"),
                       _factors(saturation, "saturation"), _factors(hue, "hue", 0.0, 0.5)]
        self.neutral = np.array([1, 1, 1, 0])

    def draw(self, rng, height, width):
        factors = [rng.uniform(low, high) for low, high in self.bounds]
        return np.concatenate([factors, rng.permutation(4)])

    def apply(self, image, parameters):
        for which in parameters[4:].astype(int):
            if parameters[which] != self.neutral[which]:
                image = _STEPS[which](image, float(parameters[which]))
        return image

    def apply_batch(self, images, parameters):
        return batched.jitter(images, parameters)


def _blend_levels(image, other, factor):
    """image · factor + other · (1 − factor) for one level `other`; cut off to 0 … 255 and to whole levels."""
    return cv2.LUT(image, np.clip(_LEVELS * factor + other * (1 - factor), 0, 255).astype(np.uint8))


def _brightness(image, factor):
    return _blend_levels(image, 0.0, factor)


def _contrast(image, factor):
    mean = int(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0] + 0.5)
    return _blend_levels(image, mean, factor)


def _saturation(image, factor):
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    # − 0.5: Pillow cuts off, OpenCV rounds
    return cv2.addWeighted(image, factor, gray, 1 - factor, -0.5)


def _hue(image, shift):
    """shift: turns of the colour circle, −0.5 … 0.5."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(int(shift * 255) % 256)  # uint8 wraps, as the colour circle does
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


_STEPS = (_brightness, _contrast, _saturation, _hue)


class RandomGrayscale:
    """With probability p all three channels become the luminance."""

    width = 1

    def __init__(self, p=0.1):
        self.p = probability(p)

    def draw(self, rng, height, width):
        return np.array([rng.random() < self.p], np.float64)

    def apply(self, image, parameters):
        if not parameters[0]:
            return image
        return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)

    def apply_batch(self, images, parameters):
        return batched.where_chosen(images, parameters[:, 0], batched.grayscale)


class GaussianBlur:
    """Gaussian filter; its standard deviation, in pixels, is uniform in [sigma_min, sigma_max]."""

    width = 1

    def __init__(self, sigma_min, sigma_max):
        if not 0 < sigma_min <= sigma_max:
            raise UserError(f"GaussianBlur: 0 < sigma_min <= sigma_max, got {sigma_min} and {sigma_max}")
        self.sigma_min, self.sigma_max = sigma_min, sigma_max

    def draw(self, rng, height, width):
        return np.array([rng.uniform(self.sigma_min, self.sigma_max)])

    def apply(self, image, parameters):
        return cv2.GaussianBlur(image, (0, 0), parameters[0], borderType=cv2.BORDER_REPLICATE)

    def apply_batch(self, images, parameters):
        return batched.blur(images, parameters[:, 0], self.sigma_max)


class Solarization:
    """Levels from `threshold` on are inverted."""

    width = 0

    def __init__(self, threshold=128):
        self.threshold = threshold
        self.table = np.where(threshold > _LEVELS, _LEVELS, 255 - _LEVELS).astype(np.uint8)

    def draw(self, rng, height, width):
        return np.empty(0)

    def apply(self, image, parameters):
        return cv2.LUT(image, self.table)

    def apply_batch(self, images, parameters):
        return batched.solarize(images, self.threshold)
