"""Old pickled checkpoints, read without running anything: `torch.save` files as tensors, containers and `Record`s.

State dicts, checkpoints with objects beside the weights, and whole networks (`torch.save(model)`). Classes need not
exist; an unknown one becomes a `zoo.checkpoints.pickles.Record` whose `_parameters`,
`_buffers`, `_modules` and other attributes can be walked (`module_state`, `module_attributes`). Tensors are views of
the mapped file, on the CPU wherever they were saved.

What is checked, since every number in the file may be a lie: archive members lie inside the file and do not overlap,
storages inside their member, tensors inside their storage; no member is compressed; nothing is written anywhere.
"""

from __future__ import annotations

import itertools
import mmap
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.checkpoints.pickles import Global, Record, containers, read_pickle
from zoo.errors import WeightsError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # torch/serialization.py, MAGIC_NUMBER: files of torch < 1.6
MAX_DEPTH = 100  # of nested modules, ours
MAX_MODULES = 100_000  # of a network, ours
MAX_PLAIN = 10_000  # parts of an attribute that is kept, ours
EXPANDED = 1 << 16  # numbers that a tensor may show although its storage has fewer (`expand`), ours
_DTYPES: Mapping[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
_UNTYPED = ("uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")


def read_pickled(path: Path) -> Any:
    """The object in a file of `torch.save`, zipped (torch >= 1.6) or legacy.

    Raises:
        WeightsError: no such file, damaged, not such a file, or doing what no weights do.
    """
    data = _mapped(path)
    try:
        if data[:4] == b"PK\x03\x04":
            return _read_zipped(data)
        if data[257:262] == b"ustar":
            raise WeightsError("it is in the tar format of torch 0.1; load and save it once with torch 1.x")
        return _read_legacy(data)
    except WeightsError as err:
        raise WeightsError(f"{path}: {err}") from err


def _mapped(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as opened:
            return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY)  # private: tensors may be written
    except (OSError, ValueError) as err:
        raise WeightsError(f"cannot read {path} ({err}); expected a checkpoint of torch.save") from err


# --------------------------------------------------------------------------------------------------------- two formats


def _read_zipped(data: mmap.mmap) -> Any:
    root, members = _members(data)
    if "code" in {name.split("/")[0] for name in members}:
        raise WeightsError("it is a TorchScript program, not weights; ask its authors for the state dict")
    if "byteorder" in members and data[slice(*members["byteorder"])] != b"little":
        raise WeightsError("its numbers are big-endian; save it again on another machine")
    if "data.pkl" not in members:
        raise WeightsError(f"the archive has no {root}/data.pkl; expected a checkpoint of torch.save")

    def storage(key: str, dtype: torch.dtype, _numel: int) -> Tensor:
        if f"data/{key}" not in members:
            raise WeightsError(f"the storage {key!r:.80} is not in the file")
        start, stop = members[f"data/{key}"]
        return _numbers(data, start, (stop - start) // dtype.itemsize, dtype)

    start, stop = members["data.pkl"]
    value, _ = read_pickle(memoryview(data)[start:stop], construct=_construct, persistent=_Storages(storage))
    return value


def _members(data: mmap.mmap) -> tuple[str, dict[str, tuple[int, int]]]:
    """Name of the archive's folder, and where in the file each member's bytes lie, by name below the folder.

    Names are only ever looked up, never used as paths.
    """
    try:
        with zipfile.ZipFile(_Seekable(data)) as archive:
            listed = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error, EOFError) as err:
        raise WeightsError(f"damaged archive ({err}); fetch the file again") from err
    root, members = "", {}
    spans: list[tuple[int, int]] = []
    for one in listed:
        folder, _, name = one.filename.partition("/")
        root = root or folder
        if folder != root or not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", name) or ".." in name.split("/"):
            raise WeightsError(f"the archive has a member {one.filename!r:.80}, outside its folder {root!r:.80}")
        if one.compress_type != zipfile.ZIP_STORED or one.compress_size != one.file_size or one.flag_bits & 1:
            raise WeightsError(f"the member {name!r} is compressed or encrypted; torch.save stores plainly")
        if name in members:
            raise WeightsError(f"the archive has two members {name!r}")
        header = data[one.header_offset : one.header_offset + 30]
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise WeightsError(f"damaged archive: no header before {name!r}; fetch the file again")
        start = one.header_offset + 30 + sum(struct.unpack("<HH", header[26:30]))
        members[name] = (start, start + one.file_size)
        spans.append(members[name])
    spans.sort()
    if any(stop > len(data) for _, stop in spans) or any(
        stop > start for (_, stop), (start, _) in itertools.pairwise(spans)
    ):
        raise WeightsError("members of the archive overlap or reach beyond the file")
    _check_sums(data, listed, members)
    return root, members


def _check_sums(data: mmap.mmap, listed: Sequence[zipfile.ZipInfo], members: Mapping[str, tuple[int, int]]) -> None:
    """What was altered on its way shows; torch can be told to compute no sums, and writes 0 then."""
    for one in listed:
        name = one.filename.partition("/")[2]
        start, stop = members[name]
        with memoryview(data) as whole:
            if one.CRC and zlib.crc32(whole[start:stop]) != one.CRC:
                raise WeightsError(f"damaged archive: the sum of {name!r:.80} is another; fetch the file again")


def _read_legacy(data: mmap.mmap) -> Any:
    """Five pickles (magic, version, system, object, storage keys), then the storages: a count and the numbers each.

    The object is read twice: once to find where it ends and which storages it names, then with the storages' places.
    """
    magic, position = read_pickle(data)
    if magic != LEGACY_MAGIC:
        raise WeightsError("it is a pickle, but not one of torch.save; expected a checkpoint of torch.save")
    version, position = read_pickle(data, start=position)
    if version != 1001:
        raise WeightsError(f"its format version is {version!r:.40}, expected 1001")
    _, position = read_pickle(data, start=position)
    named: dict[str, tuple[torch.dtype, int]] = {}

    def note(key: str, dtype: torch.dtype, numel: int) -> Tensor:
        if named.setdefault(key, (dtype, numel)) != (dtype, numel):
            raise WeightsError(f"the storage {key!r:.80} is named with two types or sizes")
        return torch.empty(0, dtype=dtype)

    _, end = read_pickle(data, start=position, construct=_unread, persistent=_Storages(note))
    keys, offset = read_pickle(data, start=end)
    if not isinstance(keys, list) or not all(isinstance(key, str) and key in named for key in keys):
        raise WeightsError("damaged: its list of storages does not belong to its contents; fetch the file again")
    places: dict[str, Tensor] = {}
    for key in keys:
        dtype, numel = named[key]
        (count,) = struct.unpack("<q", data[offset : offset + 8].ljust(8, b"\xff"))
        if count != numel:
            raise WeightsError(f"damaged: the storage {key!r:.80} holds {count} numbers, expected {numel}")
        places[key] = _numbers(data, offset + 8, numel, dtype)
        offset += 8 + numel * dtype.itemsize

    def storage(key: str, _dtype: torch.dtype, _numel: int) -> Tensor:
        if key not in places:
            raise WeightsError(f"the storage {key!r:.80} is not in the file")
        return places[key]

    value, _ = read_pickle(data, start=position, construct=_construct, persistent=_Storages(storage))
    return value


class _Seekable:
    """A memory map as the file that `zipfile` wants; nothing can be written."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, len(self._data))[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        stop = len(self._data) if size < 0 else min(len(self._data), self._at + size)
        piece = self._data[self._at : stop]
        self._at += len(piece)
        return piece


# ------------------------------------------------------------------------------------------------------------- tensors


def _numbers(data: mmap.mmap, start: int, count: int, dtype: torch.dtype) -> Tensor:
    """`count` numbers of the mapped file as a flat tensor; not copied."""
    if start < 0 or count < 0 or start + count * dtype.itemsize > len(data):
        raise WeightsError(f"cut short: {count:,} numbers of {dtype} at byte {start:,} of {len(data):,}")
    if count == 0:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(data, dtype=dtype, count=count, offset=start)


@dataclass(frozen=True, slots=True)
class _Storages:
    """Resolves the persistent ids of torch: ("storage", type, key, device, numel[, view]), ("module", class, ...)."""

    find: Callable[[str, torch.dtype, int], Tensor]

    def __call__(self, pid: Any) -> Tensor | Global:
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module" and isinstance(pid[1], Global):
            return pid[1]  # a class with its source code, which torch < 1.6 stored beside it
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise WeightsError(f"the pickle refers to {type(pid).__name__} {_brief(pid)}, expected a storage")
        _, kind, key, _device, numel, *view = pid
        if not isinstance(kind, Global) or kind.name not in _DTYPES or kind.module.split(".")[0] != "torch":
            raise WeightsError(f"unknown type of storage {_brief(kind)}")
        if not isinstance(key, str) or not _is_count(numel):
            raise WeightsError(f"the pickle refers to a storage {_brief(key)} of {_brief(numel)} numbers")
        flat = self.find(key, _DTYPES[kind.name], numel)
        if view and view[0] is not None:
            flat = _viewed(flat, view[0])
        return flat


def _viewed(flat: Tensor, view: Any) -> Tensor:
    """Part of a storage, as files before torch 0.4 name it: (key, offset, numel)."""
    match view:
        case (str(), offset, numel) if _is_count(offset) and _is_count(numel):
            if flat.numel() and offset + numel > flat.numel():
                raise WeightsError(f"a view of {numel} numbers at {offset} leaves its storage of {flat.numel()}")
            return flat[offset : offset + numel]
        case _:
            raise WeightsError(f"the pickle has an unknown view of a storage: {_brief(view)}")


def _construct(kind: Global, args: tuple[Any, ...]) -> Any:
    """Tensors and parameters of torch, containers, and records for all else."""
    match (kind.module, kind.name), args:
        case ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2"), (flat, offset, size, stride, *_):
            return _tensor(flat, offset, size, stride)
        case ("torch._utils", "_rebuild_tensor_v3"), (
            Tensor() as flat,
            start,
            size,
            stride,
            _,
            _,
            Global() as dtype,
            *_,
        ):
            return _tensor(_retyped(flat, dtype), start, size, stride)
        case ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state"), (Tensor() as value, *_):
            return value
        case ("torch._tensor", "_rebuild_from_type_v2"), (Global() as inner, _, tuple() as inner_args, _):
            built = _construct(inner, inner_args) if inner != kind else None
            if not isinstance(built, Tensor):
                raise WeightsError(f"the pickle builds a tensor with {inner}")
            return built
        case ("torch._utils", name), _ if name.startswith(("_rebuild_tensor", "_rebuild_parameter")):
            raise WeightsError(f"the pickle calls {kind} with arguments that do not make a tensor")
        case _:
            return containers(kind, args)


def _unread(kind: Global, args: tuple[Any, ...]) -> Any:
    """As `_construct` while the storages are not known yet."""
    return torch.empty(0) if kind.module in ("torch._utils", "torch._tensor") else containers(kind, args)


def _tensor(flat: Any, offset: Any, size: Any, stride: Any) -> Tensor:
    """A view of a flat storage, if it lies inside it and does not show its numbers more than once."""
    whole = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= 16
    if not isinstance(flat, Tensor) or not whole or not all(map(_is_count, (offset, *size, *stride))):
        raise WeightsError("the pickle describes a tensor by something other than a storage and counts")
    numel, last = 1, offset
    for extent, step in zip(size, stride, strict=True):
        numel *= extent
        last += (extent - 1) * step
    if numel and (last >= flat.numel() or numel > max(flat.numel(), EXPANDED)):
        raise WeightsError(f"a tensor of size {size} at {offset} leaves its storage of {flat.numel():,} numbers")
    return torch.as_strided(flat, size, stride, flat.storage_offset() + offset) if numel else flat.new_empty(size)


def _retyped(flat: Tensor, kind: Global) -> Tensor:
    """The bytes of an untyped storage as numbers of a type that has no storage class of its own."""
    dtype = getattr(torch, kind.name, None) if kind.module == "torch" and kind.name in _UNTYPED else None
    if dtype is None or flat.numel() % dtype.itemsize:
        raise WeightsError(f"the pickle describes a tensor of the unknown type {kind}")
    return flat.view(dtype)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def _brief(value: Any) -> str:
    return f"{value!r:.80}" if isinstance(value, str | bytes | int | Global) else f"a {type(value).__name__}"


# ------------------------------------------------------------------------------------------------------- whole networks


def is_module(value: Any) -> bool:
    """Whether a record is what is left of an `nn.Module`."""
    return isinstance(value, Record) and {"_parameters", "_modules"} <= value.state.keys()


def module_state(record: Record) -> dict[str, Tensor]:
    """The state dict of a pickled network: parameters and persistent buffers by dotted key.

    Raises:
        WeightsError: modules nested without end, or something else where a tensor should be.
    """
    state: dict[str, Tensor] = {}
    for prefix, module in _modules(record):
        transient = _transient(module)
        for member in ("_parameters", "_buffers"):
            for name, value in _table(module, member).items():
                if value is None or (member == "_buffers" and name in transient):
                    continue
                if not isinstance(value, Tensor):
                    raise WeightsError(f"{prefix}{name} of the pickled network is {_brief(value)}, expected a tensor")
                state[f"{prefix}{name}"] = value
    return state


def module_attributes(record: Record) -> dict[str, Any]:
    """What else the modules of a pickled network hold: numbers, texts, tensors and containers of them, by dotted name.

    Left out are private names (but for non-persistent buffers, which are tensors too) and unknown objects.
    """
    found: dict[str, Any] = {}
    for prefix, module in _modules(record):
        transient = _transient(module)
        buffers = {name: value for name, value in _table(module, "_buffers").items() if name in transient}
        for name, value in {**module.state, **buffers}.items():
            if not name.startswith("_") and name != "training" and is_plain(value):
                found[f"{prefix}{name}"] = value
    return found


def _modules(record: Record) -> Iterator[tuple[str, Record]]:
    """Modules by dotted prefix, parents first; a file can make them share each other without end."""
    waiting, met = [("", record, 0)], 0
    while waiting:
        prefix, module, depth = waiting.pop()
        yield prefix, module
        met += 1
        if depth > MAX_DEPTH or met > MAX_MODULES:
            raise WeightsError(f"the pickled network nests modules without end at {prefix:.80}")
        children = [(f"{prefix}{name}.", child) for name, child in _table(module, "_modules").items()]
        waiting += [(name, child, depth + 1) for name, child in reversed(children) if is_module(child)]


def _transient(module: Record) -> set[Any] | frozenset[Any]:
    """Names of the buffers that are not in the state dict; torch before 1.6 knew none."""
    names = module.state.get("_non_persistent_buffers_set") or frozenset()
    if not isinstance(names, set | frozenset):
        raise WeightsError(
            f"the non-persistent buffers of the pickled {module.kind} are {_brief(names)}, expected a set"
        )
    return names


def _table(module: Record, member: str) -> dict[str, Any]:
    value = module.state.get(member) or {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise WeightsError(f"{member} of the pickled {module.kind} is {_brief(value)}, expected tensors by name")
    return value


def is_plain(value: Any, *, tensors: bool = True) -> bool:
    """Whether `value` is a number, a text, a tensor or a moderate container of them."""
    waiting, met = [value], 0
    while waiting:
        one, met = waiting.pop(), met + 1
        if met > MAX_PLAIN:
            return False
        if isinstance(one, dict):
            waiting += [*itertools.islice(one, MAX_PLAIN), *itertools.islice(one.values(), MAX_PLAIN)]
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += itertools.islice(one, MAX_PLAIN)
        elif not (one is None or isinstance(one, bool | int | float | str) or (tensors and isinstance(one, Tensor))):
            return False
    return True
