"""Factors on the learning rate, by step; closed forms, so that a run resumed at any step has the same rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zoo.training.config import Schedule


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """The schedule of a phase.

    Attributes:
        schedule: lengths in units of `unit` steps.
        steps: of the phase.
        unit: steps per epoch, or 1 where the phase is counted in steps.
        per_epoch: steps per epoch.
    """

    schedule: Schedule
    steps: int
    unit: int
    per_epoch: int

    def factor(self, step: int, start: float | None = None) -> float:
        """The factor for the optimiser step number `step`, from 0.

        Args:
            step: of the phase.
            start: factor at the beginning of the warm-up, where a group has its own.
        """
        epoch_began = step // self.per_epoch * self.per_epoch
        at = epoch_began if self.schedule.by == "epoch" else step
        warmup = self._warmup
        after = self._fall(step if self.schedule.by == "step" else epoch_began, 0 if self.schedule.overlap else warmup)
        if at >= warmup:
            return after
        begin = self.schedule.start if start is None else start
        top = after if self.schedule.overlap else 1.0
        return begin + (top - begin) * at / warmup

    def momentum(self, step: int, usual: float) -> float:
        """Momentum at a step: from `momentum_start` to the usual one over the warm-up."""
        begin = self.schedule.momentum_start
        if begin is None or step >= self._warmup:
            return usual
        return begin + (usual - begin) * step / self._warmup

    @property
    def _warmup(self) -> float:
        return max(self.schedule.warmup * self.unit, self.schedule.warmup_least)

    def _fall(self, at: float, origin: float) -> float:
        told = self.schedule
        # By epoch, the last epoch's rate is the one before the end: as torch's schedulers, which step after an epoch.
        share = min(max((at - origin) / max(self.steps - origin, 1), 0.0), 1.0)
        match told.name:
            case "constant" | "plateau":
                return 1.0
            case "cosine":
                return told.end + (1 - told.end) * 0.5 * (1 + math.cos(math.pi * share))
            case "linear":
                return told.end + (1 - told.end) * (1 - share)
            case "polynomial":
                return float(told.end + (1 - told.end) * (1 - share) ** told.power)
            case "steps" if told.interval is not None:
                return float(told.gamma ** math.floor(at / (told.interval * self.unit)))
            case "steps":
                return float(told.gamma ** sum(at >= int(one * self.steps) for one in told.milestones))
