"""Class maps: scores per class and pixel."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class SegmentOutput(NamedTuple):
    """What a network of the task `segment` returns.

    logits: (B, K, H, W), before softmax.
    """

    logits: Tensor
