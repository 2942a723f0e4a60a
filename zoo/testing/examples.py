"""Made-up inputs of every kind: numbers as files hold them, sources to read them from, and prepared tensors.

Numbers of one source have the bands first: (C, H, W) of a raster or photograph, (C, T, H, W) of a series, (C, N) of the N
sites of a table.
"""

# B batch, C bands or variables, T times, N sites, H W pixels

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.inputs.preprocess import Preprocess
from zoo.spec import Clip, Decibel, InputSpec, Kind, Normalise, Percentile, Scale, Step

SITES = 8
STEPS = 3  # of a series that takes all there are
CRS = "EPSG:32632"
LEFT, TOP = 500_000, 5_200_000  # of all grids
FIRST_DAY = 18_262  # 2020-01-01 in days since 1970
TEXTS = ("a forest by the sea", "red roofs", "a lake, seen from above in winter", "wheat")  # of unlike lengths
PIXELS = (Kind.RASTER, Kind.IMAGE, Kind.SERIES)


def raw_batch(item: InputSpec, *, batch: int, size: tuple[int, int], seed: int) -> Tensor:
    """Plausible numbers: noise of unit variance taken back through the declared steps.

    Returns:
        (B, C, H, W), (B, T, C, H, W) of a series, (B, C) of a table.
    """
    space = size if item.kind in PIXELS else (1, 1)
    times = (item.times or STEPS,) if item.kind is Kind.SERIES else ()
    noise = torch.randn((batch, *times, len(item.bands), *space), generator=torch.Generator().manual_seed(seed))
    for step in reversed(item.steps):
        noise = _undone(step, noise)
    noise = noise.clamp(min=1.0) if item.nodata == 0 and item.kind in PIXELS else noise
    return noise if item.kind in PIXELS else noise[..., 0, 0]


def prepared_batch(item: InputSpec, *, batch: int, size: tuple[int, int], seed: int, resize: bool) -> Tensor:
    """The same, through the steps; where a table may lack values, it lacks some."""
    raw = raw_batch(item, batch=batch, size=size, seed=seed)
    if item.kind is Kind.TABLE:
        holes = (torch.arange(batch)[:, None] + 2 * torch.arange(raw.shape[1])) % 3 == 2  # never all of two in a row
        raw = raw.masked_fill(holes, math.nan) if item.any_subset and raw.shape[1] > 1 else raw
        return Preprocess(item)(raw[:, :, None, None])[:, :, 0, 0]
    prepared = Preprocess(item)(raw.flatten(0, -4), resize=resize)
    return prepared.reshape(raw.shape[:-2] + prepared.shape[-2:])


def numbers(item: InputSpec, *, size: tuple[int, int], seed: int) -> Tensor:
    """Numbers of one source, bands first."""
    if item.kind is Kind.TABLE:
        return raw_batch(item, batch=SITES, size=size, seed=seed).T.contiguous()
    one = raw_batch(item, batch=1, size=size, seed=seed)[0]
    return one.transpose(0, 1).contiguous() if item.kind is Kind.SERIES else one


def validity(item: InputSpec, prepared: Tensor) -> Tensor:
    """Which prepared numbers are data, in the shape that networks are told it; in tables: all but those filled in."""
    match item.kind:
        case Kind.TABLE:
            nothing = torch.full((1, len(item.bands), 1, 1), math.nan)
            return prepared != Preprocess(item)(nothing)[:, :, 0, 0].to(prepared.device)
        case Kind.SERIES:
            return torch.ones_like(prepared, dtype=torch.bool)
        case _:
            return torch.ones_like(prepared[:, 0], dtype=torch.bool)


def days(prepared: Tensor) -> Tensor:
    """(B, T) of a series, in days since 1970-01-01."""
    batch, steps = prepared.shape[:2]
    return (FIRST_DAY + torch.arange(steps, dtype=torch.float64)).expand(batch, -1)


def source(item: InputSpec, given: Tensor, names: Sequence[str]) -> Any:
    """What zoo opens as a user's file, of numbers whose bands are named."""
    from affine import Affine

    from zoo.io.grid import Grid
    from zoo.io.rasters import open_array
    from zoo.io.series import Layer, SeriesSource
    from zoo.io.source import to_crs

    gsd_m = item.gsd_m[0] if item.gsd_m else 10.0
    transform = Affine(gsd_m, 0, LEFT, 0, -gsd_m, TOP)
    name = f"an example of the check ({item.label or item.name})"
    match item.kind:
        case Kind.TABLE:
            return _table(given, names, name, gsd_m)
        case Kind.SERIES:
            units = {band.id: band.unit for band in item.bands}
            layers = (
                Layer(name=one, unit=units.get(one, ""), array=array, timed=True)
                for one, array in zip(names, given.numpy(), strict=True)
            )
            times = np.datetime64(0, "s") + np.timedelta64(86_400, "s") * (FIRST_DAY + np.arange(given.shape[1]))
            grid = Grid(height=given.shape[2], width=given.shape[3], crs=to_crs(CRS), transform=transform)
            return SeriesSource(name=name, layers=tuple(layers), times=times, grid=grid, nodata=item.nodata)
        case _:
            return open_array(
                given.numpy(), names=tuple(names), crs=CRS, transform=transform, nodata=item.nodata, name=name
            )


def _table(given: Tensor, names: Sequence[str], name: str, gsd_m: float) -> Any:
    """A table whose sites all lie near the corner of the grids."""
    import pyarrow as pa

    from zoo.io.source import to_crs
    from zoo.io.tables import TableSource

    data = pa.table([pa.array(column.double().numpy()) for column in given], names=list(names))
    places = np.tile([LEFT + 1.5 * gsd_m, TOP - 1.5 * gsd_m], (given.shape[1], 1, 1))
    return TableSource(name=name, data=data, places=places, crs=to_crs(CRS))


def _undone(step: Step, x: Tensor) -> Tensor:
    """(..., C, H, W) numbers that `step` turns into about `x`."""

    def per_band(values: Sequence[float]) -> Tensor:
        return torch.tensor(values)[:, None, None]

    match step:
        case Scale():
            return (x - step.offset) / step.factor
        case Clip():
            return x.clamp(step.low, step.high)
        case Decibel():
            return 10 ** (x / 10)
        case Percentile():
            low, high = per_band(step.low), per_band(step.high)
            return low + (0.5 + x / 6).clamp(0.02, 0.98) * (high - low)
        case Normalise():
            return x * per_band(step.std) + per_band(step.mean)
        case _:
            return x
