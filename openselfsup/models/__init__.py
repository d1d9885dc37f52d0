"""Models by config."""

from lowshot.errors import UserError
from openselfsup.models.backbone import ResNet
from openselfsup.models.classification import Classification
from openselfsup.models.moco_v3 import MOCOv3
from openselfsup.models.necks import ClsHead, NonLinearNeckSimCLR
from openselfsup.registry import build

PARTS = {"backbone": {"ResNet": ResNet}, "projector": {"NonLinearNeckSimCLR": NonLinearNeckSimCLR},
         "predictor": {"NonLinearNeckSimCLR": NonLinearNeckSimCLR}, "head": {"ClsHead": ClsHead}}
MODELS = {"MOCOv3": MOCOv3, "Classification": Classification}


def build_backbone(depth=18, in_channels=3, **options):
    """ResNet of torchvision without its classifier: forward gives the last map, `.stages(x)` the map of every stage,
    `.width` the number of its channels. Weights: PyTorch's defaults, drawn from torch's global generator."""
    return ResNet(depth=depth, in_channels=in_channels, **options)


def build_model(config, data_preprocessor=None):
    """Model from `model = dict(type=…, backbone=dict(…), …)`; UserError for what does not fit."""
    parts = {name: build(part, PARTS[name], f"model.{name}") for name, part in config.items() if name in PARTS}
    _check_widths(parts)
    return build({**config, **parts}, MODELS, "model", data_preprocessor=data_preprocessor)


def _check_widths(parts):
    backbone = parts.get("backbone")
    for name in ("projector", "head"):
        linear = getattr(parts.get(name), "fc0", None) or getattr(parts.get(name), "fc_cls", None)
        if backbone is not None and linear is not None and linear.in_features != backbone.width:
            raise UserError(f"model.{name}.in_channels is {linear.in_features}, but this backbone gives "
                            f"{backbone.width} channels")
