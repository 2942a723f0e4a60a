"""Rates and groups are those of the papers' closed forms and of torch's own schedulers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from zoo.errors import ConfigError
from zoo.training.config import Group, Optimizer, Phase, Schedule
from zoo.training.learner import Learner
from zoo.training.optimisers import optimiser, set_rates
from zoo.training.parameters import chosen, groups
from zoo.training.schedules import Rates


def rates(steps, per_epoch=1, **told):
    return Rates(schedule=Schedule(**told), steps=steps, unit=per_epoch, per_epoch=per_epoch)


def test_warm_up_and_cosine_from_and_to_zero():
    """SMARTIES: linear from 0 over the warm-up, half a cosine to 0 over the rest, per step."""
    made = rates(100, per_epoch=10, name="cosine", warmup=2)
    assert [made.factor(step) for step in (0, 10, 20, 60, 100)] == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_rates_by_epoch_hold_for_the_epoch():
    """CanadaFireSat: epoch e < 2 runs at 1e-7 + (5e-6 - 1e-7) e / 2, then a cosine over 18 epochs to 1e-7."""
    low = 1e-7 / 5e-6
    made = rates(20 * 7, per_epoch=7, name="cosine", warmup=2, start=low, end=low, by="epoch")
    for epoch in range(20):
        expected = (
            1e-7 + (5e-6 - 1e-7) * epoch / 2
            if epoch < 2
            else 1e-7 + 0.5 * (5e-6 - 1e-7) * (1 + math.cos(math.pi * (epoch - 2) / 18))
        )
        assert [5e-6 * made.factor(7 * epoch + step) for step in range(7)] == pytest.approx([expected] * 7)


def test_polynomial_and_steps_are_torchs_own():
    parameter = [nn.Parameter(torch.zeros(1))]
    for told, scheduler in (
        ({"name": "polynomial", "power": 0.9}, lambda one: torch.optim.lr_scheduler.PolynomialLR(one, 30, 0.9)),
        ({"name": "steps", "interval": 2, "gamma": 0.95}, lambda one: torch.optim.lr_scheduler.StepLR(one, 2, 0.95)),
        ({"name": "linear", "end": 0.01}, lambda one: torch.optim.lr_scheduler.LinearLR(one, 1.0, 0.01, 30)),
    ):
        optimizer = torch.optim.SGD(parameter, lr=1.0)
        made, theirs = rates(30, **told), scheduler(optimizer)
        for step in range(30):
            assert made.factor(step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-6), (told, step)
            optimizer.step()
            theirs.step()


def test_milestones_are_shares_of_the_phase():
    made = rates(100, name="steps", milestones=(0.6, 0.8), gamma=0.1)
    assert [made.factor(step) for step in (0, 59, 60, 80)] == pytest.approx([1, 1, 0.1, 0.01])


def test_a_fall_that_overlaps_the_warm_up_begins_with_the_phase():
    made = rates(100, name="linear", end=0.0, warmup=10, overlap=True)
    assert [made.factor(step) for step in (0, 5, 10, 50)] == pytest.approx([0, 0.95 * 0.5, 0.9, 0.5])


def test_a_rise_by_step_and_a_fall_by_epoch():
    """POLO: the warm-up per iteration, at least so many; linear to 1 % per epoch."""
    made = rates(100, per_epoch=10, name="linear", end=0.0, warmup=1, warmup_least=15, overlap=True, by="fall")
    assert [made.factor(step) for step in (0, 5, 12, 15, 19, 20)] == pytest.approx(
        [0, 5 / 15, 0.9 * 12 / 15, 0.9, 0.9, 0.8]
    )


def test_momentum_and_a_groups_own_start_rise_over_the_warm_up():
    """POLO: momentum from 0.8, biases from a rate of their own."""
    net = Learner(nn.Linear(2, 2), nn.Module())
    phase = Phase(
        steps=10,
        optimizer=Optimizer(name="sgd", lr=0.01, momentum=0.9),
        schedule=Schedule(warmup=4, momentum_start=0.8),
        groups={"bias": Group(max_ndim=1, start=10.0, weight_decay=0.0)},
    )
    made = optimiser(phase, groups(net, phase, 0.01))
    found = []
    for step in (0, 2, 4):
        set_rates(made, Rates(schedule=phase.schedule, steps=10, unit=1, per_epoch=5), step)
        found.append([(group["lr"], group["momentum"]) for group in made.param_groups])
    assert found[0] == [pytest.approx((0.0, 0.8)), pytest.approx((0.1, 0.8))]
    assert found[1] == [pytest.approx((0.005, 0.85)), pytest.approx((0.055, 0.85))]
    assert found[2] == [pytest.approx((0.01, 0.9)), pytest.approx((0.01, 0.9))]
    assert [group["weight_decay"] for group in made.param_groups] == [0.01, 0.0]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 4))
        self.stem = nn.Linear(4, 4)
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 2)


def test_layer_decay_counts_blocks_from_the_head():
    net = Learner(Net(), nn.Module())
    made = groups(net, Phase(steps=1, layer_decay=0.5), 1.0)
    rate = {id(one): group["lr"] for group in made for one in group["params"]}
    inner = net.network
    assert [rate[id(one.weight)] for one in (inner.head, inner.norm, *reversed(inner.blocks), inner.stem)] == [
        1, 1, 0.5, 0.25, 0.125, 0.0625,
    ]  # fmt: skip
    assert rate[id(inner.token)] == 0.0625


def test_the_first_rule_that_fits_takes_a_parameter():
    net = Learner(Net(), nn.Module())
    rules = {"stem": Group(match=("stem.*",), lr=0.1), "vectors": Group(max_ndim=1, weight_decay=0.0)}
    made = groups(net, Phase(steps=1, groups=rules), 2.0)
    of = {id(one): (group["lr"], group["weight_decay"]) for group in made for one in group["params"]}
    inner = net.network
    assert of[id(inner.stem.bias)] == (pytest.approx(0.2), 0.01)
    assert of[id(inner.head.bias)] == (2.0, 0.0)
    assert of[id(inner.head.weight)] == (2.0, 0.01)


def test_what_is_born_frozen_stays_frozen_and_flags_come_back():
    net = Learner(Net(), nn.Module())
    net.network.token.requires_grad_(False)
    with chosen(net, Phase(steps=1, trained=("head.*", "token"))):
        assert {name for name, one in net.named_parameters() if one.requires_grad} == {
            "network.head.weight", "network.head.bias",
        }  # fmt: skip
    assert net.network.stem.weight.requires_grad
    assert not net.network.token.requires_grad
    with pytest.raises(ConfigError, match="leave nothing to train"), chosen(net, Phase(steps=1, frozen=("*",))):
        pass
