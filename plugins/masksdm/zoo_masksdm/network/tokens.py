"""A token per predictor: each has weights of its own, and nothing else says which predictor a token is."""

# B batch, F predictors, K frequencies, D width

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Periodic(nn.Module):
    """Cosines and sines of a number at learned frequencies, (B, F) to (B, F, 2K), cosines first."""

    def __init__(self, features: int, frequencies: int, sigma: float = 0.01) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features, frequencies))
        nn.init.trunc_normal_(self.weight, std=sigma, a=-3 * sigma, b=3 * sigma)

    def forward(self, x_BF: Tensor) -> Tensor:
        phase = 2 * math.pi * self.weight * x_BF[..., None]
        return torch.cat([phase.cos(), phase.sin()], dim=-1)


class LinearPerFeature(nn.Module):
    """A linear layer per predictor, (B, F, I) to (B, F, D), as one batched product: no weight is copied per row."""

    def __init__(self, features: int, inputs: int, width: int) -> None:
        super().__init__()
        limit = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(features, inputs, width).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.empty(features, width).uniform_(-limit, limit))

    def forward(self, x_BFI: Tensor) -> Tensor:
        return torch.baddbmm(self.bias[:, None], x_BFI.transpose(0, 1), self.weight).transpose(0, 1)


class PeriodicEmbeddings(nn.Module):
    """ReLU(linear(periodic(x))), (B, F) to (B, F, D)."""

    def __init__(self, features: int, width: int, frequencies: int) -> None:
        super().__init__()
        self.periodic = Periodic(features, frequencies)
        self.linear = LinearPerFeature(features, 2 * frequencies, width)

    def forward(self, x_BF: Tensor) -> Tensor:
        return self.linear(self.periodic(x_BF)).relu_()


class PeriodicTokens(nn.Module):
    """The tokeniser of all released networks."""

    def __init__(self, features: int, width: int, frequencies: int) -> None:
        super().__init__()
        self.periodic_embeddings = PeriodicEmbeddings(features, width, frequencies)

    def forward(self, x_BF: Tensor) -> Tensor:
        return self.periodic_embeddings(x_BF)


class LinearTokens(nn.Module):
    """weight * x + bias per predictor, (B, F) to (B, F, D); no released network has it."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        limit = width**-0.5
        self.weight = nn.Parameter(torch.empty(features, width).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.empty(features, width).uniform_(-limit, limit))

    def forward(self, x_BF: Tensor) -> Tensor:
        return self.weight * x_BF[..., None] + self.bias
