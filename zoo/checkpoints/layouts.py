"""Weights files of other projects as flat state dicts, and their converted copies in the cache.

Pickled files are read by `zoo.checkpoints.quarantine`, all of them: `torch.load(weights_only=True)` runs nothing either, but it
refuses whole networks, and 300 bytes (a tuple of tuples as a key) keep it busy for ever. They are read once: the
tensors go into a safetensors file under `ZOO_CACHE`, named by the SHA-256 of the source, with what a pickled network
holds beside its state dict (prototype classes, radii, configuration) in the same file.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256 as sha256_digest
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zoo.checkpoints.pickles import Record
from zoo.checkpoints.quarantine import is_module, is_plain, module_attributes, module_state, read_pickled
from zoo.errors import OutputError, WeightsError, ZooWarning
from zoo.hub.records import sha256_of, zoo_cache
from zoo.spec import Layout

logger = logging.getLogger(__name__)
READER = 1  # goes into the names of converted copies; counted up when what is written changes
_ATTRIBUTE = "zoo.attribute:"  # begins the keys of tensors that are not in the state dict
# Where checkpoints keep the state dict, in this order; the names that our ten models' authors and their tools write.
_HOMES = ("state_dict", "model_state_dict", "model", "module", "network", "net", "weights")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What a weights file holds.

    Attributes:
        state: tensors under the authors' keys.
        attributes: what a pickled network or checkpoint holds beside them, by dotted name: numbers, texts, tensors,
            lists, tuples, sets, dicts.
    """

    state: dict[str, Tensor]
    attributes: Mapping[str, Any] = field(default_factory=dict)


def read_layout(path: Path, layout: Layout) -> Checkpoint:
    """Read a weights file of any layout; a safetensors file is known by its contents, whatever the layout says.

    Raises:
        WeightsError: the file is damaged, hostile, of another layout, or has no state dict.
    """
    if is_safetensors(path):
        return _with_attributes(path)
    if layout == Layout.SAFETENSORS:
        map_safetensors(path)  # raises what is wrong with it
    checkpoint = _flatten(read_pickled(path), layout, path)
    _check_state(checkpoint.state, path)
    return checkpoint


def read_cached(path: Path, layout: Layout, *, sha256: str | None = None) -> Checkpoint:
    """As `read_layout`, from the copy in the cache, which is made on the first call.

    Args:
        path: the authors' file.
        layout: how it is laid out.
        sha256: of the file; computed where it is not given, and remembered by the file's size and time.
    """
    if layout == Layout.SAFETENSORS or is_safetensors(path):
        return read_layout(path, layout)
    try:
        digest = sha256 or known_sha256(path)
    except OSError as err:
        raise WeightsError(f"cannot read {path}: {err.strerror or err}") from err
    copy = zoo_cache() / "converted" / f"{digest}-{layout}-{READER}.safetensors"
    if not _untouched(copy):
        checkpoint = read_layout(path, layout)
        try:
            _keep(checkpoint, copy)
        except OutputError as err:
            warnings.warn(f"{err}; {path.name} will be converted at each load", ZooWarning, stacklevel=3)
            return checkpoint
        logger.info("converted %s to %s", path, copy)
    return _with_attributes(copy)


# --------------------------------------------------------------------------------------------------------- safetensors


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as a safetensors file does: the length of a header, then the header."""
    try:
        with path.open("rb") as opened:
            start, size = opened.read(9), os.fstat(opened.fileno()).st_size
    except OSError as err:
        raise WeightsError(f"cannot read {path}: {err.strerror or err}") from err
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") + 8 <= size


def map_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, mapped: read when touched, private when written.

    Raises:
        WeightsError: not a safetensors file, or its length is not what its header says.
    """
    return {key: tensor for key, tensor in _mapped(path)[0].items() if not key.startswith(_ATTRIBUTE)}


