"""From the keys of a weights file to the keys of a network, strictly: what does not fit is listed from both sides."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from zoo.errors import SpecError, WeightsError
from zoo.spec import Weights

State = dict[str, Tensor]
Table = Mapping[str | re.Pattern[str], str]
Renames = Table | Callable[[State], State]


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """The file's tensors under the network's keys.

    Attributes:
        tensors: by the network's key.
        renamed: how many of them have another key in the file, the prefix aside.
        missing: keys of the network that the file lacks and may lack; keys tied to one that it has are not missing.
        ignored: keys of the file that the network does not have and that the spec ignores.
        prefix: what was stripped from all keys.
    """

    tensors: State
    renamed: int
    missing: tuple[str, ...]
    ignored: tuple[str, ...]
    prefix: str | None


def match_keys(state: State, module: nn.Module, weights: Weights, where: str) -> Match:
    """Bring the file's tensors under the network's keys.

    Args:
        state: tensors under the authors' keys.
        module: the network; its parameters may be on the meta device.
        weights: renames, optional prefix, allowed_missing, ignored.
        where: name of the file, for the error.

    Raises:
        WeightsError: a key too many or too few that the spec does not allow, or another shape; lists both sides.
    """
    wanted = {key: value for key, value in module.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}
    prefix = shared_prefix(state, weights)
    origin = translate(state, weights, prefix)
    tensors = {new: tensor for new, (_, tensor) in origin.items()}
    taken = {key: tensor for key, tensor in tensors.items() if key in wanted}
    ignored = [key for key, (old, _) in origin.items() if key not in wanted and _ignores(weights, old, key, prefix)]
    unexpected = [key for key in tensors if key not in wanted and key not in set(ignored)]
    have = {id(wanted[key]) for key in taken}
    missing = [key for key in wanted if key not in taken and id(wanted[key]) not in have]
    forbidden = [key for key in missing if key not in weights.allowed_missing]
    misshapen = [key for key, tensor in taken.items() if wanted[key].shape != tensor.shape]
    if forbidden or unexpected or misshapen:
        found = {key: _shape(tensor) for key, tensor in tensors.items()}
        expected = {key: _shape(tensor) for key, tensor in wanted.items()}
        head = f"{where} does not fit {type(module).__name__}"
        raise WeightsError(_difference(head, (forbidden, unexpected, misshapen), found, expected))
    return Match(
        tensors=taken,
        renamed=sum(key != origin[key][0].removeprefix(prefix or "") for key in taken),
        missing=tuple(missing),
        ignored=tuple(origin[key][0] for key in ignored),
        prefix=prefix,
    )


def shared_prefix(state: State, weights: Weights) -> str | None:
    """The optional prefix, if all keys of the file share it that are not ignored."""
    prefix = weights.optional_prefix
    keys = [key for key in state if not _ignores(weights, key, key, None)]
    return prefix if prefix and keys and all(key.startswith(prefix) for key in keys) else None


def translate(state: State, weights: Weights, prefix: str | None) -> dict[str, tuple[str, Tensor]]:
    """By the network's key: the file's key and the tensor."""
    renames = resolve_renames(weights.renames)
    if callable(renames):
        changed = renames({key.removeprefix(prefix or ""): tensor for key, tensor in state.items()})
        return {key: (key, tensor) for key, tensor in changed.items()}
    translated: dict[str, tuple[str, Tensor]] = {}
    for old, tensor in state.items():
        new = rename(old.removeprefix(prefix or ""), renames)
        if new in translated:
            raise WeightsError(
                f"the keys {translated[new][0]!r} and {old!r} of the file both become {new!r};"
                f" check the table {weights.renames}"
            )
        translated[new] = (old, tensor)
    return translated


def resolve_renames(reference: str | None) -> Renames:
    """The table or function that `"pkg.weights:RENAMES"` names; an empty table for `None`."""
    if reference is None:
        return {}
    path, _, name = reference.partition(":")
    try:
        renames: Renames = getattr(importlib.import_module(path), name)
    except (ImportError, AttributeError) as err:
        raise SpecError(f"cannot find the renames {reference!r} ({err}); expected package.module:NAME") from err
    return renames


def rename(key: str, table: Table) -> str:
    r"""One key through the rows of a table, in order, each applied to the result of those before.

    `{"backbone.": "encoder."}` replaces the beginning of a key, `{"fc.weight": "head.weight"}` a whole key, and
    `{re.compile(r"layer(\d)"): r"stage\1"}` whatever matches, as `re.sub` does. What a table cannot say (a tensor to
    be split or reshaped), a function from state dict to state dict does in its place.
    """
    for old, new in table.items():
        if isinstance(old, re.Pattern):
            key = old.sub(new, key)
        elif key == old or (old.endswith(".") and key.startswith(old)):
            key = new + key[len(old) :]
    return key


def _ignores(weights: Weights, old: str, new: str, prefix: str | None) -> bool:
    """Patterns may be written for the file's key, with or without its prefix, or for the network's."""
    names = {old, old.removeprefix(prefix or ""), new}
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in weights.ignored)


def _difference(
    head: str, wrong: tuple[list[str], list[str], list[str]], found: dict[str, str], expected: dict[str, str]
) -> str:
    """Both sides, a few rows each, with near misses; `found` and `expected` are shapes by key."""
    missing, unexpected, misshapen = wrong
    lines = [f"{head}: {len(found)} tensors found, {len(expected)} expected"]
    if missing:
        rows = [f"{key} {expected[key]}{_near(key, expected[key], unexpected, found)}" for key in missing]
        lines.append(f"  missing from the file, {len(missing)}: {_few(rows)}")
    if unexpected:
        rows = [f"{key} {found[key]}{_near(key, found[key], missing, expected)}" for key in unexpected]
        lines.append(f"  unknown to the network, {len(unexpected)}: {_few(rows)}")
    if misshapen:
        rows = [f"{key} is {found[key]}, expected {expected[key]}" for key in misshapen]
        lines.append(f"  of another shape, {len(misshapen)}: {_few(rows)}")
    lines.append(
        "  is this the variant that the file belongs to (`zoo info NAME`)? if the file is right, its plugin's Weights"
        " need renames, optional_prefix, allowed_missing or ignored"
    )
    return "\n".join(lines)


def _near(key: str, shape: str, others: list[str], shapes: dict[str, str]) -> str:
    alike = [one for one in others if shapes[one] == shape]
    near = difflib.get_close_matches(key, alike, n=1, cutoff=0.4) or difflib.get_close_matches(key, others, n=1)
    return f" (near: {near[0]} {shapes[near[0]]})" if near else ""


def _few(rows: list[str], most: int = 8) -> str:
    return "; ".join(rows[:most]) + (f"; and {len(rows) - most} more" if len(rows) > most else "")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
