"""The network: the task's output, gradients everywhere, a pure function of its inputs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.spec import InputSpec, Task
from zoo.tasks.detect import DetectOutput
from zoo.tasks.forecast import ForecastMap, ForecastOutput
from zoo.tasks.retrieve import RetrieveOutput
from zoo.testing.answers import Outputs, apart, flat, identical
from zoo.testing.subject import Subject, builder_path, fail

# What networks of a task return.
OUTPUTS = {
    Task.PRETRAIN: "zoo.tasks.pretrain:EmbedOutput",
    Task.SEGMENT: "zoo.tasks.segment:SegmentOutput",
    Task.DETECT: "zoo.tasks.detect:DetectOutput",
    Task.SDM: "zoo.tasks.sdm:SdmOutput",
    Task.FORECAST: "zoo.tasks.forecast:ForecastOutput",
    Task.RETRIEVE: "zoo.tasks.retrieve:RetrieveOutput",
}
# Ours: float32 sums in another order move the last digits, and no more.
REORDERED = 1e-4
# Ours: bfloat16 has 8 bits; some hundred layers of rounding stay below this share of the range.
BF16 = 0.1
UNIT = 1e-3  # ours: how far from 1 the length of a unit vector may be
SCALINGS = {
    "add", "sub", "mul", "div", "rsub", "rdiv", "true_divide", "pow", "exp", "sqrt", "log", "log2", "log10", "log1p",
    "clamp", "clip",
}  # fmt: skip
MOVES = {
    "to", "float", "type", "contiguous", "clone", "detach", "view", "reshape", "permute", "transpose", "flatten",
    "unflatten", "unsqueeze", "squeeze", "expand", "pad", "getitem", "index_select", "cat", "stack", "chunk", "split",
    "unbind", "flip", "roll", "nan_to_num", "where", "masked_fill",
}  # fmt: skip


def check_output(subject: Subject) -> None:
    """The network returns its task's NamedTuple, with one row per example, one channel per class, and what else it means."""
    task = subject.spec.task_of(subject.variant)
    kind = builder_path(OUTPUTS[task]) if task in OUTPUTS else tuple
    feed = subject.feeds[0]
    tensors = subject.tensors(feed)
    output = subject.model.forward(tensors, **subject.arguments(feed, tensors))
    if not isinstance(output, kind):
        fail(f"forward returned a {type(output).__name__}", kind.__name__, f"See zoo.tasks.{task.value}.")
    made = flat(output)
    for name, one in made.items():
        if one.ndim and one.shape[:1] != (2,):  # no example's: the scale of similarities
            fail(f"{name} has shape {tuple(one.shape)} for a batch of two", "the batch first", "")
    classes = len(subject.variant.classes)
    if classes and "logits" in made and made["logits"].shape[1] != classes:
        fail(f"logits have {made['logits'].shape[1]} channels", f"{classes}, as the variant has classes", "")
    _check_meaning(subject, output)
    dense = dense_name(subject, made, tensors)
    if dense is None and any(one.ndim >= 4 for one in made.values()):
        fail(
            f"no dense output has {subject.variant.stride} input pixels per pixel: "
            + ", ".join(f"{name} {tuple(one.shape)}" for name, one in made.items()),
            f"sides divided by the variant's stride, {subject.variant.stride}",
            "Correct `Variant.stride`.",
        )


def check_gradients(subject: Subject) -> None:
    """Each trainable parameter gets a finite gradient that is not zero, by one of the ways to feed the network."""
    model = subject.filled
    missing = {name: one for name, one in model.module.named_parameters() if one.requires_grad}
    for seed, feed in enumerate(subject.feeds):
        tensors = subject.tensors(feed, seed=10 * seed)
        loss = _loss(answer_with_gradients(subject, feed, tensors))
        gradients = torch.autograd.grad(loss, list(missing.values()), allow_unused=True)
        for (name, _), gradient in zip(list(missing.items()), gradients, strict=True):
            if gradient is not None and not gradient.isfinite().all():
                fail(f"the gradient of {name} is not finite", "numbers", "Look for a division or root of zero.")
            if gradient is not None and gradient.abs().max() > 0:
                del missing[name]
        if not missing:
            return
    fail(
        f"no gradient reaches {', '.join(sorted(missing)[:5])} ({len(missing)} in all)",
        "every parameter to take part in the answer",
        "Drop it, or `requires_grad_(False)` if it is meant to stay.",
    )


