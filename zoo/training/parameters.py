"""Which parameters of a network a phase trains, and in which groups of the optimiser."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from zoo.errors import ConfigError
from zoo.training.config import Group, Phase

ParameterGroup = dict[str, Any]  # of torch: `params` and what the optimiser and `set_rates` read beside them


@contextmanager
def chosen(learner: nn.Module, phase: Phase) -> Iterator[None]:
    """Within the block, only parameters that the phase trains have gradients; what is born frozen stays so.

    Raises:
        ConfigError: a pattern fits nothing, or nothing is left to train.
    """
    before = {name: one.requires_grad for name, one in learner.named_parameters()}
    for pattern in (*phase.trained, *phase.frozen):
        if not any(fits(_short(name), (pattern,)) for name in before):
            raise ConfigError(f"{pattern!r} fits no parameter; they are called {_examples(before)}")
    for name, one in learner.named_parameters():
        one.requires_grad_(before[name] and fits(_short(name), phase.trained) and not fits(_short(name), phase.frozen))
    try:
        if not any(one.requires_grad for one in learner.parameters()):
            raise ConfigError(f"trained={list(phase.trained)}, frozen={list(phase.frozen)} leave nothing to train")
        yield
    finally:
        for name, one in learner.named_parameters():
            one.requires_grad_(before.get(name, one.requires_grad))


def set_modes(learner: nn.Module, phase: Phase) -> None:
    """Training mode, but for the modules that the phase keeps in evaluation mode."""
    learner.train()
    for name, module in learner.named_modules():
        if name and fits(_short(name), phase.eval_mode):
            module.eval()


def groups(learner: nn.Module, phase: Phase, lr: float) -> list[ParameterGroup]:
    """Groups of the optimiser, each with its highest rate `peak` and, of its own, `start`.

    Args:
        learner: named parameters begin with `network.` or `objective.`.
        phase: rules.
        lr: the phase's rate, already scaled to its batch.

    Raises:
        ConfigError: a rule fits no parameter that is trained.
    """
    depth = _depths(learner) if phase.layer_decay != 1 else {}
    deepest = max(depth.values(), default=0)
    made: dict[tuple[str, int], ParameterGroup] = {}
    used: set[str] = set()
    for name, one in learner.named_parameters():
        if not one.requires_grad:
            continue
        rule, group = next(
            ((key, rule) for key, rule in phase.groups.items() if _in_group(name, one.ndim, rule)), ("", None)
        )
        used.add(rule)
        level = depth.get(name, deepest)
        peak = lr * (group.lr if group else 1.0) * phase.layer_decay ** (deepest - level)
        decay = phase.optimizer.weight_decay if group is None or group.weight_decay is None else group.weight_decay
        made.setdefault(
            (rule, level),
            {"params": [], "lr": peak, "peak": peak, "weight_decay": decay, "start": group.start if group else None},
        )["params"].append(one)
    if idle := set(phase.groups) - used:
        raise ConfigError(f"groups.{min(idle)} fits no parameter that is trained; see its match and max_ndim")
    return [*made.values()]


def _in_group(name: str, ndim: int, group: Group) -> bool:
    return (group.max_ndim is None or ndim <= group.max_ndim) and fits(_short(name), group.match)


def fits(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name fits one of the patterns (`fnmatch`)."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _short(name: str) -> str:
    """A parameter's name as recipes have it."""
    return name.removeprefix("network.")


def _examples(names: dict[str, bool]) -> str:
    short = [_short(name) for name in names]
    return f"{', '.join(short[:3])}, ..., {short[-1]}"


def _depths(learner: nn.Module) -> dict[str, int]:
    """Number of the block that each parameter belongs to: 0 before the first, one beyond the last after them.

    The blocks are those of the module list that holds the most parameters: those of the trunk.
    """
    lists = {name: one for name, one in learner.named_modules() if isinstance(one, nn.ModuleList | nn.Sequential)}
    if not lists:
        raise ConfigError("layer_decay needs a network with a list of blocks; leave it at 1")

    def size(name: str) -> int:
        return sum(one.numel() for one in lists[name].parameters())

    # Of nested lists (a sequence around the blocks) the inner, which has more members of its own.
    trunk = max(lists, key=lambda name: (size(name), len(lists[name])))
    found, after = {}, False
    for name, _ in learner.named_parameters():
        inside = name.startswith(f"{trunk}.")
        after = after or inside
        found[name] = (
            int(name[len(trunk) + 1 :].partition(".")[0]) + 1 if inside else len(lists[trunk]) + 1 if after else 0
        )
    return found
