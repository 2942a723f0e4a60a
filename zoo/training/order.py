"""Which samples each step sees, and which of them which process: a function of the seed and the step, with no state.

The order of an epoch is cut into the batches of its steps before they are dealt, so that the number of processes, the
size of what a process takes at once, and interruptions do not change what a step sees.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.datasets.loading import Key
from zoo.datasets.seeds import generator_of
from zoo.errors import ConfigError


class Part(NamedTuple):
    """Samples that a process takes at once; an idle part has no share in the loss, and keeps step with the others."""

    keys: list[Key]
    idle: bool


@dataclass(frozen=True, kw_only=True)
class Order:
    """The order of a phase.

    Attributes:
        num: samples of the dataset.
        batch: samples of a step, of all processes together.
        micro_batch: most samples of a process at once; `None` = its whole share.
        process: number of this process.
        processes: how many share a step.
        drop_last: whether samples that do not fill a step are left out of an epoch (others in each).
    """

    num: int
    batch: int
    micro_batch: int | None = None
    process: int = 0
    processes: int = 1
    seed: int = 0
    drop_last: bool = True

    def __post_init__(self) -> None:
        if self.num < self.batch and self.drop_last:
            raise ConfigError(
                f"{self.num} samples do not fill one batch of {self.batch}; say batch={self.num}, or drop_last=false"
            )
        if self.batch < self.processes:
            raise ConfigError(
                f"a batch of {self.batch} cannot be shared by {self.processes} processes; say a larger batch="
            )

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return self.num // self.batch if self.drop_last else math.ceil(self.num / self.batch)

    def parts(self, step: int) -> list[Part]:
        """What this process sees in a step, in turn; as many parts in all processes.

        Where its share does not fill a part (the tail of an epoch), the part is idle and holds a sample of the step.
        """
        epoch, place = divmod(step, self.per_epoch)
        rows: list[int] = _permutation(self.num, self.seed, epoch)[place * self.batch :][: self.batch].tolist()
        share = math.ceil(len(rows) / self.processes)  # of the first process, which has the most
        mine = _dealt(rows, self.processes)[self.process]
        num_parts = math.ceil(share / (self.micro_batch or share))
        return [Part([(epoch, index) for index in part or rows[:1]], idle=not part) for part in _dealt(mine, num_parts)]

    def keys(self, first_step: int, last_step: int) -> Iterator[list[Key]]:
        """Keys of the parts of the steps from `first_step` to before `last_step`, in turn."""
        for step in range(first_step, last_step):
            yield from (part.keys for part in self.parts(step))


def _dealt(rows: list[int], among: int) -> list[list[int]]:
    """Rows in runs, the first ones longer by one where they do not come out even."""
    least, more = divmod(len(rows), among)
    starts = [0]
    for number in range(among):
        starts.append(starts[-1] + least + (number < more))
    return [rows[begin:end] for begin, end in itertools.pairwise(starts)]


@functools.lru_cache(maxsize=2)
def _permutation(num: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(num, generator=generator_of(seed, epoch))
