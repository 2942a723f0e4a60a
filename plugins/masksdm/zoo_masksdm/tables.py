"""What both published datasets have in common: tables of plots, matched by id, split by blocks, standardised by training rows."""

# N plots, F predictors, S species

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.bands import normal_form
from zoo.datasets.blocks import block_split
from zoo.datasets.sample import Sample
from zoo.errors import ConfigError, InputError
from zoo.inputs.preprocess import Preprocess
from zoo.spec import Band, InputSpec, Normalise, Variant
from zoo_masksdm.predictors import SATCLIP, predictors
from zoo_masksdm.statistics import statistics_of

MOST_PRESENCES_LEFT_OUT = 20  # a species is kept that has more
SPLITS = ("train", "val", "test")
NOT_KNOWN = np.float32(np.nan)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plots:
    """All plots of a dataset.

    Attributes:
        ids: (N,) of the plots.
        x: (N, F) predictors as they are, NaN where missing, in the order of `bands`.
        lon_lat: (N, 2).
        species: names.
        presence: (N, S) bool.
        satclip: (N, 256), or `None`.
    """

    ids: tuple[str, ...]
    bands: tuple[Band, ...]
    x: NDArray[np.float32]
    lon_lat: NDArray[np.float64]
    species: tuple[str, ...]
    presence: NDArray[np.bool_]
    satclip: NDArray[np.float32] | None = None

    def rows(self, split: str, spacing_deg: float) -> NDArray[np.int64]:
        """Rows of a split into spatial blocks, as the paper's "extrapolate" has it.

        Raises:
            ConfigError: there is no such split.
        """
        if split not in SPLITS:
            raise ConfigError(f"found the split {split!r}; expected one of {', '.join(SPLITS)}")
        rows: NDArray[np.int64] = getattr(block_split(self.lon_lat, spacing_deg=spacing_deg), split)
        return rows


class PlotReader:
    """Plots of a split, standardised; a `zoo.datasets.sample.Reader`.

    Of validation and test, species without a presence in each of the three splits are not known, so that they count in no
    score, as in the paper's tables.

    `prepared_by` are the inputs with the statistics by which samples are prepared: those of the variant where it has any,
    else those of the training rows.
    """

    def __init__(self, plots: Plots, *, split: str, variant: Variant | None, spacing_deg: float, label: str) -> None:
        rows = plots.rows(split, spacing_deg)
        known = next((one for one in variant.inputs if one.name == "predictors"), None) if variant else None
        if known is not None and known.band_ids != tuple(one.id for one in plots.bands):
            raise ConfigError(
                f"{label} has {len(plots.bands)} predictors ({plots.bands[0].id}, ...), and {variant and variant.tag} takes"
                f" others ({known.bands[0].id}, ...); train a variant of {label}"
            )
        standard = known is not None and any(isinstance(step, Normalise) for step in known.steps)
        table = known if known is not None and standard else standardised(plots, spacing_deg, label)
        takes_satclip = variant is None or any(one.name == "satclip" for one in variant.inputs)
        self.prepared_by: tuple[InputSpec, ...] = (table, SATCLIP) if takes_satclip else (table,)
        self.ids: Sequence[str] = tuple(plots.ids[row] for row in rows)
        self.classes = plots.species
        self._places = plots.lon_lat[rows]
        self._presence = plots.presence[rows]
        self._is_scored = np.ones(len(plots.species), np.bool_)
        if split != "train":
            for one in SPLITS:
                self._is_scored &= plots.presence[plots.rows(one, spacing_deg)].any(axis=0)
        self._inputs, self._valid = _prepared(plots, rows, table, satclip=takes_satclip)

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:  # noqa: ARG002  (not augmented)
        return Sample(
            id=self.ids[index],
            inputs={name: one[index] for name, one in self._inputs.items()},
            valid={name: one[index] for name, one in self._valid.items()},
            target={"presence": torch.from_numpy(np.where(self._is_scored, self._presence[index], NOT_KNOWN))},
            place=(float(self._places[index, 0]), float(self._places[index, 1])),
        )

    def presences(self) -> tuple[Tensor, Tensor]:
        """Presences of each species, and plots."""
        present = torch.from_numpy(self._presence.sum(axis=0))
        return present, torch.full_like(present, len(self.ids))


def standardised(plots: Plots, spacing_deg: float, label: str) -> InputSpec:
    """The table of predictors with the statistics of the training rows."""
    found = statistics_of(plots.x[plots.rows("train", spacing_deg)])
    return predictors(plots.bands, label, found.step(f"training plots of {label}, blocks of {spacing_deg:g} degrees"))


def _prepared(
    plots: Plots, rows: NDArray[np.int64], table: InputSpec, *, satclip: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    x = torch.from_numpy(plots.x[rows])
    inputs = {"predictors": Preprocess(table)(x[:, :, None, None])[:, :, 0, 0]}
    valid = {"predictors": ~x.isnan()}
    if satclip and plots.satclip is not None:
        inputs["satclip"] = torch.from_numpy(plots.satclip[rows])
        valid["satclip"] = torch.ones(inputs["satclip"].shape, dtype=torch.bool)
    return inputs, valid


def frequent(presence: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Numbers of the species with more than 20 presences in all data."""
    found: NDArray[np.int64] = np.flatnonzero(presence.sum(axis=0) > MOST_PRESENCES_LEFT_OUT)
    return found


def read_columns(path: Path) -> dict[str, NDArray[Any]]:
    """The columns of a CSV file by name.

    Raises:
        InputError: it cannot be read.
    """
    from pyarrow import ArrowException, csv

    try:
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(null_values=["", "NA", "nan", "NaN"]))
    except (ArrowException, OSError) as err:
        raise InputError(f"{path} cannot be read: {err}; expected a CSV file with a header") from err
    return {name: table[name].to_numpy() for name in table.column_names}


def ordered(columns: Mapping[str, NDArray[Any]], bands: Sequence[Band], where: Path) -> NDArray[np.float32]:
    """(N, F) the columns that are the bands, by name, in the bands' order.

    Raises:
        InputError: one is not there.
    """
    spelled = {normal_form(name): name for name in columns}
    absent = [one.id for one in bands if normal_form(one.id) not in spelled]
    if absent:
        raise InputError(
            f"{where} lacks {', '.join(absent[:8])}; found {', '.join(list(columns)[:12])}: is it the authors' file?"
        )
    found = [columns[spelled[normal_form(one.id)]].astype(np.float32) for one in bands]
    return np.stack(found, axis=1)


def completed(variant: Variant, reader: PlotReader) -> Variant:
    """The variant with the statistics and species of a reader."""
    others = tuple(one for one in variant.inputs if one.name != "predictors")
    return replace(variant, inputs=(reader.prepared_by[0], *others), classes=reader.classes)
