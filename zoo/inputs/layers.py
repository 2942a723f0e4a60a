"""Which band of which raster is which variable of an input: rasters may have different grids."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import InputError, ZooWarning, some
from zoo.inputs.radiometry import LinearMap, Radiometry, radiometry
from zoo.inputs.units import same_unit
from zoo.inputs.variables import SHOWN, find_variables, match_variables
from zoo.io.photographs import PhotoSource
from zoo.io.rasters import open_source
from zoo.io.source import RasterSource
from zoo.io.sources import expand, is_collection, label
from zoo.spec import InputSpec

Layer = tuple[RasterSource, int]  # a raster, and the number of its channel from 0


def layers_of(
    spec: InputSpec,
    item: Any,
    *,
    told: Sequence[str] | str | None = None,
    crs: Any = None,
    nodata: float | None = None,
) -> tuple[Layer | None, ...]:
    """Raster and channel of each variable of an input, matched by name.

    A band is called what it says of itself; the only band of a file that says nothing, what the file is called.

    Args:
        spec: the input.
        item: a raster, a folder of rasters (at any depth), a glob pattern, or a list of files.
        told: names of all bands in their order, where the files say nothing; see `match_variables`.
        crs: of the rasters, where they do not say.
        nodata: value of missing cells, besides the rasters' own; `None` = the input's, where they do not say.

    Returns:
        In the input's order, `None` for a variable that is not there.

    Raises:
        InputError: nothing can be read, variables are missing or there twice, or `check_layers` finds one wanting.
    """
    layers, names = open_layers(spec, item, crs=crs, nodata=nodata)
    matched = match_variables(spec, names, told=told, where=label(item))
    found = [None if place is None else layers[place] for place in matched.place]
    check_layers(spec, dict(zip(spec.band_ids, found, strict=True)))
    return tuple(found)


def find_layers(
    spec: InputSpec,
    item: Any,
    *,
    told: Sequence[str] | str | None = None,
    crs: Any = None,
    nodata: float | None = None,
) -> tuple[dict[str, Layer], list[str]]:
    """Raster and channel of the variables that are there, and what all bands are called.

    Arguments and errors as in `layers_of`; nothing is said of variables that are missing.
    """
    layers, names = open_layers(spec, item, crs=crs, nodata=nodata)
    places = find_variables(spec, names, told=told, where=label(item))
    found = {name: layers[place] for name, place in places.items()}
    check_layers(spec, found)
    return found, names


def check_layers(spec: InputSpec, layers: Mapping[str, Layer | None]) -> None:
    """Look where the rasters of variables lie, and compare the units that they state with the model's.

    Raises:
        InputError: a raster has no CRS, or is in another unit; a unit that zoo does not know is told in a warning.
    """
    doubts = []
    for band in spec.bands:
        layer = layers.get(band.id)
        if layer is None:
            continue
        source, channel = layer
        if source.crs is None:
            raise InputError(
                f"{source.name} holds {band.id} and has no CRS; expected a georeferenced raster. If you know it, write it into"
                f" the file: rio edit-info --crs EPSG:4326 {source.name} (the right code)"
            )
        unit = source.units[channel]
        if not unit or (same := same_unit(unit, band.unit)):
            continue
        if same is False:
            raise InputError(
                f"{source.name}: {band.id} is in {unit!r} by what the file says, expected {band.unit!r}; convert the numbers"
                " (gdal_calc.py), or correct what it says (gdal_edit.py -units)"
            )
        doubts.append(f"{band.id} in {unit!r} for {band.unit!r}")
    if doubts:
        warnings.warn(
            f"cannot tell whether these units of rasters are the model's: {some(doubts, SHOWN)}; look whether they are",
            ZooWarning,
            stacklevel=3,
        )


def open_layers(
    spec: InputSpec, item: Any, *, crs: Any = None, nodata: float | None = None
) -> tuple[list[Layer], list[str]]:
    """All bands of rasters, and what they are called; arguments and errors as in `layers_of`.

    Pictures beside rasters, such as a legend, are passed over.
    """
    files = expand(item) if is_collection(item) else [item]
    opened = [(open_source(file, (spec,), nodata=nodata), file) for file in files]
    if any(source.crs is not None for source, _ in opened):
        opened = [one for one in opened if not isinstance(one[0], PhotoSource)]
    sources = [source.declared(crs=crs, nodata=spec.nodata if source.nodata is None else None) for source, _ in opened]
    files = [file for _, file in opened]
    layers = [(source, channel) for source in sources for channel in range(source.count)]
    names = [
        _name(source, channel, file)
        for source, file in zip(sources, files, strict=True)
        for channel in range(source.count)
    ]
    return layers, names


def stated(
    spec: InputSpec,
    layers: Sequence[Layer | None],
    *,
    scale: float | None = None,
    offset: float | None = None,
    baseline: str | None = None,
) -> LinearMap:
    """The map from what rasters hold to the numbers that the input's first step expects, of each band.

    Digital numbers and Sentinel-2's are read as those of one file with all bands; what a raster states of others is
    physical.

    Args:
        spec: the input.
        layers: raster and channel of each band; `None` for one that is not there.
        scale: the user's --scale; see `radiometry`.
        offset: the user's --offset.
        baseline: the user's --baseline.

    Raises:
        InputError: options or tags contradict each other, or cannot be read.
    """
    every, by_user = len(spec.bands), {scale, offset, baseline} != {None}
    maps = []
    for index, (band, layer) in enumerate(zip(spec.bands, layers, strict=True)):
        if layer is None:
            maps.append((1.0, 0.0, -math.inf))
            continue
        source, channel = layer
        scales, offsets = (source.scales[channel],) * every, (source.offsets[channel],) * every
        if by_user or band.unit == "DN" or band.id.startswith("S2:"):
            said = radiometry(
                source.tags, scales, offsets, scale=scale, offset=offset, baseline=baseline, where=source.name
            )
        else:
            said = Radiometry(scale=scales, offset=offsets)
        maps.append(said.of_band(spec, index, source.name))
    factors, added, floors = zip(*maps, strict=True)
    return LinearMap(factors, added, floors)


def _name(source: RasterSource, channel: int, file: Any) -> str:
    stem = Path(file).stem if isinstance(file, str | Path) else source.name
    return source.names[channel] or (stem if source.count == 1 else "-")
