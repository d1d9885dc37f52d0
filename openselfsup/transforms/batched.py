"""The operations of color.py on a batch: (n, 3, H, W) float32 in 0 … 255, any device, one parameter set per image.

Parameters are on the CPU: which images an operation touches is known there, so the device is never waited for.
Levels are not rounded between operations; that is the only difference from the operations on single images.
"""

import torch

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
    value = images.amax(1)
    chroma = value - images.amin(1)
    r, g, b = images.unbind(1)
    is_red, is_green = value == r, value == g
    sector = torch.where(is_red, g - b, torch.where(is_green, b - r, r - g)).div_(chroma.clamp_min(1e-6))
    sector += torch.where(is_red, 0.0, torch.where(is_green, 2.0, 4.0)) + 6 * shifts[:, None, None]
    # channel c = value − chroma · (2 − clamp(|k − 2|, 1, 2)), k = (offset_c + sector) mod 6
    distance = torch.stack([sector + offset for offset in (5, 3, 1)], 1).remainder_(6).sub_(2).abs_().clamp_(1, 2)
    return torch.addcmul((value - 2 * chroma)[:, None], chroma[:, None], distance)


_STEPS = (brightness, contrast, saturation, hue)


def jitter(images, parameters):
    """parameters: (n, 8), four factors and the order in which the four steps come, as ColorJitter draws them."""
    factors, order = parameters[:, :4], parameters[:, 4:]
    for place in range(4):
        for which, step in enumerate(_STEPS):
            images = where_chosen(images, order[:, place] == which, step, factors[:, which])
    return images


def blur(images, sigmas, sigma_max):
    """Separable Gaussian filter with one standard deviation (pixels) an image, cut off at 4 · sigma_max.

    One matrix product along the rows and one along the columns; on a GPU in float16, which is right to 0.1 of a level.
    """
    height, width = images.shape[2:]
    reach = max(1, int(4 * sigma_max + 0.5))
    levels = images.half() if images.is_cuda else images
    down = _blur_matrices(sigmas.to(images, non_blocking=True), height, reach).to(levels)
    across = down if width == height else _blur_matrices(sigmas.to(images, non_blocking=True), width, reach).to(levels)
    return (down @ levels @ across.mT).to(images)


def _blur_matrices(sigmas, size, reach):
    """(n, 1, size, size): row i holds the weights of the pixels that make blurred pixel i; edges are repeated."""
    at = torch.arange(-reach, reach + 1, device=sigmas.device)
    weights = torch.exp(-0.5 * (at / sigmas[:, None]) ** 2)  # (n, taps)
    weights /= weights.sum(1, keepdim=True)
    pixels = (torch.arange(size, device=sigmas.device) + at[:, None]).clamp_(0, size - 1)  # (taps, size)
    which = torch.zeros(len(at), size, size, device=sigmas.device).scatter_(2, pixels[..., None], 1)
    return (weights @ which.flatten(1)).view(-1, 1, size, size)


def solarize(images, threshold):
    return torch.where(images < threshold, images, 255 - images)
