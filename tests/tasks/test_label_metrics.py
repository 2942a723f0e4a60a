"""Scores and losses of labels of whole images, beside scikit-learn's and torch's."""

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
from zoo.tasks.losses.labels import Labels, cross_entropy, multilabel_soft_margin
from zoo.tasks.metrics.labels import LabelMetrics
from zoo.tasks.metrics.pairs import Ranking
from zoo.tasks.metrics.sums import keys_of, poisson_weights
from zoo.tasks.pretrain import EmbedOutput

COUNT = 90


def variant(classes, multi_label=False):
    return Variant(
        tag="toy",
        builder="toy:build",
        inputs=(InputSpec(name="image", kind=Kind.RASTER),),
        classes=tuple(classes),
        multi_label=multi_label,
    )


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ids(count=COUNT):
    return [f"{index}.tif" for index in range(count)]


def measured(metric, logits, label, size=COUNT):
    for start in range(0, len(logits), size):
        part = slice(start, start + size)
        metric.update(SimpleNamespace(logits=logits[part]), {"label": label[part]}, ids(len(logits))[part])
    return metric.compute()


def exclusive():
    """Six classes: "d" is labelled and never predicted, "e" predicted and never labelled, "f" neither."""
    logits, label = draws(COUNT, 6), torch.randint(0, 4, (COUNT,), generator=torch.Generator().manual_seed(1))
    logits[range(40), label[:40]] += 3
    logits[:, [3, 5]] -= 100
    return logits, label


def together(count=COUNT):
    """Ties by rounding; class "c" holds nowhere."""
    logits = (draws(count, 4, seed=2) * 4).round() / 4
    label = (draws(count, 4, seed=3) + logits > 1).float()
    label[:, 2] = 0
    return logits, label


# ----------------------------------------------------------------------------------------------------------- metrics


def test_exclusive_classes_are_scored_as_scikit_learn_does():
    logits, label = exclusive()
    predicted = logits.argmax(dim=1)
    figures = measured(LabelMetrics(variant=variant("abcdef")), logits, label, size=32)
    assert figures["accuracy"].value == pytest.approx(metrics.accuracy_score(label, predicted))
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        label, predicted, average="macro", zero_division=0
    )
    assert figures["macro_f1"].value == pytest.approx(f1)
    assert figures["macro_precision"].value == pytest.approx(precision)
    assert figures["macro_recall"].value == pytest.approx(recall)
    each = metrics.recall_score(label, predicted, average=None, labels=range(5), zero_division=0)
    assert [figures[f"recall/{name}"].value for name in "abcde"] == pytest.approx(each.tolist())
    assert "recall/f" not in figures  # neither in labels nor in predictions


def test_images_without_a_label_do_not_count():
    logits, label = exclusive()
    some = label.clone()
    some[::3] = IGNORED
    kept = some != IGNORED
    assert measured(LabelMetrics(variant=variant("abcdef")), logits, some) == measured(
        LabelMetrics(variant=variant("abcdef")), logits[kept], label[kept]
    )


def test_classes_that_hold_together_are_ranked_as_scikit_learn_does():
    logits, label = together()
    figures = measured(LabelMetrics(variant=variant("abcd", multi_label=True)), logits, label, size=7)
    scores = logits.sigmoid()
    micro = metrics.average_precision_score(label, scores, average="micro")
    assert figures["micro_map"].value == pytest.approx(micro, abs=1e-14)
    each = {name: metrics.average_precision_score(label[:, i], scores[:, i]) for i, name in enumerate("abcd") if i != 2}
    assert {name: figures[f"ap/{name}"].value for name in each} == pytest.approx(each, abs=1e-14)
    assert figures["map"].value == pytest.approx(np.mean(list(each.values())))  # over classes that hold somewhere
    assert "ap/c" not in figures
    assert figures["micro_f1"].value == pytest.approx(metrics.f1_score(label, scores >= 0.5, average="micro"))
    assert figures["macro_f1"].value == pytest.approx(metrics.f1_score(label, scores >= 0.5, average="macro"))


def test_average_precision_takes_weights_as_scikit_learn_does():
    logits, label = together()
    scores, truth = logits[:, 0], label[:, 0].to(torch.uint8)
    weights = torch.randint(0, 3, (COUNT,), generator=torch.Generator().manual_seed(5))
    weights[scores == scores.max()] = 0  # nothing is found at the first rank

    def ranking(truth):
        return Ranking(scores, truth, torch.arange(COUNT))

    expected = metrics.average_precision_score(truth, scores, sample_weight=weights)
    assert ranking(truth).average_precision(weights.double()).item() == pytest.approx(expected, abs=1e-14)
    assert ranking(torch.zeros_like(truth)).average_precision(torch.ones(COUNT).double()).isnan()


