"""A dataset of which a model is told only some variables, as if the others were missing."""

# F variables

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from zoo.datasets.sample import Reader, Sample
from zoo.inputs.variables import hidden_variables
from zoo.spec import Variant


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """See `shown`; a `zoo.datasets.sample.Reader`, in all else like the one behind it.

    Attributes:
        visible: (F,) bool of each input of which some variables are hidden; `None` for one that is left out.
    """

    reader: Reader
    visible: dict[str, Tensor | None]

    def __getattr__(self, name: str) -> Any:
        if name in ("reader", "visible") or name.startswith("__"):  # while it is being unpickled
            raise AttributeError(name)
        return getattr(self.reader, name)

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample:
        found = self.reader.sample(index, generator)
        inputs, valid = dict(found.inputs), dict(found.valid)
        for name in self.visible.keys() & inputs.keys():
            visible = self.visible[name]
            if visible is None:
                del inputs[name]
                valid.pop(name, None)
            else:
                valid[name] = visible & valid.get(name, torch.ones_like(visible))
        return replace(found, inputs=inputs, valid=valid)


def shown(reader: Reader, variant: Variant, names: Sequence[str]) -> Reader:
    """The reader, with only the variables `names` of the variant's inputs; see `zoo.inputs.variables.hidden_variables`.

    Raises:
        ConfigError: a name is none of the variant's, or it cannot do without the others.
    """
    hidden = hidden_variables(variant.inputs, variant.groups, names)
    visible = {
        spec.name: torch.tensor([name not in hidden[spec.name] for name in spec.band_ids]) if spec.any_subset else None
        for spec in variant.inputs
        if hidden.get(spec.name)
    }
    return Shown(reader=reader, visible=visible)
