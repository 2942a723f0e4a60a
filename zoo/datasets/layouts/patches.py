"""Patches of rasters around the sites of a table, read when they are asked for."""

# C bands, p side of a patch

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ConfigError, InputError
from zoo.inputs.feed import open_input
from zoo.inputs.layers import Layer, check_layers, layers_of, stated
from zoo.inputs.preprocess import Preprocess
from zoo.io import around
from zoo.io.grid import LON_LAT
from zoo.io.source import to_crs
from zoo.options import Options
from zoo.spec import InputSpec, Kind, Variant


@dataclass(frozen=True, kw_only=True, eq=False)
class Patches:
    """One input, of patches.

    Attributes:
        bands: raster and channel of each band.
        side: of the patches, in cells of each raster.
    """

    spec: InputSpec
    prepare: Preprocess
    bands: tuple[Layer | None, ...]
    side: int

    def at(self, lon_lat: tuple[float, float]) -> tuple[Tensor, Tensor]:
        """Prepared numbers (C, p, p) around a place, and which cells held data (p, p)."""
        found = around.patches(self.bands, np.array(lon_lat)[None, None], to_crs(LON_LAT), side=self.side)
        pixels = torch.from_numpy(found)
        return self.prepare(pixels)[0], pixels[0].isfinite().any(dim=0)


def open_patches(spec: InputSpec, path: Path) -> Patches:
    """The rasters of an input.

    Args:
        spec: the input; its `window` is the side of the patches.
        path: a raster with all bands, or a folder with a file per variable, at any depth.

    Raises:
        InputError: there is no raster, or a band is missing.
    """
    if spec.window is None:
        raise InputError(f"input {spec.name!r} says no side of patches; a model that sees patches says their window")
    if not path.is_dir():
        feed = open_input((spec,), path, Options(), where=path.name)
        mine = tuple((feed.source, channel) for channel in feed.channels)
        check_layers(feed.spec, dict(zip(feed.spec.band_ids, mine, strict=True)))
        return Patches(spec=feed.spec, prepare=feed.preprocess, bands=mine, side=spec.window)
    bands = layers_of(spec, path)
    return Patches(spec=spec, prepare=Preprocess(spec, to_declared=stated(spec, bands)), bands=bands, side=spec.window)


def patches_of(variant: Variant, rasters: Mapping[str, str], folder: Path) -> tuple[Patches, ...]:
    """The inputs that are read around sites.

    Args:
        variant: says which inputs there are.
        rasters: file or folder of each.
        folder: in which relative paths begin.

    Raises:
        InputError: an input that is not optional has no rasters.
        ConfigError: rasters are named for what is no such input.
    """
    specs = {spec.name: spec for spec in variant.inputs if spec.kind is Kind.RASTER}
    if unknown := set(rasters) - set(specs):
        raise ConfigError(
            f"the option rasters names {min(unknown)!r}; {variant.tag} sees patches of {', '.join(specs) or 'nothing'}"
        )
    for name, spec in specs.items():
        if name not in rasters and not spec.optional:
            raise InputError(
                f"{variant.tag} sees patches of {name} around each site, and a table has none; say where the rasters are:"
                f" the option rasters.{name}=FILE (or a folder with a file per variable)"
            )
    return tuple(open_patches(specs[name], folder / Path(told).expanduser()) for name, told in rasters.items())
