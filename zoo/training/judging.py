"""Whether a measurement is the best so far, and whether a plateau lowers the rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from zoo.training.checkpoints import State
from zoo.training.config import Phase, Schedule


def judged(found: Mapping[str, float], state: State, phase: Phase) -> tuple[State, bool]:
    """The state after a measurement, and whether its weights are the best of the phase so far."""
    best = phase.best
    if best is None:
        return state, False
    value = found.get(best.metric, math.nan)  # some scores are not defined, as of a class that was never answered
    if phase.schedule.name == "plateau" and phase.schedule.on == "best":
        state = flattened(state, value, best.direction, phase.schedule)
    if math.isnan(value) or not (state.best is None or _better(value, state.best, best.direction)):
        return replace(state, stale=state.stale + 1), False
    return replace(state, best=value, stale=0), True


def flattened(state: State, value: float, direction: str, told: Schedule) -> State:
    """The state of a plateau after a value: the rate falls where it has not improved for too long."""
    before = state.plateau
    margin = 0.0 if before is None else abs(before) * told.threshold
    if before is None or _better(value, before + (margin if direction == "max" else -margin), direction):
        return replace(state, plateau=value, flat=0)
    if state.flat + 1 > told.patience:
        return replace(state, factor=state.factor * told.gamma, flat=0)
    return replace(state, flat=state.flat + 1)


def _better(value: float, than: float, direction: str) -> bool:
    return value > than if direction == "max" else value < than
