"""How values of coalitions become what each group adds: exactly, or from orders that are drawn."""

# P groups, C coalitions, R rounds

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from zoo.errors import ConfigError
from zoo.explain import shapley
from zoo.explain.shapley import Coalitions, Numbers, Value

Name = Literal["exact", "latin", "permutation"]
# Ours: two squares are the fewest that say an error; 20 pairs of orders cost of 61 predictors 2,400 coalitions.
ROUNDS = {"latin": 2, "permutation": 20}


@dataclass(frozen=True, kw_only=True, slots=True)
class Attribution:
    """What each group adds, (P, ...), with standard errors where orders were drawn, and the values of nothing and all."""

    values: Numbers
    standard_errors: Numbers | None
    base: Numbers
    whole: Numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """How Shapley values are computed.

    Attributes:
        name: `exact` (all coalitions), `latin` (squares of orders in which each group stands once at each place, as
            MaskSDM's), `permutation` (random orders, each with its reverse).
        rounds: squares, or pairs of orders; `None` = 2 squares or 20 pairs.
        seed: of what is drawn.
    """

    name: Name = "exact"
    rounds: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in get_args(Name):
            raise ConfigError(f"method is {self.name!r}; expected one of {', '.join(get_args(Name))}")
        if self.rounds is not None and self.is_exact:
            raise ConfigError("exact values take no rounds; leave them out, or draw orders: --method permutation")
        if self.rounds is not None and self.rounds < 1:
            raise ConfigError(f"rounds is {self.rounds}; expected at least 1 (and 2 for standard errors)")

    @property
    def is_exact(self) -> bool:
        return self.name == "exact"

    def num_coalitions(self, players: int) -> int:
        """How many coalitions are asked for, those that come twice counted twice."""
        rounds = self.rounds or ROUNDS.get(self.name, 1)
        orders = {"latin": players, "permutation": 2}.get(self.name, 0) * rounds
        return orders * (players + 1) or 2**players

    def recorded(self) -> dict[str, str]:
        """What decides the numbers, for provenance."""
        if self.is_exact:
            return {"method": self.name}
        return {"method": self.name, "rounds": str(self.rounds or ROUNDS[self.name]), "seed": str(self.seed)}

    def explain(self, value: Value, players: int) -> Attribution:
        """What each of the players adds to `value`, which is asked once, for distinct coalitions; see `shapley`."""
        ends: dict[str, NDArray[Any]] = {}

        def kept(shown: Coalitions) -> NDArray[Any]:
            found = np.asarray(value(shown), np.float64)
            ends["base"], ends["whole"] = found[~shown.any(axis=1)][0], found[shown.all(axis=1)][0]
            return found

        errors = None
        if self.is_exact:
            values = shapley.exact(kept, players)
        else:
            drawn = shapley.estimate(self._drawn(kept, players))
            values, errors = drawn.values, drawn.standard_errors
        return Attribution(values=values, standard_errors=errors, base=ends["base"], whole=ends["whole"])

    def _drawn(self, value: Value, players: int) -> Numbers:
        """(R, P, ...): independent draws of what each player adds."""
        generator = np.random.default_rng(self.seed)
        rounds = self.rounds or ROUNDS[self.name]
        if self.name == "permutation":
            return shapley.paired_gains(value, players, rounds, generator)
        squares = np.concatenate([shapley.latin_square(players, generator) for _ in range(rounds)])
        gains = shapley.gains(value, squares)
        found: Numbers = gains.reshape(rounds, players, *gains.shape[1:]).mean(axis=1)
        return found
