"""GeoLifeCLEF 2023 on its published layout: occurrences to learn from, surveys to validate on, places to be answered.

The folder is `GLC23` of https://www.kaggle.com/competitions/geolifeclef-2023-lifeclef-2023-x-fgvc10. Patches are read
when they are asked for: rasters by windows, pictures one by one.

Source: ninavantiel/multi_scale_SDMs@22ac42f.
"""

# N items, S species, C bands, p side of a patch

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.datasets.sample import Batch, Sample, collate
from zoo.datasets.seeds import generator_of
from zoo.errors import ConfigError, InputError
from zoo.inputs.preprocess import Preprocess
from zoo.io import around
from zoo.io.grid import LON_LAT
from zoo.io.source import to_crs
from zoo.spec import InputSpec, Variant
from zoo_multiscale_sdm import pictures, rasters
from zoo_multiscale_sdm.occurrences import SPECIES, Items, Presences, presences_of, read_columns, read_items

ONLY, SURVEYS, IMAGES = "Presence_only_occurrences", "Presence_Absence_surveys", "SatelliteImages"
TABLES = {
    # made by the authors: the presence-only rows of species that the surveys have too
    "train": f"{ONLY}/Presences_only_train_sampled_species_in_val.csv",
    "val": f"{SURVEYS}/Presences_Absences_train.csv",
    "test": "For_submission/test_blind.csv",
}
RASTERS = "EnvironmentalRasters"
BACKGROUND = f"{ONLY}/Pseudoabsence_locations_bioclim_soil.csv"


