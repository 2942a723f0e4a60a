"""Scores of classes from counts of hits, labels and predictions."""

# K classes, ... samples, replicates

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.tasks.metrics.sums import ratio

HIT, LABELLED, PREDICTED = range(3)  # order of the counts


def class_scores(counts: Tensor) -> dict[str, Tensor]:
    """IoU, F1, precision and recall of each class, in scikit-learn's rules with `zero_division=0`.

    Args:
        counts: (..., 3, K): of hits, labels and predictions of each class.

    Returns:
        By name, (..., K); NaN for classes that neither labels nor predictions hold, which means over classes leave out.
    """
    hit, labelled, predicted = counts.double().unbind(dim=-2)
    both = labelled + predicted
    present = both > 0

    def of(part: Tensor, whole: Tensor) -> Tensor:
        return torch.where(present, ratio(part, whole).nan_to_num(0.0), torch.nan)

    return {
        "iou": of(hit, both - hit),
        "f1": of(2 * hit, both),
        "precision": of(hit, predicted),
        "recall": of(hit, labelled),
    }


def named(score: str, values: Tensor, classes: Sequence[str]) -> dict[str, Tensor]:
    """Columns of (1 + R, K) as `score/class`."""
    return {f"{score}/{name}": values[:, index] for index, name in enumerate(classes)}
