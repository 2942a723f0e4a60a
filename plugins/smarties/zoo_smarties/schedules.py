"""Factors on the learning rate, per step.

Source: gsumbul/SMARTIES@fc0df04.
"""

from __future__ import annotations

import math


def warm_cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    """From 0 to 1 in a line over `warmup_steps`, then down to 0 on half a cosine."""
    if step < warmup_steps:
        return step / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return max(0.0, 0.5 * (1 + math.cos(math.pi * progress)))


def multistep(step: int, milestones: tuple[int, ...], gamma: float = 0.1) -> float:
    """`gamma` for each milestone that is reached."""
    return gamma ** sum(step >= milestone for milestone in milestones)


def scaled_learning_rate(base: float, batch: int, processes: int = 1, accumulation: int = 1) -> float:
    """The linear rule: `base` holds for 256 samples a step."""
    return base * batch * processes * accumulation / 256
