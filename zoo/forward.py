"""How a network is called: one tensor per input by name, and beside it only what its `forward` asks for by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn


def arguments_of(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    bands: Mapping[str, tuple[str, ...]] | None = None,
    valid: Mapping[str, Tensor] | None = None,
    times: Mapping[str, Tensor] | None = None,
    species: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Keywords for `module.forward`.

    Args:
        module: the network.
        tensors: one per input name.
        bands: ids in channel order, passed as `<name>_bands` where `forward` has a parameter of that name.
        valid: (B, H, W) masks ((B, F) of tables, (B, T, C, H, W) of series), passed as `<name>_valid` likewise.
        times: (B, T) days since 1970-01-01 UTC of the steps of series, float64, passed as `<name>_times` likewise.
        species: numbers of those that are asked for, passed as `species` to a network that answers for them alone.
    """
    wanted = _parameters(type(module).forward)
    arguments: dict[str, Any] = dict(tensors)
    for suffix, extra in (("bands", bands), ("valid", valid), ("times", times)):
        for name, value in (extra or {}).items():
            if f"{name}_{suffix}" in wanted:
                arguments[f"{name}_{suffix}"] = value
    if species is not None and "species" in wanted:
        arguments["species"] = species
    return arguments


def answers_some(module: nn.Module) -> bool:
    """Whether the network answers, where asked, for some of its species alone, in the order asked for."""
    return takes(module, "species")


def takes(module: nn.Module, name: str) -> bool:
    """Whether the network's `forward` asks for a keyword of that name."""
    return name in _parameters(type(module).forward)


@functools.cache
def _parameters(forward: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters)
