"""The data: bands by name, numbers prepared once, no data in and out, sizes, and windows that join without seams."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zoo.errors import ConfigError, InputError, ZooWarning
from zoo.inputs.preprocess import Preprocess
from zoo.options import Options
from zoo.spec import InputSpec, Kind
from zoo.testing.checks.network import REORDERED, answer_with_gradients, dense_name
from zoo.testing.subject import NotApplicable, Outputs, Subject, apart, fail, narrowed
from zoo.tiling import Tile, lattice

# Ours: prepared numbers of a usual scene spread over some 0.2 (reflectance as such) to some 10 (few dark pixels).
SPREAD = (0.01, 100.0)
LARGEST = 1000.0
# Ours: what a file of each unit may plausibly hold.
PLAUSIBLE = {"DN": (0.0, 4000.0), "dB": (-25.0, 0.0), "reflectance": (0.0, 0.4), "8 bit": (0.0, 255.0)}


def check_recipe(subject: Subject) -> None:
    """The steps bring plausible numbers of a file to the size that networks are trained on: neither twice nor never."""
    for item in subject.variant.inputs:
        if item.kind not in (Kind.RASTER, Kind.IMAGE) or not item.steps:
            continue
        prepare = Preprocess(item)
        for index, band in enumerate(item.bands):
            if band.unit not in PLAUSIBLE:
                continue
            low, high = PLAUSIBLE["8 bit" if _is_photograph(item) else band.unit]
            ramp = torch.linspace(low, high, 64).reshape(1, 1, 8, 8).expand(1, len(item.bands), 8, 8)
            prepared = prepare(ramp)[0, index]
            spread = float(prepared.max() - prepared.min())
            if not SPREAD[0] <= spread <= SPREAD[1] or float(prepared.abs().max()) > LARGEST:
                fail(
                    f"numbers of {low:g} to {high:g} {band.unit} in {band.id} ({item.label}) become"
                    f" {float(prepared.min()):.3g} to {float(prepared.max()):.3g}",
                    f"a spread of {SPREAD[0]:g} to {SPREAD[1]:g}",
                    "Are the statistics of another unit than the steps before leave, or is a step there twice?",
                )


def check_bands(subject: Subject) -> None:
    """Bands are known by name: with their names they may stand in any order, and only then."""
    feed, sources = subject.rasters, _rasters(subject)
    plain = _answer(subject, sources)
    for item in feed:
        if len(item.bands) < 2:
            continue
        raw, ids = sources[item.name], item.band_ids
        reversed_ = subject.source(item, raw.flip(0), ids[::-1])
        renamed = subject.answer_for(subject.model, feed, _sources(subject, sources) | {item.name: reversed_})
        if apart(plain, renamed) > REORDERED:
            fail(
                f"with the bands of {item.name!r} and their names in reverse, the answer differs by {apart(plain, renamed):.1%}",
                f"at most {REORDERED:.2%}",
                "Does forward use `<name>_bands` in another order than the channels'?",
            )
        _check_order(subject, feed, item)


def check_missing_band(subject: Subject) -> None:
    """A band too few is refused (unless any subset will do), and a band too many does not change the answer."""
    feed, sources = subject.rasters, _rasters(subject)
    plain = _answer(subject, sources)
    for item in feed:
        raw, ids = sources[item.name], item.band_ids
        rest = _sources(subject, sources)
        if len(ids) > 1:
            fewer = rest | {item.name: subject.source(item, raw[1:], ids[1:])}
            _check_fewer(subject, feed, item, fewer)
        if item.any_subset:
            continue  # then a name that is no band is refused: see zoo.inputs.match.match
        more = rest | {item.name: subject.source(item, torch.cat([raw[:1], raw]), ["a further band", *ids])}
        if apart(plain, subject.answer_for(subject.model, feed, more)) > REORDERED:
            fail(f"a further band beside those of {item.name!r} changes the answer", "the same", "")


def check_nodata(subject: Subject) -> None:
    """Pixels without data change nothing by what they hold, answers beside them stay usual, and none are NaN."""
    feed, sources = subject.rasters, _rasters(subject)
    for item in feed:
        raw = sources[item.name]
        holed = []
        for junk in (float("nan"), 1e38):
            one = raw.clone()
            one[:, : raw.shape[1] // 2] = junk
            holed.append(_answer(subject, sources | {item.name: one}))
        if not all(tensor.isfinite().all() for tensor in holed[0].values()):
            fail(f"half of {item.name!r} without data makes the answer NaN or infinite", "numbers", _FILL)
        if apart(*holed) > 0:
            fail(f"the answer depends on what {item.name!r} holds where there are no data", "one answer", _FILL)
        prepared = Preprocess(item)(torch.stack([raw, torch.full_like(raw, float("nan"))]))
        filled, usual = float(prepared[1].abs().max()), float(prepared[0].abs().max())
        if filled > 2 * usual + 1:
            fail(
                f"pixels of {item.name!r} without data become {filled:g}, those with data at most {usual:.3g}",
                "a value among those of data",
                _FILL,
            )


def check_size(subject: Subject) -> None:
    """The network takes all sizes that the description allows, and the others are refused with the number to use."""
    feed = subject.rasters
    step = max(subject.step_px(item) for item in feed)
    windowed = any(item.window for item in feed)
    unit = -(-16 // step) * step  # ours: a few pixels, since deep networks shrink their input
    side = max(subject.side(item) for item in feed)
    for size in [(side, side)] if windowed else [(unit, 2 * unit), (3 * unit, unit + step)]:
        tensors = subject.tensors(feed, batch=1, size=size)
        made = subject.answer(subject.model, feed, tensors)
        if dense_name(subject, made, tensors) is None and any(one.ndim == 4 for one in made.values()):
            shapes = ", ".join(str(tuple(one.shape)) for one in made.values())
            fail(f"{size[0]} x {size[1]} px become {shapes}", f"sides divided by {subject.variant.stride}", _MULTIPLE)
    for item in feed:
        if item.multiple > 1:
            small = {one.name: subject.raw(one, batch=1, size=(item.multiple - 1,) * 2)[0] for one in feed}
            _expect_refusal(functools.partial(_answer, subject, small), str(item.multiple), InputError)
    if step > 1:
        _check_window(subject, step)


def check_seams(subject: Subject) -> str:
    """Cut into windows with enough context, a scene gives the same dense answer as in one piece."""
    feed = subject.rasters
    if len(feed) > 1:
        raise NotApplicable("several inputs")
    step = subject.step_px(feed[0])
    window = feed[0].window or -(-96 // step) * step  # ours
    side = 2 * window
    model, tensors = subject.model, subject.tensors(feed, batch=1, size=(side, side))
    try:
        whole = subject.answer(model, feed, tensors)
    except Exception as err:
        raise NotApplicable(f"the network takes only its window of {window} px") from err
    name = dense_name(subject, whole, tensors)
    if name is None:
        raise NotApplicable("no dense output")
    reach = _reach(subject, feed, tensors, name, enough=window // 2)
    halo = -(-reach // step) * step
    sees_all = 2 * halo + step >= window
    tiles = lattice(side, side, window, subject.variant.stride, 0 if sees_all else halo)
    joined = _joined(subject, feed, tensors, tiles, whole[name])
    difference = apart({name: joined}, {name: whole[name]})
    if sees_all:
        return f"sees more than a window of {window} px; windows differ from the whole by {difference:.1%}"
    if difference > REORDERED:
        fail(
            f"windows of {window} px with a halo of {halo} px differ from the whole by {difference:.1%} of the range",
            f"at most {REORDERED:.2%}, since the network sees {reach} px around a pixel",
            "Does the answer depend on where in the window a pixel lies (coordinates, absolute positions)?",
        )
    return f"sees {reach} px around a pixel; a halo of {halo} px leaves no seam"


_FILL = "Look at the `Fill` step: its value stands among prepared numbers, and 0 is the mean after Normalise."
_MULTIPLE = "Correct `InputSpec.multiple` (the product of the strides) or `Variant.stride`."


def _rasters(subject: Subject) -> dict[str, Tensor]:
    """(C, H, W) raw numbers of each input."""
    return {item.name: subject.raw(item, batch=1, seed=place)[0] for place, item in enumerate(subject.rasters)}


def _sources(subject: Subject, rasters: Mapping[str, Tensor]) -> dict[str, object]:
    return {item.name: subject.source(item, rasters[item.name]) for item in subject.rasters}


def _answer(subject: Subject, rasters: Mapping[str, Tensor]) -> Outputs:
    return subject.answer_for(subject.model, subject.rasters, _sources(subject, rasters))


def _check_order(subject: Subject, feed: tuple[InputSpec, ...], item: InputSpec) -> None:
    """Channels in reverse are other data, unless the network is told their names in reverse too."""
    tensors = subject.tensors(feed)
    turned = tensors | {item.name: tensors[item.name].flip(1)}
    plain = subject.answer(subject.model, feed, tensors)
    if apart(plain, subject.answer(subject.model, feed, turned)) <= REORDERED:
        fail(
            f"with the channels of {item.name!r} in reverse the answer is the same",
            "another one",
            "The network does not tell its bands apart.",
        )
    if f"{item.name}_bands" not in inspect.signature(subject.model.module.forward).parameters:
        return
    renamed = subject.answer(subject.model, feed, turned, bands={item.name: item.band_ids[::-1]})
    if (difference := apart(plain, renamed)) > REORDERED:
        fail(
            f"forward answers otherwise ({difference:.1%}) when channels and `{item.name}_bands` are both reversed",
            "the same answer",
            "Look channels up by their names, not by their places.",
        )


def _check_fewer(subject: Subject, feed: tuple[InputSpec, ...], item: InputSpec, sources: Mapping[str, object]) -> None:
    if item.any_subset:
        made = subject.answer_for(subject.model, feed, sources)
        if not all(one.isfinite().all() for one in made.values()):
            fail(f"without {item.band_ids[0]} the answer is not finite", "numbers, as any subset will do", "")
        return
    _expect_refusal(
        lambda: subject.answer_for(subject.model, feed, sources), item.band_ids[0].partition(":")[2], InputError
    )


def _expect_refusal(call: Callable[[], object], word: str, kind: type[Exception]) -> None:
    try:
        call()
    except kind as err:
        if word not in str(err):
            fail(f"the {kind.__name__} says {str(err)!r}", f"it to name {word}", "")
    else:
        fail("it was taken", f"{kind.__name__} that names {word}", "Correct bands or `multiple` of the InputSpec.")


def _check_window(subject: Subject, step: int) -> None:
    """A window that does not fit is refused with the number that windows are multiples of."""
    from zoo.predict.maps import map_scene
    from zoo.tasks.pretrain import EmbedMap

    model, sources = narrowed(subject.model, subject.rasters), _sources(subject, _rasters(subject))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZooWarning)
        _expect_refusal(
            lambda: map_scene(model, sources, None, Options(window=step + 1), EmbedMap()),
            str(step),
            ConfigError,
        )


def _reach(
    subject: Subject, feed: tuple[InputSpec, ...], tensors: Mapping[str, Tensor], name: str, *, enough: int
) -> int:
    """How many pixels around an output pixel decide it, by gradients; the search ends at `enough`.

    Networks that halve their input see more to one side, by where a pixel lies in its block: all places are tried.
    """
    stride, step = subject.variant.stride, subject.step_px(feed[0])
    given = {key: one.clone().requires_grad_() for key, one in tensors.items()}
    made = answer_with_gradients(subject, feed, given)[name]
    scores = torch.einsum("bdhw,d->bhw", made, torch.randn(made.shape[1], generator=torch.Generator().manual_seed(0)))
    first = made.shape[-1] // 2 * stride // step * step // stride  # of a block
    reach = 0
    for place in range(first, first + step // stride):
        gradients = torch.autograd.grad(scores[0, place, place], list(given.values()), retain_graph=True)
        for touched in torch.nonzero(gradients[0][0].abs().sum(dim=0), as_tuple=True):
            if len(touched):
                before, after = place * stride - int(touched.min()), int(touched.max()) - (place + 1) * stride + 1
                reach = max(reach, before, after)
        if reach >= enough:
            break
    return reach


def _joined(
    subject: Subject, feed: tuple[InputSpec, ...], tensors: Mapping[str, Tensor], tiles: tuple[Tile, ...], like: Tensor
) -> Tensor:
    """The dense answer put together from windows."""
    (item,) = feed
    joined = torch.full_like(like, float("nan"))
    for tile in tiles:
        rows, cols = tile.read.slices
        made = subject.answer(subject.model, feed, {item.name: tensors[item.name][:, :, rows, cols]})
        name = next(key for key, one in made.items() if one.ndim == 4)
        joined[:, :, *tile.own.slices] = made[name][:, :, *tile.own_in_out]
    return joined


def _is_photograph(item: InputSpec) -> bool:
    return all(band.id.startswith("RGB:") for band in item.bands)
