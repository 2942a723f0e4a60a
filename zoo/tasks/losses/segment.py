"""Losses of class maps: cross entropy and overlaps, over labelled pixels alone."""

# B images, K classes, H W pixels, N things of whatever arrangement

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.datasets.sample import IGNORED, Batch
from zoo.errors import ConfigError
from zoo.spec import Variant
from zoo.tasks.losses.labels import check_labels, logits_of
from zoo.tasks.objective import Moment, Objective, Term, answer

EPS = 1e-5  # coralscapes' Dice (UNet++): least mean of predicted and true share


def cross_entropy(
    logits: Tensor, label: Tensor, *, weights: Tensor | None = None, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Sum of the cross entropies of labelled pixels, and their number (the sum of their weights).

    Args:
        logits: (B, K, H, W), or (N, K).
        label: (B, H, W), or (N,), int64, `IGNORED` where there is none.
        weights: of the K classes, as `torch.nn.CrossEntropyLoss`: each pixel has its class's.
        smoothing: share of each label that is spread evenly over all classes.
    """
    total = functional.cross_entropy(
        logits.float(), label, weight=weights, ignore_index=IGNORED, label_smoothing=smoothing, reduction="sum"
    )
    return total, labelled_pixels(label, weights)


def focal(logits: Tensor, label: Tensor, *, gamma: float = 2.0) -> tuple[Tensor, Tensor]:
    """Sum over labelled pixels of (1 - p)^gamma times the cross entropy, p the label's probability, and their number.

    Args:
        logits: (B, K, H, W), or (N, K).
        label: (B, H, W), or (N,), int64, `IGNORED` where there is none.
        gamma: 0 is the cross entropy; canadafiresat has 2.
    """
    entropies = functional.cross_entropy(logits.float(), label, ignore_index=IGNORED, reduction="none")
    return ((1 - (-entropies).exp()) ** gamma * entropies).sum(), labelled_pixels(label)


def dice(
    logits: Tensor,
    label: Tensor,
    *,
    eps: float = EPS,
    smooth: float = 0.0,
    classes: Literal["all", "present"] = "all",
) -> Tensor:
    """Mean over classes of 1 - overlap of probability and labels, over all labelled pixels of the batch.

    The overlap is (sum p t + smooth / 2) / max((sum p + sum t + smooth) / 2, eps), p the softmax; a class without labels
    adds 0.

    Args:
        logits: (B, K, H, W).
        label: (B, H, W) int64, `IGNORED` where there is none.
        eps: see above.
        smooth: see above.
        classes: mean over `all` K, as the authors of coralscapes' UNet++ do, or over those with labels.
    """
    known = (label != IGNORED)[:, None]
    truth = functional.one_hot(label.clamp_min(0), logits.shape[1]).movedim(-1, 1) * known
    p = logits.float().softmax(dim=1) * known
    over = (0, *range(2, logits.ndim))
    labelled = truth.sum(dim=over)
    middle = (p.sum(dim=over) + labelled + smooth) / 2
    losses = (1 - ((p * truth).sum(dim=over) + smooth / 2) / middle.clamp_min(eps)) * (labelled > 0)
    return losses.mean() if classes == "all" else losses.sum() / (labelled > 0).sum().clamp_min(1)


def binary_dice(probability: Tensor, truth: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """1 - 2 sum(p t) / (sum p + sum t), as canadafiresat: exactly 1 where nothing is true.

    Args:
        probability: (N,).
        truth: (N,), 0 or 1.
        smoothing: s: truth becomes s where it is 0, 1 - s where it is 1.
    """
    p, t = probability.float(), truth.float() * (1 - 2 * smoothing) + smoothing
    return 1 - 2 * (p * t).sum() / (p.sum() + t.sum()).clamp_min(torch.finfo(p.dtype).tiny)


def tversky(
    probability: Tensor,
    truth: Tensor,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1.0,
    gamma: float = 1.0,
) -> Tensor:
    """(1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth))^gamma, the counts sums of probabilities.

    Args:
        probability: (N,).
        truth: (N,), 0 or 1.
        alpha: weight of what is predicted and not true.
        beta: weight of what is true and not predicted.
        smooth: see above.
        gamma: the focal Tversky loss, as canadafiresat spells it (the power is gamma, not 1 / gamma), has 0.75.
    """
    p, t = probability.float(), truth.float()
    hit = (p * t).sum()
    index = (hit + smooth) / (hit + alpha * (p.sum() - hit) + beta * (t.sum() - hit) + smooth)
    # rounding can leave 1 - index a hair below 0, where a power below 1 is not a number
    loss = 1 - index
    return loss if gamma == 1 else loss.clamp_min(torch.finfo(p.dtype).eps) ** gamma


def labelled_pixels(label: Tensor, weights: Tensor | None = None) -> Tensor:
    """How many pixels have a label, or the sum of their classes' weights."""
    known = label != IGNORED
    return known.sum() if weights is None else weights[label[known]].sum()


