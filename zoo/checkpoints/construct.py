"""Networks built without their weights: parameters stand on torch's meta device, everything else is computed.

`torch.device("meta")` around a constructor also loses what the constructor computes (position tables, index buffers).
Here a parameter turns meta at its birth, in `nn.Parameter(...)`: what backs it was allocated by `torch.empty` and never
touched, initialisers that follow have nothing to fill, and buffers and plain tensors are computed as always.

What a buffer holds must not depend on the trick. It would if the constructor computed it from the values of a
parameter (the buffer is then meta itself, or the constructor fails) or from random numbers drawn after those of an
initialiser that was skipped (the state of the generator then moves). Both are noticed, and `None` says so.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

logger = logging.getLogger(__name__)
_patching = threading.RLock()
_SEEDS = (0x5EED_2007_0000_0001, 0x5EED_2007_0000_0002)  # ours: what no constructor sets
_FILLS = frozenset((
    "normal_", "uniform_", "log_normal_", "exponential_", "cauchy_", "geometric_", "bernoulli_", "random_", "eye",
    "fill_", "zero_", "erfinv_", "clamp_", "add_", "sub_", "mul_", "div_",
))  # fmt: skip


def build_on_meta(factory: Callable[[], nn.Module]) -> nn.Module | None:
    """The network of `factory` with meta parameters and everything else as ordinary construction leaves it.

    The state of torch's random generator is the same afterwards as before.

    Returns:
        `None` where the constructor cannot be trusted, or fails, without real parameters: construct ordinarily then.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEEDS[0])
        before = torch.get_rng_state()
        module = _attempt(factory)
        if module is None or torch.equal(torch.get_rng_state(), before):
            return module
        # Random numbers were drawn. Harmless if they went into parameters: then nothing that stays depends on the seed.
        stays = computed_tensors(module)
        torch.manual_seed(_SEEDS[1])
        second = _attempt(factory)
        if second is None or not _same(stays, computed_tensors(second)):
            logger.info("the constructor draws random numbers for more than its parameters: built ordinarily")
            return None
    return module


def computed_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Buffers, persistent or not, and plain tensor attributes (also in lists, tuples and dicts), by dotted name."""
    found: dict[str, Tensor] = {}
    for prefix, child in module.named_modules():
        for name, value in [*child._buffers.items(), *vars(child).items()]:  # noqa: SLF001
            if name not in ("_parameters", "_buffers", "_modules"):
                found.update(_tensors(f"{prefix}.{name}" if prefix else name, value))
    return found


def _tensors(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _tensors(f"{name}[{key!r}]", item) if not isinstance(item, dict) else ()
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _tensors(f"{name}[{index}]", item) if isinstance(item, Tensor) else ()


def _same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        tensor.is_meta == right[name].is_meta and (tensor.is_meta or _equal(tensor, right[name]))
        for name, tensor in left.items()
    )


def _equal(left: Tensor, right: Tensor) -> bool:
    return (left.shape, left.dtype) == (right.shape, right.dtype) and bool(
        torch.allclose(left, right, rtol=0, atol=0, equal_nan=True)
    )


def _attempt(factory: Callable[[], nn.Module]) -> nn.Module | None:
    fills = _SkippedFills()
    try:
        with _parameters_on_meta(), fills:
            module = factory()
    except (
        Exception
    ) as err:  # whatever a constructor meets on meta; ordinary construction raises it again if it is real
        logger.info("cannot be constructed on the meta device (%s: %s): built ordinarily", type(err).__name__, err)
        return None
    if fills.own_numbers:
        logger.info("the constructor sets a seed or has a generator of its own: built ordinarily")
        return None
    return module


class _SkippedFills(TorchFunctionMode):
    """Leaves out initialisers of meta tensors, and notices where that would change numbers that are drawn later.

    torch answers most initialisers at once, but some (`normal_`, `eye`) in Python, whose import takes seconds.
    Numbers that are drawn from a seed of the constructor's own, or from its own generator, depend on what was drawn
    before; all others are random anyway.
    """

    def __init__(self) -> None:
        super().__init__()
        self.own_numbers = False
        self._seed = torch.default_generator.initial_seed()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.own_numbers |= torch.default_generator.initial_seed() != self._seed
        for target in (*args[:1], kwargs.get("tensor"), kwargs.get("out")):
            if isinstance(target, Tensor) and target.is_meta:
                self.own_numbers |= kwargs.get("generator") is not None
                if _fills(func):
                    return target
        return func(*args, **kwargs)


def _fills(func: Any) -> bool:
    return getattr(func, "__module__", None) == "torch.nn.init" or func.__name__ in _FILLS


@contextlib.contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Within, `nn.Parameter(data)` of this thread keeps shape, strides and type of `data` and drops its values."""
    ordinary, owner = nn.Parameter.__new__, threading.get_ident()

    def born_meta(cls: type, data: Any = None, requires_grad: bool = True) -> Any:
        if isinstance(data, Tensor) and threading.get_ident() == owner:
            data = data.detach().to("meta")
        return ordinary(cls, data, requires_grad)

    with _patching:
        nn.Parameter.__new__ = born_meta  # type: ignore[method-assign]
        try:
            yield
        finally:
            nn.Parameter.__new__ = ordinary  # type: ignore[method-assign]
