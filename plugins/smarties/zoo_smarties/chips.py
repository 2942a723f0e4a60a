"""From a dataset's stored chips to what the network takes: normalise, augment, resize.

The steps are those of the variant's `InputSpec`, interpreted by `zoo.inputs.preprocess` as for any user's raster; the rules of
resizing differ from one evaluation set to the next.

Source: gsumbul/SMARTIES@fc0df04.
"""

# C bands, H W pixels

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from zoo.inputs.preprocess import Preprocess, spline_resize
from zoo.spec import InputSpec, Kind, Resize
from zoo_smarties.augment import cropped, draw_crops, draw_turn, shorter_side_then_centre, turned
from zoo_smarties.statistics import SIZE, Statistics

Array = np.ndarray


class Rule(Enum):
    """How a chip gets its size.

    WHOLE: all of it, aspect ignored, cubic. LINEAR: the same, linear (WHU-RS19). CENTRE: shorter side to 256/224 of the
    size, then the centre (UC-Merced, RESISC45). CROP: a random square of 25 to 100 % of the area (RESISC45 fine-tuning).
    """

    WHOLE = "whole"
    LINEAR = "linear"
    CENTRE = "centre"
    CROP = "crop"


@dataclass(frozen=True, kw_only=True, slots=True)
class Augment:
    """Which random changes a chip undergoes; the draws depend on (seed, epoch, index) and nothing else."""

    turn: bool = False
    seed: int = 42


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """One sample.

    Attributes:
        images: normalised (C, H, W) float32, by the network's input names.
        bands: ranges of each image's channels.
        label: class (scalar), classes (K) of 0 and 1, or class map (H, W) with -100 where there is none.
    """

    id: str
    images: Mapping[str, Tensor]
    bands: Mapping[str, tuple[str, ...]]
    label: Tensor


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
        case Rule.CENTRE:
            return shorter_side_then_centre(image, size)
        case Rule.CROP:
            assert generator is not None
            (crop,) = draw_crops([(image.shape[-2], image.shape[-1])], generator)
            return spline_resize(cropped(image, crop), (size, size), order=3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """Where a sample is, in the words of its reader, and what is known of it."""

    id: str
    place: tuple[str, ...]
    label: int | tuple[int, ...] | None = None


class ChipDataset(Dataset[Chip]):
    """Chips of one list.

    Args:
        records: the list.
        read: stored arrays of a record, by input name.
        statistics: of each input.
        classes: names, in the order of the labels.
        rule: how a chip gets its size.
        size: side in pixels.
        augment: random changes; `None` for evaluation.
        read_label: where the record does not hold the label.
    """

    def __init__(
        self,
        records: Sequence[Record],
        *,
        read: Callable[[Record], Mapping[str, Array]],
        statistics: Mapping[str, Statistics],
        classes: tuple[str, ...],
        rule: Rule = Rule.WHOLE,
        size: int = SIZE,
        augment: Augment | None = None,
        read_label: Callable[[Record], Tensor] | None = None,
    ) -> None:
        self.records, self.classes = tuple(records), classes
        self.bands = {name: one.ranges for name, one in statistics.items()}
        self.epoch = 0  # set by whoever trains; the draws of an epoch are its own
        self._read, self._read_label = read, read_label
        self._normalise = {name: normaliser(one) for name, one in statistics.items()}
        self._rule, self._size, self._augment = rule, size, augment

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Chip:
        record = self.records[index]
        images = {name: self._normalise[name](stored) for name, stored in self._read(record).items()}
        label = self._read_label(record) if self._read_label else torch.tensor(record.label)
        generator = self._generator(index)
        if generator is not None and self._augment is not None and self._augment.turn:
            turn = draw_turn(generator)
            images = {name: turned(image, turn) for name, image in images.items()}
            label = turned(label, turn) if label.ndim == 2 else label
        images = {name: sized(image, self._rule, self._size, generator) for name, image in images.items()}
        return Chip(id=record.id, images=images, bands=self.bands, label=label)

    def _generator(self, index: int) -> torch.Generator | None:
        seed = self._augment.seed if self._augment else 0
        if self._augment is None and self._rule is not Rule.CROP:
            return None
        mixed = np.random.SeedSequence([seed, self.epoch, index]).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(mixed) >> 1)
