"""Which pixels a pixel sees, along one axis, through layers that slide: what may be cut away without changing an answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Sliding(NamedTuple):
    """A convolution or pooling along one axis, in pixels."""

    kernel: int
    stride: int = 1
    padding: int = 0


class Span(NamedTuple):
    """Pixels first ... last, both included; negative ones lie in the padding."""

    first: int
    last: int

    def __len__(self) -> int:  # a NamedTuple's own would be its two fields
        return self.last - self.first + 1


def seen(layers: Sequence[Sliding], span: Span) -> Span:
    """The pixels before all layers that decide the pixels `span` after them."""
    first, last = span
    for kernel, stride, padding in reversed(layers):
        first, last = first * stride - padding, last * stride - padding + kernel - 1
    return Span(first, last)


def size_after(layers: Sequence[Sliding], size: int) -> int:
    """How many of `size` pixels there are after all layers; below 1 if they are too few."""
    for kernel, stride, padding in layers:
        size = (size + 2 * padding - kernel) // stride + 1
    return size


def step(layers: Sequence[Sliding]) -> int:
    """Pixels before the layers from one pixel after them to the next."""
    return math.prod(layer.stride for layer in layers)


def needed(layers: Sequence[Sliding], span: Span, size: int) -> Span:
    """What of `size` pixels to keep so that the layers, run on that alone, give the pixels `span` as on the whole.

    It begins at a multiple of the step: the first pixel after the layers is then number `first / step` of the whole.
    """
    first, last = seen(layers, span)
    stride = step(layers)
    return Span(max(first, 0) // stride * stride, min(last, size - 1))
