"""What happens around iterations: rate, key momentum, logs, checkpoints, watching."""

from fewshot_wsi.foundation.errors import UserError
from openselfsup.hooks.checkpoint import CheckpointHook
from openselfsup.hooks.knn import KNNHook
from openselfsup.hooks.momentum import BYOLHook
from openselfsup.hooks.rate import RateHook
from openselfsup.hooks.record import RecordHook
from openselfsup.registry import build

CUSTOM = {"BYOLHook": BYOLHook, "KNNHook": KNNHook}  # what custom_hooks may name

__all__ = ["CUSTOM", "BYOLHook", "CheckpointHook", "KNNHook", "RateHook", "RecordHook", "build_hooks"]


def build_hooks(config):
    """All hooks of a run, in the order in which they act."""
    custom = [build(hook, CUSTOM, f"custom_hooks[{i}]") for i, hook in enumerate(config.custom_hooks)]
    if config.model.type == "MOCOv3" and not any(isinstance(hook, BYOLHook) for hook in custom):
        raise UserError("custom_hooks holds no BYOLHook: the key encoder would never move; add dict(type='BYOLHook')")
    kinds = {hook["type"] for hook in config.log_config.hooks}
    record = RecordHook(config.log_config.interval, text="TextLoggerHook" in kinds,
                        tensorboard="TensorboardLoggerHook" in kinds)
    checkpoints = CheckpointHook(**config.checkpoint_config)
    return [RateHook(config.lr_config), *custom, record, checkpoints]
