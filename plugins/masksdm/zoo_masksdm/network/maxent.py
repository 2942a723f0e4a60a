"""The Maxent baseline: linear, quadratic, product, threshold and hinge features of predictors, and one linear layer on them.

Columns always stand in that order. Source: elapid 1.0.1 `MaxentFeatureTransformer`, default settings, as the spec of
MaskSDM's baselines has it; written from the formulas.
"""

# B batch, F predictors, P pairs of them, M features, S species

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.tasks.sdm import SdmOutput

KNOTS = 10  # of thresholds and hinges, equally spaced from the least to the largest number of the training data
USUAL = 3.0  # deviations, ours: the range of standardised numbers before the training data are known
SETS = {
    "lhp": ("linear", "product", "hinge"),
    "lhptq": ("linear", "quadratic", "product", "threshold", "hinge"),
}


class MaxentFeatures(nn.Module):
    """Numbers (B, F) to features (B, M), each 0 ... 1; `fit` learns their ranges from training data.

    Before `fit`, ranges are those of numbers between -3 and 3 (deviations from the mean). Where a predictor is constant, its
    scaled features are 0.
    """

    ranges: Tensor

    def __init__(self, features: int, kinds: Sequence[str]) -> None:
        super().__init__()
        pairs = torch.triu_indices(features, features, offset=1)
        self.register_buffer("first", pairs[0], persistent=False)
        self.register_buffer("second", pairs[1], persistent=False)
        self.kinds = tuple(kinds)
        widths = {"linear": features, "quadratic": features, "product": pairs.shape[1]}
        self.scaled = [kind for kind in ("linear", "quadratic", "product") if kind in self.kinds]
        ends = {"linear": (-USUAL, USUAL), "quadratic": (0.0, USUAL**2), "product": (-(USUAL**2), USUAL**2)}
        ranges = [
            torch.tensor(ends[kind], dtype=torch.float64)[:, None].expand(-1, widths[kind]) for kind in self.scaled
        ]
        self.register_buffer("ranges", torch.cat(ranges, dim=1))
        self.width = self.ranges.shape[1] + features * (
            KNOTS * ("threshold" in self.kinds) + 2 * (KNOTS - 1) * ("hinge" in self.kinds)
        )

    def fit(self, x_BF: Tensor) -> None:
        """Learn the least and largest number of each scaled column from the training data, which lack none."""
        raw = self._raw(x_BF.double())
        self.ranges = torch.stack([raw.amin(dim=0), raw.amax(dim=0)])

    def forward(self, x_BF: Tensor) -> Tensor:
        """(B, M) float64."""
        x_BF = x_BF.double()
        columns = [_share(self._raw(x_BF), *self.ranges)]
        low, high = self.ranges[:, : x_BF.shape[1], None]  # of the numbers themselves: linear stands first
        steps = torch.linspace(0, 1, KNOTS, dtype=torch.float64, device=x_BF.device)
        knots = torch.where(steps < 1, low + (high - low) * steps, high)  # (F, knots)
        x = x_BF[..., None]
        if "threshold" in self.kinds:
            columns.append((x > knots).double().flatten(1))
        if "hinge" in self.kinds:
            columns.append(torch.cat([_share(x, knots[:, :-1], high), _share(x, low, knots[:, 1:])], dim=2).flatten(1))
        return torch.cat(columns, dim=1)

    def _raw(self, x_BF: Tensor) -> Tensor:
        """Columns that are scaled by their range."""
        made = {
            "linear": lambda: x_BF,
            "quadratic": lambda: x_BF**2,
            "product": lambda: x_BF[:, self.first] * x_BF[:, self.second],
        }
        return torch.cat([made[kind]() for kind in self.scaled], dim=1)


def _share(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Where x lies between low and high, 0 ... 1; 0 where there is nothing between."""
    width = high - low
    return torch.where(width > 0, (x - low) / torch.where(width > 0, width, 1), 0).clamp(0, 1)


class Maxent(nn.Module):
    """Features and a linear layer; the authors' file holds the layer alone, the ranges come with a bundle."""

    def __init__(self, features: int, species: int, kinds: Sequence[str]) -> None:
        super().__init__()
        self.expansion = MaxentFeatures(features, kinds)
        layer = nn.Linear(self.expansion.width, species)
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, predictors: Tensor, species: Sequence[int] | None = None) -> SdmOutput:
        """Standardised predictors (B, F), NaN where missing, to logits (B, S); a missing number is 0, the mean."""
        features = self.expansion(predictors.nan_to_num(nan=0.0)).to(self.weight.dtype)
        rows = slice(None) if species is None else list(species)
        return SdmOutput(logits=nn.functional.linear(features, self.weight[rows], self.bias[rows]))


def maxent(
    features: int,
    num_classes: int,
    *,
    kinds: Literal["lhp", "lhptq"],
    ranges: Sequence[Sequence[float]] | None = None,
) -> Maxent:
    """See `Maxent`; `ranges` are the least and the largest number of each scaled column."""
    if kinds not in SETS:
        raise ConfigError(f"the features of Maxent are {kinds!r}; expected one of {', '.join(SETS)}")
    network = Maxent(features, num_classes, SETS[kinds])
    if ranges is not None:
        network.expansion.ranges.copy_(torch.tensor(ranges, dtype=torch.float64))
    return network
