"""Average precision from all (score, truth) pairs: exact, where histograms of scores would merge ranks.

Memory: 5 bytes per pair (float32 score, uint8 truth) on each process and, while computing, of all processes together:
12 MB for 125,000 images with 19 classes, 60 MB for 17,000 maps of 26 x 26 cells. Only pairs travel, never logits.
Computing takes some 30 bytes per pair more, sorts once, and passes over the pairs once per replicate of the bootstrap.
"""

# n samples, N pairs, J columns (classes, or variables and lead times), R replicates

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from zoo.tasks.metrics.sums import Sums, keys_of, poisson_weights

UNKNOWN = 2  # as truth: not known, not ranked


def add_pairs(metric: Sums, columns: int) -> None:
    """States for pairs with `columns` scores each."""
    metric.add_rows("pair_scores", columns, dtype=torch.float32)
    metric.add_rows("pair_truths", columns, dtype=torch.uint8)
    metric.add_rows("pair_samples", 2, dtype=torch.int64)  # key of each sample, and how many pairs it has


def keep_pairs(metric: Sums, ids: Sequence[str], scores: Tensor, truths: Tensor) -> None:
    """Keep scores and truths (0, 1, `UNKNOWN`), both (B, cells, J)."""
    cells = torch.full((len(ids),), scores.shape[1])
    metric.pair_scores.append(scores.flatten(0, 1).float())
    metric.pair_truths.append(truths.flatten(0, 1).to(torch.uint8))
    metric.pair_samples.append(torch.stack([keys_of(ids), cells], dim=1).to(scores.device))


def average_precisions(metric: Sums, *, micro: bool = False) -> Tensor:
    """Average precision (1 + R, J) of each column, or (1 + R, 1) of all columns' pairs as one ranking (`micro`)."""
    scores, truths = metric.rows("pair_scores"), metric.rows("pair_truths")
    keys, cells = metric.rows("pair_samples").unbind(dim=1)
    samples = torch.arange(len(keys), device=keys.device).repeat_interleave(cells)
    if micro:
        samples = samples.repeat_interleave(scores.shape[1])
        scores, truths = scores.reshape(-1, 1), truths.reshape(-1, 1)
    known = truths != UNKNOWN
    rankings = [
        Ranking(scores[rows, column], truths[rows, column], samples[rows])
        for column, rows in enumerate(known.unbind(dim=1))
    ]
    once = torch.ones(len(keys), dtype=torch.float64, device=keys.device)
    drawn = (poisson_weights(keys, [replicate])[0].to(once) for replicate in range(metric.bootstrap))
    return torch.stack([torch.stack([one.average_precision(row) for one in rankings]) for row in chain([once], drawn)])


class Ranking:
    """Pairs from the highest score to the lowest; equal scores share a rank.

    Args:
        scores: (N,).
        truths: (N,), 0 or 1.
        samples: (N,), the number of the sample that each pair is of.
    """

    def __init__(self, scores: Tensor, truths: Tensor, samples: Tensor) -> None:
        order = scores.argsort(descending=True, stable=True)
        ordered, truths = scores[order], truths[order]
        ends = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
        ends[:-1] = ordered[1:] != ordered[:-1]
        true = truths.cumsum(dim=0, dtype=torch.int64)[ends]
        gains = true.diff(prepend=true.new_zeros(1)) > 0  # only ranks that hold something true add to the sum
        self.ends = ends.nonzero()[:, 0][gains]
        self.last_true = true[gains] - 1
        self.samples = samples[order].int()
        self.true_samples = self.samples[truths > 0]

    def average_precision(self, weights: Tensor) -> Tensor:
        """Step-wise, as `sklearn.metrics.average_precision_score`: sum of precision x gain in recall.

        Args:
            weights: float64, of the samples.

        Returns:
            A scalar of float64; NaN where nothing is true.
        """
        hits = weights.index_select(0, self.true_samples).cumsum(dim=0)[self.last_true]
        if not len(hits) or hits[-1] == 0:
            return torch.full((), torch.nan, dtype=torch.float64, device=weights.device)
        found = weights.index_select(0, self.samples).cumsum(dim=0)[self.ends]
        gains = hits.diff(prepend=hits.new_zeros(1))
        return (gains * hits / found.clamp_min(1)).sum() / hits[-1]  # weights are whole: without any, hits are 0 too
