"""Virtual species with known niches at sites of the synthetic world: what the demo weights are trained on.

A species is present with a probability that is a product of bell curves, one for each predictor that it cares for. The truth
is known, so that response curves can be held against it. All numbers are ours.
"""

# N sites, F predictors, S species

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zoo.datasets.sample import Sample
from zoo.errors import ConfigError, InputError
from zoo.inputs.preprocess import Preprocess
from zoo.samples.noise import uniform
from zoo.samples.predictors import predictors
from zoo.samples.world import Frame, build_world
from zoo.spec import Variant
from zoo_masksdm.predictors import DEMO_BANDS, DEMO_SPECIES

SEEDS = {"train": 1, "val": 2, "test": 3}  # of the worlds
SITES_PER_WORLD = 64
PIXEL_M = 90.0  # as SRTM's
SIDE = 96  # pixels of a world's window
COVER_KNOWN = 0.3  # share of sites where the cover of trees was noted, as in sPlotOpen few have it

NAMES = tuple(one.id for one in DEMO_BANDS)

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Niche:
    """How often a species is there at its best, and (optimum, tolerance) of each predictor it cares for."""

    most: float
    likes: dict[str, tuple[float, float]]

    def probability(self, x: dict[str, Numbers]) -> Numbers:
        """Of presence at sites whose predictors (N,) are all known."""
        distance = sum(((x[name] - best) / tolerance) ** 2 for name, (best, tolerance) in self.likes.items())
        found: Numbers = self.most * np.exp(-0.5 * np.asarray(distance))
        return found


NICHES = (
    Niche(0.9, {"bio_1": (1.0, 2.0)}),
    Niche(0.9, {"bio_1": (12.0, 2.0)}),
    Niche(0.8, {"bio_1": (7.0, 1.5)}),
    Niche(0.9, {"bio_12": (650.0, 120.0)}),
    Niche(0.9, {"bio_12": (1400.0, 200.0)}),
    Niche(0.8, {"bio_12": (950.0, 120.0)}),
    Niche(0.8, {"Slope": (25.0, 8.0)}),
    Niche(0.8, {"Slope": (0.0, 4.0)}),
    Niche(0.9, {"Cover_tree_layer": (100.0, 30.0)}),
    Niche(0.8, {"Aspect": (180.0, 50.0), "bio_1": (9.0, 4.0)}),
    Niche(0.8, {"bio_1": (4.0, 2.0), "Slope": (15.0, 8.0)}),
    Niche(0.5, {"bio_1": (8.0, 1.0), "bio_12": (1100.0, 100.0)}),
)
SPECIES = dict(zip(DEMO_SPECIES, NICHES, strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """Sites (N) with all their predictors, the truth (N, S), and what was found (N, S)."""

    x: dict[str, Numbers]
    truth: Numbers
    presence: NDArray[np.bool_]

    def table(self) -> Numbers:
        """(N, F) predictors in their order."""
        return np.stack([self.x[one.id] for one in DEMO_BANDS], axis=1)


@lru_cache(maxsize=4)
def draw(seed: int, n: int) -> Drawn:
    """`n` sites of the worlds of a seed, 64 in each."""
    worlds = -(-n // SITES_PER_WORLD)
    parts = [_sites(int(uniform(seed, 71, number)[0] * 2**31)) for number in range(worlds)]
    x = {name: np.concatenate([one[name] for one in parts])[:n] for name in NAMES}
    truth = np.stack([one.probability(x) for one in SPECIES.values()], axis=1)
    dice = np.stack([uniform(seed, 72 + index, np.arange(n)) for index in range(len(SPECIES))], axis=1)
    return Drawn(x=x, truth=truth, presence=dice < truth)


def _sites(world_seed: int) -> dict[str, Numbers]:
    """Predictors at random cells of one world."""
    frame = Frame.centred(SIDE, pixel_m=PIXEL_M)
    cells = np.argsort(uniform(world_seed, 70, np.arange(SIDE * SIDE)), kind="stable")[:SITES_PER_WORLD]
    found = predictors(build_world(world_seed), frame)
    return {name: found[name].ravel()[cells] for name in NAMES}


def virtual_species(
    folder: str | Path | None = None, *, split: str, variant: Variant | None, n: int = 4000, seed: int | None = None
) -> VirtualSpecies:
    """Sites of other worlds for each split.

    Args:
        folder: none is needed.
        split: `train`, `val` or `test`.
        variant: whose predictors they get: `masksdm@demo`.
        n: sites.
        seed: of the worlds; `None` = the split's own.
    """
    if folder is not None:
        raise InputError(f"the dataset virtual-species is drawn and takes no folder, found {folder}; leave it out")
    if seed is None and split not in SEEDS:
        raise ConfigError(f"virtual-species has the splits {', '.join(SEEDS)}, found {split!r}; or say the option seed")
    if variant is None or set(variant.inputs[0].band_ids) != set(NAMES):
        raise ConfigError(f"virtual-species wants a variant that takes {', '.join(NAMES)}, such as masksdm@demo")
    return VirtualSpecies(variant, seed=SEEDS[split] if seed is None else seed, n=n)


class VirtualSpecies:
    """See `virtual_species`; a `zoo.datasets.sample.Reader`."""

    classes: tuple[str, ...] = tuple(SPECIES)

    def __init__(self, variant: Variant, *, seed: int, n: int) -> None:
        drawn = draw(seed, n)
        self.ids: Sequence[str] = tuple(f"site-{seed}-{index}" for index in range(n))
        x = torch.from_numpy(drawn.table().astype(np.float32))
        x[uniform(seed, 90, np.arange(n)) >= COVER_KNOWN, NAMES.index("Cover_tree_layer")] = torch.nan
        self._x = Preprocess(variant.inputs[0])(x[:, :, None, None])[:, :, 0, 0]
        self._valid = ~x.isnan()
        self._presence = torch.from_numpy(drawn.presence).float()
        self._places = np.stack([drawn.x["Longitude"], drawn.x["Latitude"]], axis=1)

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:  # noqa: ARG002  (not augmented)
        place: Any = self._places[index].tolist()
        return Sample(
            id=self.ids[index],
            inputs={"predictors": self._x[index]},
            valid={"predictors": self._valid[index]},
            target={"presence": self._presence[index]},
            place=(place[0], place[1]),
        )