def test_replicates_hold_images_and_not_pairs():
    """Each replicate's micro average precision is scikit-learn's with every image repeated by its weight."""
    logits, label = together()
    metric = LabelMetrics(variant=variant("abcd", multi_label=True), bootstrap=20)
    figures = measured(metric, logits, label, size=11)
    drawn = []
    for row in poisson_weights(keys_of(ids()), range(20)).long():
        again = torch.arange(COUNT).repeat_interleave(row)
        drawn.append(metrics.average_precision_score(label[again], logits[again].sigmoid(), average="micro"))
    assert metric.scores()["micro_map"][1:].tolist() == pytest.approx(drawn, abs=1e-12)
    low, high = np.percentile(drawn, [2.5, 97.5])
    assert figures["micro_map"].low == pytest.approx(low)
    assert figures["micro_map"].high == pytest.approx(high)
    assert low < figures["micro_map"].value < high


def test_intervals_do_not_depend_on_order_and_batches():
    logits, label = exclusive()
    one = measured(LabelMetrics(variant=variant("abcdef"), bootstrap=50), logits, label, size=90)
    metric = LabelMetrics(variant=variant("abcdef"), bootstrap=50)
    for index in torch.randperm(COUNT, generator=torch.Generator().manual_seed(1)).tolist():
        part = slice(index, index + 1)
        metric.update(SimpleNamespace(logits=logits[part]), {"label": label[part]}, ids()[part])
    assert metric.compute() == one
    assert one["accuracy"].low < one["accuracy"].value < one["accuracy"].high


def test_what_does_not_fit_is_named():
    logits, label = exclusive()
    with pytest.raises(InputError, match="labels -1, 6 are none of the 6 classes: expected 0 to 5"):
        measured(LabelMetrics(variant=variant("abcdef")), logits[:3], torch.tensor([6, 0, -1]))
    with pytest.raises(SpecError, match="names 3 classes, its network answers for 6"):
        measured(LabelMetrics(variant=variant("abc")), logits, label)
    with pytest.raises(InputError, match=r"labels are \(90,\), expected \(images, 6\)"):
        measured(LabelMetrics(variant=variant("abcdef", multi_label=True)), logits, label)
    with pytest.raises(ConfigError, match="no head for classes"):
        LabelMetrics(variant=variant("abcdef")).update(EmbedOutput(pooled=logits), {"label": label}, ids())


# ------------------------------------------------------------------------------------------------------------ losses


def mean(sums):
    total, count = sums
    return (total / count).item()


def test_cross_entropy_is_torchs_mean_over_labelled_images():
    logits, label = exclusive()
    label[:7] = IGNORED
    for smoothing in (0.0, 0.1):
        expected = functional.cross_entropy(logits, label, label_smoothing=smoothing).item()
        assert mean(cross_entropy(logits, label, smoothing=smoothing)) == pytest.approx(expected, rel=1e-6)
    shares = draws(COUNT, 6, seed=9).softmax(dim=1)
    expected = -(shares * logits.log_softmax(dim=1)).sum(dim=1).mean().item()
    assert mean(cross_entropy(logits, shares)) == pytest.approx(expected, rel=1e-6)


def test_soft_margin_is_the_binary_cross_entropy_of_smoothed_labels():
    logits, label = torch.tensor([[0.0, 2.0], [-1.0, 0.0]]), torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    # softplus(0) = ln 2, softplus(-2) = 0.126928, softplus(-1) = 0.313262
    assert mean(multilabel_soft_margin(logits, label)) == pytest.approx(
        (2 * 0.693147 + 0.126928 + 0.313262) / 4, abs=1e-6
    )
    smooth = label * 0.9 + 0.1 / 2
    expected = functional.binary_cross_entropy_with_logits(logits, smooth).item()
    assert mean(multilabel_soft_margin(logits, label, smoothing=0.1)) == pytest.approx(expected)


class Head(torch.nn.Module):
    def forward(self, image):
        return SimpleNamespace(logits=image)


def test_the_objective_follows_the_variant():
    logits, label = together()
    batch = Batch(ids=tuple(ids()), inputs={"image": logits}, target={"label": label})
    objective = Labels(variant=variant("abcd", multi_label=True), smoothing=0.2)
    term = objective(Head(), batch, None)["soft_margin"]
    assert (term.total, term.count) == multilabel_soft_margin(logits, label, smoothing=0.2)
    assert objective.counts(batch) == {"soft_margin": COUNT}
    single = Batch(ids=batch.ids, inputs=batch.inputs, target={"label": torch.tensor([0, 3, IGNORED] * 30)})
    objective = Labels(variant=variant("abcd"))
    assert objective.counts(single) == {"cross_entropy": 60}
    assert objective(Head(), single, None)["cross_entropy"].count == 60
    wrong = Batch(ids=batch.ids, inputs=batch.inputs, target={"label": torch.tensor([0, 3, 4] * 30)})
    with pytest.raises(InputError, match="labels 4 are none of the 4 classes"):
        objective(Head(), wrong, None)
