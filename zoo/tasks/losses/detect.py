"""Losses of points on images, for candidates that are already assigned to things.

There is no default objective for this task: what a network is trained for depends on how candidates are assigned to
things, and networks of the task do that on raw maps of their own, before the points and scores of a `DetectOutput`
exist. A model brings its objective, and builds it from these.
"""

# A candidates, K classes, n things

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def class_loss(logits: Tensor, target_scores: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy over all candidates and classes, per unit of target score.

    Args:
        logits: (..., A, K), before the sigmoid.
        target_scores: (..., A, K), 0 ... 1; all 0 for a candidate that stands for nothing.

    Returns:
        The sum, and the sum of the target scores. POLO divides by no less than 1 (gigumay/POLO@b2f995e1).
    """
    total = functional.binary_cross_entropy_with_logits(logits, target_scores, reduction="sum")
    return total, target_scores.sum()


def place_loss(points: Tensor, places: Tensor, assigned: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance of candidates from their things.

    Args:
        points: (..., A, 2), where the candidates are.
        places: (..., A, 2), where the thing of each candidate is, in the same unit.
        assigned: (..., A) bool, which candidates stand for a thing.

    Returns:
        The sum over x, y and the assigned candidates, and how many these are.

    Source: localisation loss of POLO (gigumay/POLO@b2f995e1), there in cells of the grid.
    """
    total = (points[assigned] - places[assigned]).square().sum()
    return total, assigned.sum()


def hausdorff(points_A2: Tensor, places_n2: Tensor) -> Tensor:
    """Averaged Hausdorff distance of two sets of points of one image, neither of them empty.

    The mean over things of the distance to the nearest candidate, plus the mean over candidates of the distance to the
    nearest thing.

    Source: POLO's alternative to `place_loss` (gigumay/POLO@b2f995e1).
    """
    distance_An = torch.cdist(points_A2, places_n2)
    return distance_An.amin(dim=0).mean() + distance_An.amin(dim=1).mean()
