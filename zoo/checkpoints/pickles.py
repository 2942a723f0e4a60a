"""A reader of the pickle language that cannot run anything: what a file names stays a name.

Python's own unpickler imports whatever a file names and calls it. This one is a machine of its own over bytes, on the
standard library: it makes numbers, strings and containers; a name becomes a `Global`, and an object or a call becomes
a `Record` of the name, the arguments and the state, for the caller to walk. No code of the file's choosing runs, no
attribute is set on anything but a `Record`'s own dictionary. The few names that stand for data (`collections.OrderedDict`,
`set`, torch's tensor builders) are decided by the caller's `construct`.

Bounds keep a small file from filling the memory: the number of instructions, the length of a name, and what may be
hashed are limited, strings lie inside the file, and the memo is a dictionary, so a huge index costs nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.errors import WeightsError

MAX_INSTRUCTIONS = 2_000_000  # ours: checkpoints of our models need up to 1/10; makes at most a few 100 MB
MAX_NAME = 1024  # characters of a module or class name, ours
MAX_INTEGER = 64  # bytes of a big integer, ours: torch's magic number needs 10
MAX_KEY_PARTS = 32  # parts of a tuple used as a key, ours: nested shared tuples hash in exponential time
MAX_COPIED = 8_000_000  # members copied from one container to another, ours: a short call can copy a long list


@dataclass(frozen=True, slots=True)
class Global:
    """The name of a class or function; nothing is imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Record:
    """What a file wants to be an instance of `kind`, or the result of calling it with `args`.

    Attributes:
        state: attributes, by name.
        state_other: the state where it is not a dictionary of attributes.
        items: members, for subclasses of list; `pairs` for subclasses of dict.
    """

    kind: Global
    args: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)
    state_other: Any = None
    items: list[Any] = field(default_factory=list)
    pairs: dict[Any, Any] = field(default_factory=dict)

    def __repr__(self) -> str:  # short: records hold each other
        return f"<{self.kind}>"


Construct = Callable[[Global, tuple[Any, ...]], Any]
Persistent = Callable[[Any], Any]


def containers(kind: Global, args: tuple[Any, ...]) -> Any:
    """The default `construct`: plain containers and numbers; everything else is a `Record`.

    Raises:
        WeightsError: a container from arguments that do not make one.
    """
    builder = _CONTAINERS.get((kind.module.replace("__builtin__", "builtins"), kind.name))
    if builder is None:
        return Record(kind, args)
    try:
        return builder(*args)
    except (TypeError, ValueError) as err:
        raise WeightsError(f"the pickle makes a {kind} from arguments that do not make one: {err}") from err


def _listed(value: Any = ()) -> list[Any]:
    if not isinstance(value, list | tuple | set | frozenset):
        raise TypeError(f"a {type(value).__name__} is not a list")
    return list(value)


def _mapped(value: Any = ()) -> dict[Any, Any]:
    pairs = list(value.items()) if isinstance(value, dict) else _listed(value)
    if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise TypeError("not pairs")
    return {hashable(key): item for key, item in pairs}


def _complex(real: float, imag: float) -> complex:
    if not isinstance(real, int | float) or not isinstance(imag, int | float):
        raise TypeError("not numbers")
    return complex(real, imag)


_CONTAINERS: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _mapped,
    ("collections", "defaultdict"): lambda _factory=None, pairs=(): _mapped(pairs),
    ("collections", "Counter"): _mapped,
    ("builtins", "dict"): _mapped,
    ("builtins", "list"): _listed,
    ("builtins", "tuple"): lambda value=(): tuple(_listed(value)),
    ("builtins", "set"): lambda value=(): {hashable(item) for item in _listed(value)},
    ("builtins", "frozenset"): lambda value=(): frozenset(hashable(item) for item in _listed(value)),
    ("builtins", "complex"): _complex,
    ("torch", "Size"): lambda value=(): tuple(_listed(value)),
}


def hashable(key: Any) -> Any:
    """`key`, if hashing it is cheap and safe.

    Raises:
        WeightsError: a container, a huge integer (they can be made to collide), or a deeply shared tuple.
    """
    left, parts = [key], 0
    while left:
        one, parts = left.pop(), parts + 1
        if parts > MAX_KEY_PARTS:
            raise WeightsError(f"the pickle uses a tuple of more than {MAX_KEY_PARTS} parts as a key")
        if isinstance(one, tuple):
            left.extend(one)
        elif isinstance(one, int) and not -(1 << 63) <= one < 1 << 64:
            raise WeightsError("the pickle uses an integer of more than 64 bits as a key")
        elif isinstance(one, list | dict | set | bytearray):
            raise WeightsError(f"the pickle uses a {type(one).__name__} as a key")
    return key


