"""What a conformance check is given: one variant of a model, and ways to feed it."""

# B batch, L tokens

from __future__ import annotations

import functools
import importlib
import math
import unittest
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from zoo import registry
from zoo.builders import builder_of
from zoo.errors import HubError
from zoo.model import Model, build, load
from zoo.plugins import Plugin
from zoo.spec import InputSpec, Kind, ModelSpec, Variant
from zoo.testing import examples
from zoo.testing.answers import Outputs, flat
from zoo.testing.examples import TEXTS
from zoo.testing.filled import filled_tensor

SIDE = 64  # px; ours: small, and large enough for five halvings


class CheckFailed(AssertionError):
    """The model does not do what a model of the zoo must do."""


class NotApplicable(unittest.SkipTest):
    """The check asks something of the model that it does not claim; pytest shows it as skipped."""


def fail(found: str, expected: str, advice: str) -> NoReturn:
    raise CheckFailed(f"{found}; expected {expected}. {advice}")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One variant of a model.

    Attributes:
        reference: what `zoo.load` takes, with the distribution.
        factory: constructs the network, with whatever weights its constructor draws.
    """

    reference: str
    spec: ModelSpec
    variant: Variant
    plugin: Plugin
    factory: Callable[[], nn.Module]

    def __str__(self) -> str:
        return f"{self.spec.name}@{self.variant.tag}"

    # ---------------------------------------------------------------------------------------------------- networks

    @functools.cached_property
    def filled(self) -> Model:
        """The network with weights that depend on their names alone: none is zero, as fresh ones often are."""
        model = build(self.reference, device="cpu")
        with torch.no_grad():
            for name, parameter in model.module.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(filled_tensor(name, parameter.shape, seed=0))
        return model

    @functools.cached_property
    def at_hand(self) -> Model | None:
        """The network with its published weights, if they are on this machine."""
        if self.variant.weights is None:
            return None
        try:
            return load(self.reference, device="cpu", offline=True)
        except HubError:
            return None

    def published(self) -> Model:
        """The same, for checks that need it.

        Raises:
            NotApplicable: there are none, or they were not fetched.
        """
        if self.at_hand is None:
            weights = self.variant.weights
            why = "no weights" if weights is None else f"not fetched; `zoo pull {self}`"
            if weights is not None and weights.archive:
                why = f"in an archive that zoo does not fetch: {weights.archive}"
            raise NotApplicable(why)
        return self.at_hand

    @property
    def model(self) -> Model:
        return self.at_hand or self.filled

    @property
    def recorded(self) -> Path:
        """Where the plugin keeps what its checks compare with: `checks/<tag>.*` inside its package."""
        return Path(str(self.plugin.module.__file__)).parent / "checks"

    # ------------------------------------------------------------------------------------------------------ inputs

    @property
    def feeds(self) -> list[tuple[InputSpec, ...]]:
        """Ways to feed the network: one alternative for each input, each alternative in one of them at least.

        The last is without what is optional, if something is.
        """
        names = dict.fromkeys(item.name for item in self.variant.inputs)
        choices = [[item for item in self.variant.inputs if item.name == name] for name in names]
        feeds = [tuple(row[index % len(row)] for row in choices) for index in range(max(map(len, choices)))]
        needed = tuple(item for item in feeds[0] if not item.optional)
        return [*feeds, needed] if 0 < len(needed) < len(feeds[0]) else feeds

    @property
    def readable(self) -> tuple[InputSpec, ...]:
        """What files give the network, of the first feed: all of it but words.

        Raises:
            NotApplicable: it takes only words.
        """
        found = tuple(item for item in self.feeds[0] if item.kind is not Kind.TEXT)
        if not found:
            raise NotApplicable("words only")
        return found

    @property
    def pixels(self) -> tuple[InputSpec, ...]:
        """The same, for checks that need maps.

        Raises:
            NotApplicable: an input is a table.
        """
        if any(item.kind is Kind.TABLE for item in self.readable):
            raise NotApplicable("answers for sites, each by itself")
        return self.readable

    def step_px(self, item: InputSpec) -> int:
        """The number of pixels that sides are multiples of."""
        return math.lcm(item.multiple, self.variant.stride)

    def side(self, item: InputSpec) -> int:
        """Side of the images that checks feed: the declared window, else some 64 pixels."""
        step = self.step_px(item)
        return item.window or -(-SIDE // step) * step

    def numbers(self, item: InputSpec, *, size: tuple[int, int] | None = None, seed: int = 0) -> Tensor:
        """Plausible numbers of a file, bands first; see `zoo.testing.examples`."""
        return examples.numbers(item, size=size or (self.side(item),) * 2, seed=seed)

    def tensors(
        self, feed: Sequence[InputSpec], *, batch: int = 2, size: tuple[int, int] | None = None, seed: int = 0
    ) -> dict[str, Tensor]:
        """Prepared inputs of the network, by name."""
        made = {}
        for place, item in enumerate(feed):
            if item.kind is Kind.TEXT:
                made[item.name] = self.token_ids(batch, first=seed)
                continue
            sides = size or (self.side(item),) * 2
            made[item.name] = examples.prepared_batch(
                item, batch=batch, size=sides, seed=seed + place, resize=size is None
            )
        return made

    def token_ids(self, batch: int, first: int = 0) -> Tensor:
        """(B, L) of example texts.

        Raises:
            NotApplicable: the tokenizer's files were not fetched.
        """
        from zoo.inputs.words import tokenizer_of

        if self.variant.weights is not None and self.variant.weights.companions:
            self.published()
        texts = [TEXTS[(first + index) % len(TEXTS)] for index in range(batch)]
        return tokenizer_of(self.filled)(texts)

    def source(self, item: InputSpec, given: Tensor, names: Sequence[str] | None = None) -> Any:
        """A source of numbers, bands first, whose bands are named."""
        return examples.source(item, given, tuple(names or item.band_ids))

    # ----------------------------------------------------------------------------------------------------- answers

    def arguments(
        self,
        feed: Sequence[InputSpec],
        tensors: Mapping[str, Tensor],
        bands: Mapping[str, tuple[str, ...]] | None = None,
    ) -> dict[str, Any]:
        """Bands, masks and times that go with prepared tensors, as `Model.forward` takes them."""
        told = [item for item in feed if item.kind is not Kind.TEXT]
        return {
            "bands": {item.name: item.band_ids for item in told} | dict(bands or {}),
            "valid": {item.name: examples.validity(item, tensors[item.name]) for item in told},
            "times": {item.name: examples.days(tensors[item.name]) for item in told if item.kind is Kind.SERIES},
        }

    def answer(
        self,
        model: Model,
        feed: Sequence[InputSpec],
        tensors: Mapping[str, Tensor],
        *,
        precision: str = "fp32",
        bands: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Outputs:
        """What the network says of prepared tensors."""
        return flat(model.forward(tensors, precision=precision, **self.arguments(feed, tensors, bands)))


def subject_of(reference: str) -> Subject:
    """The variant that `reference` names; of a model named without variant, the one with demo weights if there is one."""
    entry, variant = registry.find(reference)
    if "@" not in reference:
        variant = next((one for one in entry.spec.variants if one.demo), variant)
    return Subject(
        reference=f"{entry.plugin.distribution}:{entry.spec.name}@{variant.tag}",
        spec=entry.spec,
        variant=variant,
        plugin=entry.plugin,
        factory=builder_of(entry.plugin.distribution, variant),
    )


def builder_path(path: str) -> Any:
    """The object that `"pkg.mod:name"` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
