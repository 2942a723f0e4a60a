"""Scores made of sums over samples, with bootstrap intervals: the base of all tasks' metrics.

What a metric keeps is small and is added: over batches, over processes, and, for the bootstrap, over samples weighted by
how often a resampled dataset holds them. A weight is drawn from the sample's id and the number of the replicate alone
(Poisson of mean 1, the limit of resampling with replacement), so that order, batches and processes change nothing:
counts are the same to the bit, sums of measured values to float64's rounding.
"""

# B samples, R replicates, N keys

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from zoo.errors import InputError

INTERVAL = (0.025, 0.975)  # ours: 95 %, as most papers give
_CDF = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(20)])  # of Poisson(1); beyond 19: 1e-19
_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # splitmix64, Steele et al. 2014


class Figure(NamedTuple):
    """One score and its 95 % bootstrap interval (`None` where none was asked for, or all replicates are undefined)."""

    value: float
    low: float | None = None
    high: float | None = None


Table = Mapping[str, Sequence[Any]]


class Sums(Metric):  # type: ignore[misc]
    """Base of metrics whose scores are functions of sums.

    A task's metric calls `add_sum` (and `add_rows`) in its `__init__`, `accumulate` in `update`, and gives `scores`.

    Args:
        bootstrap: R, number of replicates; 0 = no intervals, and no cost.

    Attributes:
        tables: after `compute`, by name, what is more than a figure: columns by name, plain numbers (NaN where undefined).
    """

    full_state_update = False

    def __init__(self, *, bootstrap: int = 0) -> None:
        super().__init__()
        self.bootstrap = bootstrap
        self._nothing: dict[str, Tensor] = {}
        self.tables: dict[str, Table] = {}

    def add_sum(self, name: str, *shape: int) -> None:
        """A float64 state `name` (1 + R, *shape): row 0 over all samples, the others over each replicate's.

        Counts stay exact up to 2^53.
        """
        zeros = torch.zeros(1 + self.bootstrap, *shape, dtype=torch.float64)
        self.add_state(name, zeros, dist_reduce_fx="sum")

    def add_rows(self, name: str, *shape: int, dtype: torch.dtype) -> None:
        """A state `name` that grows by (n, *shape) tensors, for what cannot be summed (rankings); see `rows`."""
        self._nothing[name] = torch.empty(0, *shape, dtype=dtype)
        self.add_state(name, [], dist_reduce_fx="cat")
        getattr(self, name).append(self._nothing[name])

    def reset(self) -> None:
        super().reset()
        self.tables = {}
        for name, nothing in self._nothing.items():  # a process without samples still takes part in the gathering
            getattr(self, name).append(nothing.to(self.device))

    def rows(self, name: str) -> Tensor:
        """All that was kept under `name`, in one tensor."""
        return dim_zero_cat(getattr(self, name))  # type: ignore[no-any-return]

    def accumulate(self, ids: Sequence[str], summands: Mapping[str, Tensor]) -> None:
        """Add each sample's summands, (B, *shape), to the sums of those names.

        Raises:
            InputError: a summand is not finite, and would leave no score.
        """
        for name, values in summands.items():
            if len(values) != len(ids):
                raise ValueError(f"{name}: summands of {len(values)} samples for {len(ids)} ids")
            finite = values.isfinite().flatten(1).all(dim=1) if values.ndim > 1 else values.isfinite()
            if not finite.all():
                wrong = [one for one, good in zip(ids, finite.tolist(), strict=True) if not good]
                raise InputError(
                    f"the network's answer for {wrong[0]} is not finite ({len(wrong)} of {len(ids)} samples of its batch);"
                    " expected numbers wherever the target is known: try precision fp32, and look at the weights and"
                    " the input with `zoo data check`"
                )
        weights = None
        if self.bootstrap and ids:
            weights = poisson_weights(keys_of(ids), range(self.bootstrap)).to(self.device)
        for name, values in summands.items():
            state: Tensor = getattr(self, name)
            values = values.to(state)
            state[0] += values.sum(dim=0)
            if weights is not None:
                state[1:] += (weights @ values.reshape(len(ids), -1)).view_as(state[1:])

    def scores(self) -> Mapping[str, Tensor]:
        """Scores by name, each (1 + R,), a function of each row of the sums; NaN where it is undefined."""
        raise NotImplementedError

    def update(self, output: Any, target: Mapping[str, Any], ids: Sequence[str]) -> None:
        """Count a batch: the network's output, the target of `zoo.datasets.sample`, and the samples' ids."""
        raise NotImplementedError

    def compute(self) -> dict[str, Figure]:
        """Figures by name; those that the data leave undefined (a class that is nowhere) are left out."""
        figures = {name: figure(values) for name, values in self.scores().items()}
        return {name: one for name, one in figures.items() if not math.isnan(one.value)}


def figure(values: Tensor) -> Figure:
    """The score in row 0 with the percentiles of the rows after it."""
    value = float(values[0])
    drawn = values[1:].double()
    drawn = drawn[~drawn.isnan()]
    if not len(drawn):
        return Figure(value)
    low, high = torch.quantile(drawn, drawn.new_tensor(INTERVAL)).tolist()
    return Figure(value, low, high)


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, NaN where there is no whole."""
    return torch.where(whole > 0, part / whole.clamp_min(torch.finfo(whole.dtype).tiny), torch.nan)


def keys_of(ids: Sequence[str]) -> Tensor:
    """A number (int64) for each id, the same on every machine."""
    return torch.tensor(
        [int.from_bytes(hashlib.blake2b(one.encode(), digest_size=8).digest(), "little", signed=True) for one in ids],
        dtype=torch.int64,
    )


def poisson_weights(keys: Tensor, replicates: Sequence[int]) -> Tensor:
    """How often each replicate holds each sample: (replicates, N) float64, on the CPU."""
    numbers = np.asarray(replicates, dtype=np.uint64)[:, None] + np.uint64(1)
    mixed = keys.cpu().numpy().view(np.uint64)[None] + numbers * np.uint64(_GOLDEN)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_MIX_1)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_MIX_2)
    uniform = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
    return torch.from_numpy(np.searchsorted(_CDF, uniform, side="right").astype(np.float64))
