"""Species distributions: how probable each species' presence is at a site, or in each cell of a map."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from zoo.bands import normal_form
from zoo.errors import ConfigError, SpecError, some
from zoo.results.maps import MapBands
from zoo.spec import Variant
from zoo.tasks.base import MapTask

NEAREST = 3  # names that a message asks after; ours
MANY_SPECIES = 16  # ours: beyond it a map names its species; a country at 1 km with 12,738 of them is a terabyte


class SdmOutput(NamedTuple):
    """What a network of the task `sdm` returns.

    The network takes, for an input of the kind `table`, float32 (B, F) with all of the input's variables in order,
    and, if its `forward` asks for it, `<name>_valid` bool (B, F), false where a site has no value (the number is then
    that of the `Fill` step, or 0 after all steps); for an input of the kind `raster`, patches (B, C, window, window)
    centred on the sites. An optional input that the user does not give is not passed.

    A network whose `forward` has `species` is told the numbers of those that are asked for, and answers for them alone, in
    that order; `None` = for all.

    logits: (B, S), one per species, before the sigmoid.
    """

    logits: Tensor


class SubsetNetwork(Protocol):
    """What a network may offer beside `forward`, so that many subsets of the same sites' variables cost less.

    `head(pooled_of(tokens(**inputs), rows, **valid), species)` are the logits of `forward`.
    """

    def tokens(self, **inputs: Tensor) -> Tensor:
        """(B, ...): what there is of each site whatever is hidden; it serves for any number of subsets."""

    def pooled_of(self, tokens: Tensor, rows: Tensor, **valid: Tensor) -> Tensor:
        """(N, D), what the head takes of N subsets: of site `rows` (N,) int64 with the masks `<name>_valid` (N, F) bool."""

    def head(self, pooled: Tensor, species: Sequence[int] | None = None) -> Tensor:
        """(N, S) logits of the species asked for by number; `None` = all."""


def offers_subsets(module: nn.Module) -> bool:
    """Whether the network is a `SubsetNetwork`; one whose `pooled_of` is `None` is not."""
    return callable(getattr(module, "pooled_of", None))


def species_of(variant: Variant, asked: Sequence[str] | None) -> tuple[int, ...]:
    """Numbers of the species asked for, in that order; all if none is.

    Raises:
        SpecError: the variant names no species.
        ConfigError: a name is none of the model's; the message has the nearest.
    """
    if not variant.classes:
        raise SpecError(f"variant {variant.tag!r} names no species; say in `classes` what its network answers for")
    if asked is None:
        return tuple(range(len(variant.classes)))
    place = {normal_form(name): index for index, name in enumerate(variant.classes)}
    for name in asked:
        if normal_form(name) not in place:
            parts = [one for one in variant.classes if name.strip() and name.strip().casefold() in one.casefold()]
            near = parts[:NEAREST] or difflib.get_close_matches(name, variant.classes, n=NEAREST)
            raise ConfigError(
                f"no species {name!r} among the model's {len(variant.classes)}; "
                + (f"did you mean {', '.join(near)}?" if near else f"expected {some(variant.classes, 5)}")
            )
    chosen = tuple(place[normal_form(name)] for name in asked)
    if len(set(chosen)) != len(chosen):
        raise ConfigError(f"--species names one twice: {', '.join(asked)}")
    return chosen


class SpeciesMap(MapTask):
    """A band of probabilities per species asked for, by number; float32, nodata NaN."""

    def __init__(self, chosen: Sequence[int]) -> None:
        self.chosen = list(chosen)

    def maps(self, output: SdmOutput) -> Tensor:
        """(B, S, 1, 1): a site is one cell."""
        return output.logits[:, self.chosen, None, None].float().sigmoid()

    def bands(self, variant: Variant, channels: int) -> MapBands:  # noqa: ARG002  (the protocol's)
        names = tuple(variant.classes[index] for index in self.chosen)
        return MapBands(names=names, dtype="float32", nodata=float("nan"), unit="1")

    def finish(self, maps: Tensor) -> Tensor:
        return maps
