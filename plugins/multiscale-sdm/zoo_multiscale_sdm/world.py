"""Virtual species of the synthetic world: their niches are known, so that what a model learns of them can be checked.

A species likes a temperature, sometimes a rainfall, of the square kilometre that it is in, and some kinds of land within
160 m. The climate raster shows the first, the satellite image the second. All numbers are ours.
"""

# S species, C bands, H W pixels

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.datasets.sample import Sample
from zoo.errors import ConfigError, InputError
from zoo.inputs.preprocess import Preprocess
from zoo.samples.catalogue import scene
from zoo.samples.cover import COVERS
from zoo.samples.noise import uniform
from zoo.samples.scenes import Scene, write
from zoo.samples.world import Frame, build_world
from zoo.spec import Variant

SEEDS = {"train": 1, "val": 2, "test": 3}  # of the worlds
CELL_M, PIXEL_M = 1000.0, 10.0
AROUND_M = 12_000.0  # how far places lie from their world's middle, east and north
HABITAT_PX = 32  # 320 m
CLIMATE = ("bio_1", "bio_12", "elevation")
CHANNELS = {"S2:B04": "B04", "S2:B03": "B03", "S2:B02": "B02", "S2:B08": "B08"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Niche:
    """What a species likes: its probability is the product of all that is told.

    Attributes:
        temperature_c: mean of the year that suits it best, and the deviation of the bell around it.
        rain_mm: of the year, likewise; `None` = any.
        land: how well each kind of land suits it, 0 to 1; others do not at all.
    """

    temperature_c: tuple[float, float]
    rain_mm: tuple[float, float] | None = None
    land: dict[str, float]

    def probability(self, temperature_c: float, rain_mm: float, shares: NDArray[np.float64]) -> float:
        """Of presence; `shares` of the kinds of land in `zoo.samples.cover.COVERS`."""
        suits = sum(shares[COVERS.index(name)] * suit for name, suit in self.land.items())
        rain = 1.0 if self.rain_mm is None else _bell(rain_mm, *self.rain_mm)
        return float(suits * rain * _bell(temperature_c, *self.temperature_c))


_OPEN = {name: 0.9 for name in COVERS if name != "water"}
NICHES = {
    "Alpina ficta": Niche(temperature_c=(1.0, 2.5), land={"grassland": 0.9, "bare ground": 0.9, "snow": 0.3}),
    "Montana ficta": Niche(temperature_c=(5.0, 2.5), land={"coniferous forest": 0.95, "broadleaved forest": 0.3}),
    "Silvatica ficta": Niche(temperature_c=(9.0, 2.5), land={"broadleaved forest": 0.95, "coniferous forest": 0.2}),
    "Pratensis ficta": Niche(temperature_c=(8.0, 4.0), land={"grassland": 0.95, "cropland": 0.15}),
    "Arvensis ficta": Niche(temperature_c=(10.0, 3.0), land={"cropland": 0.95, "urban": 0.2}),
    "Riparia ficta": Niche(temperature_c=(10.0, 5.0), land={"water": 0.9, "wetland": 0.95}),
    "Pluvialis ficta": Niche(temperature_c=(6.0, 6.0), rain_mm=(1400.0, 250.0), land=_OPEN),
    "Arida ficta": Niche(temperature_c=(10.0, 5.0), rain_mm=(750.0, 150.0), land=_OPEN),
}
SPECIES = tuple(NICHES)


def virtual_species(
    folder: str | Path | None = None,
    *,
    split: str,
    variant: Variant | None,
    n: int = 2000,
    seed: int | None = None,
) -> VirtualSpecies:
    """Places in other worlds for each split, with the virtual species that were found there.

    Args:
        folder: none is needed.
        split: `train`, `val` or `test`.
        variant: `multiscale-sdm@demo`, or one with inputs of the same bands.
        n: places.
        seed: of the worlds; `None` = the split's own.
    """
    if folder is not None:
        raise InputError(f"the dataset multiscale-virtual is drawn and takes no folder, found {folder}; leave it out")
    if seed is None and split not in SEEDS:
        raise ConfigError(
            f"multiscale-virtual has the splits {', '.join(SEEDS)}, found {split!r}; or say the option seed"
        )
    known = {"env": set(CLIMATE), "sat": set(CHANNELS)}
    fits = variant is not None and all(set(one.band_ids) <= known.get(one.name, set()) for one in variant.inputs)
    if variant is None or not fits:
        raise ConfigError("multiscale-virtual shows what multiscale-sdm@demo takes; name that model, or one like it")
    return VirtualSpecies(variant, seed=SEEDS[split] if seed is None else seed, n=n)


class VirtualSpecies:
    """See `virtual_species`; a `zoo.datasets.sample.Reader`."""

    classes: tuple[str, ...] = SPECIES

    def __init__(self, variant: Variant, *, seed: int, n: int) -> None:
        self.ids = tuple(f"place-{seed}-{index}" for index in range(n))
        self._specs = variant.inputs
        self._seed = seed
        self._prepare = {spec.name: Preprocess(spec) for spec in variant.inputs}
        self._kept: dict[int, Sample] = {}  # 20 kB each

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:  # noqa: ARG002  (not augmented)
        if index not in self._kept:
            self._kept[index] = self._seen(index)
        return self._kept[index]

    @property
    def places(self) -> NDArray[np.float64]:
        """(N, 2): longitude and latitude."""
        return np.array([place(self._seed, index).lon_lat for index in range(len(self.ids))])

    def truth(self) -> NDArray[np.float64]:
        """(N, 2 + S): temperature and rain of each place, and the probability of each species."""
        places = [place(self._seed, index) for index in range(len(self.ids))]
        return np.stack([np.array([one.temperature_c, one.rain_mm, *one.probabilities]) for one in places])

    def _seen(self, index: int) -> Sample:
        here = place(self._seed, index)
        inputs: dict[str, Tensor] = {}
        for spec in self._specs:
            side = spec.window or 1
            if spec.name == "env":
                pixels = climate(here.world, Frame.centred(side, pixel_m=CELL_M, centre_m=here.centre_m))
                pixels = pixels[[CLIMATE.index(band) for band in spec.band_ids]]
            else:
                seen = scene("sentinel2", seed=here.world, size=side, centre_m=here.centre_m)
                pixels = seen.pixels[[seen.names.index(CHANNELS[band]) for band in spec.band_ids]].astype(np.float32)
            inputs[spec.name] = self._prepare[spec.name](torch.from_numpy(pixels)[None])[0]
        found = np.array(here.probabilities) > uniform(self._seed, 5, index, np.arange(len(SPECIES)))
        presence = torch.from_numpy(found.astype(np.float32))
        return Sample(id=self.ids[index], inputs=inputs, target={"presence": presence}, place=here.lon_lat)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A place of a world, and how probable each species is there."""

    world: int
    centre_m: tuple[float, float]
    lon_lat: tuple[float, float]
    temperature_c: float
    rain_mm: float
    probabilities: tuple[float, ...]


@lru_cache(maxsize=8192)
def place(seed: int, index: int) -> Place:
    """The place of a number, in a world of its own."""
    world = int(uniform(seed, 1, index)[0] * 2**31)
    east, north = (AROUND_M * (2 * float(one) - 1) for one in uniform(seed, 2, index, np.arange(2)))
    return place_at(world, (east, north))


def place_at(world: int, centre_m: tuple[float, float]) -> Place:
    """The place at metres east and north of a world's origin."""
    from zoo.io.source import to_crs
    from zoo.io.vectors import reproject

    here = build_world(world)
    easting, northing = (start + along for start, along in zip(here.origin_m, centre_m, strict=True))
    lon, lat = reproject(np.array([[[easting, northing]]]), to_crs(here.epsg))[0, 0].tolist()
    cell = climate(world, Frame.centred(1, pixel_m=CELL_M, centre_m=centre_m))[:, 0, 0]
    cover = here.at(Frame.centred(HABITAT_PX, pixel_m=PIXEL_M, centre_m=centre_m)).cover
    shares = np.bincount(cover.ravel(), minlength=len(COVERS))[: len(COVERS)] / cover.size
    warm, rain = float(cell[0]), float(cell[1])
    probs = tuple(niche.probability(warm, rain, shares) for niche in NICHES.values())
    return Place(
        world=world,
        centre_m=centre_m,
        lon_lat=(lon, lat),
        temperature_c=warm,
        rain_mm=rain,
        probabilities=probs,
    )


def climate(world: int, frame: Frame) -> NDArray[np.float32]:
    """Temperature (degC), rain (mm) and elevation (m), (3, H, W)."""
    here = build_world(world).at(frame)
    return np.stack([here.temperature_c, here.precipitation_mm, here.elevation_m]).astype(np.float32)


def write_area(folder: str | Path, *, world: int = 7, sites: int = 40, size: int = 400) -> Path:
    """A satellite image, a climate raster and a table of sites of one area, as users have them, to try things out.

    Args:
        folder: gets `scene.tif`, `climate.tif` and `sites.csv`.
        world: number of the world.
        sites: rows of the table; the columns of species hold what was found.
        size: of the image, in pixels of 10 m.
    """
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    seen = scene("sentinel2", seed=world, size=size)
    write(seen, folder / "scene.tif")
    frame = Frame.centred(16, pixel_m=CELL_M)
    _write_climate(folder / "climate.tif", world, frame, seen)
    half = size * PIXEL_M / 2
    places = []
    for index in range(sites):
        east, north = (half * (2 * float(one) - 1) for one in uniform(world, 3, index, np.arange(2)))
        places.append(place_at(world, (east, north)))
    lon, lat = np.array([one.lon_lat for one in places]).T
    probs = np.array([one.probabilities for one in places])
    found = probs > uniform(world, 5, np.arange(sites)[:, None], np.arange(len(SPECIES)))
    columns = {
        "id": [f"site {number}" for number in range(1, sites + 1)],
        "decimalLongitude": lon,
        "decimalLatitude": lat,
    }
    columns |= {name: one.astype(np.int8) for name, one in zip(SPECIES, found.T, strict=True)}
    pa_csv.write_csv(pa.table(columns), folder / "sites.csv")
    return folder


def _write_climate(path: Path, world: int, frame: Frame, seen: Scene) -> None:
    import rasterio

    profile = {"driver": "GTiff", "height": frame.height, "width": frame.width, "count": 3, "dtype": "float32"}
    transform = build_world(world).transform(frame)
    with rasterio.open(path, "w", crs=seen.crs, transform=transform, nodata=-9999, **profile) as opened:
        opened.write(climate(world, frame))
        opened.descriptions = CLIMATE


def _bell(value: float, middle: float, deviation: float) -> float:
    return float(np.exp(-0.5 * ((value - middle) / deviation) ** 2))
