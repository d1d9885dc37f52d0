"""Encoders of kind 'huggingface': a folder of a Hugging Face model on disk. No code from the folder is run."""

import fnmatch
import json
from pathlib import Path

from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.utils import logging

from fewshot_wsi.foundation.errors import UserError, one_line
from fewshot_wsi.foundation.files import weights_sha256
from fewshot_wsi.foundation.printable import some
from openselfsup.checkpoint import HEADS
from openselfsup.encoders.network import NetworkEncoder, pooled, seeded

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def load(recipe, weights, device, seed=0, trust=False):
    """NetworkEncoder of a preset of kind 'huggingface'.

    weights: the folder, with config.json and model.safetensors or pytorch_model.bin; 'random': an untrained network.
    The network is that of config.json. Where this names code of the folder, and for 'random', it is that of the
    preset's `architecture`: the keys of a config.json.
    """
    preset, sha256 = recipe.preset, "random"
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with seeded(seed):
        network = build_network(preset) if weights == "random" else _from_folder(preset, Path(weights))
    if weights != "random":
        sha256 = weights_sha256(weights)
    pool = pooled(preset, 1 + getattr(network.config, "num_register_tokens", 0))
    return NetworkEncoder(preset.name, LastTokens(network), pool, preset.width, recipe, device, sha256)


class LastTokens(nn.Module):
    """The tokens (n, T, d) of a model's last layer."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x).last_hidden_state


def build_network(preset):
    """The network of the preset's `architecture` with initial weights."""
    try:
        return _up_to_tokens(AutoModel.from_config(_config_of(preset), trust_remote_code=False))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{preset.path}: transformers cannot build architecture = {preset.architecture} "
                        f"({one_line(error)[:200]})") from None


def _config_of(preset):
    settings = dict(preset.architecture)
    return AutoConfig.for_model(settings.pop("model_type"), **settings)


def _up_to_tokens(network):
    """The network without the layers of a pooler, as features are pooled from its tokens."""
    if getattr(network, "pooler", None) is not None:
        network.pooler = None
    return network


def _from_folder(preset, folder):
    """The network in `folder`. UserError unless every tensor of it is in the file, and the file has no others."""
    _weights_file(folder)
    try:
        described = {"config": _config_of(preset)} if preset.architecture and _names_code(folder) else {}
        network, found = AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, output_loading_info=True,
            ignore_mismatched_sizes=True, **described)  # those are named below
    except Exception as error:  # transformers raises whatever its parts do
        raise UserError(f"{folder}: not a model that transformers loads without code of its own "
                        f"({one_line(error)[:200]})") from None
    missing = [key for key in found["missing_keys"] if not key.startswith("pooler.")]
    unexpected = [key for key in found["unexpected_keys"]
                  if not any(fnmatch.fnmatchcase(key, pattern) for pattern in (*HEADS, *preset.ignored_keys))]
    faults = [f"{what}: {some(sorted(map(str, keys)))}" for what, keys in (
        ("missing", missing), ("unexpected", unexpected), ("other shape", found["mismatched_keys"])) if keys]
    if faults:
        model = "preset's architecture" if described else "model of its config.json"
        raise UserError(f"{folder}: the weights do not fit the {model}; {'; '.join(faults)}")
    return _up_to_tokens(network)


def _names_code(folder):
    """Whether the folder's config.json asks for Python code that lies beside it."""
    return "auto_map" in json.loads((folder / "config.json").read_text())


def _weights_file(folder):
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder}: no {' or '.join(_WEIGHTS)} in this folder; name the folder that the model was "
                    "downloaded to")
