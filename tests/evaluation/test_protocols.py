"""Nearest neighbours and probes against scikit-learn and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from zoo.datasets.sample import IGNORED
from zoo.errors import ConfigError
from zoo.evaluation.protocols import Judging, few, fit_dense_probe, fit_probe, knn_votes

TEMPERATURE = 0.07


def clouds(num: int, width: int = 8, classes: int = 3, spread: float = 1.0, seed: int = 0):
    """Overlapping clouds of unlike lengths, so that neither cosine nor class is given away."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, width))
    label = draw.integers(0, classes, num)
    feature = (centres[label] + spread * draw.normal(size=(num, width))) * draw.uniform(0.2, 5, (num, 1))
    return torch.tensor(feature, dtype=torch.float32), torch.tensor(label)


def test_neighbours_are_those_of_scikit_learn():
    (train, train_label), (test, _) = clouds(300), clouds(2100, seed=1)  # more than two chunks
    judge = KNeighborsClassifier(20, metric="cosine", weights=lambda distance: np.exp((1 - distance) / TEMPERATURE))
    judge.fit(train.numpy(), train_label.numpy())
    votes = knn_votes(train, train_label, test, num_classes=3, judging=Judging())
    assert votes.argmax(dim=1).tolist() == judge.predict(test.numpy()).tolist()
    shares = votes / votes.sum(1, keepdim=True)
    np.testing.assert_allclose(shares.numpy(), judge.predict_proba(test.numpy()), atol=1e-5)


def test_one_close_neighbour_outvotes_several_far_ones():
    train = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.8, 0.6], [0.8, 0.6]])
    asked = torch.tensor([[3.0, 0.0]])
    label = torch.tensor([1, 0, 0, 0])
    votes = knn_votes(train, label, asked, num_classes=2, judging=Judging(temperature=0.1))
    torch.testing.assert_close(votes, torch.tensor([[3 * np.exp(8.0), np.exp(10.0)]]).float())  # e^10 > 3 e^8
    assert votes.argmax(dim=1).tolist() == [1]
    warm = knn_votes(train, label, asked, num_classes=2, judging=Judging(temperature=1.0))
    assert warm.argmax(dim=1).tolist() == [0]


def test_neighbours_vote_for_each_class_that_they_hold():
    train = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    label = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    votes = knn_votes(train, label, torch.tensor([[1.0, 0.0]]), num_classes=2, judging=Judging(temperature=1.0))
    torch.testing.assert_close(votes, torch.tensor([[2 * np.exp(1.0), np.exp(1.0) + 1.0]]).float())


def test_a_long_probe_is_the_logistic_regression_of_scikit_learn():
    feature, label = clouds(400, spread=2.0)
    probe = fit_probe(feature, label, num_classes=3, judging=Judging(epochs=400, batch=400, lr=0.05 * 1024 / 400))
    scaled = (feature - feature.mean(0)) / feature.std(0)
    judge = LogisticRegression(C=np.inf, max_iter=1000).fit(scaled.numpy(), label.numpy())
    found = probe(feature).softmax(1).detach().numpy()
    np.testing.assert_allclose(found, judge.predict_proba(scaled.numpy()), atol=5e-3)


def test_a_probe_of_several_labels_is_a_logistic_regression_of_each():
    feature, label = clouds(400, spread=5.0)
    coin = torch.randint(0, 2, (400,), generator=torch.Generator().manual_seed(0))
    several = torch.stack([label == 0, (label == 1) | (coin == 1), coin == 1], dim=1).float()
    probe = fit_probe(feature, several, num_classes=3, judging=Judging(epochs=400, batch=400, lr=0.05 * 1024 / 400))
    scaled = ((feature - feature.mean(0)) / feature.std(0)).numpy()
    found = probe(feature).sigmoid().detach().numpy()
    for place in range(3):
        judge = LogisticRegression(C=np.inf, max_iter=1000).fit(scaled, several[:, place].numpy())
        np.testing.assert_allclose(found[:, place], judge.predict_proba(scaled)[:, 1], atol=5e-3)


def test_the_rate_falls_tenfold_at_three_and_four_fifths():
    """With one sample at 0 the gradient of the bias alone moves, and AdamW moves it by its rate in each step."""
    feature, label = torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64)
    bias = [
        fit_probe(feature, label, num_classes=2, judging=Judging(epochs=epochs, batch=4, lr=0.256))[1].bias[0].item()
        for epochs in (10, 20)
    ]
    rate = 0.256 * 4 / 1024
    expected = [rate * (6 + 2 * 0.1 + 2 * 0.01), rate * (12 + 4 * 0.1 + 4 * 0.01)]
    np.testing.assert_allclose(bias, expected, rtol=2e-3)  # the gradient shrinks a little on the way


def test_a_probe_depends_on_its_seed_alone_and_draws_nothing_from_the_global_generator():
    feature, label = clouds(64)
    before = torch.get_rng_state()
    one, same, other = (
        fit_probe(feature, label, num_classes=3, judging=Judging(epochs=3, batch=16, seed=seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one[1].weight, same[1].weight)
    assert not torch.equal(one[1].weight, other[1].weight)


def test_a_dense_probe_learns_what_patches_say_and_leaves_unlabelled_pixels_out():
    kind = torch.randint(0, 2, (40, 3, 3), generator=torch.Generator().manual_seed(0))
    tokens = torch.stack([kind.float(), 1 - kind.float()], dim=1)
    label = kind.repeat_interleave(4, 1).repeat_interleave(4, 2)
    poisoned = label.clone()
    poisoned[:, ::4] = IGNORED
    probe = fit_dense_probe(tokens, poisoned, num_classes=3, judging=Judging(batch=8, lr=10.0))
    assert isinstance(probe, nn.Module)
    centres = probe(tokens).argmax(1)[:, 1::4, 1::4]
    assert torch.equal(centres, kind)
    assert probe(tokens).shape == (40, 3, 12, 12)


def test_a_batch_without_a_labelled_pixel_changes_nothing():
    tokens, label = torch.ones(8, 2, 2, 2), torch.full((8, 4, 4), IGNORED)
    probe = fit_dense_probe(tokens, label, num_classes=2, judging=Judging(batch=4, epochs=2))
    assert torch.equal(probe.conv.bias, torch.zeros(2))


def test_few_draws_as_many_of_each_class_and_no_more_than_there_are():
    label = torch.tensor([0] * 50 + [1] * 30 + [2] * 2)
    drawn = few(label, shots=5, seed=0)
    assert label[drawn].bincount().tolist() == [5, 5, 2]
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert drawn.tolist() != few(label, shots=5, seed=1).tolist()


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="neighbours is 0; expected more than 0"):
        Judging(neighbours=0)
