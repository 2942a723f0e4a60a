"""Strict loading: every tensor of the network comes from the file, or the load fails with both sides listed.

A safetensors file is mapped into memory and its tensors become the network's parameters: nothing is initialised first
and nothing is copied (`zoo.checkpoints.construct`). Other layouts are converted once, into the cache (`zoo.checkpoints.layouts`). Plugins say
how the authors' keys become the network's with a table (`zoo.checkpoints.state_keys.rename`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.checkpoints.construct import build_on_meta, computed_tensors
from zoo.checkpoints.layouts import read_cached, read_layout, save_safetensors
from zoo.checkpoints.state_keys import Match, State, match_keys, shared_prefix, translate
from zoo.errors import WeightsError
from zoo.spec import Layout, Weights

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """What a strict load did.

    Attributes:
        loaded: tensors of the file that went into the network.
        numbers: how many numbers they hold.
        renamed: how many of them have another key in the file.
        missing: keys that the file lacks, as the spec allows; they keep the constructor's values.
        ignored: keys of the file that the network has no use for, as the spec allows.
        cast: keys whose type was converted to the network's.
        prefix: what was stripped from all keys.
        copied: whether the network had to be constructed ordinarily, and the weights copied into it.
    """

    loaded: int
    numbers: int
    renamed: int
    missing: tuple[str, ...]
    ignored: tuple[str, ...]
    cast: tuple[str, ...]
    prefix: str | None
    copied: bool

    def __str__(self) -> str:
        parts = [f"{self.loaded} tensors ({self.numbers:,} numbers) loaded"]
        parts += [f"{self.renamed} renamed"] if self.renamed else []
        parts += [f"{len(self.cast)} converted to the network's type"] if self.cast else []
        parts += [f"{len(self.missing)} not in the file, as allowed"] if self.missing else []
        parts += [f"{len(self.ignored)} of the file not used, as allowed"] if self.ignored else []
        return ", ".join(parts)


def load_into(
    module_factory: Callable[[], nn.Module], file: Path, weights: Weights, *, sha256: str | None = None
) -> tuple[nn.Module, LoadReport]:
    """Construct a network and give it the weights of `file`.

    Args:
        module_factory: constructs the network, without arguments; may be called more than once.
        file: weights in the layout that `weights` says.
        weights: layout, renames, and what the file may lack or hold beyond the network.
        sha256: of the file, where it is known; names the converted copy of layouts other than safetensors.

    Returns:
        The network on the CPU, in the mode that its constructor leaves it in, and a report. Its parameters are
        mapped from the file: read when touched, private to the process when written. They have the network's types,
        whatever the file's. The state of torch's random generator is left alone.

    Raises:
        WeightsError: keys or shapes do not fit, or the file is damaged; nothing falls back to random values.
    """
    state = read_state_dict(file, weights.layout, sha256=sha256)
    module = build_on_meta(module_factory)
    if module is not None:
        match = match_keys(state, module, weights, str(file))
        cast = _assign(module, match.tensors)
        if not _left_on_meta(module):
            return module, _report(match, cast, copied=False)
        logger.info("%s needs values that its constructor draws: built ordinarily", type(module).__name__)
    with torch.random.fork_rng(devices=[]):
        module = module_factory()
    match = match_keys(state, module, weights, str(file))
    cast = _copy(module, match.tensors)
    return module, _report(match, cast, copied=True)


def read_state_dict(path: Path, layout: Layout, *, sha256: str | None = None) -> State:
    """The tensors of a weights file under the authors' keys, mapped from the file or from its converted copy.

    Renames are not applied. Attributes of pickled networks are left out; `zoo.checkpoints.layouts.read_cached` has them.

    Raises:
        WeightsError: the file is damaged, of another layout, or has no state dict.
    """
    return read_cached(path, layout, sha256=sha256).state


def convert(path: Path, weights: Weights, out: Path) -> State:
    """Write the authors' checkpoint as safetensors under the network's keys, without their prefix.

    Keys that `weights` ignores are kept under their names: which of them the network has, only the network knows.

    Returns:
        What was written.

    Raises:
        WeightsError: the checkpoint cannot be read, or two keys become one.
        OutputError: `out` cannot be written.
    """
    state = read_layout(path, weights.layout).state
    translated = translate(state, weights, shared_prefix(state, weights))
    renamed = {key: tensor for key, (_, tensor) in translated.items()}
    save_safetensors(renamed, out)
    return renamed


# ------------------------------------------------------------------------------------------------------------ filling


def _assign(module: nn.Module, tensors: State) -> list[str]:
    """Make the file's tensors the network's parameters; buffers are computed already and are copied into."""
    cast: list[str] = []
    placed: dict[int, tuple[str, nn.Parameter, Tensor]] = {}
    buffers = dict(module.named_buffers(remove_duplicate=False))
    for key, parameter in module.named_parameters(remove_duplicate=False):
        if key in tensors:
            value = _typed(tensors[key], parameter, key, cast)
            if id(parameter) in placed:
                _check_tied(placed[id(parameter)][0], placed[id(parameter)][2], key, value)
            else:
                placed[id(parameter)] = (key, parameter, value)
    new = {old: _parameter(like, value) for old, (_, like, value) in placed.items()}
    for child in module.modules():
        for name, old in child.named_parameters(recurse=False, remove_duplicate=False):
            if id(old) in new:
                setattr(child, name, new[id(old)])
    return cast + _fill_buffers(module, {key: tensors[key] for key in tensors if key in buffers})


def _fill_buffers(module: nn.Module, tensors: State) -> list[str]:
    """Copy into buffers, so that views of them follow; one that needed parameters to be computed is replaced."""
    cast: list[str] = []
    for prefix, child in module.named_modules():
        for name, buffer in child.named_buffers(recurse=False, remove_duplicate=False):
            key = f"{prefix}.{name}" if prefix else name
            if key in tensors:
                value = _typed(tensors[key], buffer, key, cast)
                if buffer.is_meta:
                    setattr(child, name, value)
                else:
                    buffer.copy_(value)
    return cast


def _copy(module: nn.Module, tensors: State) -> list[str]:
    """Copy the file's tensors into a network that was constructed ordinarily."""
    cast: list[str] = []
    seen: dict[int, tuple[str, Tensor]] = {}
    with torch.no_grad():
        for key, parameter in module.named_parameters(remove_duplicate=False):
            if key in tensors:
                value = _typed(tensors[key], parameter, key, cast)
                first, earlier = seen.setdefault(id(parameter), (key, value))
                _check_tied(first, earlier, key, value)
                parameter.copy_(value)
    return cast + _fill_buffers(module, tensors)


