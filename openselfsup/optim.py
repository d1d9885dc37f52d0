"""Optimisers: LARS as published, and torch's own; groups of parameters by regular expression."""

import re

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.keys import check_keys
from openselfsup.registry import build


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You et al., 2017), as published with the method.

    r = eta · ‖w‖ / (‖g‖ + wd · ‖w‖) for every tensor, v ← momentum · v + lr · r · (g + wd · w), w ← w − v.
    A tensor that starts at zero (every BN bias) has r = 0 and never changes: published behaviour. Where ‖g‖ and
    wd · ‖w‖ are both 0, r = 0. A group with lars_exclude=True has r = 1. Nothing waits for the device.
    """

    def __init__(self, params, lr, momentum=0.9, weight_decay=0.0, eta=0.001, lars_exclude=False):
        if lr < 0 or not 0 <= momentum < 1 or weight_decay < 0 or eta <= 0:
            raise UserError(f"LARS: lr {lr}, momentum {momentum}, weight_decay {weight_decay}, eta {eta}: out of range")
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, eta=eta,
                                      lars_exclude=lars_exclude))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            weights = [w for w in group["params"] if w.grad is not None]
            if weights:
                self._step(group, weights, [w.grad for w in weights])

    def _step(self, group, weights, gradients):
        decay, buffers = group["weight_decay"], [self._buffer(w) for w in weights]
        updates = torch._foreach_add(gradients, weights, alpha=decay)
        if group["lars_exclude"]:
            torch._foreach_mul_(updates, group["lr"])
        else:
            rates = group["lr"] * self._ratios(weights, gradients, group["eta"], decay)
            torch._foreach_mul_(updates, list(rates.unbind()))
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, updates)
        torch._foreach_sub_(weights, buffers)

    @staticmethod
    def _ratios(weights, gradients, eta, decay):
        """(number of tensors,) r of each tensor."""
        w = torch.stack(torch._foreach_norm(weights))
        below = torch.stack(torch._foreach_norm(gradients)) + decay * w
        return torch.where(below > 0, eta * w / below, 0.0)

    def _buffer(self, weight):
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        return state["momentum_buffer"]


OPTIMIZERS = {"LARS": LARS, "SGD": SGD, "Adam": Adam, "AdamW": AdamW}


def state_for(model, optimizer, saved, names):
    """The optimiser state `saved` in the order of this `optimizer`'s tensors.

    saved: state dict of a torch optimiser. names: keys of the model's state dict in the checkpoint, in their order.
    The authors' optimiser holds all tensors of the model in one group, those of the key encoder too, which have no
    gradient and no state: tensors are then told by their names. ValueError where it is of another model.
    """
    names_of = {id(weight): name for name, weight in model.named_parameters()}
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    theirs = saved["param_groups"]
    if len(theirs) == 1 and len(theirs[0]["params"]) > len(weights):
        order = _order(model, names)
        if len(order) != len(theirs[0]["params"]):
            raise ValueError(f"one group of {len(theirs[0]['params'])} tensors, but {len(order)} in its weights")
        number = dict(zip(order, theirs[0]["params"], strict=True))
        numbers = [number[names_of[id(weight)]] for weight in weights]
        state = {i: saved["state"][old] for i, old in enumerate(numbers) if old in saved["state"]}
        saved = {**saved, "state": state, "param_groups": [
            {**theirs[0], "params": group["params"]} for group in optimizer.state_dict()["param_groups"]]}
    _check_shapes(weights, saved)
    return saved


def _check_shapes(weights, saved):
    """ValueError where a buffer is not of its tensor's shape; torch would take it."""
    numbers = [number for group in saved["param_groups"] for number in group["params"]]
    for weight, number in zip(weights, numbers, strict=len(weights) == len(numbers)):  # else torch refuses the groups
        for key, value in saved["state"].get(number, {}).items():
            if torch.is_tensor(value) and value.ndim and value.shape != weight.shape:
                raise ValueError(f"{key} of shape {tuple(value.shape)} for a tensor of {tuple(weight.shape)}")


def _order(model, names):
    """Names (as of `model.named_parameters`) of the parameters among the state dict keys `names`, each once."""
    named = dict(model.named_parameters(remove_duplicate=False))
    first = {id(weight): name for name, weight in model.named_parameters()}
    return list(dict.fromkeys(first[id(named[name])] for name in names if name in named))


def build_optimizer(model, config):
    """config: dict(type, lr, …, paramwise_options={regular expression on names: dict of a group's options}).

    The first expression that matches a name decides; `lars_exclude=True` is how LARS leaves tensors out.
    """
    config = dict(config)
    rules = config.pop("paramwise_options", None) or {}
    groups = {rule: [] for rule in (None, *rules)}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            groups[next((rule for rule in rules if re.search(rule, name)), None)].append(weight)
    for rule in rules:
        if not groups[rule]:
            raise UserError(f"optimizer.paramwise_options: no parameter's name matches {rule!r}")
    params = [{"params": weights, **(rules[rule] if rule else {})} for rule, weights in groups.items() if weights]
    optimizer = build(config, OPTIMIZERS, "optimizer", params=params)
    for rule in rules:
        check_keys(rules[rule], optimizer.defaults, f"optimizer.paramwise_options[{rule!r}]")
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return optimizer
