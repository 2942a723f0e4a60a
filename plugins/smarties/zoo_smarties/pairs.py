"""Pre-training pairs: two images of one place, by different sensors, tiled to as many bands.

A text list holds `first second` paths a line. Sensors are told by the number of bands: the first image is RGB (3) or
Sentinel-2 L2A (12, a BigEarthNet patch), the second Sentinel-2 L1C (13) or Sentinel-1 (2). The authors' lists are not
published.

Source: gsumbul/SMARTIES@fc0df04.
"""

# C bands, H W pixels

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from zoo.datasets.sample import Sample
from zoo.errors import InputError
from zoo.inputs.preprocess import spline_resize
from zoo.spec import Variant
from zoo_smarties.augment import Crop, Turn, centre_square, cropped, draw_crops, draw_turn, turned
from zoo_smarties.bigearthnet import S1_BANDS, read_patch
from zoo_smarties.chips import Array, normaliser, size_for
from zoo_smarties.data import Names, lines_of, read_raster
from zoo_smarties.mixing import tile_bands
from zoo_smarties.spectrum import numbers
from zoo_smarties.statistics import SENSORS, SIZE

NUM_BANDS = 12  # what all images are tiled to (RGB four times, Sentinel-1 six times)
SENSOR_OF_BANDS = {3: "RGB", 12: "SENTINEL2-L2A", 13: "SENTINEL2-L1C", 2: "SENTINEL1-GRD"}
STRAIGHT = Turn(columns=False, rows=False, quarters=0)


def pairs(
    folder: str | Path, *, split: str, variant: Variant | None = None, names: Names = None, size: int | None = None
) -> PairReader:
    """Pairs of a list.

    Args:
        folder: what the paths of the list are relative to.
        split: the list is `<split>.txt` in the folder.
        variant: whose size the images get.
        names: `first second` lines of another list, or a text file of them: rasters, or folders of BigEarthNet patches.
        size: side in pixels after the random crop.

    Raises:
        InputError: there is no list, or a line is no pair.
    """
    root = Path(folder)
    listed = root / f"{split}.txt" if names is None else names
    found = []
    for number, line in enumerate(lines_of(listed), start=1):
        both = line.split()
        if len(both) != 2:
            raise InputError(f"line {number} of the list of pairs is {line!r}; expected two paths with a space between")
        found.append((both[0], both[1]))
    return PairReader(root, found, size=size_for(variant, size))


class PairReader:
    """Pairs; a `zoo.datasets.sample.Reader`. In training both images are mirrored, turned and cropped alike; else their
    largest centred squares are taken.

    Inputs: `first` and `second` (12, size, size), with the projection number of each band, `first_numbers` and
    `second_numbers` (12). A batch may mix kinds of pairs.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, folder: Path, listed: Sequence[tuple[str, str]], *, size: int = SIZE) -> None:
        self.folder, self.listed, self.size = folder, tuple(listed), size
        self.ids: Sequence[str] = tuple(f"{first} {second}" for first, second in listed)

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        first, second = (_read(self.folder / path) for path in self.listed[index])
        if generator is None:
            turn, crops = STRAIGHT, [centre_square((one.shape[1], one.shape[2])) for one in (first, second)]
        else:
            turn = draw_turn(generator)
            crops = draw_crops([_turned_size(image, turn) for image in (first, second)], generator)
        inputs = {}
        for name, stored, crop in zip(("first", "second"), (first, second), crops, strict=True):
            inputs[name], inputs[f"{name}_numbers"] = prepared(stored, turn=turn, crop=crop, size=self.size)
        return Sample(id=self.ids[index], inputs=inputs)


def prepared(stored: Array, *, turn: Turn, crop: Crop, size: int = SIZE) -> tuple[Tensor, Tensor]:
    """An image normalised, turned, cropped, resized and tiled to (12, size, size), and the numbers of its bands (12)."""
    statistics = SENSORS[_sensor(stored)]
    image = cropped(turned(normaliser(statistics)(stored), turn), crop)
    resized = spline_resize(image, (size, size), order=3)
    tiled, ranges = tile_bands(resized[None], statistics.ranges, NUM_BANDS)
    return tiled[0], torch.tensor(numbers(ranges))


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
