"""One labelled sample, a batch of them, and what gives them: the types that readers, objectives and metrics share.

A reader gives samples as its network takes them: preprocessed, augmented by the generator it is given, resized. What a
sample's `target` holds, by task:

========== ============================================================================================================
pretrain   `label`: class (scalar int64), or classes that hold together ((K,) float32 of 0 and 1); nothing, where the
           objective needs no labels
segment    `label`: class of each pixel, (H, W) int64, `IGNORED` where there is none
detect     `points_px` (n, 2) float64, x and y as in `zoo.tasks.detect.DetectOutput`; `point_classes` (n,) int64;
           `radii_px` (n,) float64 where the data say them
forecast   `values` (V, H, W) or (L, V, H, W) float32 in physical units, NaN where unknown
sdm        `presence` (S,) float32: 1 present, 0 absent, NaN not known
retrieve   `texts`: the captions of the image, a tuple of strings
========== ============================================================================================================
"""

# B batch, C bands, H W pixels, K classes, V variables, L lead times, S species, n things on an image

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

IGNORED = -100  # of a label: not labelled; torch's own default of `ignore_index`
RAGGED = frozenset({"points_px", "point_classes", "radii_px", "texts"})  # as many per sample as there are things


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One sample, without a batch dimension.

    Attributes:
        id: unique in its dataset and the same in each of its splits (a path, a key of a table).
        inputs: by the names under which the network's `forward` takes them.
        target: see the module's docstring.
        bands: ids of raster inputs in channel order, for networks that ask for them.
        valid: masks of inputs, for networks that ask for them.
        times: of the steps of series, days since 1970-01-01 UTC, for networks that ask for them.
        place: longitude and latitude (degrees, WGS 84), for spatial folds.
    """

    id: str
    inputs: Mapping[str, Tensor]
    target: Mapping[str, Any] = field(default_factory=dict)
    bands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    valid: Mapping[str, Tensor] = field(default_factory=dict)
    times: Mapping[str, Tensor] = field(default_factory=dict)
    place: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Samples stacked along a first dimension; targets named in `RAGGED` are tuples, one entry per sample.

    Attributes:
        ids: of the samples.
        seeds: int64 (B,), for draws that are each sample's own, whatever batch or process it is in.
    """

    ids: tuple[str, ...]
    inputs: Mapping[str, Tensor]
    target: Mapping[str, Any]
    bands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    valid: Mapping[str, Tensor] = field(default_factory=dict)
    times: Mapping[str, Tensor] = field(default_factory=dict)
    seeds: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        if all(one.device == device for one in self.inputs.values()):
            return self
        return self._with(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory: `torch.utils.data.DataLoader` asks for it before a copy to a GPU."""
        return self._with(Tensor.pin_memory)

    def _with(self, change: Callable[[Tensor], Tensor]) -> Batch:
        def changed(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {name: changed(one) for name, one in value.items()}
            if isinstance(value, tuple):
                return tuple(changed(one) for one in value)
            return change(value) if isinstance(value, Tensor) else value

        return replace(
            self,
            inputs=changed(self.inputs),
            target=changed(self.target),
            valid=changed(self.valid),
            times=changed(self.times),
        )


class Reader(Protocol):
    """A dataset, or one split of it.

    `sample(index)` gives a sample as in evaluation; with a generator, as in training: augmented by its draws. It may be
    called in worker processes. A reader may have a method `collate(samples) -> Batch` of its own, and a method
    `at_epoch(epoch)`, which is told the epoch (from 0) of each sample before it is read in training, for what changes with
    it: augmentation that ends, samples that join later. Where samples are prepared by statistics of the training data's
    own, `prepared_by` are those inputs (`zoo.spec.InputSpec`), and the trained variant takes them over. Where scores must be
    read with care, `notes` say why, a sentence each; `judged_by` are options of the task's metric that the data ask for.
    What was read, `told` says in a line or two, as training begins.

    ids: of the samples, in order; known without reading them.
    classes: names in the order of the labels; empty where there are none.
    """

    ids: Sequence[str]
    classes: tuple[str, ...]

    def sample(self, index: int, generator: torch.Generator | None = None) -> Sample: ...


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of equal sizes and bands as a batch."""
    first = samples[0]
    for one in samples:
        if one.bands != first.bands:
            raise ValueError(f"samples {first.id} and {one.id} have other bands and cannot share a batch")
    return Batch(
        ids=tuple(one.id for one in samples),
        inputs=_stacked([one.inputs for one in samples]),
        target=_stacked([one.target for one in samples]),
        bands=first.bands,
        valid=_stacked([one.valid for one in samples]),
        times=_stacked([one.times for one in samples]),
    )


def collate_of(reader: Reader) -> Callable[[Sequence[Sample]], Batch]:
    """The reader's own way to make a batch, or `collate`."""
    own: Callable[[Sequence[Sample]], Batch] | None = getattr(reader, "collate", None)
    return own or collate


def _stacked(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        name: tuple(one[name] for one in parts) if name in RAGGED else torch.stack([one[name] for one in parts])
        for name in parts[0]
    }
