"""The weights: complete, strictly loaded, those that were published, and unchanged by saving."""

from __future__ import annotations

import fnmatch
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.model import load
from zoo.testing.answers import apart, identical
from zoo.testing.golden import keys_of, recorded_keys, replayed
from zoo.testing.subject import CheckFailed, Subject, fail

# Ours: float32 sums in another order, on another machine, through some hundred layers.
GOLDEN = 1e-3


def check_state_keys(subject: Subject) -> None:
    """The keys and shapes of the state dict are those recorded: published files keep fitting the network."""
    recorded, now = recorded_keys(subject), keys_of(subject.factory())
    if recorded != now:
        gone, new = sorted(set(recorded) - set(now)), sorted(set(now) - set(recorded))
        fail(
            f"the state dict lost {gone[:3]} and gained {new[:3]} ({len(gone)} and {len(new)} in all)",
            "the recorded keys",
            f"Published files no longer fit: rename in `Weights.renames`, or `zoo check {subject} --record`.",
        )


def check_strict_load(subject: Subject) -> None:
    """Nothing of the network stays random after loading: what the file may lack is computed, not drawn."""
    first, second = (_seeded(subject, seed) for seed in (1, 2))
    persistent = set(first.state_dict())
    weights = subject.variant.weights
    for key in weights.allowed_missing if weights else ():
        if key not in persistent:
            fail(f"allowed_missing names {key!r}", "exact keys of the network", "Delete it.")
    for pattern in weights.ignored if weights else ():
        if fnmatch.filter(persistent, pattern):
            fail(
                f"ignored={pattern!r} matches keys of the network itself",
                "patterns of what the file holds beyond it",
                "Such a pattern hides a renaming that went wrong; write it more narrowly.",
            )
    needed = set(weights.allowed_missing if weights else ()) | set(_unsaved(first))
    drawn = sorted(key for key in needed if not torch.equal(_tensor(first, key), _tensor(second, key)))
    if drawn:
        fail(
            f"{', '.join(drawn)} are drawn at random and not in the weights file",
            "random numbers to be saved",
            "Make them persistent buffers, or compute them without randomness.",
        )
    if subject.at_hand and subject.at_hand.origin and (report := subject.at_hand.origin.report) and not report.loaded:
        fail("no tensor came from the weights file", "all of them", "Check `Weights.renames`.")


def check_golden(subject: Subject) -> str:
    """From a file's numbers, the published weights give the recorded answer, and random ones do not."""
    model = subject.published()
    recorded, answers = replayed(subject, model, subject.filled)
    published, random = (apart(answer, recorded) for answer in answers)
    if random <= GOLDEN:
        fail("random weights give the recorded answer too", "an answer that depends on the weights", "Record another.")
    if published > GOLDEN:
        fail(
            f"the answer differs from the recorded one by {published:.1%} of its range",
            f"at most {GOLDEN:.1%}",
            "Something changed: weights, network, the order of bands or the steps."
            f" If it was meant: `zoo check {subject} --record`.",
        )
    return f"differs from the recorded answer by {published:.1g} of its range, random weights by {random:.1g}"


def check_save_load(subject: Subject) -> None:
    """`model.save(folder)` and `zoo.load(folder)` give the same weights and the same answer, bit for bit."""
    model, feed = subject.model, subject.feeds[0]
    tensors = subject.tensors(feed)
    with tempfile.TemporaryDirectory() as folder:
        loaded = load(str(model.save(Path(folder) / "saved")), device="cpu")
        if not identical(dict(model.module.state_dict()), dict(loaded.module.state_dict())):
            raise CheckFailed("the state dict changes when saved and loaded; expected the same tensors, bit for bit.")
        _align(model.module)
        _align(loaded.module)
        if not identical(subject.answer(model, feed, tensors), subject.answer(loaded, feed, tensors)):
            fail("a saved and loaded network answers otherwise", "the same bits", "State lives outside the state dict.")


def _align(module: nn.Module) -> None:
    """Give parameters memory that begins where torch's own does, at a multiple of 64 bytes.

    Those that are mapped from a file begin at a multiple of 8, and some convolutions then sum in another order: the same
    network answers otherwise in the last bit.
    """
    for parameter in module.parameters():
        parameter.data = parameter.data.clone()


def _seeded(subject: Subject, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return subject.factory()


def _unsaved(module: nn.Module) -> list[str]:
    persistent = set(module.state_dict())
    return [name for name, _ in module.named_buffers() if name not in persistent]


def _tensor(module: nn.Module, key: str) -> Tensor:
    found = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    return found[key]
