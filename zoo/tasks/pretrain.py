"""Embeddings: one vector per chip, or one per patch of a scene."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from zoo.errors import InputError
from zoo.results.maps import MapBands
from zoo.spec import Variant
from zoo.tasks.base import MapTask


class EmbedOutput(NamedTuple):
    """What a network of the task `pretrain` returns.

    pooled: (B, D), one vector per image.
    tokens: (B, D, h, w), one vector per patch; `None` where the network has no dense output.
    logits: (B, K), before softmax or sigmoid, where the variant has a head for classes.
    """

    pooled: Tensor
    tokens: Tensor | None = None
    logits: Tensor | None = None


class EmbedMap(MapTask):
    """A vector per patch of a scene: pixel = GSD x patch."""

    def maps(self, output: EmbedOutput) -> Tensor:
        if output.tokens is None:
            raise InputError("this network gives one vector per chip and no dense map; write a table: .parquet or .csv")
        return output.tokens

    def bands(self, variant: Variant, channels: int) -> MapBands:  # noqa: ARG002  (the protocol's)
        names = tuple(f"embedding_{index:04d}" for index in range(channels))
        return MapBands(names=names, dtype="float32", nodata=float("nan"), unit="1")

    def finish(self, maps: Tensor) -> Tensor:
        return maps.float()
