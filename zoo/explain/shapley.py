"""Shapley values: how much each player (a predictor, or a group of them) adds to a value, over all orders of arrival.

The value is any function of coalitions: it takes (C, P) bool, which players each coalition shows, and gives (C, ...) numbers:
one per coalition for a score of a whole data set, one per place for probabilities. It is asked once for each coalition, of
all that an estimate needs together; how it computes them (in batches, from tokens made once) is its own business.

    exact(value, 5)                                      2^5 coalitions
    estimate(gains(value, latin_square(61, generator)))  61 orders in which each player stands once at each place
    estimate(paired_gains(value, 61, 200, generator))    200 random orders, each with its reverse

Sources: Shapley 1953; orders and their reverses: Mitchell et al. 2022, Sampling Permutations for Shapley Value Estimation,
JMLR 23(43), section 3.2.
"""

# P players, C coalitions, R orders or draws

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ConfigError

Numbers = NDArray[np.float64]
Coalitions = NDArray[np.bool_]
Orders = NDArray[np.int64]
Value = Callable[[Coalitions], NDArray[Any]]

MOST_EXACT = 16  # players, ours: 65,536 coalitions


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Estimated Shapley values (P, ...) with their standard errors, NaN of a single draw."""

    values: Numbers
    standard_errors: Numbers


# -------------------------------------------------------------------------------------------------------------- exact


def coalitions(players: int) -> Coalitions:
    """(2^P, P) all coalitions: row i has the binary digits of i, player 0 the most significant.

    Raises:
        ConfigError: there are more players than can be gone through.
    """
    if not 1 <= players <= MOST_EXACT:
        raise ConfigError(
            f"exact Shapley values of {players} players need 2^{players} coalitions; expected 1 to {MOST_EXACT} players:"
            " group them, or estimate the values (paired_gains)"
        )
    digits = np.arange(players - 1, -1, -1)
    return (np.arange(2**players)[:, None] >> digits & 1).astype(np.bool_)


def weights(players: int) -> Numbers:
    """(P, 2^P): Shapley values are this matrix times the values of `coalitions`, for all places at once.

    A coalition S weighs (|S|-1)! (P-|S|)! / P! for its members and -|S|! (P-|S|-1)! / P! for the others.
    """
    shown = coalitions(players).T
    size = shown.sum(axis=0)
    factorial = np.array([float(math.factorial(number)) for number in range(players + 1)])
    joined = factorial[np.maximum(size - 1, 0)] * factorial[players - size]
    left = factorial[size] * factorial[np.maximum(players - size - 1, 0)]
    found: Numbers = np.where(shown, joined, -left) / factorial[players]
    return found


def exact(value: Value, players: int) -> Numbers:
    """(P, ...) Shapley values from all 2^P coalitions."""
    values = np.asarray(value(coalitions(players)), np.float64)
    return np.tensordot(weights(players), values, axes=1)


# -------------------------------------------------------------------------------------------------------------- orders


def latin_square(players: int, generator: np.random.Generator) -> Orders:
    """(P, P) orders: row i is 0 ... P-1 rolled by i, its columns then permuted alike in all rows.

    Source: MaskSDM's stratified sampling.
    """
    return latin_square_of(generator.permutation(players))


def latin_square_of(columns: Orders) -> Orders:
    """See `latin_square`; `columns` (P,) is the permutation."""
    players = len(columns)
    return ((np.arange(players)[None] - np.arange(players)[:, None]) % players)[:, columns]


def gains(value: Value, orders: Orders) -> Numbers:
    """(R, P, ...): what the value gains when each player joins those before it, in each order (R, P), from nobody on."""
    rows, players = orders.shape
    shown = np.zeros((rows, players + 1, players), np.bool_)
    for place in range(players):
        shown[:, place + 1] = shown[:, place]
        shown[np.arange(rows), place + 1, orders[:, place]] = True
    values = distinct(value, shown.reshape(-1, players))
    steps = np.diff(values.reshape(rows, players + 1, *values.shape[1:]), axis=1)
    found = np.empty_like(steps)
    found[np.arange(rows)[:, None], orders] = steps
    return found


def paired_gains(value: Value, players: int, pairs: int, generator: np.random.Generator) -> Numbers:
    """(pairs, P, ...): mean gains of random orders and of their reverses, whose errors partly cancel."""
    orders = np.stack([generator.permutation(players) for _ in range(pairs)])
    both = gains(value, np.concatenate([orders, orders[:, ::-1]]))
    return (both[:pairs] + both[pairs:]) / 2


def uniform_draws(players: int, player: int, draws: int, generator: np.random.Generator) -> Coalitions:
    """(R, P) coalitions without a player: how many others are left out is uniform, which ones is random.

    Source: MaskSDM's Monte Carlo estimate, which it compares with its stratified one.
    """
    others = np.delete(np.arange(players), player)
    shown = np.zeros((draws, players), np.bool_)
    for draw in range(draws):
        left_out = int(generator.integers(players))
        shown[draw, generator.permutation(others)[left_out:]] = True
    return shown


def gains_of(value: Value, shown: Coalitions, player: int) -> Numbers:
    """(R, ...): what the value gains when a player joins each of the coalitions (R, P)."""
    together = np.stack([shown, shown])
    together[0, :, player], together[1, :, player] = False, True
    values = distinct(value, together.reshape(-1, shown.shape[1]))
    return values[len(shown) :] - values[: len(shown)]


def estimate(drawn: Numbers) -> Estimate:
    """Mean over independent draws (R, P, ...) and its standard error.

    The rows of one Latin square are no independent draws: give the mean of each square, or take the errors as bounds.
    """
    rows = len(drawn)
    spread = drawn.std(axis=0, ddof=1) / math.sqrt(rows) if rows > 1 else np.full(drawn.shape[1:], np.nan)
    return Estimate(values=drawn.mean(axis=0), standard_errors=spread)


def distinct(value: Value, shown: Coalitions) -> Numbers:
    """(C, ...) values of coalitions, each distinct one computed once."""
    kinds, place = np.unique(np.packbits(shown, axis=1), axis=0, return_inverse=True)
    rows = np.unpackbits(kinds, axis=1, count=shown.shape[1]).astype(np.bool_)
    return np.asarray(value(rows), np.float64)[place.reshape(-1)]
