"""Places of the synthetic world as every sensor of a variant sees them: what the demo weights are trained on."""

# C bands, H W pixels

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.datasets.sample import Sample
from zoo.errors import ConfigError, InputError
from zoo.inputs.preprocess import Preprocess
from zoo.samples.catalogue import chip
from zoo.samples.cover import COVERS
from zoo.spec import InputSpec, Variant

SEEDS = {"train": 1, "val": 2}  # of the worlds


@dataclass(frozen=True, slots=True)
class Look:
    """A view of the synthetic world, its pixel in metres, and a chip's side in pixels."""

    view: str
    pixel_m: float
    side: int


#: by label of the input; 640 m of ground each
LOOKS = {"S2-L2A": Look("sentinel2", 10.0, 64), "S1": Look("sentinel1", 10.0, 64), "RGB": Look("aerial", 5.0, 128)}


def places(
    folder: str | Path | None = None,
    *,
    split: str,
    variant: Variant | None,
    n: int = 2000,
    seed: int | None = None,
) -> PlaceReader:
    """Places of other worlds for each split.

    Args:
        folder: none is needed.
        split: `"train"` or `"val"`.
        variant: whose inputs see the places.
        n: places.
        seed: of the worlds; `None` = the split's own.
    """
    if folder is not None:
        raise InputError(f"the dataset smarties-places is drawn and takes no folder, found {folder}; leave it out")
    if seed is None and split not in SEEDS:
        raise ConfigError(f"smarties-places has the splits {', '.join(SEEDS)}, found {split!r}; or say the option seed")
    specs = {spec.label: spec for spec in (variant.inputs if variant else ()) if spec.label in LOOKS}
    if len(specs) < 2:
        raise ConfigError(
            f"smarties-places wants a variant that takes two of {', '.join(LOOKS)}, such as smarties@demo"
        )
    return PlaceReader(specs, seed=SEEDS[split] if seed is None else seed, n=n)


class PlaceReader:
    """See `places`; a `zoo.datasets.sample.Reader` whose inputs are images by the label of the sensor."""

    classes: tuple[str, ...] = COVERS

    def __init__(self, specs: Mapping[str, InputSpec], *, seed: int, n: int) -> None:
        self.ids: Sequence[str] = tuple(f"place-{seed}-{index}" for index in range(n))
        self._seed = seed
        self._bands = {label: spec.band_ids for label, spec in specs.items()}
        self._prepare = {label: Preprocess(spec) for label, spec in specs.items()}
        self._kept: dict[int, tuple[dict[str, Tensor], Tensor]] = {}  # half precision, 0.2 MB each

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:  # noqa: ARG002  (not augmented)
        if index not in self._kept:
            self._kept[index] = self._seen(index)
        images, label = self._kept[index]
        inputs = {name: image.float() for name, image in images.items()}
        return Sample(id=self.ids[index], inputs=inputs, bands=self._bands, target={"label": label})

    def _seen(self, index: int) -> tuple[dict[str, Tensor], Tensor]:
        images = {}
        for label, prepare in self._prepare.items():
            look = LOOKS[label]
            scene = chip(self._seed, look.view, index, look.side, look.pixel_m)
            images[label] = prepare(torch.from_numpy(scene.pixels.astype(np.float32))[None])[0].half()
        counts = np.bincount(scene.cover.ravel(), minlength=len(COVERS))[: len(COVERS)]
        return images, torch.tensor(int(counts.argmax()))
