"""What a model is trained for: an objective sees the network and a batch, and gives sums with their counts.

Sums and counts, not means: the loop divides by the count of all processes and all parts of a step, so that ignored
pixels, the number of processes and gradient accumulation do not change the gradient.
"""

# B batch

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo.datasets.sample import Batch, Reader
from zoo.forward import arguments_of

if TYPE_CHECKING:
    from zoo.model import Model


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a loss, `weight` x `total` / `count`; the totals and counts of all processes are added first.

    Attributes:
        total: scalar with a gradient: the sum over all that counts in this batch.
        count: how many that were (samples, labelled pixels, matched points); not below 0.
        weight: of the term in the loss.
        least: what the sum of all counts is taken for where it is less.
    """

    total: Tensor
    count: Tensor | float
    weight: float = 1.0
    least: float = 0.0

    @classmethod
    def whole(cls, value: Tensor, weight: float = 1.0) -> Term:
        """A value that is no mean over parts (a Dice of the whole batch, a contrastive loss): averaged over batches."""
        return cls(value, 1.0, weight)


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """When in training a batch is seen.

    Attributes:
        phase: name of the phase.
        step: optimiser steps done in this phase.
        steps: of this phase.
        epoch: `step` in epochs, with its fraction.
        generator: on the CPU, seeded by the run's seed and the step, and as new in all processes and parts of a step: for
            draws that hold for the whole step. Draws of a sample's own come from `Batch.seeds`.
    """

    phase: str
    step: int
    steps: int
    epoch: float
    generator: torch.Generator


class Objective(nn.Module):
    """Base of all objectives. Its own parameters are trained, and saved in checkpoints, beside the network's.

    The loop calls `network` and `begin` when a phase begins, `forward` with each batch, `after_step` when the optimiser
    has stepped, `finish` when the phase is over.
    """

    def network(self, model: Model) -> nn.Module:
        """What is trained: the model's own network, or one built from it (an auto-encoder that begins with its weights).

        One that is built has weights of its own: `finish` copies them back.
        """
        return model.module

    def begin(self, network: nn.Module, reader: Reader, shapes: Mapping[str, torch.Size] | None) -> None:
        """Prepare for a phase: statistics of the training data, prototypes pushed onto samples, heads of another size.

        Args:
            network: what `network` gave.
            reader: the training data.
            shapes: where a run is resumed, those of the checkpoint that will be loaded into network (`network.*`) and
                objective (`objective.*`); the network must be brought to them, and nothing computed anew.
        """

    def counts(self, batch: Batch) -> Mapping[str, Tensor | float]:  # noqa: ARG002
        """Counts of terms that the batch alone decides (labelled pixels, samples), by name.

        They are added over all parts of a step before the first backward pass. A term that is not named here is divided
        by its own count over all processes, and averaged over the parts of a step.
        """
        return {}

    def forward(self, network: nn.Module, batch: Batch, moment: Moment) -> Mapping[str, Term]:
        """The terms of the loss, by name."""
        raise NotImplementedError

    def after_step(self, network: nn.Module, moment: Moment) -> None:
        """Bring parameters back to where they may be (a simplex, an upper bound), or move a teacher on."""

    def finish(self, network: nn.Module, model: Model) -> None:
        """Put what was trained back into the model's own network, where `network` gave another one."""


def answer(network: nn.Module, batch: Batch) -> Any:
    """The network's output for the inputs of a batch, with gradients."""
    return network(**arguments_of(network, batch.inputs, bands=batch.bands, valid=batch.valid, times=batch.times))