def _mapped(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as opened:
            return opened.get_tensors(), dict(opened.metadata() or {})
    except (SafetensorError, OSError, ValueError, RuntimeError) as err:
        advice = (
            "it is a pickled checkpoint: `zoo convert MODEL FILE` reads it safely"
            if _begins(path) in (b"PK", b"\x80\x02")
            else "it may be cut short: fetch it again"
        )
        raise WeightsError(f"{path} is not a whole safetensors file ({err}); {advice}") from err


def _begins(path: Path) -> bytes:
    """The first two bytes, which tell an archive (`PK`) or a pickle from other files."""
    with contextlib.suppress(OSError), path.open("rb") as opened:
        return opened.read(2)
    return b""


def save_safetensors(state: Mapping[str, Tensor], path: Path, attributes: str | None = None) -> None:
    """Write tensors, whole or not at all; tensors that share memory are written each.

    Args:
        state: tensors by key; the same tensors make the same bytes.
        path: the file; its folder is made.
        attributes: JSON for the metadata `zoo.attributes`; the only entry, since safetensors shuffles several.

    Raises:
        OutputError: `path` cannot be written.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    seen: set[int] = set()
    alone: dict[str, Tensor] = {}
    for key, tensor in state.items():
        one = tensor.detach().to("cpu").contiguous()
        place = one.untyped_storage().data_ptr()
        alone[key] = one.clone() if place in seen else one
        seen.add(place)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(alone, new, None if attributes is None else {"zoo.attributes": attributes})
        new.chmod(0o644)  # safetensors makes files that only their owner reads; caches and folders are shared
        os.replace(new, path)
    except (OSError, SafetensorError) as err:
        raise OutputError(f"cannot write {path}: {err}; choose a place with room that you may write to") from err
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


# ----------------------------------------------------------------------------------------------------- pickled layouts


def _flatten(value: Any, layout: Layout, path: Path) -> Checkpoint:
    """The state dict and what is beside it, by the layout's rules."""
    match layout:
        case Layout.LIGHTNING:
            homes: tuple[str, ...] = ("state_dict",)
        case Layout.ULTRALYTICS:  # `ema` is the network to use while training has not ended
            homes = ("ema", "model")
        case _:
            homes = _HOMES
    beside: dict[str, Any] = {}
    if isinstance(value, dict) and not _is_state(value):
        home = next((name for name in homes if _is_state(value.get(name)) or is_module(value.get(name))), None)
        if home is None:
            raise WeightsError(_no_state(value, layout, path, homes))
        beside = {f"{key}": one for key, one in value.items() if key != home and is_plain(one, tensors=False)}
        value = value[home]
    elif layout in (Layout.LIGHTNING, Layout.ULTRALYTICS):
        logger.info("%s is not a %s checkpoint but what is inside one", path, layout)
    if is_module(value):
        return Checkpoint(state=module_state(value), attributes={**beside, **module_attributes(value)})
    if not _is_state(value):
        raise WeightsError(_no_state(value, layout, path, homes))
    state = dict(value)
    if layout == Layout.OPEN_CLIP and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    return Checkpoint(state=state, attributes=beside)


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in value.items())
    )


def _no_state(value: Any, layout: Layout, path: Path, homes: tuple[str, ...]) -> str:
    found = f"a {type(value).__name__}"  # never its repr: it may be nested without end
    if isinstance(value, dict):
        found = f"a dict with {', '.join(f'{key!s:.40}' for key in list(value)[:12]) or 'nothing in it'}"
    elif isinstance(value, Record):
        found = f"what is left of {value.kind}"
    return (
        f"{path} has no state dict: found {found}, expected tensors by name, or a network, under one of"
        f" {', '.join(homes)} (layout {layout}); is it another layout?"
    )


