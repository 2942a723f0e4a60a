"""Class maps: which class each pixel belongs to, and how sure the network is.

Where windows overlap, probabilities are averaged, never class ids: softmax where classes exclude each other, sigmoid
where they may hold together.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from zoo.errors import SpecError
from zoo.results.maps import MapBands
from zoo.spec import Variant
from zoo.tasks.base import MapTask

HALO_SHARE = 1 / 8  # ours: at the edge of its window a network sees half the context; costs (4/3)^2 of the pixels
PRESENT = 0.5  # probability from which a class counts as present, where classes may hold together
LARGEST_BYTE = 255  # nodata of class maps with up to 255 classes
LARGEST_WORD = 65535


class SegmentOutput(NamedTuple):
    """What a network of the task `segment` returns.

    logits: (B, K, H, W), before softmax or sigmoid; one pixel per `Variant.stride` input pixels.
    """

    logits: Tensor


class _Probabilities(MapTask):
    halo_share: ClassVar[float] = HALO_SHARE

    def __init__(self, variant: Variant) -> None:
        self.multi_label = variant.multi_label

    def maps(self, output: SegmentOutput) -> Tensor:
        logits = output.logits.float()
        return logits.sigmoid() if self.multi_label else logits.softmax(dim=1)


class ClassMap(_Probabilities):
    """The id of the most probable class (uint8, nodata 255; uint16, nodata 65535, beyond 255 classes); a band of
    0 (absent) and 1 (present) per class where classes may hold together.
    """

    def bands(self, variant: Variant, channels: int) -> MapBands:
        names = class_names(variant, channels)
        if self.multi_label:
            return MapBands(names=names, dtype="uint8", nodata=LARGEST_BYTE, unit="", classes=("absent", "present"))
        wide = channels > LARGEST_BYTE
        return MapBands(
            names=("class",),
            dtype="uint16" if wide else "uint8",
            nodata=LARGEST_WORD if wide else LARGEST_BYTE,
            unit="",
            classes=names,
            colours=variant.colours,
        )

    def finish(self, maps: Tensor) -> Tensor:
        if self.multi_label:
            return (maps >= PRESENT).to(torch.uint8)
        dtype = torch.uint16 if maps.shape[-3] > LARGEST_BYTE else torch.uint8
        return maps.argmax(dim=-3, keepdim=True).to(dtype)


class ScoreMap(_Probabilities):
    """The probability of each class, a band of float32 each, nodata NaN."""

    def bands(self, variant: Variant, channels: int) -> MapBands:
        return MapBands(names=class_names(variant, channels), dtype="float32", nodata=float("nan"), unit="1")

    def finish(self, maps: Tensor) -> Tensor:
        return maps.float()


def class_names(variant: Variant, channels: int) -> tuple[str, ...]:
    """Names of the network's classes.

    Raises:
        SpecError: the variant names more or fewer than the network has.
    """
    if len(variant.classes) != channels:
        raise SpecError(
            f"variant {variant.tag!r} names {len(variant.classes)} classes, its network answers for {channels};"
            " correct `classes` in the plugin"
        )
    return variant.classes
