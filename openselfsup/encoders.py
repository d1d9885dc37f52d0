"""What turns tiles into features: a ResNet from weights, an untrained one, or colour alone.

An encoder is called with (n, 3, H, W) uint8 RGB on `.device` and returns (n, .dim) float32, not yet of unit length.
It has `.name` and `.weights_sha256` (None without weights), which go into the provenance of its features.
"""

import contextlib

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256
from fewshot_wsi.foundation.seeds import generator
from openselfsup import FIXED_ENCODERS
from openselfsup.checkpoint import fit, load_weights
from openselfsup.models import PARTS
from openselfsup.registry import build


def build_encoder(name, pretrained, recipe, device, seed=0):
    """Encoder `name` of FIXED_ENCODERS, or, where that is None, a ResNet with the weights in `pretrained`.

    recipe: Recipe with the backbone and the normalisation. seed: of the random encoder's weights.
    UserError: neither or both are given, or the weights do not fit the backbone.
    """
    if (name is None) == (pretrained is None):
        raise UserError(f"give the weights of an encoder as --pretrained FILE, or one without: --encoder "
                        f"{{{','.join(FIXED_ENCODERS)}}}{'; not both' if name else ''}")
    if name == "mean_rgb":
        return MeanRGB(device)
    if name == "color_histogram":
        return ColorHistogram(device)
    if name not in (None, "random"):
        raise UserError(f"no encoder {name!r}; there are {', '.join(FIXED_ENCODERS)}")
    with torch.random.fork_rng(devices=[]):  # PyTorch's layers draw from the global generator
        torch.manual_seed(int(generator(seed, "encoder/random").integers(2**63)))
        backbone = build(recipe.backbone, PARTS["backbone"], f"{recipe.path}: model.backbone")
    if name == "random":
        return ResNetEncoder("random", backbone, recipe.pipeline.normalize, device)
    fit(backbone, load_weights(pretrained), pretrained)
    depth = recipe.backbone.get("depth", 18)
    return ResNetEncoder(f"resnet{depth}", backbone, recipe.pipeline.normalize, device, file_sha256(pretrained))


class ResNetEncoder:
    """Normalised tiles through a ResNet, then the mean over the positions of its last map.

    Batch normalisation is folded into the convolutions before it and channels come last in memory: the same function
    up to rounding, at about twice the speed on a CPU. Products are full float32 (no TF32), so that devices agree.
    """

    def __init__(self, name, backbone, normalize, device, weights_sha256=None):
        self.name, self.device, self.weights_sha256 = name, torch.device(device), weights_sha256
        self.dim = backbone.width
        self.normalize = normalize
        self.backbone = fold_batch_norm(backbone.eval()).to(self.device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, images):
        with self._exact():
            return self.backbone(self.prepare(images)).mean(dim=(2, 3))

    @torch.inference_mode()
    def stages(self, images):
        """Maps of all stages, a list of (n, C, h, w) float32: first convolution, then stages 1 … 4."""
        with self._exact():
            return self.backbone.stages(self.prepare(images))

    def prepare(self, images):
        return self.normalize(images.to(self.device, torch.float32, memory_format=torch.channels_last))

    def _exact(self):
        if self.device.type == "cpu":
            return contextlib.nullcontext()  # several threads may be here; cuDNN's flags are global
        return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


class MeanRGB:
    """Mean red, green and blue of a tile, 0 … 1: (n, 3). At unit length this is the mean hue, without brightness."""

    name, dim, weights_sha256 = "mean_rgb", 3, None

    def __init__(self, device="cpu"):
        self.device = torch.device(device)

    def __call__(self, images):
        total = images.to(self.device).sum(dim=(2, 3), dtype=torch.int64)  # whole numbers: exact in any order
        return total.float() / (255 * images.shape[2] * images.shape[3])


class ColorHistogram:
    """Square roots of the shares of 8 × 8 × 8 RGB cells: (n, 512), of unit length by themselves.

    Their inner product is the Bhattacharyya coefficient of two tiles' colour distributions. Positions play no part.
    """

    name, dim, weights_sha256 = "color_histogram", 512, None

    def __init__(self, device="cpu"):
        self.device = torch.device(device)

    def __call__(self, images):
        count = len(images)
        red, green, blue = (images.to(self.device).long() >> 5).flatten(2).unbind(1)   # (n, pixels), 0 … 7
        cells = red * 64 + green * 8 + blue + torch.arange(count, device=self.device)[:, None] * self.dim
        counts = torch.bincount(cells.flatten(), minlength=count * self.dim).view(count, self.dim)
        return (counts.float() / red.shape[1]).sqrt()


def fold_batch_norm(backbone):
    """`backbone` (torchvision's ResNet, in eval mode) with every BN merged into its convolution, in place."""
    for block in list(backbone.modules()):
        for name, norm in list(block.named_children()):
            if isinstance(norm, nn.modules.batchnorm._BatchNorm):
                before = str(int(name) - 1) if name.isdigit() else name.replace("bn", "conv")
                setattr(block, before, fuse_conv_bn_eval(getattr(block, before), norm))
                setattr(block, name, nn.Identity())
    return backbone
