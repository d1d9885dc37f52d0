"""Encoders of kind 'torchscript': a network in one file. The file is a program, so the user has to trust it."""

import torch

from fewshot_wsi.foundation.errors import UserError, one_line
from fewshot_wsi.foundation.files import file_sha256
from openselfsup.encoders.network import NetworkEncoder, pooled


def load(recipe, weights, device, seed=0, trust=False):
    """NetworkEncoder of a preset of kind 'torchscript'. UserError without `trust`."""
    if not trust:
        raise UserError(f"{weights}: a TorchScript file is a program that runs on this machine; if you trust who made "
                        "it, add --trust")
    try:
        network = torch.jit.load(weights, map_location="cpu")
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{weights}: not a TorchScript file ({one_line(error)[:200]})") from None
    preset = recipe.preset
    pool = pooled(preset, 1 + preset.register_tokens)
    return NetworkEncoder(preset.name, network, pool, preset.width, recipe, device, file_sha256(weights))