def without_void(label: Tensor, void: Sequence[int]) -> Tensor:
    """Labels with those of the void classes as `IGNORED`."""
    if not void:
        return label
    return label.masked_fill(torch.isin(label, torch.tensor(void, device=label.device)), IGNORED)


def void_classes(variant: Variant | None) -> tuple[int, ...]:
    """Numbers of the classes that mean "not labelled"."""
    return () if variant is None else tuple(variant.classes.index(name) for name in variant.void)


def at_size(logits: Tensor, size: torch.Size) -> Tensor:
    """Logits (B, K, h, w) resized bilinearly (`align_corners=False`) to the labels' size, where it is another."""
    if logits.ndim != 4:
        raise ConfigError(
            f"the network answers with numbers of shape {tuple(logits.shape)}, expected a map (batch, classes, height,"
            " width); choose a variant that answers maps (`zoo info MODEL`), or another objective="
        )
    if logits.shape[-2:] == size:
        return logits.float()
    return functional.interpolate(logits.float(), size=tuple(size), mode="bilinear", align_corners=False)


class Segment(Objective):
    """A weighted sum of cross entropy, Dice and focal loss over labelled pixels, at the size of the labels.

    Pixels of the variant's void classes are not labelled; their logits still take part in the softmax.

    Args:
        variant: says which classes are void.
        ce: weight of the cross entropy; 0 leaves a loss out.
        dice: weight of Dice, whose sums run over the batch (of a process, and of a part of a step).
        focal: weight of the focal loss.
        smoothing: of the cross entropy's labels.
        class_weights: of the cross entropy, one per class.
        dice_eps: see `dice`.
        dice_smooth: see `dice`.
        dice_classes: see `dice`.
        focal_gamma: see `focal`.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        *,
        variant: Variant | None = None,
        ce: float = 1.0,
        dice: float = 0.0,
        focal: float = 0.0,
        smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        dice_eps: float = EPS,
        dice_smooth: float = 0.0,
        dice_classes: Literal["all", "present"] = "all",
        focal_gamma: float = 2.0,
    ) -> None:
        super().__init__()
        if variant is not None and variant.multi_label:
            raise ConfigError(
                f"the classes of {variant.tag!r} may hold together, and maps have one class per pixel; name an objective"
                " of the model in the phase's `objective`"
            )
        if class_weights is not None and variant is not None and len(class_weights) != len(variant.classes):
            raise ConfigError(
                f"class_weights has {len(class_weights)} numbers, expected {len(variant.classes)}: one per class"
            )
        self.void = void_classes(variant)
        self.weights = {"cross_entropy": ce, "dice": dice, "focal": focal}
        self.smoothing, self.focal_gamma = smoothing, focal_gamma
        self.dice_eps, self.dice_smooth, self.dice_classes = dice_eps, dice_smooth, dice_classes
        weights = None if class_weights is None else torch.tensor(list(class_weights), dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)

    def counts(self, batch: Batch) -> Mapping[str, Tensor | float]:
        """How many pixels are labelled, or the sum of their weights.

        Raises:
            InputError: a label is none of the classes that have weights.
        """
        if self.class_weights is not None:
            check_labels(batch.target["label"], len(self.class_weights))
        label = without_void(batch.target["label"], self.void)
        counts = {"cross_entropy": labelled_pixels(label, self._weights(label)), "focal": labelled_pixels(label)}
        return {name: count for name, count in counts.items() if self.weights[name]}

    def forward(self, network: nn.Module, batch: Batch, moment: Moment) -> Mapping[str, Term]:  # noqa: ARG002
        """The terms with a weight.

        Raises:
            ConfigError: the network has no logits.
            InputError: a label is none of the network's classes.
        """
        logits, label = logits_of(answer(network, batch)), batch.target["label"]
        check_labels(label, logits.shape[1])
        label = without_void(label, self.void)
        logits = at_size(logits, label.shape[-2:])
        terms: dict[str, Term] = {}
        if weight := self.weights["cross_entropy"]:
            sums = cross_entropy(logits, label, weights=self._weights(label), smoothing=self.smoothing)
            terms["cross_entropy"] = Term(*sums, weight)
        if weight := self.weights["dice"]:
            value = dice(logits, label, eps=self.dice_eps, smooth=self.dice_smooth, classes=self.dice_classes)
            terms["dice"] = Term.whole(value, weight)
        if weight := self.weights["focal"]:
            terms["focal"] = Term(*focal(logits, label, gamma=self.focal_gamma), weight)
        return terms

    def _weights(self, label: Tensor) -> Tensor | None:
        return None if self.class_weights is None else self.class_weights.to(label.device)