def glc23(
    folder: str | Path,
    *,
    split: str,
    variant: Variant | None,
    background: bool = False,
    standardise: Literal["model", "data"] = "model",
    rasters_in: str = RASTERS,
    bands: Sequence[str] | None = None,
    seed: int = 42,
) -> GeoLifeClef:
    """One split.

    Args:
        folder: see above.
        split: `train` (presence-only occurrences), `val` (surveys), `test` (places to be answered).
        variant: whose inputs are fed: `S2:B04`, `S2:B03`, `S2:B02`, `S2:B08` from the pictures, others from rasters.
        background: whether each item goes with a location drawn from the authors' file of pseudo-absences, where no
            species is said to be. The file has no pictures: for variants of rasters alone.
        standardise: by the `model`'s statistics, or by those of the `data`, as the authors do: of whole rasters, and those
            that lie beside the pictures. They then go into the model that is trained.
        rasters_in: folder of the rasters, below the dataset's.
        bands: see `zoo_multiscale_sdm.rasters.layers_of`.
        seed: of the draw of background locations.

    Raises:
        InputError: a file is missing or has other columns, or a variable has no raster.
        ConfigError: an option does not fit the split or the variant.
    """
    if variant is None:
        raise ConfigError("the dataset glc23 is read for a model; name one: --model multiscale-sdm")
    if split not in TABLES:
        raise ConfigError(f"glc23 has the splits {', '.join(TABLES)}, found {split!r}")
    if standardise not in ("model", "data"):
        raise ConfigError(f"the option standardise is {standardise!r}; expected model or data")
    root = Path(folder)
    items = read_items(_table(root, split))
    species = _species(root, items if split == "train" else None)
    held = None if items.species is None else presences_of(items, species)
    patches = _patches(root, variant, standardise, rasters_in, bands)
    drawn = None
    if background:
        if split != "train" or any(pictures.accepts(spec) for spec in variant.inputs):
            raise ConfigError(
                "background=true needs locations that have no pictures: it goes with split train and a variant of rasters"
                " alone, such as multiscale-sdm@env-1-5"
            )
        drawn = _background(root, len(items), seed)
    return GeoLifeClef(
        ids=_ids(items, split),
        classes=tuple(str(one) for one in species.tolist()),
        items=items,
        held=held,
        patches=patches,
        background=drawn,
        prepared_by=tuple(one.spec for one in patches),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class GeoLifeClef:
    """See `glc23`; a `zoo.datasets.sample.Reader`.

    Attributes:
        background: (N, 2) longitude and latitude of a location for each item.
        prepared_by: the inputs as their patches are prepared; a model that is trained on these takes them over.
    """

    ids: tuple[str, ...]
    classes: tuple[str, ...]
    items: Items
    held: Presences | None
    patches: tuple[Pictures | Layers, ...]
    background: NDArray[np.float64] | None
    prepared_by: tuple[InputSpec, ...]

    @property
    def places(self) -> NDArray[np.float64]:
        """(N, 2): longitude and latitude."""
        return self.items.table[:, [1, 0]]

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        lat, lon = self.items.table[index, :2].tolist()
        presence = torch.full((len(self.classes),), 0.0 if self.held else torch.nan)
        if self.held is not None:
            presence[torch.from_numpy(self.held.of(index))] = 1.0
        inputs = {one.spec.name: one.patch((lon, lat), self.items.patch_id(index)) for one in self.patches}
        sample = Sample(id=self.ids[index], inputs=inputs, target={"presence": presence}, place=(lon, lat))
        if self.background is None or generator is None:
            return sample
        where = tuple(self.background[index].tolist())
        behind = {one.spec.name: one.patch(where, "") for one in self.patches}
        return replace(sample, inputs=inputs | {f"{name}{_BEHIND}": one for name, one in behind.items()})

    def presences(self) -> tuple[Tensor, Tensor]:
        """Rows of each species, repeats counted, and items."""
        if self.held is None:
            raise InputError("the test split of glc23 holds no species; train on the split train")
        count = torch.from_numpy(self.held.count)
        return count, torch.full_like(count, len(self.items))

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Items, then their background locations, in one batch: one forward pass sees both, as the authors'."""
        batch = collate(samples)
        behind = {name.removesuffix(_BEHIND): one for name, one in batch.inputs.items() if name.endswith(_BEHIND)}
        if not behind:
            return batch
        seen = {name: one for name, one in batch.inputs.items() if not name.endswith(_BEHIND)}
        presence = batch.target["presence"]
        flags = torch.arange(2 * len(samples)) >= len(samples)
        return replace(
            batch,
            ids=(*batch.ids, *(f"{one} background" for one in batch.ids)),
            inputs={name: torch.cat([one, behind[name]]) for name, one in seen.items()},
            target={"presence": torch.cat([presence, torch.full_like(presence, torch.nan)]), "background": flags},
        )


_BEHIND = " background"


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Satellite patches, as an input takes them."""

    spec: InputSpec
    folder: Path
    prepare: Preprocess

    def patch(self, place: tuple[float, float], patch_id: str) -> Tensor:  # noqa: ARG002  (the other's)
        """(C, p, p)."""
        pixels = pictures.patch_of(self.folder, patch_id, self.spec.band_ids, _side(self.spec))
        return self.prepare(torch.from_numpy(pixels)[None])[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Layers:
    """Patches of rasters, as an input takes them."""

    spec: InputSpec
    layers: tuple[rasters.Layer, ...]
    prepare: Preprocess

    def patch(self, place: tuple[float, float], patch_id: str) -> Tensor:  # noqa: ARG002  (the other's)
        """(C, p, p); what lies beyond the rasters' edges is filled like other missing cells."""
        bands = [(layer.source, layer.channel) for layer in self.layers]
        found = around.patches(bands, np.array(place)[None, None], to_crs(LON_LAT), side=_side(self.spec))
        return self.prepare(torch.from_numpy(found))[0]


# ------------------------------------------------------------------------------------------------------------- opening


def _table(root: Path, split: str) -> Path:
    path = root / TABLES[split]
    if path.is_file():
        return path
    there = sorted(one.name for one in path.parent.glob("*.csv")) if path.parent.is_dir() else []
    advice = (
        "; `zoo_multiscale_sdm.glc23.sample_species` makes it from the presence-only table" if split == "train" else ""
    )
    raise InputError(f"{path} is not there; found {', '.join(there) or 'no tables beside it'}{advice}")


def sample_species(folder: str | Path, occurrences: str = "Presences_only_train.csv") -> Path:
    """Write the training table: the presence-only rows whose species the surveys have too.

    Args:
        folder: of the dataset.
        occurrences: the challenge's table, in `Presence_only_occurrences`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as pa_csv

    from zoo.io.whole import whole

    root = Path(folder)
    surveyed = read_columns(root / TABLES["val"], (SPECIES,))[SPECIES]
    columns = read_columns(root / ONLY / occurrences)
    kept = pa.table(columns).filter(pc.is_in(columns[SPECIES], value_set=pc.unique(surveyed)))
    out = root / TABLES["train"]
    with whole(out) as path, path.open("wb") as opened:
        opened.write(f"{';'.join(kept.column_names)}\n".encode())  # as the challenge's, without quotes
        plain = pa_csv.WriteOptions(include_header=False, delimiter=";", quoting_style="none")
        pa_csv.write_csv(kept, opened, plain)
    return out


def _species(root: Path, items: Items | None) -> NDArray[np.int64]:
    """speciesId of the training table, ascending: the network's order in all splits."""
    if items is not None and items.species is not None:
        return np.unique(items.species)
    return np.unique(read_columns(_table(root, "train"), (SPECIES,))[SPECIES].to_numpy().astype(np.int64))


def _ids(items: Items, split: str) -> tuple[str, ...]:
    """Id where the table has it, else place and day, which are unique; the kind of table tells splits apart."""
    if items.ids is not None:
        return tuple(str(one) for one in items.ids.tolist())
    return tuple(f"{split} {lat} {lon} {patch:.0f} {day:.0f}" for lat, lon, patch, day in items.table.tolist())


def _patches(
    root: Path, variant: Variant, standardise: str, rasters_in: str, bands: Sequence[str] | None
) -> tuple[Pictures | Layers, ...]:
    found: list[Pictures | Layers] = []
    for spec in variant.inputs:
        if pictures.accepts(spec):
            told = pictures.statistics(root / IMAGES, spec.band_ids) if standardise == "data" else None
            used = spec if told is None else rasters.standardised(spec, told)
            found.append(Pictures(spec=used, folder=root / IMAGES, prepare=Preprocess(used)))
        else:
            layers = rasters.layers_of(root / rasters_in, spec, bands=bands)
            used = rasters.standardised(spec, rasters.statistics(layers)) if standardise == "data" else spec
            found.append(Layers(spec=used, layers=layers, prepare=Preprocess(used)))
    return tuple(found)


def _background(root: Path, num: int, seed: int) -> NDArray[np.float64]:
    """A location for each item, drawn once, without repeats where there are enough."""
    columns = read_columns(root / BACKGROUND, ("lat", "lon"))
    places = np.stack([columns[name].to_numpy().astype(np.float64) for name in ("lon", "lat")], axis=1)
    order = torch.randperm(len(places), generator=generator_of(seed, 0, 0)).numpy()
    return np.resize(places[order], (num, 2))


def _side(spec: InputSpec) -> int:
    assert spec.window is not None, "inputs of this model say the side of their patches"
    return spec.window
