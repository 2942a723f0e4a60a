"""The data: bands by name, numbers prepared once, no data in and out, sizes."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from types import EllipsisType

import torch
from torch import Tensor

from zoo.errors import ConfigError, InputError, ZooWarning
from zoo.inputs.preprocess import Preprocess
from zoo.options import Options
from zoo.spec import InputSpec, Kind
from zoo.testing.answers import Outputs, answer_for, apart, flat, narrowed
from zoo.testing.checks.network import REORDERED, dense_name
from zoo.testing.subject import Subject, fail

# Ours: prepared numbers of a usual scene spread over some 0.2 (reflectance as such) to some 10 (few dark pixels).
SPREAD = (0.01, 100.0)
LARGEST = 1000.0
# Ours: what a file of each unit may plausibly hold.
PLAUSIBLE = {"DN": (0.0, 4000.0), "dB": (-25.0, 0.0), "reflectance": (0.0, 0.4), "8 bit": (0.0, 255.0)}


def check_recipe(subject: Subject) -> None:
    """The steps bring plausible numbers of a file to the size that networks are trained on: neither twice nor never."""
    for item in subject.variant.inputs:
        if not item.steps:
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
    feed, given = subject.readable, _numbers(subject)
    plain = _answer(subject, given)
    for item in feed:
        if len(item.bands) < 2:
            continue
        one, ids = given[item.name], item.band_ids
        reversed_ = subject.source(item, one.flip(0), ids[::-1])
        renamed = answer_for(subject.model, feed, _sources(subject, given) | {item.name: reversed_})
        if apart(plain, renamed) > REORDERED:
            fail(
                f"with the bands of {item.name!r} and their names in reverse, the answer differs by {apart(plain, renamed):.1%}",
                f"at most {REORDERED:.2%}",
                "Does forward use `<name>_bands` in another order than the channels'?",
            )
        _check_order(subject, feed, item)


def check_missing_band(subject: Subject) -> None:
    """A band too few is refused (unless any subset will do), and a band too many does not change the answer."""
    feed, given = subject.readable, _numbers(subject)
    plain = _answer(subject, given)
    for item in feed:
        one, ids = given[item.name], item.band_ids
        rest = _sources(subject, given)
        if len(ids) > 1:
            fewer = rest | {item.name: subject.source(item, one[1:], ids[1:])}
            _check_fewer(subject, feed, item, fewer)
        if item.any_subset:
            continue  # then a name that is no band is refused: see zoo.inputs.match.match
        more = rest | {item.name: subject.source(item, torch.cat([one[:1], one]), ["a further band", *ids])}
        if apart(plain, answer_for(subject.model, feed, more)) > REORDERED:
            fail(f"a further band beside those of {item.name!r} changes the answer", "the same", "")


def check_nodata(subject: Subject) -> None:
    """What is no data changes nothing by what it holds, answers beside it stay usual, and none are NaN."""
    feed, given = subject.readable, _numbers(subject)
    for item in feed:
        holed = []
        for junk in (float("nan"), 1e38):
            one = given[item.name].clone()
            one[_hole(item, one)] = junk
            holed.append(_answer(subject, given | {item.name: one}))
        if not all(tensor.isfinite().all() for tensor in holed[0].values()):
            fail(f"half of {item.name!r} without data makes the answer NaN or infinite", "numbers", _FILL)
        if apart(*holed) > 0:
            fail(f"the answer depends on what {item.name!r} holds where there are no data", "one answer", _FILL)
        pixels = given[item.name].flatten(1)[..., None]
        prepared = Preprocess(item)(torch.stack([pixels, torch.full_like(pixels, float("nan"))]))
        filled, usual = float(prepared[1].abs().max()), float(prepared[0].abs().max())
        if filled > 2 * usual + 1:
            fail(
                f"numbers of {item.name!r} without data become {filled:g}, those with data at most {usual:.3g}",
                "a value among those of data",
                _FILL,
            )
        if item.kind is Kind.TABLE:
            _check_mask(subject, item)


def check_size(subject: Subject) -> None:
    """The network takes all sizes that the description allows, and the others are refused with the number to use."""
    feed = subject.pixels
    step = max(subject.step_px(item) for item in feed)
    windowed = any(item.window for item in feed)
    unit = -(-16 // step) * step  # ours: a few pixels, since deep networks shrink their input
    side = max(subject.side(item) for item in feed)
    for size in [(side, side)] if windowed else [(unit, 2 * unit), (3 * unit, unit + step)]:
        tensors = subject.tensors(feed, batch=1, size=size)
        made = subject.answer(subject.model, feed, tensors)
        if dense_name(subject, made, tensors) is None and any(one.ndim >= 4 for one in made.values()):
            shapes = ", ".join(str(tuple(one.shape)) for one in made.values())
            fail(f"{size[0]} x {size[1]} px become {shapes}", f"sides divided by {subject.variant.stride}", _MULTIPLE)
    if any(item.kind is Kind.SERIES for item in feed):
        return  # smaller ones are padded
    for item in feed:
        if item.multiple > 1:
            small = {one.name: subject.numbers(one, size=(item.multiple - 1,) * 2) for one in feed}
            _expect_refusal(functools.partial(_answer, subject, small), str(item.multiple), InputError)
    if step > 1:
        _check_window(subject, step)


_FILL = "Look at the `Fill` step: its value stands among prepared numbers, and 0 is the mean after Normalise."
_MULTIPLE = "Correct `InputSpec.multiple` (the product of the strides) or `Variant.stride`."


def _numbers(subject: Subject) -> dict[str, Tensor]:
    """Numbers of each input, bands first."""
    return {item.name: subject.numbers(item, seed=place) for place, item in enumerate(subject.readable)}


def _sources(subject: Subject, given: Mapping[str, Tensor]) -> dict[str, object]:
    return {item.name: subject.source(item, given[item.name]) for item in subject.readable}


def _answer(subject: Subject, given: Mapping[str, Tensor]) -> Outputs:
    return answer_for(subject.model, subject.readable, _sources(subject, given))


def _hole(item: InputSpec, given: Tensor) -> tuple[slice | EllipsisType, ...]:
    """Where data shall be missing: half of the rows of pixels, half of the sites, or a variable that may be."""
    if item.kind is not Kind.TABLE:
        return ..., slice(given.shape[-2] // 2), slice(None)
    may_lack = item.any_subset and len(given) > 1
    return (slice(1),) if may_lack else (slice(None), slice(given.shape[1] // 2))


def _check_mask(subject: Subject, item: InputSpec) -> None:
    """A network that asks which values of a table are data reads nothing else."""
    if f"{item.name}_valid" not in inspect.signature(subject.model.module.forward).parameters:
        return
    feed = subject.readable
    tensors = subject.tensors(feed)
    told = subject.arguments(feed, tensors)
    table = tensors[item.name]
    known = told["valid"][item.name].clone()
    known[:, 0] = False
    told["valid"][item.name] = known
    others = tensors | {item.name: torch.where(known, table, table + 1)}
    made = [flat(subject.model.forward(one, **told)) for one in (tensors, others)]
    if (difference := apart(*made)) > REORDERED:
        fail(
            f"what {item.name!r} holds where `{item.name}_valid` is false changes the answer by {difference:.1%}",
            "the same answer",
            "Mask those values, or do not ask for the mask.",
        )


def _check_order(subject: Subject, feed: tuple[InputSpec, ...], item: InputSpec) -> None:
    """Channels in reverse are other data, unless the network is told their names in reverse too."""
    tensors = subject.tensors(feed)
    axis = 2 if item.kind is Kind.SERIES else 1
    turned = tensors | {item.name: tensors[item.name].flip(axis)}
    plain = subject.answer(subject.model, feed, tensors)
    if apart(plain, subject.answer(subject.model, feed, turned)) <= REORDERED:
        fail(
            f"with the bands of {item.name!r} in reverse the answer is the same",
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
        made = answer_for(subject.model, feed, sources)
        if not all(one.isfinite().all() for one in made.values()):
            fail(f"without {item.band_ids[0]} the answer is not finite", "numbers, as any subset will do", "")
        return
    _expect_refusal(lambda: answer_for(subject.model, feed, sources), item.band_ids[0].rpartition(":")[2], InputError)


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

    model, sources = narrowed(subject.model, subject.pixels), _sources(subject, _numbers(subject))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZooWarning)
        _expect_refusal(
            lambda: map_scene(model, sources, None, Options(window=step + 1), EmbedMap()),
            str(step),
            ConfigError,
        )


def _is_photograph(item: InputSpec) -> bool:
    return all(band.id.startswith("RGB:") for band in item.bands)
