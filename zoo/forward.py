"""How a network is called: one tensor per input by name, and beside it only what its `forward` asks for by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn


def arguments_of(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    bands: Mapping[str, tuple[str, ...]] | None = None,
    valid: Mapping[str, Tensor] | None = None,
    times: Mapping[str, Tensor] | None = None,
) -> dict[str, Any]:
    """Keywords for `module.forward`.

    Args:
        module: the network.
        tensors: one per input name.
        bands: ids in channel order, passed as `<name>_bands` where `forward` has a parameter of that name.
        valid: (B, H, W) masks ((B, F) of tables, (B, T, C, H, W) of series), passed as `<name>_valid` likewise.
        times: (B, T) days since 1970-01-01 UTC of the steps of series, float64, passed as `<name>_times` likewise.
    """
    wanted = _parameters(type(module).forward)
    arguments: dict[str, Any] = dict(tensors)
    for suffix, extra in (("bands", bands), ("valid", valid), ("times", times)):
        for name, value in (extra or {}).items():
            if f"{name}_{suffix}" in wanted:
                arguments[f"{name}_{suffix}"] = value
    return arguments


@functools.cache
def _parameters(forward: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(forward).parameters)
