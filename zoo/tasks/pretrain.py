"""Embeddings: one vector per chip, or one per patch of a scene."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class EmbedOutput(NamedTuple):
    """What a network of the task `pretrain` returns.

    pooled: (B, D), one vector per image.
    tokens: (B, D, h, w), one vector per patch; `None` where the network has no dense output.
    logits: (B, K), before softmax or sigmoid, where the variant has a head for classes.
    """

    pooled: Tensor
    tokens: Tensor | None = None
    logits: Tensor | None = None
