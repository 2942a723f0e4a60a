"""What SMARTIES is trained on: reconstruction of masked patches, then labels.

Source: gsumbul/SMARTIES@fc0df04.
"""

# B batch, C bands, N tokens, P pixels of a patch, K classes

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from zoo_smarties.network.autoencoder import Reconstruction, Stream

EPS = 1e-6
IGNORED = -100  # label of pixels without a class


class PretrainingLoss(NamedTuple):
    """Mean of the two streams' losses, and each of them."""

    total: Tensor
    first: Tensor
    second: Tensor


class Pretraining:
    """Mean squared error of the removed patches, over all bands and pixels of a patch at once.

    Args:
        norm_target: standardise each patch first, as the released recipe does.
    """

    def __init__(self, *, norm_target: bool = True) -> None:
        self.norm_target = norm_target

    def __call__(self, made: Reconstruction) -> PretrainingLoss:
        first, second = (self._stream(stream, made.mask) for stream in (made.first, made.second))
        return PretrainingLoss(total=0.5 * (first + second), first=first, second=second)

    def _stream(self, stream: Stream, mask_BN: Tensor) -> Tensor:
        target_BNX, predicted_BNX = stream.pixels.flatten(2), stream.predicted.flatten(2)
        if self.norm_target:
            # Quirk: one mean and one (unbiased) variance per patch, over all bands jointly.
            mean, variance = target_BNX.mean(-1, keepdim=True), target_BNX.var(-1, keepdim=True)
            target_BNX = (target_BNX - mean) / (variance + EPS).sqrt()
        error_BN = (predicted_BNX - target_BNX).square().mean(dim=-1)
        return (error_BN * mask_BN).sum() / (mask_BN.sum() + EPS)


class MultiLabel:
    """Binary cross entropy, mean over classes and samples (multilabel soft margin).

    Args:
        smoothing: s turns a target t into t (1 - s) + s / K; the authors' K is 19, whatever the data.
    """

    def __init__(self, *, smoothing: float = 0.0) -> None:
        self.smoothing = smoothing

    def __call__(self, logits_BK: Tensor, target_BK: Tensor) -> Tensor:
        smoothed_BK = target_BK * (1 - self.smoothing) + self.smoothing / target_BK.shape[1]
        return functional.multilabel_soft_margin_loss(logits_BK, smoothed_BK)


class SingleLabel:
    """Cross entropy; labels (B) of integers, or (B, K) soft targets where images were mixed.

    Args:
        smoothing: of integer labels.
    """

    def __init__(self, *, smoothing: float = 0.0) -> None:
        self.smoothing = smoothing

    def __call__(self, logits_BK: Tensor, label: Tensor) -> Tensor:
        smoothing = 0.0 if label.is_floating_point() else self.smoothing
        return functional.cross_entropy(logits_BK, label, label_smoothing=smoothing)


class Segmentation:
    """Cross entropy per pixel; pixels labelled -100 do not count.

    The released DFC2020 script asks for label smoothing, with which the original fails; its plain loss is meant.
    """

    def __call__(self, logits_BKHW: Tensor, label_BHW: Tensor) -> Tensor:
        return functional.cross_entropy(logits_BKHW, label_BHW.long(), ignore_index=IGNORED)