def read_pickle(
    data: Any, *, start: int = 0, construct: Construct = containers, persistent: Persistent | None = None
) -> tuple[Any, int]:
    """The object that the pickle at `data[start:]` describes.

    Args:
        data: bytes, or a memory map.
        start: where the pickle begins.
        construct: makes a value of a name and its arguments (an object, or a call); `containers` for all the rest.
        persistent: makes a value of a persistent id; without it they are refused.

    Returns:
        The object, and the position after the pickle.

    Raises:
        WeightsError: not a pickle, cut short, or doing what no data does.
    """
    machine = _Machine(data, start, construct, persistent)
    try:
        return machine.run(), machine.position
    except (IndexError, KeyError, struct.error, UnicodeDecodeError, ValueError, TypeError, OverflowError) as err:
        raise WeightsError(
            f"damaged pickle at byte {machine.position}: {type(err).__name__}: {err!s:.200}; fetch the file again"
        ) from err


class _Machine:
    """Stack, memo and position; one method per group of instructions."""

    def __init__(self, data: Any, start: int, construct: Construct, persistent: Persistent | None) -> None:
        self.data, self.position, self.end = data, start, len(data)
        self.construct, self.persistent = construct, persistent
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def run(self) -> Any:
        for _ in range(MAX_INSTRUCTIONS):
            code = self.take(1)
            if code == b".":
                return self.stack.pop()
            instruction = _INSTRUCTIONS.get(code)
            if instruction is None:
                raise WeightsError(
                    f"the pickle has the instruction {code!r} at byte {self.position - 1}, which no weights need"
                )
            instruction(self)
        raise WeightsError(f"the pickle has more than {MAX_INSTRUCTIONS:,} instructions, which no weights need")

    # -- reading

    def take(self, count: int) -> bytes:
        if count < 0 or self.position + count > self.end:
            raise WeightsError(f"the pickle is cut short at byte {self.end}; fetch the file again")
        self.position += count
        return bytes(self.data[self.position - count : self.position])

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        return self.raw_line().decode()

    def raw_line(self) -> bytes:
        piece = bytes(self.data[self.position : min(self.end, self.position + MAX_NAME)])
        line, found, _ = piece.partition(b"\n")
        if not found:
            raise WeightsError(f"the pickle has a line of more than {MAX_NAME} bytes, or is cut short")
        self.position += len(line) + 1
        return line

    # -- stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def spend(self, *sources: Any) -> None:
        """Count what is about to be copied out of containers that may be shared."""
        self.copied += sum(len(one) for one in sources if isinstance(one, list | tuple | dict | set | frozenset))
        if self.copied > MAX_COPIED:
            raise WeightsError(f"the pickle copies more than {MAX_COPIED:,} members, which no weights need")

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    # -- names, objects, calls

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > MAX_NAME:
            raise WeightsError("the pickle names something by other than a short text")
        self.push(Global(module, name))

    def stack_name(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.name(module, name)

    def make(self, kind: Any, args: Any) -> None:
        if not isinstance(kind, Global):
            raise WeightsError(f"the pickle calls a {type(kind).__name__}, which no weights need: is it hostile?")
        if not isinstance(args, tuple):
            raise WeightsError(f"the pickle calls {kind} with a {type(args).__name__} for arguments")
        self.spend(*args)
        self.push(self.construct(kind, args))

    def call(self) -> None:
        args, kind = self.stack.pop(), self.stack.pop()
        self.make(kind, args)

    def call_with_keywords(self) -> None:
        keywords, args, kind = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.make(kind, args)
        if isinstance(self.stack[-1], Record):
            self.stack[-1].state_other = keywords

    def inst(self) -> None:
        module, name = self.line(), self.line()
        self.make(Global(module, name), tuple(self.since_mark()))

    def obj(self) -> None:
        kind, *args = self.since_mark()
        self.make(kind, tuple(args))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Global | list | tuple | str | bytes | int | float) or target is None:
            raise WeightsError(f"the pickle sets the state of a {type(target).__name__}: is it hostile?")
        if not isinstance(target, Record):
            return  # a dictionary's or tensor's own attributes (state-dict versions, hooks) are not data
        halves = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        self.spend(*halves)
        if all(
            half is None or (isinstance(half, dict) and all(isinstance(key, str) for key in half)) for half in halves
        ):
            for half in halves:
                target.state.update(half or {})
        else:
            target.state_other = state

    def persistent_id(self) -> None:
        if self.persistent is None:
            raise WeightsError("the pickle refers to something outside it, where nothing is expected")
        self.push(self.persistent(self.stack.pop()))

    # -- containers

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list | Record):
            raise WeightsError(f"the pickle appends to a {type(target).__name__}")
        (target.items if isinstance(target, Record) else target).extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict | Record) or len(items) % 2:
            raise WeightsError(f"the pickle sets members of a {type(target).__name__}")
        into = target.pairs if isinstance(target, Record) else target
        for index in range(0, len(items), 2):
            into[hashable(items[index])] = items[index + 1]

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def dictionary(self) -> None:
        items = self.since_mark()
        self.push({})
        self.set_items(items)

    def add_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, set):
            raise WeightsError(f"the pickle adds members to a {type(target).__name__}")
        target.update(hashable(item) for item in items)

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError("stack too short")
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.push(items)

    # -- numbers and texts

    def big_integer(self, length: int) -> None:
        if not 0 <= length <= MAX_INTEGER:
            raise WeightsError(f"the pickle has an integer of {length} bytes")
        self.push(int.from_bytes(self.take(length), "little", signed=True))

    def text_integer(self) -> None:
        line = self.line().removesuffix("L")
        if len(line) > 3 * MAX_INTEGER:
            raise WeightsError(f"the pickle has an integer of {len(line)} digits")
        self.push({"00": False, "01": True}[line] if line in ("00", "01") else int(line))

    def old_text(self, length: int) -> None:
        """A text of Python 2: UTF-8 as torch reads it, else bytes."""
        raw = self.take(length)
        try:
            self.push(raw.decode())
        except UnicodeDecodeError:
            self.push(raw)

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]


