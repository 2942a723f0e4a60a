"""How embeddings are judged: by their nearest neighbours, by a linear probe, and by one of dense maps.

The encoder is frozen, and what it says of each sample is computed once: a probe of a hundred epochs costs one pass of
the encoder. The numbers are SMARTIES' (gsumbul/SMARTIES@fc0df04, evaluation scripts), which follow DINO's and MAE's.
"""

# M training samples, B samples asked for, D width, K classes, h w patches, H W pixels

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.datasets.sample import IGNORED
from zoo.errors import ConfigError

CHUNK = 1024  # samples whose similarities are held at once
MILESTONES = (0.6, 0.8)  # shares of training at which the rate falls tenfold
BETAS = (0.9, 0.95)
_Layer = TypeVar("_Layer", nn.Linear, nn.Conv2d)
EPS = 1e-6  # of the probe's batch norm
LR_BATCH = 1024  # batch for which `Judging.lr` holds
INIT_STD = 0.01  # of the probe's first weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Judging:
    """Settings of the protocols.

    Attributes:
        neighbours: that vote.
        temperature: a neighbour's vote weighs exp(cosine similarity / temperature).
        epochs: of a probe.
        batch: samples per step of a probe.
        lr: learning rate of a probe for a batch of 1024; it grows in proportion.
        seed: of a probe's first weights, its order of samples, and of the draw of `shots`.
        shots: samples per class that are drawn from the gallery; `None` = all.

    Raises:
        ConfigError: a number that cannot be.
    """

    neighbours: int = 20
    temperature: float = 0.07
    epochs: int = 100
    batch: int = 1024
    lr: float = 4e-3
    seed: int = 0
    shots: int | None = None

    def __post_init__(self) -> None:
        for name in ("neighbours", "temperature", "epochs", "batch", "lr", "shots"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} is {value}; expected more than 0")


# ---------------------------------------------------------------------------------------------------------- neighbours


def knn_votes(train_MD: Tensor, train_label: Tensor, test_BD: Tensor, *, num_classes: int, judging: Judging) -> Tensor:
    """Votes (B, K) of the nearest neighbours by cosine similarity, each weighing exp(similarity / temperature).

    Args:
        train_MD: embeddings to compare with.
        train_label: classes (M) of integers, or (M, K) of 0 and 1 where several hold at once.
        test_BD: embeddings asked for.
        num_classes: K.
        judging: how many neighbours, and the temperature.
    """
    train_MD = functional.normalize(train_MD.float(), dim=1)
    several = train_label.ndim == 2
    label_MK = train_label.float() if several else functional.one_hot(train_label.long(), num_classes).float()
    votes = []
    for part_BD in torch.split(test_BD, CHUNK):
        similarity_BM = functional.normalize(part_BD.float(), dim=1) @ train_MD.T
        nearest = similarity_BM.topk(min(judging.neighbours, len(train_MD)), dim=1)
        weight_BN = (nearest.values / judging.temperature).exp()
        votes.append((weight_BN[..., None] * label_MK[nearest.indices]).sum(dim=1))
    return torch.cat(votes) if votes else test_BD.new_zeros(0, num_classes)


# -------------------------------------------------------------------------------------------------------------- probes


def fit_probe(
    feature_MD: Tensor,
    label: Tensor,
    *,
    num_classes: int,
    judging: Judging | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Train batch norm and a linear layer on features of the frozen encoder, with AdamW.

    Args:
        feature_MD: one row per sample, float32, without augmentation.
        label: classes (M) of integers, or (M, K) of 0 and 1 where several hold at once.
        num_classes: K.
        judging: length, rate and seed.
        generator: on the CPU; draws the first weights and the order of samples. `None` = from the seed.

    Returns:
        The probe, in evaluation mode: features (B, D) to logits (B, K).
    """
    judging = judging or Judging()
    generator = generator or torch.Generator().manual_seed(judging.seed)
    linear = _started(nn.Linear(feature_MD.shape[1], num_classes, device="meta"), generator)
    probe = nn.Sequential(nn.BatchNorm1d(feature_MD.shape[1], affine=False, eps=EPS), linear)
    loss = functional.cross_entropy if label.ndim == 1 else functional.binary_cross_entropy_with_logits
    return _fitted(probe, feature_MD, label, loss=loss, judging=judging, generator=generator)


class DenseProbe(nn.Module):
    """A 1 x 1 convolution on patches (B, D, h, w), its logits enlarged bilinearly to (B, K, H, W)."""

    def __init__(self, width: int, num_classes: int, size: tuple[int, int], generator: torch.Generator) -> None:
        super().__init__()
        self.size = size
        self.conv = _started(nn.Conv2d(width, num_classes, kernel_size=1, device="meta"), generator)

    def forward(self, tokens: Tensor) -> Tensor:
        return functional.interpolate(self.conv(tokens), size=self.size, mode="bilinear", align_corners=False)


def fit_dense_probe(tokens_MDhw: Tensor, label_MHW: Tensor, *, num_classes: int, judging: Judging) -> nn.Module:
    """Train a 1 x 1 convolution on the frozen encoder's patches; pixels labelled `IGNORED` do not count.

    Returns:
        The probe, in evaluation mode: patches (B, D, h, w) to logits (B, K, H, W).
    """
    generator = torch.Generator().manual_seed(judging.seed)
    probe = DenseProbe(tokens_MDhw.shape[1], num_classes, (label_MHW.shape[1], label_MHW.shape[2]), generator)
    return _fitted(probe, tokens_MDhw, label_MHW, loss=_pixel_loss, judging=judging, generator=generator)


def _started(layer: _Layer, generator: torch.Generator) -> _Layer:
    """A layer made on the device `meta`, with its first weights: nothing is drawn from the global generator."""
    layer = layer.to_empty(device="cpu")
    nn.init.trunc_normal_(layer.weight, std=INIT_STD, generator=generator)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def _pixel_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Cross entropy of the labelled pixels; 0 where there are none."""
    total = functional.cross_entropy(logits, label.long(), ignore_index=IGNORED, reduction="sum")
    return total / (label != IGNORED).sum().clamp(min=1)


def _fitted(
    probe: nn.Module,
    features: Tensor,
    labels: Tensor,
    *,
    loss: Callable[[Tensor, Tensor], Tensor],
    judging: Judging,
    generator: torch.Generator,
) -> nn.Module:
    """The probe after training; samples that do not fill a step are left out of their epoch."""
    device = features.device
    probe.to(device).train()
    steps_per_epoch = max(1, len(features) // judging.batch)
    steps = judging.epochs * steps_per_epoch
    lr = judging.lr * judging.batch / LR_BATCH
    optimiser = torch.optim.AdamW(probe.parameters(), lr=lr, betas=BETAS, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [int(share * steps) for share in MILESTONES])
    for step in range(steps):
        if step % steps_per_epoch == 0:
            order = torch.randperm(len(features), generator=generator)
        rows = order[step % steps_per_epoch * judging.batch :][: judging.batch].to(device)
        optimiser.zero_grad()
        torch.autograd.backward(loss(probe(features[rows]), labels[rows]))
        optimiser.step()
        schedule.step()
    return probe.eval()


def few(label_M: Tensor, *, shots: int, seed: int) -> Tensor:
    """Places of `shots` samples of each class, drawn at random, in ascending order; all of a class that has fewer."""
    order = torch.randperm(len(label_M), generator=torch.Generator().manual_seed(seed))
    drawn = [order[label_M[order] == one][:shots] for one in torch.unique(label_M)]
    return torch.cat(drawn).sort().values
