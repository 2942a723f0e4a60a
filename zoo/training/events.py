"""What the loop tells of itself: to the progress bar, to trackers, and to plugins by `zoo_observe_training`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Happened(StrEnum):
    """Kinds of events, in the order of a run."""

    BEGAN = "began"
    PHASE = "phase"  # a phase begins
    LOGGED = "logged"  # `values` are means since the last time
    EVALUATED = "evaluated"  # `values` are metrics of the validation data
    SAVED = "saved"  # a checkpoint is complete
    ENDED = "ended"
    STOPPED = "stopped"  # by a signal; the run can be resumed


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainEvent:
    """Something happened in a run.

    Attributes:
        kind: what.
        run: the run's folder.
        phase: name of the phase.
        step: optimiser steps done in this phase.
        steps: of this phase.
        epoch: `step` in epochs.
        values: by name, such as `loss`, `lr`, `samples_per_s`, or metrics.
    """

    kind: Happened
    run: Path
    phase: str
    step: int
    steps: int
    epoch: float
    values: Mapping[str, float] = field(default_factory=dict)
