"""Presence or absence from modalities of which some may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from zoo.datasets.sample import Batch
from zoo.errors import ConfigError
from zoo.tasks.losses.sdm import Presence
from zoo.tasks.objective import Moment, Term


class MultiScalePresence(Presence):
    """`zoo.tasks.losses.sdm.Presence`, that leaves a modality out now and then (ours), so that the network learns to do
    without it.

    Args:
        without: share of the steps in which a modality is left out, by its name; those that are always there are not
            named.
        options: of `Presence`.

    Raises:
        ConfigError: a share is none.
    """

    def __init__(
        self,
        *,
        without: Mapping[str, float] | None = None,
        loss: Any = "weighted",
        absences: float = 1.0,
        pos_weight: float = 1.0,
        epsilon: float = 0.0,  # all species of the challenge have a presence: ninavantiel/multi_scale_SDMs@22ac42f
    ) -> None:
        super().__init__(loss=loss, absences=absences, pos_weight=pos_weight, epsilon=epsilon)
        self.without = dict(without or {})
        if wrong := {name: share for name, share in self.without.items() if not 0 <= share < 1}:
            raise ConfigError(
                f"without says {wrong}; expected shares from 0 to below 1: objective_options.without={{sat: 0.2}}"
            )

    def forward(self, network: nn.Module, batch: Batch, moment: Moment) -> Mapping[str, Term]:
        """See `Presence`."""
        if network.training and self.without:
            batch = self._thinned(batch, moment)
        return super().forward(network, batch, moment)

    def _thinned(self, batch: Batch, moment: Moment) -> Batch:
        if unknown := set(self.without) - set(batch.inputs):
            raise ConfigError(f"without names {min(unknown)}; the data have {', '.join(batch.inputs)}")
        draws = torch.rand(len(self.without), generator=moment.generator).tolist()
        out = {name for (name, share), draw in zip(self.without.items(), draws, strict=True) if draw < share}
        kept = {name: one for name, one in batch.inputs.items() if name not in out}
        return replace(batch, inputs=kept) if kept else batch
