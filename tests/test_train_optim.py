"""LARS and schedules against the published formulas, written out tensor by tensor in float64."""
import math

import numpy as np
import pytest
import torch
from torch import nn

from fewshot_wsi.foundation.errors import UserError
from openselfsup.optim import LARS, build_optimizer
from openselfsup.schedule import check_schedule, learning_rate


def reference(weights, gradients, lr, momentum, decay, eta):
    """Ten steps of LARS in numpy, float64. gradients: [step][tensor]."""
    weights = [w.copy() for w in weights]
    buffers = [np.zeros_like(w) for w in weights]
    for step in gradients:
        for i, g in enumerate(step):
            w_norm, g_norm = np.sqrt((weights[i] ** 2).sum()), np.sqrt((g ** 2).sum())
            below = g_norm + decay * w_norm
            ratio = eta * w_norm / below if below > 0 else 0.0
            buffers[i] = momentum * buffers[i] + lr * ratio * (g + decay * weights[i])
            weights[i] = weights[i] - buffers[i]
    return weights


@pytest.mark.parametrize("decay", [1.5e-6, 0.1, 0.0])
def test_ten_steps_of_lars_equal_the_formula_with_zero_norms_included(decay):
    rng = np.random.default_rng(0)
    shapes = [(4, 3), (3,), (2, 2, 3, 3), (3,), (5,), (1,)]
    start = [rng.normal(size=shape) for shape in shapes]
    start[1][:] = 0   # a BN bias: r = 0, it never moves
    start[3][:] = 0   # and one without any gradient
    gradients = [[rng.normal(size=shape) for shape in shapes] for _ in range(10)]
    for step in gradients:
        step[3][:] = 0
        step[4][:] = 0  # no gradient, but weights: only the decay acts
    tensors = [nn.Parameter(torch.tensor(w)) for w in start]
    optimizer = LARS(tensors, lr=0.3, momentum=0.9, weight_decay=decay, eta=0.001)
    for step in gradients:
        for tensor, g in zip(tensors, step, strict=True):
            tensor.grad = torch.tensor(g)
        optimizer.step()
    want = reference(start, gradients, 0.3, 0.9, decay, 0.001)
    for tensor, w in zip(tensors, want, strict=True):
        np.testing.assert_allclose(tensor.detach().numpy(), w, rtol=1e-12, atol=1e-15)
    assert not tensors[1].any() and not tensors[3].any()
    assert all(torch.isfinite(tensor).all() for tensor in tensors)


def test_tensors_without_a_gradient_are_left_alone():
    moving, still = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = LARS([moving, still], lr=1.0)
    moving.grad = torch.ones(2)
    optimizer.step()
    assert not torch.equal(moving, torch.ones(2)) and torch.equal(still, torch.ones(2))


def test_excluded_tensors_take_plain_momentum_steps():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    optimizer = build_optimizer(model, dict(type="LARS", lr=0.1, momentum=0.0, weight_decay=0.5, paramwise_options={
        r"^1\.|bias": dict(weight_decay=0.0, lars_exclude=True)}))
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    before = [w.detach().clone() for w in model.parameters()]
    optimizer.step()
    for name, old, new in zip(("0.weight", "0.bias", "1.weight", "1.bias"), before, model.parameters(), strict=True):
        if name != "0.weight":
            torch.testing.assert_close(new, old - 0.1)


def test_misspelt_optimiser_settings_name_the_nearest():
    model = nn.Linear(2, 2)
    for config, words in ((dict(type="LARs", lr=1), "did you mean 'LARS'"),
                          (dict(type="LARS", lr=1, weigth_decay=1), "did you mean 'weight_decay'"),
                          (dict(type="LARS"), "the key 'lr' is missing"),
                          (dict(type="LARS", lr=1, paramwise_options={"bn": {}}), "no parameter's name matches 'bn'"),
                          (dict(type="LARS", lr=1, paramwise_options={"bias": dict(lars_exclud=True)}),
                           "did you mean 'lars_exclude'")):
        with pytest.raises(UserError, match=words):
            build_optimizer(model, config)


def test_published_cosine_is_constant_within_an_epoch_and_falls_to_nearly_nothing():
    config = dict(policy="CosineAnnealing", min_lr=0.0)
    for epoch in (0, 1, 100, 199):
        want = 0.3 * (1 + math.cos(math.pi * epoch / 200)) / 2
        for batch in (0, 312):
            assert learning_rate(config, 0.3, epoch * 313 + batch, 313, 200) == pytest.approx(want, rel=1e-12)


def test_published_steps_divide_by_ten_at_30_60_90():
    rates = [learning_rate(dict(policy="step", step=[30, 60, 90]), 0.5, 7 * epoch, 7, 100)
             for epoch in (0, 29, 30, 59, 60, 89, 90, 99)]
    assert rates == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005])


def test_warm_up_ends_where_the_schedule_begins():
    for kind, first in (("linear", 0.1), ("constant", 0.1), ("exp", 0.1)):
        config = dict(policy="fixed", warmup=kind, warmup_iters=2, warmup_by_epoch=True, warmup_ratio=0.1)
        rates = [learning_rate(config, 1.0, i, 5, 4) for i in range(12)]
        assert rates[0] == pytest.approx(first) and rates[10:] == [1.0, 1.0]
        assert rates == sorted(rates)


def test_schedules_that_do_not_exist_are_refused():
    for config, words in ((dict(policy="cosine"), "lr_config.policy is 'cosine'"),
                          (dict(policy="step"), "needs the key 'step'"),
                          (dict(policy="step", step=[1], gama=1), "did you mean 'gamma'"),
                          (dict(policy="fixed", warmup="liner", warmup_iters=1), "did you mean 'linear'"),
                          (dict(policy="fixed", warmup="linear"), "warmup_iters > 0")):
        with pytest.raises(UserError, match=words):
            check_schedule(config)
