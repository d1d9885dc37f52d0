"""The operations of color.py on a batch: (n, 3, H, W) float32 in 0 … 255, any device, one parameter set per image.

Parameters are on the CPU: which images an operation touches is known there, so the device is never waited for.
Levels are not rounded between operations; that is the only difference from the operations on single images.
"""

import torch
from torch.nn import functional as F

_LUMINANCE = (0.299, 0.587, 0.114)


def rows_of(chosen, device):
    """Indices of the true entries of `chosen` (n,), a CPU tensor, on `device`."""
    return chosen.nonzero()[:, 0].to(device, non_blocking=True)


def where_chosen(images, chosen, operation, *parameters):
    """`images` with `operation(images[i], *parameters[i])` where chosen[i] is not 0. Changes `images` in place."""
    picked = chosen.bool()
    if not picked.any():
        return images
    rows = rows_of(picked, images.device)
    picked_parameters = [p[picked].to(images, non_blocking=True) for p in parameters]
    return images.index_copy_(0, rows, operation(images.index_select(0, rows), *picked_parameters))


def luminance(images):
    """(n, 1, H, W)."""
    weights = torch.tensor(_LUMINANCE, dtype=images.dtype).to(images.device, non_blocking=True)
    return (images * weights[:, None, None]).sum(1, keepdim=True)


def grayscale(images):
    return luminance(images).expand(-1, 3, -1, -1)


def _blend(images, others, factors):
    return torch.lerp(others, images, factors[:, None, None, None]).clamp_(0, 255)


def brightness(images, factors):
    return (images * factors[:, None, None, None]).clamp_(0, 255)


def contrast(images, factors):
    means = luminance(images).mean((2, 3), keepdim=True).round()
    return _blend(images, means.expand_as(images), factors)


def saturation(images, factors):
    return _blend(images, grayscale(images), factors)


def hue(images, shifts):
    """Turn the colour circle by `shifts` (n,) turns: to hue, saturation, value and back, in closed form."""
    value, _ = images.max(1)
    chroma = value - images.amin(1)
    r, g, b = images.unbind(1)
    safe = torch.where(chroma > 0, chroma, 1.0)
    sector = torch.where(value == r, (g - b) / safe % 6,
                         torch.where(value == g, (b - r) / safe + 2, (r - g) / safe + 4))
    sector = (sector + 6 * shifts[:, None, None]) % 6
    # channel c = value − chroma · clamp(min(k, 4 − k), 0, 1), k = (offset_c + sector) mod 6
    k = torch.stack([(offset + sector) % 6 for offset in (5, 3, 1)], 1)
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp_(0, 1)


_STEPS = (brightness, contrast, saturation, hue)


def jitter(images, parameters):
    """parameters: (n, 8), four factors and the order in which the four steps come, as ColorJitter draws them."""
    factors, order = parameters[:, :4], parameters[:, 4:]
    for place in range(4):
        for which, step in enumerate(_STEPS):
            images = where_chosen(images, order[:, place] == which, step, factors[:, which])
    return images


def blur(images, sigmas, sigma_max):
    """Separable Gaussian filter with one standard deviation (pixels) an image, cut off at 4 · sigma_max."""
    n, channels, height, width = images.shape
    reach = max(1, min(int(4 * sigma_max + 0.5), height - 1, width - 1))
    at = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernels = torch.exp(-0.5 * (at / sigmas.to(images, non_blocking=True)[:, None]) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(channels, 0)  # (n · 3, taps)
    x = images.reshape(1, n * channels, height, width)
    x = F.pad(x, (reach,) * 4, mode="replicate")
    x = F.conv2d(x, kernels[:, None, :, None], groups=n * channels)
    x = F.conv2d(x, kernels[:, None, None, :], groups=n * channels)
    return x.reshape(n, channels, height, width)


def solarize(images, threshold):
    return torch.where(images < threshold, images, 255 - images)
