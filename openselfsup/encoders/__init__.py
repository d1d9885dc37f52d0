"""Encoders: what turns tiles into features.

An encoder is called with (n, 3, H, W) uint8 RGB tiles, as `transform` leaves them, and returns (n, dim) float32
features, not yet of unit length. Its attributes:

    name            text, goes into the provenance of its features
    dim             number of features a tile
    device          torch.device that it computes on
    weights_sha256  hash of its weights, None without
    transform       (H, W, 3) uint8 image -> (h, w, 3) uint8, the resizing and cropping that belong to the weights

Colour alone and this trainer's ResNets are described by an extraction config, all others by a preset in
`configs/encoders` (see `presets`), whose kind names the module that builds them.
"""

import importlib

import torch

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import located
from openselfsup import FIXED_ENCODERS
from openselfsup.amp import bf16_works
from openselfsup.encoders.colour import ColorHistogram, MeanRGB
from openselfsup.encoders.network import NetworkEncoder

RANDOM = "random"  # in place of weights: an untrained network, its weights set by the seed

KINDS = {  # kind of a preset: (module that builds it, package that it needs, where that is not a requirement)
    "resnet": ("resnet", None), "timm": ("timm_network", "timm"), "huggingface": ("huggingface", "transformers"),
    "onnx": ("onnx", "onnxruntime"), "tflite": ("tflite", "ai-edge-litert"), "torchscript": ("torchscript", None),
}


def build_encoder(name, pretrained, recipe, device, seed=0, trust=False, runtime="torch", precision="float32"):
    """The encoder that a recipe, a name of FIXED_ENCODERS or a weights file describe.

    Parameters
    ----------
    name : str or None
        One of FIXED_ENCODERS, None for an encoder with weights.
    pretrained : path or None
        Weights: a file, a folder for Hugging Face models, or 'package:NAME/FILE' for a file in an installed Python
        package. 'random' where a preset allows it: an untrained network.
    recipe : Recipe
        Backbone and operations of an extraction config, or the preset of an encoder.
    device : str or torch.device
    seed : int
        Sets the weights of an untrained network.
    trust : bool
        Whether to run weights that are a program (TorchScript).
    runtime : {'torch', 'openvino'}
        What computes PyTorch networks on a CPU; features agree up to rounding.
    precision : {'float32', 'bf16'}
        Of the products of PyTorch networks: bfloat16 is faster where the device has it, features agree to about three
        digits.

    Raises
    ------
    UserError
        Neither or both of name and weights are given, a package is missing, the weights do not fit the network, the
        network does not fit the memory of the device, or the device has no bfloat16.
    """
    pretrained = pretrained if pretrained in (None, "random") else located(pretrained)
    try:
        encoder = _build(name, pretrained, recipe, device, seed, trust)
        if precision != "float32":
            _set_precision(encoder, precision)
        return encoder if runtime == "torch" else _with_openvino(encoder)
    except torch.OutOfMemoryError:
        raise UserError(f"{recipe.path}: the memory of {device} does not hold this network; use --device cpu") from None


def _build(name, pretrained, recipe, device, seed, trust):
    if recipe.preset is not None:
        if pretrained is None:
            raise UserError(f"{recipe.path}: name the weights of this encoder with --pretrained; they are had from "
                            f"{recipe.preset.weights}")
        return _module_of(recipe.preset).load(recipe, pretrained, device, seed=seed, trust=trust)
    if (name is None) == (pretrained is None):
        raise UserError(f"give the weights of an encoder as --pretrained FILE, or one without: --encoder "
                        f"{{{','.join(FIXED_ENCODERS)}}}{'; not both' if name else ''}")
    if name == "mean_rgb":
        return MeanRGB(device, recipe.pipeline)
    if name == "color_histogram":
        return ColorHistogram(device, recipe.pipeline)
    if name not in (None, RANDOM):
        raise UserError(f"no encoder {name!r}; there are {', '.join(FIXED_ENCODERS)}, and files like "
                        "configs/encoders/uni.py")
    from openselfsup.encoders.resnet import load_resnet  # here, not above: it imports torchvision
    return load_resnet(recipe, RANDOM if name else pretrained, device, seed=seed)


def _with_openvino(encoder):
    """The encoder, computed by OpenVINO where it is a PyTorch network; others have no choice of runtime."""
    if not isinstance(encoder, NetworkEncoder):
        raise UserError(f"{encoder.name}: --runtime is for PyTorch networks, this encoder is none")
    if encoder.device.type != "cpu":
        raise UserError("--runtime openvino computes on the CPU; add --device cpu")
    try:
        from openselfsup.encoders.openvino import OpenVinoNetwork
    except ImportError:
        raise UserError("--runtime openvino needs OpenVINO; install it with: pip install openvino") from None
    encoder.network = OpenVinoNetwork(encoder.network, encoder.precision)
    return encoder


def _set_precision(encoder, precision):
    if not isinstance(encoder, NetworkEncoder):
        raise UserError(f"{encoder.name}: --precision is for PyTorch networks, this encoder is none")
    if not bf16_works(encoder.device.type):
        raise UserError(f"--precision {precision}: this {'GPU' if encoder.device.type == 'cuda' else 'processor'} "
                        "does not compute in bfloat16; leave it out for float32")
    encoder.precision = precision


def _module_of(preset):
    module, package = KINDS[preset.kind]
    try:
        return importlib.import_module(f"openselfsup.encoders.{module}")
    except ImportError as error:
        if package is None:
            raise
        raise UserError(f"{preset.path}: encoders of kind {preset.kind!r} need {package} ({error}); install it with: "
                        f"pip install {package}") from None
