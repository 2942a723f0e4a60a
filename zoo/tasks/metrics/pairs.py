"""Average precision from all (score, truth) pairs: exact, where histograms of scores would merge ranks.

Memory: 5 bytes per pair (float32 score, uint8 truth) on each process and, while computing, of all processes together:
12 MB for 125,000 images with 19 classes, 60 MB for 17,000 maps of 26 x 26 cells. Only pairs travel, never logits.
Computing sorts once, and takes one pass over the pairs per replicate of the bootstrap.
"""

# n samples, N pairs, J columns (classes, or variables and lead times), R replicates

from __future__ import annotations

from collections.abc import Sequence

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
    sample = torch.arange(len(keys), device=keys.device).repeat_interleave(cells)
    if micro:
        sample = sample.repeat_interleave(scores.shape[1])
        scores, truths = scores.reshape(-1, 1), truths.reshape(-1, 1)
    columns = []
    for score, truth in zip(scores.unbind(dim=1), truths.unbind(dim=1), strict=True):
        known = truth != UNKNOWN
        ranking = Ranking(score[known], truth[known])
        drawn = [ranking.average_precision()]
        for replicate in range(metric.bootstrap):
            weights = poisson_weights(keys, [replicate])[0].to(score.device)
            drawn.append(ranking.average_precision(weights[sample[known]]))
        columns.append(torch.stack(drawn))
    return torch.stack(columns, dim=1)


class Ranking:
    """Pairs from the highest score to the lowest; equal scores share a rank.

    Args:
        scores: (N,).
        truths: (N,), 0 or 1.
    """

    def __init__(self, scores: Tensor, truths: Tensor) -> None:
        self.order = scores.argsort(descending=True, stable=True)
        self.truths = truths[self.order].double()
        ordered = scores[self.order]
        ends = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
        ends[:-1] = ordered[1:] != ordered[:-1]
        self.ends = ends.nonzero()[:, 0]

    def average_precision(self, weights: Tensor | None = None) -> Tensor:
        """Step-wise, as `sklearn.metrics.average_precision_score`: sum of precision x gain in recall.

        Args:
            weights: (N,), of pairs in the order in which they were given; `None` = 1.

        Returns:
            A scalar of float64; NaN where nothing is true.
        """
        ordered = torch.ones_like(self.truths) if weights is None else weights[self.order].double()
        hits = (ordered * self.truths).cumsum(dim=0)[self.ends]
        found = ordered.cumsum(dim=0)[self.ends]
        if not len(hits) or hits[-1] == 0:
            return torch.full((), torch.nan, dtype=torch.float64, device=self.truths.device)
        gains = hits.diff(prepend=hits.new_zeros(1))
        return (gains * hits / found.clamp_min(1e-300)).sum() / hits[-1]  # before the first weight both are 0
