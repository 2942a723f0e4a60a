"""Suppression by distance over radius: exactly what the greedy rule gives."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.tasks.suppression import CHUNK, suppress


def greedy(xy, scores, classes, radii, dor, agnostic=False):
    """The rule, one point after the other."""
    kept = []
    for index in np.argsort(-scores, kind="stable"):
        near = (
            np.hypot(*(xy[index] - xy[other])) / radii[classes[other]] + 1e-7 < dor
            for other in kept
            if agnostic or classes[other] == classes[index]
        )
        if not any(near):
            kept.append(index)
    return kept


@pytest.mark.parametrize("chunk", [32, CHUNK])
@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_it_equals_the_rule_with_mixed_radii_and_equal_scores(monkeypatch, seed, agnostic, chunk):
    monkeypatch.setattr("zoo.tasks.suppression.CHUNK", chunk)
    draw = np.random.default_rng(seed)
    xy = draw.uniform(0, 120, (400, 2))
    scores = draw.integers(0, 12, 400) / 12  # many ties
    classes, radii = draw.integers(0, 3, 400), np.array([10.0, 25.0, 60.0])
    expected = greedy(xy, scores, classes, radii, 0.3, agnostic)
    assert 20 < len(expected) < 380
    assert suppress(xy, scores, classes, radii, 0.3, agnostic=agnostic).tolist() == expected


def test_the_limit_is_strict_and_zero_keeps_all():
    xy, scores, classes = np.array([[0.0, 0], [3, 0]]), np.array([0.9, 0.8]), np.array([0, 0])
    assert suppress(xy, scores, classes, np.array([10.0]), 0.3).tolist() == [0, 1]  # 0.3 + 1e-7 is not below 0.3
    assert suppress(xy, scores, classes, np.array([10.0]), 0.3001).tolist() == [0]
    assert suppress(xy * 0, scores, classes, np.array([10.0]), 0.0).tolist() == [0, 1]


def test_nothing_is_fine():
    empty = suppress(np.zeros((0, 2)), np.zeros(0), np.zeros(0, int), np.array([1.0]), 0.3)
    assert empty.tolist() == []


def test_points_in_one_place_are_one():
    count = 4 * CHUNK
    kept = suppress(np.zeros((count, 2)), np.arange(count) / count, np.zeros(count, int), np.array([5.0]), 0.3)
    assert kept.tolist() == [count - 1]