def _typed(value: Tensor, like: Tensor, key: str, cast: list[str]) -> Tensor:
    if value.dtype == like.dtype:
        return value
    if value.dtype.is_complex != like.dtype.is_complex or (
        value.dtype.is_floating_point and not like.dtype.is_floating_point
    ):
        raise WeightsError(
            f"{key} is {value.dtype} in the file, the network expects {like.dtype}: is it the right file?"
        )
    cast.append(key)
    return value.to(like.dtype)


def _parameter(like: nn.Parameter, value: Tensor) -> nn.Parameter:
    """`value` as a parameter of the same class, with the same gradient flag and attributes as `like`."""
    new = type(like)(value, requires_grad=like.requires_grad)
    new.__dict__.update(like.__dict__)
    return new


def _check_tied(first: str, earlier: Tensor, key: str, value: Tensor) -> None:
    """Two names of one parameter must have the same numbers in the file."""
    if key != first and not torch.equal(earlier, value):
        raise WeightsError(
            f"the network ties {first!r} and {key!r}, and the file has different numbers for them:"
            " it belongs to a network that does not tie them"
        )


def _left_on_meta(module: nn.Module) -> list[str]:
    """Tensors without values: parameters that the file lacks, and what was computed from parameters."""
    places: Iterable[tuple[str, Tensor]] = [*module.named_parameters(), *computed_tensors(module).items()]
    return [name for name, tensor in places if tensor.is_meta]


def _report(match: Match, cast: list[str], *, copied: bool) -> LoadReport:
    return LoadReport(
        loaded=len(match.tensors),
        numbers=sum(tensor.numel() for tensor in match.tensors.values()),
        renamed=match.renamed,
        missing=match.missing,
        ignored=match.ignored,
        cast=tuple(cast),
        prefix=match.prefix,
        copied=copied,
    )
