"""The JSON form of the types in `zoo.spec`: what `config.json` in a saved folder holds.

`encode(spec)` gives plain data, `decode(Type, data)` gives the object back; an unknown or missing field raises
`SpecError` with its path. A step is told by `"step": "Percentile"`.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

from zoo import spec as spec_types
from zoo.errors import SpecError

T = TypeVar("T")
_STEPS = {step.__name__: step for step in typing.get_args(spec_types.Step)}


def encode(value: Any) -> Any:
    """Plain JSON data of a spec, or of any part of one."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        data = {item.name: encode(getattr(value, item.name)) for item in dataclasses.fields(value)}
        return {"step": type(value).__name__, **data} if type(value) in _STEPS.values() else data
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def decode(kind: type[T], data: Any, *, where: str = "") -> T:
    """The object of type `kind` that `data` describes."""
    return typing.cast("T", _decode(kind, data, where or kind.__name__))


def _decode(kind: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if kind is Any:
        return data
    if origin in (typing.Union, types.UnionType):
        return _decode_union(kind, data, where)
    if origin is tuple:
        return _decode_tuple(typing.get_args(kind), data, where)
    if origin in (Mapping, dict):
        _expect(isinstance(data, Mapping), where, "an object", data)
        (_, item) = typing.get_args(kind)
        return {str(key): _decode(item, value, f"{where}.{key}") for key, value in data.items()}
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(typing.cast("type", kind), data, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(data)
        except ValueError as err:
            raise SpecError(f"{where}: {data!r} is none of {', '.join(str(item.value) for item in kind)}") from err
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    _expect(isinstance(data, kind) and not (kind is int and isinstance(data, bool)), where, kind.__name__, data)
    return data


def _decode_union(kind: Any, data: Any, where: str) -> Any:
    members = typing.get_args(kind)
    if set(members) == set(_STEPS.values()):
        _expect(isinstance(data, Mapping) and data.get("step") in _STEPS, where, "a step", data)
        return _decode(_STEPS[data["step"]], {key: value for key, value in data.items() if key != "step"}, where)
    if data is None and types.NoneType in members:
        return None
    (member,) = [member for member in members if member is not types.NoneType]
    return _decode(member, data, where)


def _decode_tuple(items: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    _expect(isinstance(data, list | tuple), where, "a list", data)
    if items[-1] is Ellipsis:
        items = (items[0],) * len(data)
    _expect(len(items) == len(data), where, f"{len(items)} items", data)
    return tuple(
        _decode(item, value, f"{where}[{index}]") for index, (item, value) in enumerate(zip(items, data, strict=True))
    )


def _decode_dataclass(kind: type, data: Any, where: str) -> Any:
    _expect(isinstance(data, Mapping), where, "an object", data)
    hints = typing.get_type_hints(kind)
    for name in data:
        if name not in hints:
            near = difflib.get_close_matches(str(name), hints, n=1)
            raise SpecError(f"{where}: unknown field {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    try:
        return kind(**{name: _decode(hints[name], value, f"{where}.{name}") for name, value in data.items()})
    except TypeError as err:  # a required field is missing: the message names it
        raise SpecError(f"{where}: {err}") from err


def _expect(holds: bool, where: str, expected: str, found: Any) -> None:
    if not holds:
        raise SpecError(f"{where}: expected {expected}, found {found!r:.80}")
