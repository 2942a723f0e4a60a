"""Images with maps of classes: `images/<file>` and `labels/<file of the same stem>`."""

# H W pixels

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from zoo.datasets.augment import cut, turned
from zoo.datasets.dividing import SUFFIXES, Dividing, files_of_split, need_folder
from zoo.datasets.pictures import Picture, Pictures, Reading, Spot, spots_of
from zoo.datasets.sample import IGNORED, Sample
from zoo.errors import ConfigError, InputError, some
from zoo.spec import Variant
from zoo.tiling import Window

DRAWS = 8  # windows that are drawn before one without any label is taken; ours
SHOWN = 8  # values per message; ours


class _Options(Reading, Dividing, total=False):
    pass


def masks(
    folder: str | Path,
    *,
    split: str,
    variant: Variant | None,
    images: str = "images",
    labels: str = "labels",
    classes: Sequence[str] | None = None,
    values: Mapping[int, int | str] | None = None,
    ignored: Sequence[int] = (),
    window: int | None = None,
    turn: bool = False,
    **options: Unpack[_Options],
) -> Masks:
    """Images and, for each, the class of every pixel.

    Where the input declares a size and images are photographs, or no larger than the window, they are seen whole, resized
    with their labels (nearest pixel); else in windows: side by side in evaluation, anywhere on their raster in training.

    Args:
        folder: holds `images/` and `labels/`, each with a folder per split or without (then see
            `zoo.datasets.dividing.Dividing`).
        split: which part.
        variant: whose inputs see the images.
        images: name of the folder of images.
        labels: name of that of labels: single bands of whole numbers (GeoTIFF, PNG; of palettes the indices).
        classes: names in the order of their numbers; `None` = the variant's.
        values: number in the file to class, by number or name; `None` = they are the classes' numbers.
        ignored: numbers in the files that mean "not labelled", beside the files' own nodata.
        window: side in pixels; `None` = the variant's.
        turn: whether samples are turned in training.
        options: see `zoo.datasets.pictures.Reading` and `zoo.datasets.dividing.Dividing`.

    Raises:
        InputError: files are missing, of unlike sizes, or do not fit the variant.
        ConfigError: an option is wrong.
    """
    root = need_folder(folder, "masks", f"{images}/ and {labels}/")
    dividing = {name: options.pop(name) for name in Dividing.__annotations__ if name in options}  # type: ignore[misc]
    pictures = Pictures(variant, options, "masks")
    names = _classes(classes or pictures.variant.classes, values)
    files = files_of_split(root, images, split, **dividing)
    pairs = {file: _label(root, file, images, labels) for file in files}
    if absent := [file for file, label in pairs.items() if label is None]:
        raise InputError(
            f"{len(absent)} of {len(files)} images have no label, such as {absent[0]}: expected a file of the same stem in"
            f" {root / labels}; add it, or move the image away"
        )
    meant = _meanings(names, values, ignored)
    spots = spots_of(pictures, root, files, window)
    found = {file: label for file, label in pairs.items() if label is not None}
    return Masks(root, spots=spots, labels=found, classes=names, meant=meant, pictures=pictures, turn=turn)


class Masks:
    """See `masks`; a `zoo.datasets.sample.Reader`."""

    def __init__(
        self,
        root: Path,
        *,
        spots: Sequence[Spot],
        labels: Mapping[str, str],
        classes: Sequence[str],
        meant: Meanings,
        pictures: Pictures,
        turn: bool,
    ) -> None:
        self.ids: Sequence[str] = tuple(spot.id for spot in spots)
        self.classes = tuple(classes)
        self._root, self._spots, self._labels, self._meant = root, spots, dict(labels), meant
        self._pictures, self._turn = pictures, turn
        if spots:
            first = spots[0].file
            picture = pictures.open(root / first, first, doubting=True)
            read_labels(root / self._labels[first], Window(0, 0, 1, 1), picture.size)

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        spot = self._spots[index]
        picture = self._pictures.open(self._root / spot.file, spot.file)
        window, label = self._labelled(spot, picture, generator)
        seen = picture.see(window, resize=spot.whole, empty=not spot.whole)
        if spot.whole:
            rows, cols = (one.round().long() for one in picture.places_of(picture.size))
            label = label[rows, cols]
        mask = next(iter(seen.valid.values()))
        sample = Sample(
            id=spot.id,
            inputs=seen.inputs,
            bands=seen.bands,
            valid=seen.valid,
            target={"label": torch.where(mask, label, IGNORED)},
            place=seen.place,
        )
        return turned(sample, generator) if self._turn and generator is not None else sample

    def _labelled(self, spot: Spot, picture: Picture, generator: torch.Generator | None) -> tuple[Window, torch.Tensor]:
        """The window to see, and its labels; in training one that has some, if it is not hard to find."""
        file = self._labels[spot.file]
        window = spot.window or Window(0, 0, *picture.size)
        label = None
        for _ in range(1 if spot.whole or generator is None else DRAWS):
            if not spot.whole and generator is not None:
                window = cut(picture.size, window.height, generator)
            numbers, known = read_labels(self._root / file, window, picture.size)
            label = self._meant.of(numbers, known, file)
            if (label != IGNORED).any():
                break
        assert label is not None
        return window, torch.from_numpy(label)


