"""The networks that MaskSDM is compared with: linear, multi-layer perceptron, residual network. A missing number is 0, the mean."""

# B batch, F predictors, D width, S species

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from zoo.tasks.sdm import SdmOutput


class LinearSdm(nn.Linear):
    """One linear layer."""

    def forward(self, predictors: Tensor, species: Sequence[int] | None = None) -> SdmOutput:  # type: ignore[override]
        """Standardised predictors (B, F), NaN where missing, to logits (B, S)."""
        return SdmOutput(logits=_some(super().forward(predictors.nan_to_num(nan=0.0)), species))


class _Layer(nn.Module):
    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BD: Tensor) -> Tensor:
        return self.dropout(self.linear(x_BD).relu())


class _Residual(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.normalization = nn.BatchNorm1d(width)
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BD: Tensor) -> Tensor:
        inner = self.dropout(self.linear1(self.normalization(x_BD)).relu())
        return x_BD + self.dropout(self.linear2(inner))


class _Stack(nn.Module):
    """Layers one after the other, under the authors' names."""

    def __init__(self, layers: Sequence[nn.Module], first: nn.Module | None = None) -> None:
        super().__init__()
        if first is not None:
            self.first_layer = first
        self.blocks = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first_layer(x) if hasattr(self, "first_layer") else x
        for block in self.blocks:
            x = block(x)
        return x


class _Head(nn.Module):
    def __init__(self, width: int, species: int, *, normalised: bool) -> None:
        super().__init__()
        if normalised:
            self.normalization = nn.BatchNorm1d(width)
        self.linear = nn.Linear(width, species)

    def forward(self, x_BD: Tensor) -> Tensor:
        return self.linear(self.normalization(x_BD).relu() if hasattr(self, "normalization") else x_BD)


class Mlp(nn.Module):
    """Linear layers with ReLU between."""

    def __init__(self, *, features: int, species: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        widths = [features] + [width] * layers
        self.mlp_encoder = _Stack([_Layer(one, width, dropout) for one in widths[:-1]])
        self.head = _Head(width, species, normalised=False)

    def forward(self, predictors: Tensor, species: Sequence[int] | None = None) -> SdmOutput:
        """Standardised predictors (B, F), NaN where missing, to logits (B, S)."""
        return SdmOutput(logits=_some(self.head(self.mlp_encoder(predictors.nan_to_num(nan=0.0))), species))


class ResNet(nn.Module):
    """Residual layers with batch norm."""

    def __init__(self, *, features: int, species: int, width: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.resnet_encoder = _Stack(
            [_Residual(width, dropout) for _ in range(layers)], first=nn.Linear(features, width)
        )
        self.head = _Head(width, species, normalised=True)

    def forward(self, predictors: Tensor, species: Sequence[int] | None = None) -> SdmOutput:
        """Standardised predictors (B, F), NaN where missing, to logits (B, S)."""
        return SdmOutput(logits=_some(self.head(self.resnet_encoder(predictors.nan_to_num(nan=0.0))), species))


def _some(logits: Tensor, species: Sequence[int] | None) -> Tensor:
    return logits if species is None else logits[:, list(species)]


def linear(features: int, num_classes: int) -> LinearSdm:
    return LinearSdm(features, num_classes)


def mlp(features: int, num_classes: int, *, layers: int, width: int = 192, dropout: float = 0.1) -> Mlp:
    return Mlp(features=features, species=num_classes, width=width, layers=layers, dropout=dropout)


def resnet(features: int, num_classes: int, *, layers: int, width: int = 192, dropout: float = 0.1) -> ResNet:
    return ResNet(features=features, species=num_classes, width=width, layers=layers, dropout=dropout)
