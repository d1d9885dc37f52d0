"""Learning rate as a pure function of where a run stands: nothing to save, nothing to get out of step."""

import math

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.keys import check_keys, nearest_known

_POLICIES = {"fixed": (), "step": ("step", "gamma"), "CosineAnnealing": ("min_lr", "min_lr_ratio")}
_COMMON = ("policy", "by_epoch", "warmup", "warmup_iters", "warmup_ratio", "warmup_by_epoch")
_WARMUPS = ("constant", "linear", "exp")


def check_schedule(config):
    """UserError where `lr_config` holds a policy or key that does not exist, or lacks one it needs."""
    policy = config.get("policy")
    if policy not in _POLICIES:
        raise UserError(f"lr_config.policy is {policy!r}{nearest_known(policy, _POLICIES)}")
    check_keys(config, (*_COMMON, *_POLICIES[policy]), "lr_config")
    if policy == "step" and "step" not in config:
        raise UserError("lr_config: policy 'step' needs the key 'step', the epochs at which the rate falls")
    if config.get("warmup") not in (None, *_WARMUPS):
        raise UserError(f"lr_config.warmup is {config['warmup']!r}{nearest_known(config['warmup'], _WARMUPS)}")
    if config.get("warmup") and not config.get("warmup_iters"):
        raise UserError("lr_config: warm-up needs warmup_iters > 0")


def learning_rate(config, base, iteration, batches, epochs):
    """Rate of iteration `iteration` (0 is the first) of `epochs` epochs of `batches` iterations each.

    by_epoch (default): constant within an epoch. step: × gamma (0.1) from each epoch of `step` on.
    CosineAnnealing: min + (base − min) · (1 + cos(π · done)) / 2, done = share of the run that is over.
    """
    by_epoch = config.get("by_epoch", True)
    at, total = (iteration // batches, epochs) if by_epoch else (iteration, epochs * batches)
    rate = _regular(config, base, at, total)
    warm = config.get("warmup_iters", 0) * (batches if config.get("warmup_by_epoch") else 1)
    if config.get("warmup") and iteration < warm:
        return rate * _warm(config["warmup"], config.get("warmup_ratio", 0.1), iteration / warm)
    return rate


def _regular(config, base, at, total):
    if config["policy"] == "step":
        steps = config["step"]
        passed = at // steps if isinstance(steps, int) else sum(at >= step for step in steps)
        return base * config.get("gamma", 0.1) ** passed
    if config["policy"] == "CosineAnnealing":
        low = config.get("min_lr", 0.0) if "min_lr_ratio" not in config else base * config["min_lr_ratio"]
        return low + (base - low) * (1 + math.cos(math.pi * at / total)) / 2
    return base


def _warm(kind, ratio, done):
    if kind == "constant":
        return ratio
    return ratio ** (1 - done) if kind == "exp" else 1 - (1 - done) * (1 - ratio)
