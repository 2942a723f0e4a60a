"""Shapley values against a hand-worked game, their axioms, and each other."""

import itertools

import numpy as np
import pytest

from zoo.errors import ConfigError
from zoo.explain import shapley

# The glove game: players 0 and 1 have a left glove, 2 a right one; a pair is worth 1.
GLOVES = np.array([1 / 6, 1 / 6, 4 / 6])


def pairs_of_gloves(shown):
    return (shown[:, :2].any(axis=1) & shown[:, 2]).astype(float)


def interacting(shown):
    """A value with interactions at two places, (C, 2)."""
    x = shown.astype(float)
    first = 3 * x[:, 0] - x[:, 3] + 2 * x[:, 1] * x[:, 2] + x.prod(axis=1)
    return np.stack([first, np.sqrt(x @ np.arange(1, 5))], axis=1)


def brute(value, players):
    """The mean gain over all orders, one coalition at a time."""
    orders = list(itertools.permutations(range(players)))
    total = 0
    for order in orders:
        shown, before = np.zeros((1, players), bool), value(np.zeros((1, players), bool))[0]
        gained = [None] * players
        for player in order:
            shown[0, player] = True
            after = value(shown)[0]
            gained[player], before = after - before, after
        total = total + np.array(gained)
    return total / len(orders)


def test_the_glove_game_has_its_known_values():
    np.testing.assert_allclose(shapley.exact(pairs_of_gloves, 3), GLOVES, atol=1e-15)


def test_exact_values_are_the_mean_over_all_orders_for_every_place():
    np.testing.assert_allclose(shapley.exact(interacting, 4), brute(interacting, 4), atol=1e-12)


def test_coalitions_count_in_binary_with_the_first_player_most_significant():
    assert shapley.coalitions(2).tolist() == [[False, False], [False, True], [True, False], [True, True]]


def test_gains_of_an_order_add_up_to_the_whole_and_go_to_who_joined():
    found = shapley.gains(pairs_of_gloves, np.array([[0, 2, 1], [2, 1, 0]]))
    assert found.tolist() == [[0, 0, 1], [0, 1, 0]]


def test_all_orders_together_give_the_exact_values():
    orders = np.array(list(itertools.permutations(range(4))))
    found = shapley.estimate(shapley.gains(interacting, orders))
    np.testing.assert_allclose(found.values, shapley.exact(interacting, 4), atol=1e-12)


def test_in_a_latin_square_each_player_stands_once_at_each_place():
    orders = shapley.latin_square(7, np.random.default_rng(3))
    assert all(sorted(one) == list(range(7)) for one in orders.tolist())
    assert all(sorted(one) == list(range(7)) for one in orders.T.tolist())
    assert shapley.latin_square_of(np.arange(3)).tolist() == [[0, 1, 2], [2, 0, 1], [1, 2, 0]]


def test_paired_orders_are_exact_for_pairwise_interactions_and_say_their_error():
    """Of a game of order two, an order and its reverse cancel each other's errors."""

    def pairwise(shown):
        x = shown.astype(float)
        return x @ np.array([1.0, -2.0, 0.5, 3.0]) + 4 * x[:, 0] * x[:, 1] - 3 * x[:, 1] * x[:, 3]

    found = shapley.estimate(shapley.paired_gains(pairwise, 4, 3, np.random.default_rng(0)))
    np.testing.assert_allclose(found.values, shapley.exact(pairwise, 4), atol=1e-12)
    np.testing.assert_allclose(found.standard_errors, 0, atol=1e-12)


def test_standard_errors_cover_the_truth():
    truth = shapley.exact(interacting, 4)[:, 0]
    inside = []
    for seed in range(40):
        found = shapley.estimate(shapley.paired_gains(interacting, 4, 30, np.random.default_rng(seed)))
        good = found.standard_errors[:, 0] > 0
        inside += (abs(found.values[:, 0] - truth)[good] <= 2 * found.standard_errors[:, 0][good]).tolist()
    assert 0.88 < np.mean(inside) <= 1.0  # about 95 % of two standard errors


def test_uniform_draws_estimate_one_player():
    generator = np.random.default_rng(1)
    shown = shapley.uniform_draws(4, 1, 4000, generator)
    assert not shown[:, 1].any()
    counts = np.bincount(shown.sum(axis=1), minlength=4)
    assert (abs(counts / 4000 - 0.25) < 0.03).all()
    found = shapley.estimate(shapley.gains_of(interacting, shown, 1))
    assert abs(found.values - shapley.exact(interacting, 4)[1]).max() < 4 * found.standard_errors.max()


def test_each_distinct_coalition_is_asked_for_once():
    asked = []

    def value(shown):
        asked.extend(map(tuple, shown.tolist()))
        return shown.sum(axis=1)

    shapley.gains(value, shapley.latin_square(61, np.random.default_rng(0)))
    assert len(asked) == len(set(asked)) == 3662  # of 61 x 62 = 3,782: the empty and the full set are shared


def test_one_draw_has_no_standard_error():
    assert np.isnan(shapley.estimate(np.ones((1, 3))).standard_errors).all()


def test_too_many_players_are_told_what_to_do():
    with pytest.raises(ConfigError, match=r"61 players need 2\^61 coalitions; expected 1 to 16 .*paired_gains"):
        shapley.coalitions(61)
