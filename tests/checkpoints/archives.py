"""Checkpoint files made by hand, as torch would write them and as it never would."""

import io
import pickle
import struct
import zipfile
from pathlib import Path

import torch

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001  # torch/serialization.py
FLOATS = b"ctorch\nFloatStorage\n"


def archive(path: Path, pickled: bytes, storages: dict[str, bytes] | None = None, *, root="archive", extra=()) -> Path:
    """A zip as `torch.save` lays it out, with `pickled` for its object."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as out:
        out.writestr(f"{root}/data.pkl", pickled)
        out.writestr(f"{root}/byteorder", b"little")
        out.writestr(f"{root}/version", b"3\n")
        for key, data in (storages or {}).items():
            out.writestr(f"{root}/data/{key}", data)
        for name, data in extra:
            out.writestr(name, data)
    return path


def legacy(path: Path, pickled: bytes, keys=(), storages=b"") -> Path:
    """A file as torch before 1.6 wrote it."""
    head = b"".join(pickle.dumps(one, protocol=2) for one in (MAGIC, VERSION, {"little_endian": True}))
    path.write_bytes(head + pickled + pickle.dumps(list(keys), protocol=2) + storages)
    return path


def storage(key: str, numel: int, kind: bytes = FLOATS) -> bytes:
    """Instructions that push the storage `key`."""
    return b"(" + text("storage") + kind + text(key) + text("cpu") + integer(numel) + b"tQ"


def tensor(where: bytes, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """Instructions that push a tensor on the storage that `where` pushes."""
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + where
        + integer(offset)
        + tuple_of(size)
        + tuple_of(stride)
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def state_dict(**tensors: bytes) -> bytes:
    """A whole pickle of a state dict whose values are pushed by the given instructions."""
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in tensors.items()) + b"u."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def tuple_of(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


def saved(value, **options) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()
