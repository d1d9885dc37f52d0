"""A PyTorch network as an encoder: normalised tiles in, one vector per tile out."""

import contextlib
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.seeds import generator


class NetworkEncoder:
    """`network` on normalised tiles, then `pool` on what it returns.

    Convolutional networks keep channels last in memory, which is faster on CPUs. Products are full float32 (no TF32),
    so that devices agree, or with `precision` 'bf16' bfloat16 wherever PyTorch's autocast has it; pooling is float32.

    Attributes
    ----------
    network : torch.nn.Module
    pool : callable
        Output of the network -> (n, dim).
    precision : {'float32', 'bf16'}
    """

    precision = "float32"

    def __init__(self, name, network, pool, dim, recipe, device, weights_sha256=None):
        self.name, self.dim, self.device = name, dim, torch.device(device)
        self.weights_sha256 = weights_sha256
        self.preset, self.transform, self.normalize = recipe.preset, recipe.pipeline, recipe.pipeline.normalize
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)
        self.pool = pool

    @torch.inference_mode()
    def __call__(self, images):
        features = self.pool(self.output(images))
        return features if self.preset is None else check_width(features, self.preset)

    @torch.inference_mode()
    def output(self, images):
        """What the network returns, before pooling: maps, tokens or vectors, float32."""
        with self.exact(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.network(self.prepare(images)).float()

    def prepare(self, images):
        return self.normalize(images.to(self.device, torch.float32, memory_format=torch.channels_last))

    def exact(self):
        """Context in which GPU convolutions are deterministic float32."""
        if self.device.type == "cpu":
            return contextlib.nullcontext()  # several threads may be here; cuDNN's flags are global
        return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


@contextlib.contextmanager
def seeded(seed):
    """Weights of networks that are built within are set by `seed`; the global generator keeps its state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(seed, "encoder/random").integers(2**63)))
        yield


@dataclass(frozen=True)
class Pooling:
    """From what a network returns, maps (n, C, h, w), tokens (n, T, d) or vectors (n, d), to (n, width).

    Maps are averaged over positions, vectors stay. Of tokens, `how` takes the class token ('cls'), the mean of the
    patch tokens ('mean'), or both side by side; the first `skipped` tokens are no patch tokens. `path`: the preset.
    """
    path: str
    how: str
    skipped: int = 0

    def __call__(self, found):
        if found.ndim != 3:
            return found.mean(dim=(2, 3)) if found.ndim == 4 else found
        if self.how == "network":
            raise UserError(f"{self.path}: the network returns tokens; choose pooling = 'cls', 'mean' or 'cls+mean'")
        parts = [found[:, 0]] if "cls" in self.how else []
        if "mean" in self.how:
            parts.append(found[:, self.skipped:].mean(dim=1))
        return torch.cat(parts, dim=1)


def pooled(preset, skipped=0):
    """The Pooling of a preset, for a network whose first `skipped` tokens are no patch tokens."""
    return Pooling(preset.path, preset.pooling, skipped)


def mean_of_map(maps):
    """(n, C, h, w) -> (n, C), the mean over positions."""
    return maps.mean(dim=(2, 3))


def check_width(features, preset):
    """`features` (n, D); UserError unless D is the width of the preset."""
    if features.shape[1:] != (preset.width,):
        raise UserError(f"{preset.path}: the network gives features of shape {tuple(features.shape[1:])}, the preset "
                        f"says width = {preset.width}")
    return features


def fold_batch_norm(network):
    """`network`, in eval mode, with every batch normalisation merged into the convolution before it, in place.

    The same function up to rounding, at about twice the speed on a CPU. A convolution and its normalisation follow each
    other among the children of a module, as in torchvision and timm; the activation of timm's BatchNormAct2d stays.
    """
    for block in list(network.modules()):
        before = None
        for name, child in list(block.named_children()):
            if isinstance(child, nn.modules.batchnorm._BatchNorm) and before is not None:
                setattr(block, before, fuse_conv_bn_eval(getattr(block, before), child))
                setattr(block, name, getattr(child, "act", nn.Identity()))
            before = name if isinstance(child, nn.Conv2d) else None
    return network
