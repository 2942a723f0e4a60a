"""What a model answers for sites that show only some groups of their predictors: many coalitions of many sites at once.

A site that lacks what a coalition would add shows the same as without it: each distinct pair of a site and what it shows is
computed once, and what shows nothing once for all sites, so that it is the same to the last bit. Where the network offers
it, what does not depend on the coalition is computed once per site (`zoo.tasks.sdm.SubsetNetwork`).
"""

# B sites, C coalitions, P groups, F variables, U distinct pairs, D width of what the head takes, S species

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.explain.groups import Groups
from zoo.explain.shapley import Coalitions
from zoo.forward import answers_some
from zoo.inference import inference
from zoo.model import Model
from zoo.tasks.sdm import offers_subsets

ROWS = 2048  # ours: pairs that go through the network together; of 62 tokens of 192 numbers 100 MB
ROW_NUMBERS = 4_000_000  # ours: numbers of their inputs; of patches of 4 bands and 116 px 74 pairs
NOTHING = -1  # in place of the number of a pair: nothing is shown

Index = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Prepared inputs of B sites, on the model's device: see `zoo.predict.predictors.SiteBatch`."""

    tensors: Mapping[str, Tensor]
    bands: Mapping[str, tuple[str, ...]]
    valid: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def rows(self, which: slice | Tensor) -> Inputs:
        """Those of some sites."""
        return replace(
            self,
            tensors={name: one[which] for name, one in self.tensors.items()},
            valid={name: one[which] for name, one in self.valid.items()},
        )

    def to(self, device: torch.device) -> Inputs:
        """The same on a device."""
        return replace(
            self,
            tensors={name: one.to(device) for name, one in self.tensors.items()},
            valid={name: one.to(device) for name, one in self.valid.items()},
        )


