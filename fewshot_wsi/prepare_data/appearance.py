"""What a tile looks like whichever way it lies: colours alone, the same after flips and rotations about the centre."""

import numpy as np

SIDE = 64        # pixels; small enough that a rotated grid does not matter
RINGS = np.linspace(0, 0.8, 6)  # radii in half sides: beyond 0.8 a rotated and cropped copy shows other tissue
QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)


def appearance(image):
    """(51,) float32 of an RGB image (SIDE, SIDE, 3) uint8: colour quantiles of the inscribed disc, and mean and
    standard deviation of each channel on concentric rings."""
    pixels = image.astype(np.float32) / 255
    parts = [np.quantile(pixels[_RADIUS < 1], QUANTILES, axis=0)]
    for inner, outer in zip(RINGS[:-1], RINGS[1:], strict=True):
        ring = pixels[(inner <= _RADIUS) & (outer > _RADIUS)]
        parts += [ring.mean(axis=0), ring.std(axis=0)]
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def _radius():
    offset = (np.arange(SIDE) + 0.5) / (SIDE / 2) - 1
    return np.hypot(*np.meshgrid(offset, offset))


_RADIUS = _radius()  # (SIDE, SIDE), 1 at the middle of an edge
