"""Models by config."""

from fewshot_wsi.foundation.errors import UserError
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
    `.width` the number of its channels. Weights: PyTorch's defaults, from torch's global generator."""
    return ResNet(depth=depth, in_channels=in_channels, **options)


def build_model(config, data_preprocessor=None):
    """Model from `model = dict(type=…, backbone=dict(…), …)`; UserError for what does not fit."""
    parts = {name: build(part, PARTS[name], f"model.{name}") for name, part in config.items() if name in PARTS}
    _check_fit(parts)
    return build({**config, **parts}, MODELS, "model", data_preprocessor=data_preprocessor)


def _check_fit(parts):
    """UserError where what one part gives is not what the next one takes."""
    backbone, projector, predictor = (parts.get(name) for name in ("backbone", "projector", "predictor"))
    for name in ("projector", "head"):
        if backbone is None or name not in parts:
            continue
        if parts[name].in_channels != backbone.width:
            raise UserError(f"model.{name}.in_channels is {parts[name].in_channels}, but this backbone gives "
                            f"{backbone.width} channels")
        if not parts[name].with_avg_pool:
            raise UserError(f"model.{name}.with_avg_pool is False, but the backbone gives maps: they must be pooled")
    if projector is None or predictor is None:
        return
    for name in ("in_channels", "out_channels"):  # q is compared with k
        if getattr(predictor, name) != projector.out_channels:
            raise UserError(f"model.predictor.{name} is {getattr(predictor, name)}, but this projector gives "
                            f"{projector.out_channels}")
    if predictor.with_avg_pool:
        raise UserError("model.predictor.with_avg_pool is True, but the projector gives vectors: nothing to pool")
