"""How well class maps fit: one confusion matrix over all pixels of all images."""

# B images, K classes, H W pixels, R replicates

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.datasets.sample import IGNORED
from zoo.errors import SpecError
from zoo.spec import Variant
from zoo.tasks.losses.labels import check_labels
from zoo.tasks.losses.segment import at_size, void_classes, without_void
from zoo.tasks.metrics.counts import HIT, LABELLED, class_scores, named
from zoo.tasks.metrics.sums import Sums, ratio
from zoo.tasks.segment import class_names


class SegmentMetrics(Sums):
    """Scores of class maps, with pixels of all images pooled.

    `accuracy` (share of labelled pixels that are right), `miou`, `macro_f1`, `macro_precision`, `macro_recall` (means over
    the classes that labels or predictions hold), and `iou/`, `f1/`, `precision/`, `recall/<class>`. Pixels that are
    `IGNORED` or of a void class are left out; void predicted elsewhere is an error, and void is in no mean. That is
    coralscapes' rule, ScaleProtoSeg's ("union > 0") and scikit-learn's macro Jaccard of the labelled pixels at once.

    Attributes:
        confusion: (K, K) float64, pixels by label (rows) and prediction (columns), over all samples.

    Args:
        variant: its classes, void among them.
        bootstrap: replicates of images for intervals.
        count_ignored: a quirk of SMARTIES' own evaluation, for comparison with its published `miou`: pixels that are
            not labelled are one more class, of IoU 0 and in the mean, and what is predicted there is wrong.
    """

    def __init__(self, *, variant: Variant, bootstrap: int = 0, count_ignored: bool = False) -> None:
        super().__init__(bootstrap=bootstrap)
        if variant.multi_label:
            raise SpecError(
                f"the classes of {variant.tag!r} may hold together; class maps are scored where they do not"
            )
        self.variant = variant
        self.void = void_classes(variant)
        self.count_ignored = count_ignored
        num_classes = len(variant.classes)
        self.add_sum("counts", 3, num_classes)
        self.add_sum("ignored", num_classes)  # predictions where there is no label
        self.add_state("confusion", torch.zeros(num_classes, num_classes, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, output: Any, target: Mapping[str, Any], ids: Sequence[str]) -> None:
        """Count a batch.

        Args:
            output: has `logits` (B, K, h, w); where labels have another size, logits are resized to it bilinearly.
            target: `label` (B, H, W) int64.
            ids: of the B images.

        Raises:
            InputError: a label is none of the K classes.
            SpecError: the variant names more or fewer classes than the network has.
        """
        labels = target["label"]
        num_classes = len(class_names(self.variant, output.logits.shape[1]))
        check_labels(labels, num_classes)
        labels = without_void(labels, self.void)
        matrices = torch.stack(
            [
                _confusion(at_size(logits[None], label.shape)[0].argmax(dim=0), label, num_classes)
                for logits, label in zip(output.logits, labels, strict=True)
            ]
        ).double()
        known = matrices[:, :num_classes]
        counts = torch.stack([known.diagonal(dim1=1, dim2=2), known.sum(dim=2), known.sum(dim=1)], dim=1)
        self.confusion += known.sum(dim=0)
        self.accumulate(ids, {"counts": counts, "ignored": matrices[:, num_classes]})

    def scores(self) -> Mapping[str, Tensor]:
        kept = [index for index in range(len(self.variant.classes)) if index not in self.void]
        names = [self.variant.classes[index] for index in kept]
        classes = {name: values[:, kept] for name, values in class_scores(self.counts).items()}
        figures = {
            "accuracy": ratio(self.counts[:, HIT].sum(dim=1), self.counts[:, LABELLED].sum(dim=1)),
            "miou": self._with_ignored(kept) if self.count_ignored else classes["iou"].nanmean(dim=1),
        }
        figures |= {f"macro_{name}": classes[name].nanmean(dim=1) for name in ("f1", "precision", "recall")}
        for score, values in classes.items():
            figures |= named(score, values, names)
        return figures

    def _with_ignored(self, kept: Sequence[int]) -> Tensor:
        """`miou` as `sklearn.metrics.jaccard_score(average="macro")` gives it when pixels without a label stay in."""
        nowhere = torch.zeros_like(self.ignored)
        iou = class_scores(self.counts + torch.stack([nowhere, nowhere, self.ignored], dim=1))["iou"][:, kept]
        extra = torch.where(self.ignored.sum(dim=1) > 0, 0.0, torch.nan)
        return torch.cat([iou, extra[:, None].to(iou)], dim=1).nanmean(dim=1)


def _confusion(predicted: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """(K + 1, K) pixels by label and prediction; the last row has those without a label."""
    rows = torch.where(label == IGNORED, num_classes, label)
    pairs = (rows * num_classes + predicted).flatten()
    return torch.bincount(pairs, minlength=(num_classes + 1) * num_classes).view(num_classes + 1, num_classes)