def check_batch_invariance(subject: Subject) -> None:
    """The answer for an image, site or text does not depend on the others of its batch."""
    feed = subject.feeds[0]
    tensors = subject.tensors(feed, batch=3)
    together = subject.answer(subject.model, feed, tensors)
    alone = subject.answer(subject.model, feed, {name: one[1:2] for name, one in tensors.items()})
    difference = apart({name: one[1:2] if one.ndim else one for name, one in together.items()}, alone)
    if difference > REORDERED:
        fail(
            f"alone, an example's answer differs by {difference:.1%} of the range",
            f"at most {REORDERED:.2%}",
            "Something is averaged over the batch: batch statistics in evaluation mode, or a mean over the wrong axis.",
        )


def check_dtype(subject: Subject) -> str:
    """float32 in, float32 out; and under bfloat16 autocast finite and near that."""
    feed = subject.feeds[0]
    tensors = subject.tensors(feed)
    full = subject.answer(subject.model, feed, tensors)
    reduced = subject.answer(subject.model, feed, tensors, precision="bf16")
    for name, one in full.items():
        if one.is_floating_point() and one.dtype != torch.float32:
            fail(f"{name} is {str(one.dtype).removeprefix('torch.')}", "float32 for float32 inputs", "Drop the cast.")
    if not all(one.isfinite().all() for one in (*full.values(), *reduced.values())):
        fail("an output is not finite", "numbers, in float32 and under bfloat16 autocast", "")
    difference = apart({name: one.float() for name, one in reduced.items()}, full)
    if difference > BF16:
        fail(f"under bfloat16 the answer differs by {difference:.0%} of its range", f"at most {BF16:.0%}", "")
    return f"bfloat16 differs by {difference:.1%} of the range"


def check_determinism(subject: Subject) -> None:
    """The same input gives the same bits, nothing is drawn in forward, and a seed decides `zoo.build`."""
    from zoo.model import build

    feed = subject.feeds[0]
    tensors = subject.tensors(feed)
    before = torch.get_rng_state()
    first, second = (subject.answer(subject.model, feed, tensors) for _ in range(2))
    drew = not torch.equal(before, torch.get_rng_state())
    if drew or not identical(first, second):
        fail(
            "forward draws random numbers" if drew else "two calls with the same input differ",
            "the same bits each time",
            "In evaluation mode nothing is random; in training, randomness takes a generator.",
        )
    built = [dict(build(subject.reference, seed=3, device="cpu").module.state_dict()) for _ in range(2)]
    if not identical(*built):
        fail("`zoo.build` with one seed gives two networks", "one", "Draw weights from torch's own generator.")


def check_pure_forward(subject: Subject) -> None:
    """A call leaves no trace: not in parameters, buffers, attributes, nor in the tensors that it was given."""
    feed, module = subject.feeds[0], subject.filled.module
    tensors = subject.tensors(feed)
    given = {name: one.clone() for name, one in tensors.items()}
    before = _state(module)
    subject.answer(subject.filled, feed, tensors)
    after = _state(module)
    if not identical(given, tensors):
        fail("forward changes its input", "an input that is only read", "Replace the in-place operation.")
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    if changed:
        fail(
            f"forward writes {', '.join(changed[:5])}",
            "nothing to change",
            "Pass it as an argument or a result, or compute it in the constructor.",
        )


def check_scales_nothing(subject: Subject) -> None:
    """The network applies no constant to its input: scaling is declared in `InputSpec.steps`, and happens once."""
    for feed in subject.feeds:
        tensors = subject.tensors(feed)
        watch = _Watch(one for one in tensors.values() if one.is_floating_point())
        with watch:
            subject.answer(subject.model, feed, tensors)
        if watch.found:
            fail(
                f"forward applies {watch.found} to its input before any layer of weights",
                "prepared numbers to be used as they come",
                "Declare it as a step of the input (zoo.spec.Scale, Clip, Normalise), or data are scaled twice.",
            )


