"""Points (or boxes) of things on images: which of a network's candidates are answers."""

# B batch, A candidates, K classes

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.errors import SpecError
from zoo.spec import Variant

Array = np.ndarray[Any, np.dtype[Any]]

# Defaults of POLO's prediction (gigumay/POLO@b2f995e1): score .25, distance over radius .3, 30,000 candidates.
MIN_SCORE = 0.25
DOR = 0.3
MAX_POINTS = 30_000


class DetectOutput(NamedTuple):
    """What a network of the task `detect` returns.

    points_px: (B, A, 2), x and y in pixels of the window: the centre of its first pixel is (0.5, 0.5).
    scores: (B, A, K), 0 ... 1.
    boxes_px: (B, A, 4), x_min, y_min, x_max, y_max in the same pixels, where the network knows the extent.
    """

    points_px: Tensor
    scores: Tensor
    boxes_px: Tensor | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """Points of one window: xy_px (n, 2) float64, scores (n,) float32, classes (n,) int64, boxes_px (n, 4) or `None`.

    `num_dropped` counts those beyond the most that a window may answer.
    """

    xy_px: Array
    scores: Array
    classes: Array
    boxes_px: Array | None = None
    num_dropped: int = 0


def decode(output: DetectOutput, *, min_score: float, max_points: int, multi_label: bool = False) -> list[Candidates]:
    """The candidates of each window whose score is above `min_score`, the `max_points` best of them.

    A candidate has its best class; where classes may hold together, one row per class above the score.
    """
    return [
        _of_window(
            output.points_px[index].double(),
            output.scores[index].float(),
            None if output.boxes_px is None else output.boxes_px[index].double(),
            min_score=min_score,
            max_points=max_points,
            multi_label=multi_label,
        )
        for index in range(len(output.scores))
    ]


def _of_window(
    points_A2: Tensor,
    scores_AK: Tensor,
    boxes_A4: Tensor | None,
    *,
    min_score: float,
    max_points: int,
    multi_label: bool,
) -> Candidates:
    if multi_label:
        anchors, classes = (scores_AK > min_score).nonzero(as_tuple=True)
        scores = scores_AK[anchors, classes]
    else:
        best, best_class = scores_AK.max(dim=1)
        (anchors,) = (best > min_score).nonzero(as_tuple=True)
        scores, classes = best[anchors], best_class[anchors]
    dropped = max(len(anchors) - max_points, 0)
    if dropped:
        kept = torch.sort(scores, descending=True, stable=True).indices[:max_points].sort().values
        anchors, scores, classes = anchors[kept], scores[kept], classes[kept]
    return Candidates(
        xy_px=points_A2[anchors].cpu().numpy(),
        scores=scores.cpu().numpy(),
        classes=classes.cpu().numpy(),
        boxes_px=None if boxes_A4 is None else boxes_A4[anchors].cpu().numpy(),
        num_dropped=dropped,
    )


def radii_of(variant: Variant) -> Array | None:
    """Radius of each class in pixels of the window: `config["radii_px"]`, by name of class; `None` where there is none.

    Raises:
        SpecError: a class has no radius, or one that is not positive.
    """
    told: Mapping[str, float] | None = variant.config.get("radii_px")
    if told is None:
        return None
    missing = [name for name in variant.classes if not told.get(name, 0) > 0]
    if missing:
        raise SpecError(
            f"variant {variant.tag!r}: config['radii_px'] has no positive radius for {', '.join(missing)};"
            " expected one per class, in pixels"
        )
    return np.array([told[name] for name in variant.classes], np.float64)


def dor_of(variant: Variant, asked: float | None) -> float:
    """Distance over radius below which one of two points goes: what the user asked, else `config["dor"]`, else 0.3."""
    return float(variant.config.get("dor", DOR)) if asked is None else asked
