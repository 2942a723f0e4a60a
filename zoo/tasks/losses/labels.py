"""Losses of labels of whole images: classes that exclude each other, or that may hold together."""

# B images, K classes

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.datasets.sample import IGNORED, Batch
from zoo.errors import ConfigError, InputError, some
from zoo.spec import Variant
from zoo.tasks.objective import Moment, Objective, Term, answer


def cross_entropy(logits: Tensor, label: Tensor, *, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Sum of the cross entropies of all labelled images, and their number.

    Args:
        logits: (B, K).
        label: (B,) int64, `IGNORED` where there is none; or soft, (B, K) shares that sum to 1 (of mixed images).
        smoothing: share of each label that is spread evenly over all classes.
    """
    total = functional.cross_entropy(
        logits.float(), label, ignore_index=IGNORED, label_smoothing=smoothing, reduction="sum"
    )
    return total, labelled_images(label)


def multilabel_soft_margin(logits: Tensor, label: Tensor, *, smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Sum over images of the mean over classes of the binary cross entropy, and the number of images.

    Args:
        logits: (B, K).
        label: (B, K), 1 where a class holds, else 0.
        smoothing: s of t (1 - s) + s / K, the labels that are learnt instead of t.
    """
    smooth = label.float() * (1 - smoothing) + smoothing / label.shape[1]
    cells = functional.binary_cross_entropy_with_logits(logits.float(), smooth, reduction="none")
    return cells.mean(dim=1).sum(), labelled_images(label)


def labelled_images(label: Tensor) -> Tensor:
    """How many images have a label; labels by class, (B, K), are all there."""
    return (label != IGNORED).sum() if label.ndim == 1 else torch.tensor(len(label), device=label.device)


class Labels(Objective):
    """Cross entropy, or the multi-label soft margin where the variant's classes may hold together.

    Args:
        variant: its `multi_label` decides which.
        smoothing: of the labels; see the losses.
    """

    def __init__(self, *, variant: Variant | None = None, smoothing: float = 0.0) -> None:
        super().__init__()
        self.multi_label = variant is not None and variant.multi_label
        self.smoothing = smoothing
        self.term = "soft_margin" if self.multi_label else "cross_entropy"

    def counts(self, batch: Batch) -> Mapping[str, Tensor | float]:
        return {self.term: labelled_images(batch.target["label"])}

    def forward(self, network: nn.Module, batch: Batch, moment: Moment) -> Mapping[str, Term]:  # noqa: ARG002
        """One term.

        Raises:
            ConfigError: the network has no head for classes.
            InputError: a label is none of the network's classes.
        """
        logits, label = logits_of(answer(network, batch)), batch.target["label"]
        if self.multi_label:
            check_multi_labels(label, logits.shape[1])
            return {self.term: Term(*multilabel_soft_margin(logits, label, smoothing=self.smoothing))}
        if not label.is_floating_point():
            check_labels(label, logits.shape[1])
        return {self.term: Term(*cross_entropy(logits, label, smoothing=self.smoothing))}


def logits_of(output: Any) -> Tensor:
    """An output's logits.

    Raises:
        ConfigError: it has none.
    """
    logits = getattr(output, "logits", None)
    if not isinstance(logits, Tensor):
        raise ConfigError(
            f"the network answers {type(output).__name__} without logits: it has no head for classes;"
            " choose a variant with one (`zoo info MODEL`), or another `objective`"
        )
    return logits


def check_labels(label: Tensor, num_classes: int) -> None:
    """Stop at labels that are no class, before the network's device fails at them without a word.

    Raises:
        InputError: one is neither 0 ... num_classes - 1 nor `IGNORED`.
    """
    wrong = (label != IGNORED) & ((label < 0) | (label >= num_classes))
    if wrong.any():
        found = some(sorted(set(label[wrong].tolist())), 5)
        raise InputError(
            f"labels {found} are none of the {num_classes} classes: expected 0 to {num_classes - 1}, or {IGNORED} where"
            " there is no label; see what the dataset holds with `zoo data check`, or train a head for the data's"
            " classes with classes=data"
        )


def check_multi_labels(label: Tensor, num_classes: int) -> None:
    """Stop at labels of classes that may hold together that do not fit.

    Raises:
        InputError: they are not (B, num_classes).
    """
    if label.ndim != 2 or label.shape[1] != num_classes:
        raise InputError(
            f"labels are {tuple(label.shape)}, expected (images, {num_classes}) of 0 and 1: the classes of this variant may"
            " hold together; choose a dataset with such labels, or train a head for the data's classes with classes=data"
        )
