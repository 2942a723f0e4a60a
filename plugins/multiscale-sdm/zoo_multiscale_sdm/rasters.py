"""Environmental rasters of a folder: which file is which variable, and the statistics that they are standardised by.

The authors read each raster whole, in float64, and concatenate files in the order in which the file system lists them;
here files go by name, and are read by windows.

Source: ninavantiel/multi_scale_SDMs@22ac42f.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from zoo.datasets import statistics as counting
from zoo.errors import InputError
from zoo.inputs.variables import match_variables
from zoo.io.rasters import open_raster
from zoo.io.source import RasterSource
from zoo.spec import InputSpec, Normalise

SOURCE = "statistics of the data themselves, as ninavantiel/multi_scale_SDMs@22ac42f"


class Layer(NamedTuple):
    """One channel of a raster."""

    path: Path
    source: RasterSource
    channel: int

    @property
    def name(self) -> str:
        """What the band says it is, else what the name of its file says."""
        told = self.source.names[self.channel]
        return told or (self.path.stem if self.source.count == 1 else "-")


class Moments(NamedTuple):
    """Mean and population deviation of what is data."""

    mean: float
    std: float


def layers_of(folder: Path, spec: InputSpec, *, bands: Sequence[str] | None = None) -> tuple[Layer, ...]:
    """The layer of each variable of an input, in its order.

    Args:
        folder: with GeoTIFFs, at any depth.
        spec: the input.
        bands: names of the layers, file after file in the order of their paths, where the files do not say them; `-` for
            one that is not used.

    Raises:
        InputError: there are no files, or a variable is in none or in two of them.
    """
    files = sorted(folder.rglob("*.tif"))
    if not files:
        raise InputError(f"{folder} holds no .tif; expected the rasters of {', '.join(spec.band_ids[:12])}")
    opened = [(path, open_raster(path, require_crs=True)) for path in files]
    found = [Layer(path, source, channel) for path, source in opened for channel in range(source.count)]
    matched = match_variables(spec, [layer.name for layer in found], told=bands, where=str(folder))
    return tuple(found[place] for place in matched.place if place is not None)


def statistics(layers: Sequence[Layer]) -> tuple[Moments, ...]:
    """Of whole layers, in one pass over the files.

    Raises:
        InputError: a file cannot be read, or a layer holds no data or one number alone.
    """
    counted = {path: counting.statistics([path]).bands for path in dict.fromkeys(layer.path for layer in layers)}
    found = []
    for layer in layers:
        told = counted[layer.path][layer.channel].distribution
        if not told.std > 0:
            raise InputError(
                f"{layer.path}: {layer.name} holds {told.count} numbers, all the same; expected a layer that varies:"
                " leave it out, or correct its nodata value"
            )
        found.append(Moments(told.mean, told.std))
    return tuple(found)


def standardised(spec: InputSpec, moments: Sequence[Moments]) -> InputSpec:
    """The input with these statistics in place of its own."""
    own = Normalise(mean=tuple(one.mean for one in moments), std=tuple(one.std for one in moments), source=SOURCE)
    return replace(spec, steps=tuple(own if isinstance(step, Normalise) else step for step in spec.steps))