@dataclass(frozen=True, kw_only=True)
class Subsets:
    """See the module.

    Attributes:
        model: one that can hide predictors.
        groups: that are shown or hidden.
        species: numbers of those that are asked for.
        precision: `fp32` or `bf16`.
    """

    model: Model
    groups: Groups
    species: tuple[int, ...]
    precision: str = "fp32"

    @property
    def in_steps(self) -> bool:
        """Whether what does not depend on the subset is computed once: then inputs are hidden by masks alone."""
        return offers_subsets(self.model.module) and not self.groups.left_out

    def pooled(self, inputs: Inputs, coalitions: Coalitions) -> tuple[Tensor, Index]:
        """(U, D) of the distinct pairs, and which of them each coalition of each site is, (C, B); `NOTHING` where it is
        `nothing`.
        """
        shown = coalitions[:, None] & self._there(inputs)
        kinds, index = _distinct(shown)
        rows, subsets = kinds
        some = subsets.any(axis=1) | bool(self._always(inputs))
        place = np.where(some, some.cumsum() - 1, NOTHING)
        return self._computed(inputs, rows[some], subsets[some]), place[index]

    def nothing(self, inputs: Inputs) -> Tensor:
        """(1, D) of a site that shows nothing."""
        return self._computed(inputs.rows(slice(1)), np.zeros(1, np.int64), np.zeros((1, len(self.groups)), np.bool_))

    def logits(self, pooled: Tensor, species: Sequence[int]) -> Tensor:
        """(U, S) float32 of species by their number among those that are asked for."""
        if not self.in_steps:
            return pooled[:, list(species)].float()
        with inference(self.model.device, self.precision):
            found: Tensor = self.model.module.head(pooled, [self.species[one] for one in species])  # type: ignore[operator]
        return found.float()

    def _computed(self, inputs: Inputs, rows: Index, subsets: Coalitions) -> Tensor:
        """(U, D) of sites `rows` (U,) that show `subsets` (U, P)."""
        absent = self._absent(subsets)
        # About as much is shown by those that go together, and the same inputs are there.
        order = np.lexsort((subsets.sum(axis=1), *absent.T))
        tokens = self._tokens(inputs) if self.in_steps and len(rows) else None
        parts = []
        for here in _pieces(order, absent, self._rows(inputs)):
            mine = torch.from_numpy(rows[here]).to(self.model.device)
            masks = self._masks(inputs, mine, subsets[here])
            if tokens is None:
                hidden = [name for name, one in zip(self.groups.left_out, absent[here[0]], strict=True) if one]
                parts.append(self._forward(inputs, mine, masks, hidden))
            else:
                parts.append(self._pooled(tokens, mine, masks))
        if not parts:
            return torch.empty(0, 0, device=self.model.device)
        back = torch.from_numpy(np.argsort(order, kind="stable")).to(self.model.device)
        return torch.cat(parts)[back]

    def _tokens(self, inputs: Inputs) -> Any:
        with inference(self.model.device, self.precision):
            return self.model.module.tokens(**inputs.tensors)  # type: ignore[operator]

    def _pooled(self, tokens: Tensor, rows: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
        named = {f"{name}_valid": mask for name, mask in masks.items()}
        with inference(self.model.device, self.precision):
            found: Tensor = self.model.module.pooled_of(tokens, rows, **named)  # type: ignore[operator]
        return found

    def _forward(self, inputs: Inputs, rows: Tensor, masks: Mapping[str, Tensor], hidden: Sequence[str]) -> Tensor:
        """(U, S): of a network that offers no shorter way, the logits themselves; without the inputs `hidden`."""
        output = self.model.forward(
            {name: one[rows] for name, one in inputs.tensors.items() if name not in hidden},
            bands={name: one for name, one in inputs.bands.items() if name not in hidden},
            valid={name: one for name, one in masks.items() if name not in hidden},
            species=self.species,
            precision=self.precision,
        )
        logits: Tensor = output.logits
        return logits if answers_some(self.model.module) else logits[:, list(self.species)]

    def _masks(self, inputs: Inputs, rows: Tensor, subsets: Coalitions) -> dict[str, Tensor]:
        """(U, F) of each input; of those that no mask hides, as they are."""
        masks = {name: one[rows] for name, one in inputs.valid.items()}
        for name in self.groups.members:
            if name in masks and name not in self.groups.left_out:
                masks[name] &= torch.from_numpy(self.groups.shown(subsets, name)).to(self.model.device)
        return masks

    def _there(self, inputs: Inputs) -> NDArray[np.bool_]:
        """(B, P): whether a site has any variable of a group."""
        there = np.zeros((len(inputs), len(self.groups)), np.bool_)
        for name, members in self.groups.members.items():
            if name in inputs.tensors:
                known = inputs.valid[name].cpu().numpy()
                if name in self.groups.left_out:  # a whole, of pictures perhaps
                    known = known.reshape(len(known), -1).any(axis=1, keepdims=True).repeat(members.shape[1], axis=1)
                there |= known @ members.T
        return there

    def _absent(self, subsets: Coalitions) -> NDArray[np.bool_]:
        """(U, K): which of the inputs `left_out` the subsets (U, P) do not have."""
        columns = [~self.groups.shown(subsets, name).any(axis=1) for name in self.groups.left_out]
        return np.stack(columns, axis=1) if columns else np.zeros((len(subsets), 0), np.bool_)

    def _rows(self, inputs: Inputs) -> int:
        """Pairs that go through the network together."""
        numbers = sum(one[:1].numel() for one in inputs.tensors.values())
        return max(min(ROWS, ROW_NUMBERS // numbers), 1)

    def _always(self, inputs: Inputs) -> list[str]:
        """Inputs that are never hidden."""
        return [name for name in inputs.tensors if name not in self.groups.members]


def _pieces(order: Index, absent: NDArray[np.bool_], size: int) -> Iterator[Index]:
    """Pairs, in `order`, that go together: at most `size`, and all without the same inputs (U, K)."""
    changes = np.flatnonzero((absent[order[1:]] != absent[order[:-1]]).any(axis=1)) + 1
    for alike in np.split(order, changes):
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


def _distinct(shown: Coalitions) -> tuple[tuple[Index, Coalitions], Index]:
    """Distinct pairs of site (U,) and what it shows (U, P), of (C, B, P); and which each is, (C, B)."""
    coalitions, sites, players = shown.shape
    site = np.broadcast_to(np.arange(sites, dtype=np.int64)[None, :, None], (coalitions, sites, 1))
    packed = np.packbits(shown, axis=2)
    bytes_of_site = np.ascontiguousarray(site).view(np.uint8).reshape(coalitions, sites, 8)
    keys = np.ascontiguousarray(np.concatenate([bytes_of_site, packed], axis=2).reshape(coalitions * sites, -1))
    _, first, index = np.unique(keys.view(f"V{keys.shape[1]}")[:, 0], return_index=True, return_inverse=True)
    rows = first % sites
    return (rows, shown.reshape(-1, players)[first]), index.reshape(coalitions, sites)
