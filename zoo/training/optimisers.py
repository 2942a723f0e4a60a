"""Optimisers of a phase, and their rates at a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim import Optimizer

from zoo.errors import MissingDependency
from zoo.training.config import Phase
from zoo.training.parameters import ParameterGroup
from zoo.training.schedules import Rates


def optimiser(phase: Phase, groups: list[ParameterGroup]) -> Optimizer:
    """The optimiser of a phase.

    Raises:
        MissingDependency: it is of a package that is not installed.
    """
    told = phase.optimizer
    # One kernel for all parameters, on the CPU too; bit for bit the same each time.
    fused = all(
        one.is_floating_point() and one.device.type in ("cpu", "cuda") for group in groups for one in group["params"]
    )
    match told.name:
        case "adamw":
            return torch.optim.AdamW(groups, lr=told.lr, betas=told.betas, eps=told.eps, fused=fused)
        case "adam":
            return torch.optim.Adam(groups, lr=told.lr, betas=told.betas, eps=told.eps, fused=fused)
        case "sgd":
            return torch.optim.SGD(groups, lr=told.lr, momentum=told.momentum, nesterov=told.nesterov, fused=fused)
        case "schedule-free-adamw":
            return _schedule_free(phase, groups)


def _schedule_free(phase: Phase, groups: list[ParameterGroup]) -> Optimizer:
    try:
        from schedulefree import AdamWScheduleFree
    except ImportError as err:
        raise MissingDependency("schedule-free-adamw needs schedulefree: pip install 'lasig-zoo[train]'") from err
    told = phase.optimizer
    made: Optimizer = AdamWScheduleFree(
        groups, lr=told.lr, betas=told.betas, eps=told.eps, warmup_steps=told.warmup, foreach=False
    )
    made.train()  # type: ignore[attr-defined]  # it holds two sequences of weights and asks for which is meant
    return made


def set_rates(optimizer: Optimizer, rates: Rates, step: int, factor: float = 1.0) -> float:
    """Set the rates of all groups for a step; returns the highest.

    Args:
        optimizer: of `optimiser`.
        rates: the schedule.
        step: of the phase.
        factor: of a plateau.
    """
    highest = 0.0
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * rates.factor(step, group["start"]) * factor
        highest = max(highest, group["lr"])
        if rates.schedule.momentum_start is not None:
            _set_momentum(group, rates, step)
    return highest


def _set_momentum(group: dict[str, Any], rates: Rates, step: int) -> None:
    if "betas" in group:
        usual = group.setdefault("usual_momentum", group["betas"][0])
        group["betas"] = (rates.momentum(step, usual), group["betas"][1])
    else:
        usual = group.setdefault("usual_momentum", group["momentum"])
        group["momentum"] = rates.momentum(step, usual)


@contextmanager
def averaged(optimizer: Any) -> Iterator[None]:
    """Within the block, the weights are those that the optimiser means (schedule-free ones keep an average)."""
    inner = getattr(optimizer, "optimizer", optimizer)  # below Accelerate's wrapper
    if not callable(getattr(inner, "eval", None)):
        yield
        return
    inner.eval()
    try:
        yield
    finally:
        inner.train()


def settle(optimizer: Any) -> None:
    """Leave the weights that the optimiser means in the network, for good."""
    inner = getattr(optimizer, "optimizer", optimizer)
    if callable(getattr(inner, "eval", None)):
        inner.eval()