def dense_name(subject: Subject, made: Outputs, tensors: Mapping[str, Tensor]) -> str | None:
    """The output with one pixel per `stride` pixels of the input, if there is one."""
    stride = subject.variant.stride
    for given in tensors.values():
        if given.ndim >= 4:
            sides = tuple(-(-side // stride) for side in given.shape[-2:])
            return next((name for name, one in made.items() if one.ndim >= 4 and tuple(one.shape[-2:]) == sides), None)
    return None


def _check_meaning(subject: Subject, output: Any) -> None:
    """What the numbers of a task's output must be, whatever the weights."""
    match output:
        case ForecastOutput():
            ForecastMap(subject.variant).maps(output)
        case DetectOutput():
            classes = len(subject.variant.classes)
            if output.scores.shape[2] != classes:
                fail(f"scores have {output.scores.shape[2]} columns", f"{classes}, as the variant has classes", "")
            points = output.points_px
            if points.shape[1] > 1 and (points.amax() - points.amin()) <= 1:
                fail("all points lie within one pixel", "pixels of the window", "Are they shares of its side?")
            boxes = output.boxes_px
            if boxes is not None and (boxes[..., 2:] < boxes[..., :2]).any():
                fail("boxes end before they begin", "x_min, y_min, x_max, y_max", "Are they centres and sizes?")
            if output.scores.min() < 0 or output.scores.max() > 1:
                fail(f"scores reach from {output.scores.min():.3g} to {output.scores.max():.3g}", "0 to 1", "Sigmoid?")
        case RetrieveOutput():
            for name in ("image", "text"):
                vectors = getattr(output, name)
                if vectors is not None and (vectors.norm(dim=-1) - 1).abs().max() > UNIT:
                    fail(
                        f"vectors of {name} have lengths up to {vectors.norm(dim=-1).max():.3g}", "1", "Normalise them."
                    )


class _Watch(TorchFunctionMode):
    """Follows inputs through moves, and notes the first arithmetic with a constant that they meet.

    Weights, masks, and what is made of them are no constants.
    """

    def __init__(self, inputs: Iterable[Tensor]) -> None:
        super().__init__()
        self.inputs = {id(one): one for one in inputs}
        self.allowed: dict[int, Any] = {}  # the values keep the tensors alive, so that ids stay theirs
        self.found = ""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = getattr(function, "__name__", "").strip("_")
        given = [*args, *(kwargs or {}).values()]
        members = [one for group in given for one in (group if isinstance(group, list | tuple) else [group])]
        made = {id(one): one for one in (result if isinstance(result, list | tuple) else [result])}
        known = [one for one in members if self._allowed(one)]
        if any(id(one) in self.inputs for one in members):
            if name in MOVES:
                self.inputs |= made
            elif name in SCALINGS and not known:
                self.found = self.found or name
        elif known and name in MOVES | SCALINGS:
            self.allowed |= made
        return result

    def _allowed(self, one: Any) -> bool:
        is_mask = isinstance(one, Tensor) and one.dtype == torch.bool
        return is_mask or isinstance(one, nn.Parameter) or id(one) in self.allowed


def answer_with_gradients(subject: Subject, feed: Sequence[InputSpec], tensors: Mapping[str, Tensor]) -> Outputs:
    """What the network says, with the graph that leads there."""
    module = subject.filled.module
    wanted = inspect.signature(module.forward).parameters
    told: dict[str, Any] = dict(tensors)
    for suffix, extra in subject.arguments(feed, tensors).items():
        told |= {f"{name}_{suffix}": one for name, one in extra.items() if f"{name}_{suffix}" in wanted}
    return flat(module(**told))


def _loss(outputs: Outputs) -> Tensor:
    """A random weighted sum: unlike a plain sum, it is not constant after a softmax or a normalisation."""
    generator = torch.Generator().manual_seed(0)
    parts = [(one * torch.randn(one.shape, generator=generator)).sum() for one in outputs.values() if one.requires_grad]
    if not parts:
        fail("no output depends on a parameter", "gradients", "Forward must not detach or run under no_grad.")
    return torch.stack(parts).sum()


def _state(module: nn.Module) -> dict[str, Any]:
    """A fingerprint of each attribute of each submodule."""
    told = {f".{name}": _print_of(one) for name, one in (*module.named_parameters(), *module.named_buffers())}
    for path, child in module.named_modules():
        own = {name: one for name, one in vars(child).items() if name not in ("_modules", "_parameters", "_buffers")}
        told |= {f"{path}.{name}": _print_of(one) for name, one in own.items()}
    return {name.strip("."): one for name, one in told.items()}


def _print_of(value: Any) -> Any:
    """Something that is equal if and only if the value was not touched."""
    match value:
        case Tensor():
            numbers = value.detach().double().nan_to_num()
            return id(value), tuple(value.shape), numbers.sum().item(), numbers.abs().sum().item()
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return [(str(key), _print_of(one)) for key, one in value.items()]
        case list() | tuple() | set():
            return [_print_of(one) for one in value]
        case _:
            return id(value)