def _check_state(state: dict[str, Tensor], path: Path) -> None:
    """Strided tensors on the CPU, that together are not much more than the file."""
    for key, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise WeightsError(f"{key} in {path} is a {tensor.layout} tensor; expected a plain one: ask its authors")
    held, size = sum(tensor.numel() * tensor.element_size() for tensor in state.values()), path.stat().st_size
    if held > 8 * size + (64 << 20):  # ours: tied and expanded tensors are few
        raise WeightsError(f"{path} shows {held:,} bytes of tensors in {size:,} bytes: it repeats the same numbers")


# ------------------------------------------------------------------------------------------------------ converted copies


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """A file as it was when it was hashed."""

    size: int
    mtime_ns: int
    sha256: str


def _keep(checkpoint: Checkpoint, copy: Path) -> None:
    tensors: dict[str, Tensor] = {}
    attributes = {name: _pack(name, value, tensors) for name, value in checkpoint.attributes.items()}
    save_safetensors({**checkpoint.state, **tensors}, copy, json.dumps(attributes))
    _write_seen(copy, _note(copy))


def _with_attributes(path: Path) -> Checkpoint:
    tensors, metadata = _mapped(path)
    state = {key: tensor for key, tensor in tensors.items() if not key.startswith(_ATTRIBUTE)}
    try:
        packed = json.loads(metadata.get("zoo.attributes", "{}"))
        return Checkpoint(state=state, attributes={name: _unpack(value, tensors) for name, value in packed.items()})
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as err:
        raise WeightsError(f"{path}: its metadata `zoo.attributes` is not what zoo writes ({err})") from err


def _pack(name: str, value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON of a plain value; containers other than lists are told by a tag, tensors go into `tensors`."""
    match value:
        case Tensor():
            key = f"{_ATTRIBUTE}{len(tensors)}:{name}"
            tensors[key] = value
            return {"tensor": key}
        case dict():
            return {"dict": [[_pack(name, one, tensors) for one in pair] for pair in value.items()]}
        case list():
            return [_pack(name, one, tensors) for one in value]
        case tuple() | set() | frozenset():
            kind = "tuple" if isinstance(value, tuple) else "set"
            return {kind: [_pack(name, one, tensors) for one in value]}
        case _:
            return value


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    match value:
        case {"tensor": key}:
            return tensors[key]
        case {"dict": pairs}:
            return {_unpack(key, tensors): _unpack(one, tensors) for key, one in pairs}
        case {"tuple": items}:
            return tuple(_unpack(one, tensors) for one in items)
        case {"set": items}:
            return {_unpack(one, tensors) for one in items}
        case list():
            return [_unpack(one, tensors) for one in value]
        case _:
            return value


def _untouched(copy: Path) -> bool:
    """Whether the converted copy is there as it was written; one that was altered is written again."""
    seen = _read_seen(copy)
    if seen is None or not copy.is_file():
        return False
    return _glance(copy) == (seen.size, seen.mtime_ns) or sha256_of(copy) == seen.sha256


def known_sha256(path: Path) -> str:
    """The file's SHA-256, remembered by its path, size and time."""
    name = sha256_digest(str(path.resolve()).encode()).hexdigest()
    memory = zoo_cache() / "converted" / "sources" / name
    seen = _read_seen(memory)
    if seen is None or (seen.size, seen.mtime_ns) != _glance(path):
        seen = _note(path)
        with contextlib.suppress(OutputError):
            _write_seen(memory, seen)
    return seen.sha256


def _glance(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _note(path: Path) -> _Seen:
    size, mtime_ns = _glance(path)
    return _Seen(size=size, mtime_ns=mtime_ns, sha256=sha256_of(path))


def _read_seen(path: Path) -> _Seen | None:
    try:
        return _Seen(**json.loads(path.with_name(f"{path.name}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _write_seen(path: Path, seen: _Seen) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.json")
    try:
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(asdict(seen)))
        os.replace(new, path.with_name(f"{path.name}.json"))
    except OSError as err:
        raise OutputError(f"cannot write {path}.json: {err.strerror or err}") from err
