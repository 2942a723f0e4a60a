"""From a dataset's stored chips to what the network takes: normalise, augment, resize.

The steps are those of the variant's `InputSpec`, interpreted by `zoo.inputs.preprocess` as for any user's raster; the rules of
resizing differ from one evaluation set to the next.

Source: gsumbul/SMARTIES@fc0df04.
"""

# C bands, H W pixels

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from zoo.datasets.sample import Sample
from zoo.inputs.preprocess import Preprocess, spline_resize
from zoo.spec import InputSpec, Kind, Resize, Variant
from zoo_smarties.augment import cropped, draw_crops, draw_turn, shorter_side_then_centre, turned
from zoo_smarties.statistics import SIZE, Statistics

Array = np.ndarray


class Rule(StrEnum):
    """How a chip gets its size.

    WHOLE: all of it, aspect ignored, cubic. LINEAR: the same, linear (WHU-RS19). CENTRE: shorter side to 256/224 of the
    size, then the centre (UC-Merced, RESISC45). CROP: in training a random square of 25 to 100 % of the area (RESISC45
    fine-tuning), else as CENTRE.
    """

    WHOLE = "whole"
    LINEAR = "linear"
    CENTRE = "centre"
    CROP = "crop"


def normaliser(statistics: Statistics) -> Callable[[Array], Tensor]:
    """Stored numbers (stored bands, H, W) to normalised float32 (C, H, W) of the bands that the network takes."""
    steps = tuple(step for step in statistics.steps() if not isinstance(step, Resize))
    prepare = Preprocess(InputSpec(name="image", kind=Kind.RASTER, bands=statistics.bands, steps=steps))
    places = list(statistics.selected)

    def normalise(stored: Array, *, missing: Array | None = None) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(np.asarray(stored)[places]))
        valid = None if missing is None else ~torch.from_numpy(missing)[None]
        return prepare(pixels[None], valid)[0]

    return normalise


def sized(image: Tensor, rule: Rule, size: int, generator: torch.Generator | None = None) -> Tensor:
    """A normalised image (C, H, W) as (C, size, size)."""
    match rule:
        case Rule.WHOLE:
            return spline_resize(image, (size, size), order=3)
        case Rule.LINEAR:
            return spline_resize(image, (size, size), order=1)
        case Rule.CROP if generator is not None:
            (crop,) = draw_crops([(image.shape[-2], image.shape[-1])], generator)
            return spline_resize(cropped(image, crop), (size, size), order=3)
        case Rule.CENTRE | Rule.CROP:
            return shorter_side_then_centre(image, size)


def size_for(variant: Variant | None, size: int | None) -> int:
    """Side in pixels: the one that is asked for, else that of the variant's inputs, else the released networks'."""
    return size or (variant.inputs[0].window if variant else None) or SIZE


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """Where a sample is, in the words of its reader, and its class where that is known without reading."""

    id: str
    place: tuple[str, ...]
    label: int | None = None


class ChipReader:
    """Chips of one list; a `zoo.datasets.sample.Reader`.

    Args:
        records: the list.
        read: stored arrays of a record, by input name.
        statistics: of each input.
        classes: names, in the order of the labels.
        rule: how a chip gets its size.
        size: side in pixels.
        turn: whether chips are mirrored and turned in training; maps of classes with them.
        read_label: where the record does not hold the label.
    """

    def __init__(
        self,
        records: Sequence[Record],
        *,
        read: Callable[[Record], Mapping[str, Array]],
        statistics: Mapping[str, Statistics],
        classes: tuple[str, ...],
        rule: Rule | str = Rule.WHOLE,
        size: int = SIZE,
        turn: bool = False,
        read_label: Callable[[Record], Tensor] | None = None,
    ) -> None:
        self.ids: Sequence[str] = tuple(record.id for record in records)
        self.classes = classes
        self._bands = {name: tuple(band.id for band in one.bands) for name, one in statistics.items()}
        self._records, self._read, self._read_label = tuple(records), read, read_label
        self._normalise = {name: normaliser(one) for name, one in statistics.items()}
        self._rule, self._size, self._turn = Rule(rule), size, turn

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        record = self._records[index]
        images = {name: self._normalise[name](stored) for name, stored in self._read(record).items()}
        label = self._read_label(record) if self._read_label else torch.tensor(record.label)
        if generator is not None and self._turn:
            turn = draw_turn(generator)
            images = {name: turned(image, turn) for name, image in images.items()}
            label = turned(label, turn).contiguous() if label.ndim == 2 else label
        images = {name: sized(image, self._rule, self._size, generator) for name, image in images.items()}
        return Sample(id=record.id, inputs=images, bands=self._bands, target={"label": label})
