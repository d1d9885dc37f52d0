"""Encoders of kind 'timm': an architecture of timm, weights from a file on disk."""

import copy

import timm
import torch
from torch import nn

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256
from openselfsup.checkpoint import load_into
from openselfsup.encoders.key_names import KEY_NAMES
from openselfsup.encoders.network import NetworkEncoder, fold_batch_norm, pooled, seeded


def load(recipe, weights, device, seed=0, trust=False):
    """NetworkEncoder of a preset of kind 'timm'; weights 'random': an untrained network."""
    preset = recipe.preset
    with seeded(seed):
        network = build_network(preset)
    sha256 = "random"
    if weights != "random":
        load_into(network, weights, ignored=preset.ignored_keys, rename=KEY_NAMES.get(preset.key_names))
        sha256 = file_sha256(weights)
    skipped = getattr(network, "num_prefix_tokens", 0)
    return NetworkEncoder(preset.name, _folded(network.eval(), preset), pooled(preset, skipped), preset.width, recipe,
                          device, sha256)


def build_network(preset):
    """The network of a preset with initial weights, (n, 3, H, W) to tokens, or to vectors where it pools by itself.

    `architecture` holds `name` and the arguments of timm.create_model; a layer is named as in timm.layers.
    """
    arguments = dict(preset.architecture)
    if preset.pooling != "network":
        arguments["global_pool"] = ""
    name, pool = arguments.pop("name", None), arguments.pop("attention_pool", None)
    if isinstance(arguments.get("mlp_layer"), str):
        arguments["mlp_layer"] = getattr(timm.layers, arguments["mlp_layer"])
    try:
        network = timm.create_model(name, pretrained=False, num_classes=0, **arguments)
    except (RuntimeError, TypeError, AttributeError, AssertionError) as error:
        raise UserError(f"{preset.path}: timm {timm.__version__} cannot build architecture = {preset.architecture} "
                        f"({' '.join(str(error).split())})") from None
    return network if pool is None else AttentionPooled(network, **pool)


class AttentionPooled(nn.Module):
    """A vision transformer whose tokens are pooled by learned queries, as in the image tower of CoCa (Yu et al. 2022).

    The names of the parameters are those of CONCH's published file, below 'visual.'.
    """

    def __init__(self, trunk, width, heads, queries=1):
        super().__init__()
        self.trunk = trunk
        self.attn_pool_contrast = LearnedQueries(width, trunk.num_features, heads, queries)
        self.ln_contrast = nn.LayerNorm(width)

    def forward(self, x):
        """(n, 3, H, W) -> (n, queries, width)."""
        return self.ln_contrast(self.attn_pool_contrast(self.trunk(x)))


class LearnedQueries(nn.Module):
    """Attention of learned queries over tokens: (n, T, d) -> (n, queries, width)."""

    def __init__(self, width, token_width, heads, queries):
        super().__init__()
        self.query = nn.Parameter(torch.randn(queries, width))
        self.attn = nn.MultiheadAttention(width, heads, kdim=token_width, vdim=token_width, batch_first=True)
        self.ln_q, self.ln_k = nn.LayerNorm(width), nn.LayerNorm(token_width)

    def forward(self, tokens):
        keys = self.ln_k(tokens)
        queries = self.ln_q(self.query).expand(len(tokens), -1, -1)
        return self.attn(queries, keys, keys, need_weights=False)[0]


def _folded(network, preset):
    """The network with batch normalisation folded, where that changes no feature beyond rounding; else as it is."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network
    folded = fold_batch_norm(copy.deepcopy(network))
    height, width = preset.input_size
    probe = torch.linspace(-2, 2, 2 * 3 * height * width).view(2, 3, height, width)
    with torch.inference_mode():
        expected, found = network(probe), folded(probe)
    return folded if torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())) else network
