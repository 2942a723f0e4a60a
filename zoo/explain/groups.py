"""The players: groups of a model's predictors that are shown or hidden together.

Predictors of a table are hidden by a mask, those of an input that takes any subset one by one. Any other optional input,
pictures say, is hidden as a whole, by not giving it to the network. What the network always needs is no player.
"""

# P groups, F variables of an input, U subsets

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.bands import normal_form
from zoo.errors import ConfigError, InputError, some
from zoo.explain.shapley import MOST_EXACT, Coalitions
from zoo.forward import takes
from zoo.model import Model
from zoo.spec import InputSpec, Kind, Variant

MOST_SINGLE = 12  # ours: predictors that are groups of their own unasked; 4,096 coalitions

Told = Mapping[str, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Groups of predictors; variables in no group stay hidden.

    Attributes:
        names: of the groups, (P).
        members: of each input that can be hidden: which of its variables belong to which group, (P, F) bool.
        left_out: those of them that are hidden by not giving them.
    """

    names: tuple[str, ...]
    members: Mapping[str, NDArray[np.bool_]]
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def shown(self, coalitions: Coalitions, name: str) -> NDArray[np.bool_]:
        """(U, F): which variables of an input the coalitions (U, P) show."""
        found: NDArray[np.bool_] = coalitions @ self.members[name]
        return found

    def recorded(self, variant: Variant) -> dict[str, str]:
        """Names and variables, for provenance."""
        bands = {spec.name: spec.band_ids for spec in variant.inputs}
        return {
            name: ",".join(
                band
                for key, of_input in self.members.items()
                for band, there in zip(bands[key], of_input[index], strict=True)
                if there
            )
            for index, name in enumerate(self.names)
        }


def groups_of(model: Model, told: Told | None, *, exact: bool) -> Groups:
    """The groups that are asked for.

    Args:
        model: whose predictors they are.
        told: variables of each group by name; an input's name stands for all of its variables. `None` = the variant's own
            groups for exact values, else each predictor, and each input that is left out as a whole, for itself.
        exact: whether all coalitions are gone through.

    Raises:
        InputError: the model cannot hide predictors.
        ConfigError: a group names what the model does not take, or one thing twice; there are too many for exact values.
    """
    hidden = _hideable(model)
    variant = model.variant
    if told is None:
        told = variant.groups if exact and variant.groups else {}
        singles = [band for spec in hidden if spec.any_subset for band in spec.band_ids]
        if not told and exact and len(singles) > MOST_SINGLE:
            raise ConfigError(
                f"{model.name} takes {len(singles)} predictors: 2^{len(singles)} coalitions if each stands for itself; group"
                f" them (--group NAME={','.join(singles[:3])} ...), or draw coalitions: --method permutation"
            )
        wholes = [spec.name for spec in hidden if not _takes_mask(model, spec)]
        told = told or {name: (name,) for name in (*singles, *wholes)}
    if exact and len(told) > MOST_EXACT:
        raise ConfigError(
            f"exact values of {len(told)} groups need 2^{len(told)} coalitions; expected at most {MOST_EXACT} groups: join"
            " some, or draw coalitions: --method permutation"
        )
    return _matched(model, hidden, told)


def single_predictors(model: Model) -> list[tuple[InputSpec, int]]:
    """Variables that can be hidden one by one: their input, and which of its variables each is.

    Raises:
        InputError: the model has none.
    """
    found = [(spec, index) for spec in _hideable(model) if spec.any_subset for index in range(len(spec.bands))]
    if not found:
        raise InputError(
            f"{model.name} hides inputs as a whole, no single predictors, and a response curve is of one; leave --curves out"
        )
    return found


def _hideable(model: Model) -> list[InputSpec]:
    """Inputs whose variables can be hidden one by one or, of optional ones, all together."""
    found = [spec for spec in model.variant.inputs if spec.optional or (spec.any_subset and _takes_mask(model, spec))]
    if all(_takes_mask(model, spec) and not spec.any_subset for spec in found):
        raise InputError(
            f"{model.name} cannot hide predictors: its network answers for all of them alone, and what one of them adds is"
            " not defined. Expected a model that takes any subset; `zoo list` says which can explain"
        )
    return found


def _takes_mask(model: Model, spec: InputSpec) -> bool:
    return spec.kind is Kind.TABLE and takes(model.module, f"{spec.name}_valid")


def _matched(model: Model, hidden: Sequence[InputSpec], told: Told) -> Groups:
    places = {normal_form(band): (spec, index) for spec in hidden for index, band in enumerate(spec.band_ids)}
    wholes = {normal_form(spec.name): spec for spec in hidden}
    needed = {
        normal_form(name): spec.name
        for spec in model.variant.inputs
        if spec not in hidden
        for name in (*spec.band_ids, spec.name)
    }
    known = [band for spec in hidden if spec.any_subset for band in spec.band_ids] + [spec.name for spec in hidden]
    members = {spec.name: np.zeros((len(told), len(spec.bands)), np.bool_) for spec in hidden}
    for number, (group, variables) in enumerate(told.items()):
        if not variables:
            raise ConfigError(f"the group {group!r} is empty; expected {group}={','.join(known[:2])}, say")
        for variable in variables:
            key = normal_form(variable)
            if key in places:
                spec, index = places[key]
                where = slice(index, index + 1)
            elif key in wholes:
                spec, where = wholes[key], slice(None)
            elif key in needed:
                raise ConfigError(
                    f"the group {group!r} names {variable!r}, and {model.name} cannot do without {needed[key]}: what it adds to"
                    f" nothing is not defined. It is always shown, and the base is the answer with it; leave it out, and explain"
                    f" {some(known, 8)}"
                )
            else:
                raise ConfigError(f"the group {group!r} names {unknown_predictor(variable, known)}")
            taken = members[spec.name][:, where].any(axis=1)
            if taken.any():
                first = tuple(told)[int(taken.argmax())]
                raise ConfigError(
                    f"{variable!r} is in the group {first!r} "
                    + ("twice" if first == group else f"and in {group!r}")
                    + "; expected each predictor once"
                )
            members[spec.name][number, where] = True
    _whole(hidden, members, tuple(told))
    left_out = tuple(spec.name for spec in hidden if not _takes_mask(model, spec))
    return Groups(names=tuple(told), members=members, left_out=left_out)


def _whole(hidden: Sequence[InputSpec], members: Mapping[str, NDArray[np.bool_]], names: Sequence[str]) -> None:
    """Raise where a group has a part of an input that is there as a whole or not at all."""
    for spec in hidden:
        parts = members[spec.name].any(axis=1) & ~members[spec.name].all(axis=1)
        if not spec.any_subset and parts.any():
            raise ConfigError(
                f"the group {names[int(parts.argmax())]!r} has a part of {spec.name}, which is hidden as a whole; say"
                f" {names[int(parts.argmax())]}={spec.name}"
            )


def unknown_predictor(variable: str, known: Sequence[str]) -> str:
    """What to say of a name that is none of the model's."""
    near = difflib.get_close_matches(variable, known, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"they are {some(known, 12)}"
    return f"{variable!r}, which is none of the model's predictors; {hint}"
