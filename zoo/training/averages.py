"""The exponential moving average of a network's weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from zoo.training.config import Ema


def average_of(network: nn.Module, told: Ema) -> AveragedModel:
    """An average that begins at the network's weights; `update_parameters(network)` moves it on.

    Buffers (running statistics) are averaged like weights where they are numbers; counters are copied.
    """
    return AveragedModel(network, multi_avg_fn=_moving(told), use_buffers=True)


def _moving(told: Ema) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    @torch.no_grad()
    def update(averages: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor | int) -> None:
        decay = told.decay * (1 - math.exp(-float(num_averaged) / told.tau)) if told.tau else told.decay
        for average, now in zip(averages, current, strict=True):
            if average.is_floating_point():
                average.lerp_(now, 1 - decay)
            else:
                average.copy_(now)

    return update
