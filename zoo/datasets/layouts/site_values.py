"""Predictors of sites: from the table's columns, from rasters where it has none, and from where the sites lie."""

# N sites, F variables

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.datasets.layouts.site_rows import Mask, Rows
from zoo.errors import ConfigError, InputError, ZooWarning, some
from zoo.inputs.layers import Layer, check_layers, open_layers
from zoo.inputs.preprocess import Preprocess
from zoo.inputs.variables import SHOWN, find_variables, match_variables, of_coordinates
from zoo.io.around import values_at
from zoo.options import Sampling
from zoo.spec import Fill, InputSpec, Kind, Variant

Numbers = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictors:
    """What is known of sites.

    Attributes:
        inputs: (N, F) of each input, prepared.
        valid: (N, F), which values there were.
        seen: (N,), which sites have what the network needs.
    """

    inputs: Mapping[str, Tensor]
    valid: Mapping[str, Tensor]
    seen: Mask


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Where predictors come from; see `zoo.datasets.layouts.sites.sites`.

    Attributes:
        drawn: whether background points are drawn, which have no columns: what only sites have would tell them apart.
    """

    variant: Variant
    bands: Any
    nodata: float | None
    covariates: Path | None
    sampling: Sampling
    drawn: bool = False

    def check(self) -> None:
        """Raise for an option that is none, or rasters that are not there."""
        if self.sampling not in get_args(Sampling):
            raise ConfigError(f"the option sampling is {self.sampling!r}; expected {', '.join(get_args(Sampling))}")

    def of(self, chosen: Rows) -> Predictors:
        """What is known of the sites.

        Raises:
            InputError: a variable that the network needs is nowhere, or rows of one site say other things of it.
        """
        inputs, valid = {}, {}
        seen = np.ones(len(chosen.ids), np.bool_)
        for spec in self.variant.inputs:
            if spec.kind is not Kind.TABLE:
                _check_kind(spec, self.variant)
                continue
            values = self._values(spec, chosen)
            if values is None:
                continue
            known = np.isfinite(values)
            mask = torch.from_numpy(known)
            prepared = Preprocess(spec)(torch.from_numpy(values)[:, :, None, None], mask[:, :, None, None])
            inputs[spec.name], valid[spec.name] = prepared[:, :, 0, 0], mask
            if not spec.optional:
                forgiving = spec.any_subset or any(isinstance(step, Fill) for step in spec.steps)
                seen &= known.any(axis=1) if forgiving else known.all(axis=1)
        return Predictors(inputs=inputs, valid=valid, seen=seen)

    def layers(self) -> list[Layer]:
        """The rasters of all variables that have one."""
        specs = [spec for spec in self.variant.inputs if spec.kind is Kind.TABLE]
        return [layer for spec in specs for layer in self._layers(spec)[0].values()]

    def _layers(self, spec: InputSpec) -> tuple[dict[str, Layer], list[str]]:
        """The raster of each variable that has one, and what the others are called."""
        if self.covariates is None:
            return {}, []
        layers, names = open_layers(spec, _item(self.covariates))
        found = find_variables(spec, names, where=self.covariates.name)
        spare = [name for place, name in enumerate(names) if place not in found.values()]
        rasters = {name: layers[place] for name, place in found.items()}
        check_layers(spec, rasters)
        return rasters, spare

    def _values(self, spec: InputSpec, chosen: Rows) -> Numbers | None:
        """(N, F) numbers, NaN where there is none; `None` where an optional input has no variable at all."""
        table = chosen.table
        columns = find_variables(spec, table.columns, told=self.bands, where=table.name)
        rasters, spare = self._layers(spec)
        places = chosen.lon_lat
        of_place = {} if places is None else {name: places[:, axis] for name, axis in of_coordinates(spec).items()}
        told_by = {} if self.drawn else columns
        if self.drawn:
            _tell_columns([name for name in columns if name not in rasters and name not in of_place], table.name)
        known = [name for name in spec.band_ids if name in told_by or name in rasters or name in of_place]
        if spec.optional and not known:
            return None
        if self.bands is None:
            spare += [name for place, name in enumerate(table.columns) if place not in columns.values()]
        told = table.name if self.covariates is None else f"{table.name} and {self.covariates.name}"
        match_variables(spec, [*known, *spare], where=told)
        values = np.full((len(chosen.ids), len(spec.bands)), np.nan, np.float32)
        for index, name in enumerate(spec.band_ids):
            if name in told_by:
                nodata = spec.nodata if self.nodata is None else self.nodata
                values[:, index] = _of_sites(chosen, told_by[name], nodata)
        if rasters:
            layers = [rasters.get(name) for name in spec.band_ids]
            values = np.where(np.isnan(values), self._sampled(chosen, layers), values)
        for name, degrees in of_place.items():
            index = spec.band_ids.index(name)
            values[:, index] = np.where(np.isnan(values[:, index]), degrees, values[:, index])
        return values

    def _sampled(self, chosen: Rows, layers: list[Layer | None]) -> Numbers:
        table = chosen.table
        if table.places is None or table.crs is None:
            raise InputError(
                f"{table.name} has no coordinates at which the rasters could be read; expected decimalLongitude and"
                " decimalLatitude (or x, y with the option crs)"
            )
        return values_at(layers, table.places[chosen.first], table.crs, sampling=self.sampling)


def _tell_columns(names: list[str], where: str) -> None:
    if names:
        warnings.warn(
            f"{where}: {some(names, SHOWN)} {'is' if len(names) == 1 else 'are'} left out, for only columns tell, and the"
            " background points that are drawn have none; give rasters with covariates=FOLDER, or a table of points with"
            " these columns: background=points.csv",
            ZooWarning,
            stacklevel=5,
        )


def _item(path: Path) -> str | Path:
    """A pattern as text, for a path of it is none."""
    return path if path.exists() else str(path)


def without_a_number(predictors: Predictors, variant: Variant) -> str:
    """Which variables no site has, in words."""
    names = [
        band
        for spec in variant.inputs
        if spec.name in predictors.valid
        for band, there in zip(spec.band_ids, predictors.valid[spec.name].any(dim=0).tolist(), strict=True)
        if not there
    ]
    return f": no number of {some(names, SHOWN)}; fill the column in" if names else ", all of them; fill the gaps"


def _check_kind(spec: InputSpec, variant: Variant) -> None:
    if not spec.optional and spec.kind is not Kind.RASTER:  # rasters: see `zoo.datasets.layouts.patches`
        raise InputError(
            f"the layout 'sites' gives tables, and variant {variant.tag!r} also takes {spec.name} ({spec.kind.value});"
            " see `zoo data` for a dataset that gives both"
        )


def _of_sites(chosen: Rows, place: int, nodata: float | None) -> Numbers:
    """The numbers of a column, one per site.

    Raises:
        InputError: rows of one site say other things of it.
    """
    column = chosen.table.columns[place]
    values = chosen.table.numbers(column, nodata=nodata)
    of_site: Numbers = values[chosen.first]
    unlike = ~np.isclose(values[chosen.rows], of_site[chosen.site], equal_nan=True)
    if unlike.any():
        raise InputError(
            f"{chosen.table.name}: the rows of site {chosen.ids[chosen.site[int(unlike.argmax())]]!r} differ in {column!r};"
            " expected the same predictors in all rows of a site: correct them, or give the rows other ids"
        )
    return of_site
