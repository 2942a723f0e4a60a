"""Scores and losses of class maps, beside scikit-learn's, torch's and cases worked by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch.nn import functional

from zoo.datasets.sample import IGNORED, Batch
from zoo.errors import ConfigError, InputError, SpecError
from zoo.spec import InputSpec, Kind, Variant
from zoo.tasks.losses.segment import Segment, at_size, binary_dice, cross_entropy, dice, focal, tversky, without_void
from zoo.tasks.metrics.segment import SegmentMetrics
from zoo.tasks.metrics.sums import keys_of, poisson_weights

NAMES = ("unlabelled", "coral", "sand", "algae", "turtle")


def variant(void=(), multi_label=False):
    return Variant(
        tag="reef",
        builder="toy:build",
        inputs=(InputSpec(name="image", kind=Kind.IMAGE),),
        classes=NAMES,
        void=void,
        multi_label=multi_label,
    )


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def maps(count=6):
    """Images, without turtles in labels and predictions, and a fifth of the pixels without a label."""
    logits = draws(count, 5, 8, 9)
    logits[:, 4] = -100
    label = torch.randint(0, 4, (count, 8, 9), generator=torch.Generator().manual_seed(1))
    logits.scatter_add_(1, label[:, None], torch.full_like(logits[:, :1], 1.5))
    label[torch.rand(label.shape, generator=torch.Generator().manual_seed(2)) < 0.2] = IGNORED
    return logits, label


def one_hot(predicted):
    return functional.one_hot(torch.tensor(predicted), 5).movedim(-1, 1).float()


def measured(metric, logits, label, size=6):
    for start in range(0, len(logits), size):
        part = slice(start, start + size)
        names = [f"{index}.jpg" for index in range(len(logits))][part]
        metric.update(SimpleNamespace(logits=logits[part]), {"label": label[part]}, names)
    return metric.compute()


# ----------------------------------------------------------------------------------------------------------- metrics


def test_all_pixels_are_pooled_as_scikit_learn_does():
    logits, label = maps()
    metric = SegmentMetrics(variant=variant())
    figures = measured(metric, logits, label, size=4)
    known = label != IGNORED
    truth, predicted = label[known].numpy(), logits.argmax(dim=1)[known].numpy()
    assert figures["accuracy"].value == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert figures["miou"].value == pytest.approx(metrics.jaccard_score(truth, predicted, average="macro"))
    assert figures["macro_f1"].value == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
    assert metric.confusion.tolist() == metrics.confusion_matrix(truth, predicted, labels=range(5)).tolist()
    for name, score in (
        ("iou", metrics.jaccard_score),
        ("f1", metrics.f1_score),
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
    ):
        expected = score(truth, predicted, average=None).tolist()
        assert [figures[f"{name}/{one}"].value for one in NAMES[:4]] == pytest.approx(expected)
    assert "iou/turtle" not in figures


def test_void_is_no_class_but_predicting_it_is_an_error():
    label = torch.tensor([[[0, 0, 1, 1, 1, 2]]])
    figures = measured(SegmentMetrics(variant=variant(void=("unlabelled",))), one_hot([[[1, 0, 1, 0, 2, 2]]]), label)
    # the first two pixels do not count; coral: 1 of 3 found, 1 hit of 1; sand: 1 hit of 2 predicted
    assert figures["accuracy"].value == pytest.approx(2 / 4)
    assert figures["iou/coral"].value == pytest.approx(1 / 3)
    assert figures["iou/sand"].value == pytest.approx(1 / 2)
    assert figures["miou"].value == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert figures["recall/coral"].value == pytest.approx(1 / 3)
    assert "iou/unlabelled" not in figures


def test_a_class_that_is_predicted_and_nowhere_true_is_in_the_mean():
    figures = measured(SegmentMetrics(variant=variant()), one_hot([[[1, 1, 3]]]), torch.tensor([[[1, 1, 1]]]))
    assert figures["iou/algae"].value == 0
    assert figures["miou"].value == pytest.approx((2 / 3 + 0) / 2)


def test_the_original_smarties_counts_what_is_ignored():
    logits, label = maps()
    figures = measured(SegmentMetrics(variant=variant(), count_ignored=True), logits, label)
    every = metrics.jaccard_score(label.flatten(), logits.argmax(dim=1).flatten(), average="macro", zero_division=0)
    assert figures["miou"].value == pytest.approx(every)
    assert measured(SegmentMetrics(variant=variant()), logits, label)["miou"].value > every


def test_logits_are_resized_to_the_labels():
    logits, label = draws(2, 5, 4, 4), torch.randint(0, 5, (2, 9, 13), generator=torch.Generator().manual_seed(3))
    resized = functional.interpolate(logits, (9, 13), mode="bilinear", align_corners=False)
    expected = (resized.argmax(dim=1) == label).double().mean().item()
    assert measured(SegmentMetrics(variant=variant()), logits, label)["accuracy"].value == pytest.approx(expected)


def test_replicates_hold_whole_images():
    logits, label = maps(count=12)
    metric = SegmentMetrics(variant=variant(), bootstrap=15)
    figures = measured(metric, logits, label, size=5)
    drawn = []
    for row in poisson_weights(keys_of([f"{index}.jpg" for index in range(12)]), range(15)).long():
        again = torch.arange(12).repeat_interleave(row)
        known = label[again] != IGNORED
        drawn.append(metrics.jaccard_score(label[again][known], logits[again].argmax(dim=1)[known], average="macro"))
    assert metric.scores()["miou"][1:].tolist() == pytest.approx(drawn)
    assert figures["miou"][1:] == pytest.approx(np.percentile(drawn, [2.5, 97.5]).tolist())


def test_what_does_not_fit_is_named():
    logits, label = maps()
    with pytest.raises(InputError, match="labels 255 are none of the 5 classes"):
        measured(SegmentMetrics(variant=variant()), logits, torch.full_like(label, 255))
    with pytest.raises(SpecError, match="names 5 classes, its network answers for 4"):
        measured(SegmentMetrics(variant=variant()), logits[:, :4], label)
    with pytest.raises(SpecError, match="may hold together"):
        SegmentMetrics(variant=variant(multi_label=True))


# ------------------------------------------------------------------------------------------------------------ losses


def mean(sums):
    total, count = sums
    return (total / count).item()


def test_cross_entropy_is_torchs_weighted_mean():
    logits, label = maps()
    weights = torch.tensor([0.5, 1.0, 2.0, 3.0, 1.0])
    for smoothing in (0.0, 0.1):
        for own in (None, weights):
            expected = functional.cross_entropy(logits, label, weight=own, label_smoothing=smoothing).item()
            assert mean(cross_entropy(logits, label, weights=own, smoothing=smoothing)) == pytest.approx(
                expected, rel=1e-6
            )


def test_focal_is_the_cross_entropy_of_what_is_not_sure():
    logits, label = torch.tensor([[0.0, 0.0], [0.0, 20.0], [1.0, 1.0]]), torch.tensor([0, 1, IGNORED])
    assert mean(focal(logits, label, gamma=2.0)) == pytest.approx(0.25 * 0.693147 / 2, rel=1e-5)
    logits, label = maps()
    assert mean(focal(logits, label, gamma=0.0)) == pytest.approx(
        functional.cross_entropy(logits, label).item(), rel=1e-6
    )


def test_dice_of_one_class_by_hand():
    """Probabilities of class 1: 1/2, 3/4, ignored; labels 1, 0: overlap 2 (1/2) / (5/4 + 1), and 2 (1/4) / (3/4 + 1)."""
    logits = torch.tensor([[[0.0, 0.0, 9.0]], [[0.0, 1.0986123, -9.0]]])[None]
    label = torch.tensor([[[1, 0, IGNORED]]])
    ones, zeros = 1 - 1 / 2.25, 1 - 0.5 / 1.75
    assert dice(logits, label).item() == pytest.approx((ones + zeros) / 2, abs=1e-6)
    more = torch.cat([logits, torch.full_like(logits[:, :2], -100)], dim=1)  # two classes without labels
    assert dice(more, label).item() == pytest.approx((ones + zeros) / 4, abs=1e-6)
    assert dice(more, label, classes="present").item() == pytest.approx((ones + zeros) / 2, abs=1e-6)
    smooth = dice(logits, label, smooth=1.0).item()
    assert smooth == pytest.approx((1 - 2 / 3.25 + 1 - 1.5 / 2.75) / 2, abs=1e-6)
    assert dice(logits, label, eps=2.0).item() == pytest.approx((1 - 0.5 / 2 + 1 - 0.25 / 2) / 2, abs=1e-6)


def test_binary_overlaps_by_hand():
    p, t = torch.tensor([0.5, 0.25, 0.75]), torch.tensor([1.0, 0.0, 1.0])
    assert binary_dice(p, t).item() == pytest.approx(1 - 2 * 1.25 / 3.5)
    assert binary_dice(p, torch.zeros(3)).item() == 1.0  # exactly
    smoothed = 1 - 2 * (0.5 * 0.9 + 0.25 * 0.1 + 0.75 * 0.9) / (1.5 + 1.9)
    assert binary_dice(p, t, smoothing=0.1).item() == pytest.approx(smoothed)
    # 1.25 hit, 0.25 false, 0.75 missed
    index = 2.25 / (1.25 + 0.3 * 0.25 + 0.7 * 0.75 + 1)
    assert tversky(p, t).item() == pytest.approx(1 - index)
    assert tversky(p, t, gamma=0.75).item() == pytest.approx((1 - index) ** 0.75)
    sure = t.clone().requires_grad_()
    tversky(sure, t, gamma=0.75).backward()
    assert sure.grad.isfinite().all()


class Head(torch.nn.Module):
    def forward(self, image):
        return SimpleNamespace(logits=image)


def objective_sum(objective, batch):
    """The loss as the loop computes it: each term's total over its count."""
    return sum(term.weight * term.total / term.count for term in objective(Head(), batch, None).values()).item()


