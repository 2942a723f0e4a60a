"""What MaskSDM is compared with: the same network, without masks, whose missing predictors are guessed.

Source: zbirobin/MaskSDM-MEE@bfdc9487, its evaluation of imputation.
"""

# B sites to predict, N training sites, F predictors, M guesses per site, S species

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class Sites:
    """Standardised predictors (N, F), NaN where missing, and SatCLIP embeddings (N, 256)."""

    x: Tensor
    satclip: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Available:
    """Which predictors (F,) bool, and whether SatCLIP, are known at the sites to predict."""

    x: Tensor
    satclip: bool


def mean(network: nn.Module, sites: Sites, train: Sites, known: Available) -> Tensor:
    """Logits (B, S) with missing predictors at their mean, which is 0, and SatCLIP at its mean vector."""
    x = torch.where(known.x, sites.x, 0)
    return _answer(network, x, sites.satclip if known.satclip else train.satclip.mean(dim=0))


def median(network: nn.Module, sites: Sites, train: Sites, known: Available) -> Tensor:
    """Logits (B, S) with missing predictors, a site's own too, at their median; likewise SatCLIP."""
    middle = medians(train.x)
    x = torch.where(known.x & ~sites.x.isnan(), sites.x, middle)
    return _answer(network, x, sites.satclip if known.satclip else medians(train.satclip))


def from_rows(network: nn.Module, sites: Sites, train: Sites, known: Available, rows: Tensor) -> Tensor:
    """Logits (B, S), the mean over guesses: what is missing at a site is that of training sites `rows` (B, M).

    With random rows this is the paper's *marginal* imputation, with `nearest_rows` its *conditional* one.
    """
    x = torch.where(known.x, sites.x[:, None], train.x[rows])
    place = sites.satclip[:, None].expand(-1, rows.shape[1], -1) if known.satclip else train.satclip[rows]
    return _answer(network, x.flatten(0, 1), place.flatten(0, 1)).unflatten(0, rows.shape).mean(dim=1)


def nearest_rows(sites: Sites, train: Sites, known: Available, count: int) -> Tensor:
    """(B, M) training sites nearest in the known predictors, the nearest first; a missing number counts as 0."""
    ours, theirs = (one.x[:, known.x].nan_to_num(nan=0.0).double() for one in (sites, train))
    apart = torch.cdist(ours, theirs, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.argsort(dim=1, stable=True)[:, :count]


def medians(x: Tensor) -> Tensor:
    """(F,) medians of columns without their NaN; of an even number, the mean of the two in the middle."""
    return x.nanquantile(0.5, dim=0)


def _answer(network: nn.Module, x: Tensor, satclip: Tensor) -> Tensor:
    """No mask is passed: what is still missing is 0, and seen."""
    with torch.inference_mode():
        answer: Tensor = network(x.nan_to_num(nan=0.0), satclip=satclip.expand(len(x), -1)).logits
    return answer
