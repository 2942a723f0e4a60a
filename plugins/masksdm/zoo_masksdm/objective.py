"""What MaskSDM is trained for: presences and absences, while a random share of the predictors is hidden."""

# B batch, F predictors

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from zoo.datasets.sample import Batch
from zoo.datasets.seeds import generator_of
from zoo.errors import ConfigError
from zoo.tasks.losses.sdm import EPSILON, Presence
from zoo.tasks.objective import Moment, Term

HIDING = 0x3A5  # tells these draws of a sample from others


class Masked(Presence):
    """Presences and absences as `Presence` weighs them; each number is shown with a probability drawn once per step.

    That probability is uniform on 0 ... 1, so that all subsets of predictors are seen in training, from none to all. Which
    numbers are shown is each sample's own draw (its seed's, or where a batch has none its id's).

    Args:
        mask: `random`, or `missing`: only what is missing is hidden.
        loss: see `Presence`, as for the others.
        absences: see there.
        pos_weight: see there.
        epsilon: see there.

    Source: zbirobin/MaskSDM-MEE@bfdc9487.
    """

    def __init__(
        self,
        *,
        mask: Literal["random", "missing"] = "random",
        loss: Literal["weighted", "bce"] = "weighted",
        absences: float = 1.0,
        pos_weight: float = 1.0,
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__(loss=loss, absences=absences, pos_weight=pos_weight, epsilon=epsilon)
        if mask not in ("random", "missing"):
            raise ConfigError(f"mask is {mask!r}; expected random or missing: objective_options.mask=random")
        self.mask = mask

    def forward(self, network: nn.Module, batch: Batch, moment: Moment) -> Mapping[str, Term]:
        if self.mask == "random":
            share = float(torch.rand((), generator=moment.generator))
            batch = shown(batch, drawn(batch, share))
        return super().forward(network, batch, moment)


def drawn(batch: Batch, share: float) -> dict[str, Tensor]:
    """For each input, which of its numbers are shown, with the probability `share`: (B, F) bool; SatCLIP as one, (B, 1)."""
    widths = {name: 1 if name == "satclip" else one.shape[1] for name, one in batch.inputs.items()}
    seeds = batch.seeds.tolist() if batch.seeds is not None else [zlib.crc32(one.encode()) for one in batch.ids]
    total = sum(widths.values())
    numbers = torch.stack([torch.rand(total, generator=generator_of(HIDING, seed)) for seed in seeds])
    device = next(iter(batch.inputs.values())).device
    parts = (numbers < share).to(device).split(list(widths.values()), dim=1)
    return dict(zip(widths, parts, strict=True))


def shown(batch: Batch, keep: Mapping[str, Tensor]) -> Batch:
    """The batch with only those of its numbers valid that `keep` shows."""
    valid = dict(batch.valid)
    for name, one in keep.items():
        there = valid.get(name, ~batch.inputs[name].isnan())
        valid[name] = there & one.bool()
    return replace(batch, valid=valid)
