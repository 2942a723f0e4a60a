"""Pre-training pairs: two images of one place, by different sensors, in patches.

A text list holds `first second` paths a line. Sensors are told by the number of bands: the first image is RGB (3) or
Sentinel-2 L2A (12, a BigEarthNet patch), the second Sentinel-2 L1C (13) or Sentinel-1 (2). The authors' lists are not
published.

Source: gsumbul/SMARTIES@fc0df04.
"""

# B batch, C bands, H W pixels, h w patches

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from zoo.errors import InputError
from zoo.inputs.preprocess import spline_resize
from zoo_smarties.augment import Crop, Turn, cropped, draw_crops, draw_turn, turned
from zoo_smarties.bigearthnet import S1_BANDS, read_patch
from zoo_smarties.chips import Array, normaliser
from zoo_smarties.data import read_raster
from zoo_smarties.mixing import tile_bands
from zoo_smarties.network.autoencoder import Cut
from zoo_smarties.network.projection import cut_patches
from zoo_smarties.spectrum import numbers
from zoo_smarties.statistics import SENSORS, SIZE

NUM_BANDS = 12  # what all images are tiled to (RGB four times, Sentinel-1 six times)
SENSOR_OF_BANDS = {3: "RGB", 12: "SENTINEL2-L2A", 13: "SENTINEL2-L1C", 2: "SENTINEL1-GRD"}
PATCH = 16


class PairDataset(Dataset[tuple[Cut, Cut]]):
    """Pairs, augmented and cut; the draws depend on (seed, epoch, index) and nothing else.

    Args:
        folder: what the paths of the list are relative to.
        lines: `first second` paths: rasters, or folders of BigEarthNet patches.
        size: side in pixels after the random crop.
        seed: of the draws.
    """

    def __init__(self, folder: str | Path, lines: Sequence[str], *, size: int = SIZE, seed: int = 42) -> None:
        self.folder, self.size, self.seed = Path(folder), size, seed
        self.pairs = [tuple(line.split()) for line in lines]
        self.epoch = 0  # set by whoever trains

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Cut, Cut]:
        first, second = (_read(self.folder / path) for path in self.pairs[index])
        state = np.random.SeedSequence([self.seed, self.epoch, index]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(state) >> 1)
        turn = draw_turn(generator)
        sizes = [_turned_size(image, turn) for image in (first, second)]
        return cut_pair(first, second, turn=turn, crops=draw_crops(sizes, generator), size=self.size)


def cut_pair(first: Array, second: Array, *, turn: Turn, crops: Sequence[Crop], size: int = SIZE) -> tuple[Cut, Cut]:
    """Both images normalised, turned, cropped, resized, tiled to 12 bands and cut: (h, w, 12, 16, 16) each."""
    cuts = []
    for stored, crop in zip((first, second), crops, strict=True):
        statistics = SENSORS[_sensor(stored)]
        image = cropped(turned(normaliser(statistics)(stored), turn), crop)
        resized = spline_resize(image, (size, size), order=3)
        tiled, ranges = tile_bands(resized[None], statistics.ranges, NUM_BANDS)
        patches = cut_patches(tiled, PATCH)[0]
        cuts.append(Cut(patches, torch.tensor(numbers(ranges)).expand(*patches.shape[:2], -1)))
    return cuts[0], cuts[1]


def collate(pairs: Sequence[tuple[Cut, Cut]]) -> tuple[Cut, Cut]:
    """A batch, which may mix kinds of pairs."""

    def stacked(cuts: Sequence[Cut]) -> Cut:
        patches: list[Tensor] = [cut.patches for cut in cuts]
        return Cut(torch.stack(patches), torch.stack([cut.numbers for cut in cuts]))

    return stacked([pair[0] for pair in pairs]), stacked([pair[1] for pair in pairs])


def _read(path: Path) -> Array:
    if not path.is_dir():
        return read_raster(path)
    return read_patch(path, "S1" if (path / f"{path.name}_{S1_BANDS[0]}.tif").is_file() else "S2")


def _sensor(stored: Array) -> str:
    if stored.shape[0] not in SENSOR_OF_BANDS:
        known = ", ".join(f"{count} ({name})" for count, name in SENSOR_OF_BANDS.items())
        raise InputError(f"an image of a pre-training pair has {stored.shape[0]} bands, expected {known}")
    return SENSOR_OF_BANDS[stored.shape[0]]


def _turned_size(stored: Array, turn: Turn) -> tuple[int, int]:
    height, width = stored.shape[1:]
    return (width, height) if turn.quarters % 2 else (height, width)
