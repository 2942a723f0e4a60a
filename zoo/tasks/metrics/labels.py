"""How well whole images are classified: into classes that exclude each other, or that may hold together."""

# B images, K classes, R replicates

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from zoo.datasets.sample import IGNORED
from zoo.spec import Variant
from zoo.tasks.losses.labels import check_labels, check_multi_labels, logits_of
from zoo.tasks.metrics.counts import HIT, LABELLED, PREDICTED, class_scores, named
from zoo.tasks.metrics.pairs import add_pairs, average_precisions, keep_pairs
from zoo.tasks.metrics.sums import Sums, ratio
from zoo.tasks.segment import PRESENT, class_names

MANY_CLASSES = 50  # ours: beyond it a table of scores per class is no longer read


class LabelMetrics(Sums):
    """Scores of labels of whole images; for any network whose output has `logits` (B, K).

    Classes that exclude each other: `accuracy` (top-1), `macro_f1`, `macro_precision`, `macro_recall` (means over the
    classes that labels or predictions hold, as scikit-learn with `zero_division=0`), `recall/<class>`.

    Classes that may hold together: `micro_map`, exactly `sklearn.metrics.average_precision_score(average="micro")` of
    the sigmoid; `map`, the mean over classes that hold somewhere, and `ap/<class>`; `micro_f1` and `macro_f1` at a
    probability of 0.5 or more. They keep all scores; see `zoo.tasks.metrics.pairs` for the memory.

    Args:
        variant: its `classes` and `multi_label` decide.
        bootstrap: replicates for intervals.
    """

    def __init__(self, *, variant: Variant, bootstrap: int = 0) -> None:
        super().__init__(bootstrap=bootstrap)
        self.variant = variant
        self.classes = variant.classes
        self.multi_label = variant.multi_label
        self.add_sum("counts", 3, len(self.classes))
        if self.multi_label:
            add_pairs(self, len(self.classes))

    def update(self, output: Any, target: Mapping[str, Any], ids: Sequence[str]) -> None:
        """Count a batch.

        Args:
            output: has `logits` (B, K).
            target: `label`: (B,) int64, `IGNORED` where an image has none; or (B, K) of 0 and 1.
            ids: of the B images.

        Raises:
            ConfigError: the network has no head for classes.
            InputError: a label is none of the K classes.
            SpecError: the variant names more or fewer classes than the network has.
        """
        logits, label = logits_of(output).float(), target["label"]
        class_names(self.variant, logits.shape[1])
        if self.multi_label:
            check_multi_labels(label, len(self.classes))
            scores = logits.double().sigmoid()  # float32's last bit differs with an image's place in the batch
            keep_pairs(self, ids, scores[:, None], label[:, None])
            predicted, labelled = scores >= PRESENT, label > 0
        else:
            check_labels(label, len(self.classes))
            known = (label != IGNORED)[:, None]
            predicted = functional.one_hot(logits.argmax(dim=1), len(self.classes)).bool() & known
            labelled = functional.one_hot(label.clamp_min(0), len(self.classes)).bool() & known
        self.accumulate(ids, {"counts": torch.stack([labelled & predicted, labelled, predicted], dim=1)})

    def scores(self) -> Mapping[str, Tensor]:
        classes = class_scores(self.counts)
        few = len(self.classes) <= MANY_CLASSES
        if not self.multi_label:
            figures = {"accuracy": ratio(self.counts[:, HIT].sum(dim=1), self.counts[:, LABELLED].sum(dim=1))}
            figures |= {f"macro_{name}": classes[name].nanmean(dim=1) for name in ("f1", "precision", "recall")}
            return figures | (named("recall", classes["recall"], self.classes) if few else {})
        precisions = average_precisions(self)
        hit, both = self.counts[:, HIT].sum(dim=1), self.counts[:, [LABELLED, PREDICTED]].sum(dim=(1, 2))
        figures = {
            "micro_map": average_precisions(self, micro=True)[:, 0],
            "map": precisions.nanmean(dim=1),
            "micro_f1": ratio(2 * hit, both),
            "macro_f1": classes["f1"].nanmean(dim=1),
        }
        return figures | (named("ap", precisions, self.classes) if few else {})