_INSTRUCTIONS: Mapping[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.take(1),  # PROTO
    b"\x95": lambda m: m.take(8),  # FRAME
    b"(": lambda m: m.mark(),
    b"0": lambda m: m.stack.pop() if m.stack else m.since_mark(),  # POP
    b"1": lambda m: m.since_mark(),  # POP_MARK
    b"2": lambda m: m.push(m.stack[-1]),  # DUP
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"I": lambda m: m.text_integer(),
    b"L": lambda m: m.text_integer(),
    b"\x8a": lambda m: m.big_integer(m.number("<B")),  # LONG1
    b"\x8b": lambda m: m.big_integer(m.number("<i")),  # LONG4
    b"F": lambda m: m.push(float(m.line())),
    b"G": lambda m: m.push(m.number(">d")),
    b"T": lambda m: m.old_text(m.number("<i")),  # BINSTRING
    b"U": lambda m: m.old_text(m.number("<B")),  # SHORT_BINSTRING
    b"V": lambda m: m.push(m.raw_line().decode("raw-unicode-escape")),  # UNICODE
    b"X": lambda m: m.push(m.take(m.number("<I")).decode("utf-8", "surrogatepass")),  # BINUNICODE
    b"\x8c": lambda m: m.push(m.take(m.number("<B")).decode("utf-8", "surrogatepass")),
    b"\x8d": lambda m: m.push(m.take(m.number("<Q")).decode("utf-8", "surrogatepass")),
    b"B": lambda m: m.push(m.take(m.number("<I"))),  # BINBYTES
    b"C": lambda m: m.push(m.take(m.number("<B"))),
    b"\x8e": lambda m: m.push(m.take(m.number("<Q"))),
    b"\x96": lambda m: m.push(bytearray(m.take(m.number("<Q")))),  # BYTEARRAY8
    b"]": lambda m: m.push([]),
    b"}": lambda m: m.push({}),
    b")": lambda m: m.push(()),
    b"\x8f": lambda m: m.push(set()),
    b"l": lambda m: m.push(m.since_mark()),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"d": lambda m: m.dictionary(),
    b"\x91": lambda m: m.push(frozenset(hashable(item) for item in m.since_mark())),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"a": lambda m: m.extend([m.stack.pop()]),
    b"e": lambda m: m.extend(m.since_mark()),
    b"s": lambda m: m.set_item(),
    b"u": lambda m: m.set_items(m.since_mark()),
    b"\x90": lambda m: m.add_items(m.since_mark()),
    b"c": lambda m: m.name(m.line(), m.line()),  # GLOBAL
    b"\x93": lambda m: m.stack_name(),
    b"R": lambda m: m.call(),
    b"\x81": lambda m: m.call(),  # NEWOBJ: the same to a reader that calls nothing
    b"\x92": lambda m: m.call_with_keywords(),
    b"i": lambda m: m.inst(),
    b"o": lambda m: m.obj(),
    b"b": lambda m: m.build(),
    b"Q": lambda m: m.persistent_id(),
    b"p": lambda m: m.remember(int(m.line()[:20])),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),  # MEMOIZE
    b"g": lambda m: m.push(m.memo[int(m.line()[:20])]),
    b"h": lambda m: m.push(m.memo[m.number("<B")]),
    b"j": lambda m: m.push(m.memo[m.number("<I")]),
}
