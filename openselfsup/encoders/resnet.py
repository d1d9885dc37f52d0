"""This trainer's and torchvision's ResNets as encoders: the mean over the positions of the last map."""

import torch

from fewshot_wsi.foundation.files import file_sha256
from openselfsup.checkpoint import load_into
from openselfsup.encoders.network import NetworkEncoder, fold_batch_norm, mean_of_map, seeded
from openselfsup.models import PARTS
from openselfsup.registry import build


class ResNetEncoder(NetworkEncoder):
    """A backbone of `openselfsup.models`, its batch normalisation folded into the convolutions."""

    def __init__(self, name, backbone, recipe, device, weights_sha256=None):
        super().__init__(name, fold_batch_norm(backbone.eval()), mean_of_map, backbone.width, recipe, device,
                         weights_sha256)

    @torch.inference_mode()
    def stages(self, images):
        """Maps of all stages, a list of (n, C, h, w) float32: first convolution, then stages 1 … 4."""
        with self.exact():
            return self.network.stages(self.prepare(images))


def load_resnet(recipe, weights, device, seed=0):
    """ResNetEncoder with the weights in a file, or, for 'random', those that `seed` sets."""
    with seeded(seed):
        backbone = build(recipe.backbone, PARTS["backbone"], f"{recipe.path}: model.backbone")
    if weights == "random":
        return ResNetEncoder("random", backbone, recipe, device)
    load_into(backbone, weights)
    return ResNetEncoder(f"resnet{recipe.backbone.get('depth', 18)}", backbone, recipe, device, file_sha256(weights))


def load(recipe, weights, device, seed=0, trust=False):
    """The encoder of a preset of kind 'resnet'."""
    encoder = load_resnet(recipe, weights, device, seed)
    encoder.name = recipe.preset.name
    encoder.weights_sha256 = encoder.weights_sha256 or "random"
    return encoder
