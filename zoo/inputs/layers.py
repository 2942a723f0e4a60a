"""Which band of which raster is which variable of an input: rasters may have different grids."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import InputError, ZooWarning, some
from zoo.inputs.units import same_unit
from zoo.inputs.variables import SHOWN, find_variables, has_any, match_variables
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
    dispensable: bool = False,
    where: str | None = None,
) -> tuple[Layer | None, ...] | None:
    """Raster and channel of each variable of an input, matched by name.

    A band is called what it says of itself; the only band of a file that says nothing, what the file is called.

    Args:
        spec: the input.
        item: a raster, a folder of rasters (at any depth), a glob pattern, or a list of files.
        told: names of all bands in their order, where the files say nothing; see `match_variables`.
        crs: of the rasters, where they do not say.
        nodata: value of missing cells, where they do not say.
        dispensable: whether there may be no variable at all.
        where: how messages call the source; `None` = by its file name.

    Returns:
        In the input's order, `None` for a variable that is not there; `None` for all where none is and none need be.

    Raises:
        InputError: nothing can be read, a raster has no CRS, or variables are missing or there twice.
    """
    layers, names = open_layers(spec, item, crs=crs, nodata=nodata)
    if dispensable and not has_any(spec, names, told=told):
        return None
    matched = match_variables(spec, names, told=told, where=where or label(item))
    found = [None if place is None else layers[place] for place in matched.place]
    check_units(spec, dict(zip(spec.band_ids, found, strict=True)))
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
    check_units(spec, found)
    return found, names


def check_units(spec: InputSpec, layers: Mapping[str, Layer | None]) -> None:
    """Compare the units that rasters state with the model's; one that zoo does not know is told in a warning.

    Raises:
        InputError: a raster is in another unit.
    """
    doubts = []
    for band in spec.bands:
        source, channel = layers.get(band.id) or (None, 0)
        unit = source.units[channel] if source is not None else None
        if source is None or not unit or (same := same_unit(unit, band.unit)):
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
    """All bands of rasters, and what they are called; arguments and errors as in `layers_of`."""
    files = expand(item) if is_collection(item) else [item]
    sources = [open_source(file, (spec,), crs=crs, nodata=nodata) for file in files]
    if nowhere := [source.name for source in sources if source.crs is None]:
        raise InputError(
            f"{nowhere[0]} has no CRS; expected a georeferenced raster: say --crs EPSG:4326 (the right code)"
        )
    layers = [(source, channel) for source in sources for channel in range(source.count)]
    names = [
        _name(source, channel, file)
        for source, file in zip(sources, files, strict=True)
        for channel in range(source.count)
    ]
    return layers, names


def _name(source: RasterSource, channel: int, file: Any) -> str:
    stem = Path(file).stem if isinstance(file, str | Path) else source.name
    return source.names[channel] or (stem if source.count == 1 else "-")
