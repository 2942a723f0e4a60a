"""Forecasts: maps of a probability or a physical quantity, for one or several times after the last input."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import PluginError
from zoo.results.maps import MapBands
from zoo.spec import Quantity, Variant
from zoo.tasks.base import MapTask


class ForecastOutput(NamedTuple):
    """What a network of the task `forecast` returns.

    For an input of the kind `series` it takes float32 (B, T, C, H, W), and, if its `forward` asks for them,
    `<name>_valid` bool (B, T, C, H, W) and `<name>_times` float64 (B, T), days since 1970-01-01 UTC.

    values: (B, V, H, W) or, with several lead times, (B, L, V, H, W), one pixel per `Variant.stride` input pixels, in
        the units of the network; `Variant.quantities` says what they mean.
    """

    values: Tensor


class ForecastMap(MapTask):
    """A band per lead time and quantity, in physical units, nodata NaN."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant

    def maps(self, output: ForecastOutput) -> Tensor:
        """(B, L x V, h, w), lead times outermost.

        Raises:
            PluginError: the network answers for other lead times or quantities than the variant says.
        """
        values = output.values.float()
        values = values[:, None] if values.ndim == 4 else values
        expected = (len(self.variant.lead_times_h), len(self.variant.quantities))
        if values.ndim != 5 or tuple(values.shape[1:3]) != expected:
            raise PluginError(
                f"variant {self.variant.tag!r} says {expected[0]} lead times and {expected[1]} quantities, its network"
                f" answered {tuple(output.values.shape)}; correct `lead_times_h` and `quantities` in the plugin"
            )
        return torch.stack(
            [physical(one, values[:, :, index]) for index, one in enumerate(self.variant.quantities)], dim=2
        ).flatten(1, 2)

    def bands(self, variant: Variant, channels: int) -> MapBands:  # noqa: ARG002  (the protocol's)
        names = tuple(
            quantity.name if len(variant.lead_times_h) == 1 else f"{quantity.name}_{hours:g}h"
            for hours in variant.lead_times_h
            for quantity in variant.quantities
        )
        units = {quantity.unit for quantity in variant.quantities}
        unit = units.pop() if len(units) == 1 else ""
        return MapBands(names=names, dtype="float32", nodata=float("nan"), unit=unit)

    def finish(self, maps: Tensor) -> Tensor:
        return maps


def physical(quantity: Quantity, values: Tensor) -> Tensor:
    """Numbers of the network as what they mean."""
    if quantity.probability:
        return values.sigmoid()
    meant = values * quantity.scale + quantity.offset
    return meant if quantity.low is None and quantity.high is None else meant.clamp(quantity.low, quantity.high)
