"""What a conformance check is given: one variant of a model, and ways to feed it."""

# B batch, C bands, T times, H W pixels

from __future__ import annotations

import functools
import importlib
import math
import unittest
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn

from zoo import registry
from zoo.builders import builder_of
from zoo.errors import HubError, ZooWarning
from zoo.model import Model, build, load
from zoo.plugins import Plugin
from zoo.spec import Clip, Decibel, InputSpec, Kind, ModelSpec, Normalise, Percentile, Scale, Step, Variant
from zoo.testing.filled import filled_tensor

if TYPE_CHECKING:
    from zoo.io.source import RasterSource

SIDE = 64  # px; ours: small, and large enough for five halvings
Outputs = dict[str, Tensor]


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
            why = "no weights" if self.variant.weights is None else f"not fetched; `zoo pull {self}`"
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
        """Ways to feed the network: one alternative for each input, each alternative in one of them at least."""
        names = dict.fromkeys(item.name for item in self.variant.inputs)
        choices = [[item for item in self.variant.inputs if item.name == name] for name in names]
        return [tuple(row[index % len(row)] for row in choices) for index in range(max(map(len, choices)))]

    @property
    def rasters(self) -> tuple[InputSpec, ...]:
        """The first feed, for checks that need pixels.

        Raises:
            NotApplicable: an input is no raster or photograph.
        """
        feed = self.feeds[0]
        if any(item.kind not in (Kind.RASTER, Kind.IMAGE) for item in feed):
            raise NotApplicable("no raster input")
        return feed

    def step_px(self, item: InputSpec) -> int:
        """The number of pixels that sides are multiples of."""
        return math.lcm(item.multiple, self.variant.stride)

    def side(self, item: InputSpec) -> int:
        """Side of the images that checks feed: the declared window, else some 64 pixels."""
        step = self.step_px(item)
        return item.window or -(-SIDE // step) * step

    def raw(self, item: InputSpec, *, batch: int = 2, size: tuple[int, int] | None = None, seed: int = 0) -> Tensor:
        """(B, C, H, W) plausible numbers of a file: noise of unit variance taken back through the declared steps."""
        height, width = size or (self.side(item), self.side(item))
        times = (item.times or 3,) if item.kind is Kind.SERIES else ()
        shape = (batch, *times, len(item.bands), height, width)
        if item.kind not in (Kind.RASTER, Kind.IMAGE, Kind.SERIES):
            raise NotApplicable(f"no example of {item.kind.value} inputs")
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        for step in reversed(item.steps):
            noise = _undone(step, noise)
        return noise.clamp(min=1.0) if item.nodata == 0 else noise

    def tensors(
        self, feed: Sequence[InputSpec], *, batch: int = 2, size: tuple[int, int] | None = None, seed: int = 0
    ) -> dict[str, Tensor]:
        """Prepared inputs of the network, by name."""
        from zoo.inputs.preprocess import Preprocess

        made = {}
        for place, item in enumerate(feed):
            raw = self.raw(item, batch=batch, size=size, seed=seed + place)
            flat = raw.flatten(0, -4)
            prepared = Preprocess(item)(flat, resize=size is None)
            made[item.name] = prepared.reshape(raw.shape[:-2] + prepared.shape[-2:])
        return made

    def source(self, item: InputSpec, raw: Tensor, names: Sequence[str] | None = None) -> RasterSource:
        """A georeferenced raster of (C, H, W) numbers whose bands are named."""
        from affine import Affine

        from zoo.io.rasters import open_array

        gsd_m = item.gsd_m[0] if item.gsd_m else 10.0
        return open_array(
            raw.numpy(),
            names=tuple(names or item.band_ids),
            crs="EPSG:32632",
            transform=Affine(gsd_m, 0, 500_000, 0, -gsd_m, 5_200_000),
            nodata=item.nodata,
            name=f"a raster of the check ({item.label or item.name})",
        )

    # ----------------------------------------------------------------------------------------------------- answers

    def arguments(
        self,
        feed: Sequence[InputSpec],
        tensors: Mapping[str, Tensor],
        bands: Mapping[str, tuple[str, ...]] | None = None,
    ) -> dict[str, Any]:
        """Bands and masks that go with prepared tensors, as `Model.forward` takes them."""
        valid = {name: torch.ones_like(one[:, 0], dtype=torch.bool) for name, one in tensors.items() if one.ndim == 4}
        return {"bands": {item.name: item.band_ids for item in feed} | dict(bands or {}), "valid": valid}

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

    def answer_for(self, model: Model, feed: Sequence[InputSpec], sources: Mapping[str, Any]) -> Outputs:
        """What the model says of rasters, through the same opening, matching and preprocessing as a user's files."""
        from zoo.options import Options
        from zoo.predict.scene import open_scene
        from zoo.tiling import Window

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZooWarning)
            scene = open_scene(narrowed(model, feed), dict(sources), Options())
        batch = scene.prepare(
            scene.read([Window(0, 0, scene.grid.height, scene.grid.width)]), model.device, resize=True
        )
        return flat(model.forward(batch.tensors, bands=batch.bands, valid=batch.valid))


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


def flat(output: Any, name: str = "") -> Outputs:
    """The tensors of an output by name: `pooled`, `tokens`, `boxes.0`."""
    if isinstance(output, Tensor):
        return {name or "output": output}
    if isinstance(output, tuple) and hasattr(output, "_asdict"):
        output = output._asdict()
    elif isinstance(output, list | tuple):
        output = {str(index): one for index, one in enumerate(output)}
    if not isinstance(output, Mapping):
        return {}
    return {key: one for part, value in output.items() for key, one in flat(value, f"{name}.{part}".strip(".")).items()}


def apart(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> float:
    """Largest difference between two answers, as a share of the largest number; infinite where they do not compare."""
    if ours.keys() != theirs.keys():
        return math.inf
    return max((_apart(ours[name], theirs[name]) for name in ours), default=math.inf)


def identical(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    """Whether two answers (or state dicts) have the same bits."""
    return ours.keys() == theirs.keys() and all(
        ours[name].dtype == theirs[name].dtype and torch.equal(ours[name].nan_to_num(), theirs[name].nan_to_num())
        for name in ours
    )


def builder_path(path: str) -> Any:
    """The object that `"pkg.mod:name"` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _apart(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        return math.inf
    if not ours.numel():
        return 0.0
    ours, theirs = ours.double(), theirs.double()
    difference = float((ours - theirs).abs().max())
    scale = max(float(ours.abs().max()), float(theirs.abs().max()), 1e-12)
    return difference / scale if math.isfinite(difference) else math.inf


def narrowed(model: Model, feed: Sequence[InputSpec]) -> Model:
    """The model with only the alternatives of `feed`, so that no other one competes for the bands."""
    return replace(model, variant=replace(model.variant, inputs=tuple(feed)))


def _undone(step: Step, x: Tensor) -> Tensor:
    """(..., C, H, W) numbers that `step` turns into about `x`."""

    def per_band(values: Sequence[float]) -> Tensor:
        return torch.tensor(values)[:, None, None]

    match step:
        case Scale():
            return (x - step.offset) / step.factor
        case Clip():
            return x.clamp(step.low, step.high)
        case Decibel():
            return 10 ** (x / 10)
        case Percentile():
            low, high = per_band(step.low), per_band(step.high)
            return low + (0.5 + x / 6).clamp(0.02, 0.98) * (high - low)
        case Normalise():
            return x * per_band(step.std) + per_band(step.mean)
        case _:
            return x