def test_the_objective_adds_its_terms_over_labelled_pixels():
    logits, label = draws(3, 5, 6, 6), torch.randint(0, 5, (3, 12, 12), generator=torch.Generator().manual_seed(4))
    batch = Batch(ids=("a", "b", "c"), inputs={"image": logits}, target={"label": label})
    objective = Segment(variant=variant(void=("unlabelled",)), ce=0.5, dice=2.0, focal=0.25, dice_classes="present")
    large, known = at_size(logits, label.shape[-2:]), without_void(label, (0,))
    expected = (
        0.5 * functional.cross_entropy(large, known)
        + 2 * dice(large, known, classes="present")
        + 0.25 * mean(focal(large, known))
    )
    assert objective_sum(objective, batch) == pytest.approx(expected.item(), rel=1e-6)
    assert objective.counts(batch) == {"cross_entropy": (label > 0).sum(), "focal": (label > 0).sum()}


def test_parts_of_a_step_add_up_to_the_whole():
    """Totals over the counts of all parts are torch's weighted mean of the whole batch, though labels are unevenly spread."""
    logits, label = maps()
    label[:2] = IGNORED
    weights = (0.5, 1.0, 2.0, 3.0, 1.0)
    objective = Segment(variant=variant(), class_weights=weights, smoothing=0.1)
    parts = [
        Batch(ids=("a",) * 2, inputs={"image": logits[i : i + 2]}, target={"label": label[i : i + 2]})
        for i in (0, 2, 4)
    ]
    count = sum(objective.counts(part)["cross_entropy"] for part in parts)
    total = sum(objective(Head(), part, None)["cross_entropy"].total for part in parts)
    expected = functional.cross_entropy(logits, label, weight=torch.tensor(weights), label_smoothing=0.1)
    assert (total / count).item() == pytest.approx(expected.item(), rel=1e-6)


def test_what_does_not_fit_the_objective_is_named():
    with pytest.raises(ConfigError, match="class_weights has 2 numbers, expected 5"):
        Segment(variant=variant(), class_weights=(1.0, 2.0))
    with pytest.raises(ConfigError, match="may hold together"):
        Segment(variant=variant(multi_label=True))
    batch = Batch(ids=("a",), inputs={"image": draws(1, 5, 2, 2)}, target={"label": torch.full((1, 2, 2), 5)})
    with pytest.raises(InputError, match="labels 5 are none of the 5 classes"):
        Segment(variant=variant())(Head(), batch, None)
    with pytest.raises(InputError, match="labels 5 are none of the 5 classes"):
        Segment(variant=variant(), class_weights=(1.0,) * 5).counts(batch)
