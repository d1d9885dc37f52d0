"""Encoders without weights that see colour alone: baselines that any pre-training has to exceed."""

import torch


class MeanRGB:
    """Mean red, green and blue of a tile, 0 … 1: (n, 3). At unit length this is the mean hue, without brightness."""

    name, dim, weights_sha256 = "mean_rgb", 3, None

    def __init__(self, device="cpu", transform=None):
        self.device, self.transform = torch.device(device), transform

    def __call__(self, images):
        total = images.to(self.device).sum(dim=(2, 3), dtype=torch.int64)  # whole numbers: exact in any order
        return total.float() / (255 * images.shape[2] * images.shape[3])


class ColorHistogram:
    """Square roots of the shares of 8 × 8 × 8 RGB cells: (n, 512), of unit length by themselves.

    Their inner product is the Bhattacharyya coefficient of two tiles' colour distributions. Positions play no part.
    """

    name, dim, weights_sha256 = "color_histogram", 512, None

    def __init__(self, device="cpu", transform=None):
        self.device, self.transform = torch.device(device), transform

    def __call__(self, images):
        count = len(images)
        red, green, blue = (images.to(self.device).long() >> 5).flatten(2).unbind(1)   # (n, pixels), 0 … 7
        cells = red * 64 + green * 8 + blue + torch.arange(count, device=self.device)[:, None] * self.dim
        counts = torch.bincount(cells.flatten(), minlength=count * self.dim).view(count, self.dim)
        return (counts.float() / red.shape[1]).sqrt()