@dataclass(frozen=True, kw_only=True, slots=True)
class Meanings:
    """Which number in a file is which class: `numbers` ascending, `classes` of each (`IGNORED` = not labelled)."""

    numbers: NDArray[np.int64]
    classes: NDArray[np.int64]
    names: tuple[str, ...]

    def of(self, numbers: NDArray[Any], known: NDArray[np.bool_], where: str) -> NDArray[np.int64]:
        """Classes (H, W) of the numbers of a file, `IGNORED` where none are known.

        Raises:
            InputError: a number is no class.
        """
        place = np.searchsorted(self.numbers, numbers).clip(max=len(self.numbers) - 1)
        strange = known & (self.numbers[place] != numbers)
        if strange.any():
            found = np.unique(numbers[strange]).tolist()
            pairs = zip(self.numbers.tolist(), self.classes.tolist(), strict=True)
            told = [f"{number} {'not labelled' if one == IGNORED else self.names[one]}" for number, one in pairs]
            raise InputError(
                f"{where} holds the values {some(found, SHOWN)}, which are no classes; expected"
                f" {', '.join(told)}: say what they are with the option values, or the option ignored=[{found[0]}]"
            )
        return np.where(known, self.classes[place], IGNORED)


def read_labels(path: Path, window: Window, size: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Numbers of a label file in a window, and where there are any: not beyond its edge, and not its nodata.

    Raises:
        InputError: it cannot be read, is no single band of whole numbers, or of another size than its image.
    """
    try:
        with rasterio.open(path) as file:
            if file.count != 1 or np.dtype(file.dtypes[0]).kind not in "iu":
                raise InputError(
                    f"{path} has {file.count} bands of {file.dtypes[0]}; expected labels: one band of whole numbers"
                    " (uint8, uint16), or a PNG with a palette"
                )
            if (file.height, file.width) != tuple(size):
                raise InputError(
                    f"{path} is {file.height} x {file.width} px, and its image {size[0]} x {size[1]} px; expected the"
                    " same: resample the labels to the image (gdalwarp -r near), or correct the pair"
                )
            inside = window.clipped(*size)
            place = rasterio.windows.Window(inside.col, inside.row, inside.width, inside.height)
            found = file.read(1, window=place)
            nodata = file.nodata
    except (RasterioError, OSError) as err:
        raise InputError(f"{path} cannot be read ({err}); copy or export it again") from err
    numbers = np.zeros((window.height, window.width), found.dtype)
    known = np.zeros(numbers.shape, np.bool_)
    rows, cols = inside.within(window).slices
    numbers[rows, cols] = found
    known[rows, cols] = True if nodata is None else found != nodata
    return numbers, known


def _label(root: Path, file: str, images: str, labels: str) -> str | None:
    """The label of an image: of the same path but for the first folder and the extension."""
    stem = labels / Path(file).relative_to(images).with_suffix("")
    for suffix in SUFFIXES:
        for spelled in (suffix, suffix.upper()):
            if (root / f"{stem}{spelled}").is_file():
                return f"{stem}{spelled}"
    return None


def _classes(told: Sequence[str], values: Mapping[int, int | str] | None) -> tuple[str, ...]:
    named = tuple(dict.fromkeys(one for one in (values or {}).values() if isinstance(one, str)))
    if not told and not named:
        raise ConfigError(
            "the model names no classes; say those of the labels: the option classes=[water, forest, ...]"
        )
    return tuple(told) or named


def _meanings(classes: Sequence[str], values: Mapping[int, int | str] | None, ignored: Sequence[int]) -> Meanings:
    meant: dict[int, int] = {}
    for number, one in (dict(enumerate(range(len(classes)))) if values is None else values).items():
        place = list(classes).index(one) if isinstance(one, str) and one in classes else one
        if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < len(classes):
            raise ConfigError(
                f"the option values says that {number} is {one!r}; expected one of {', '.join(classes)}, or its number"
                f" from 0 to {len(classes) - 1}"
            )
        meant[int(number)] = place
    meant |= dict.fromkeys((int(one) for one in ignored), IGNORED)
    numbers = sorted(meant)
    return Meanings(
        numbers=np.array(numbers, np.int64),
        classes=np.array([meant[one] for one in numbers], np.int64),
        names=tuple(classes),
    )
