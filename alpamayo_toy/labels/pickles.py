"""Pickles of texts, numbers and lists, read without calling or importing anything that is written in them."""

import ast
import io
import math
import pickle
import pickletools
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from alpamayo_toy.errors import UserError

PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
GETS = ("GET", "BINGET", "LONG_BINGET")
# fmt: off
OPCODES = frozenset((
    *PUTS, "MEMOIZE", *GETS,
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG",
    "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE",
    "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "GLOBAL", "STACK_GLOBAL", "REDUCE",
    "BUILD", "BINPERSID",
))
# fmt: on
MAX_OPCODES = 2_000_000  # at worst 10 seconds and 600 MB; a text takes 2 of them, in a list of its own 5
MAX_STACK = 1_000_000  # lists and dicts come in batches of 1000, tuples in one piece
MAX_MARKS = 1000  # one for each open list, dict or tuple; nobody nests deeper
MAX_DEPTH = 50  # what is walked recursively, far below Python's own limit
MAX_AXES = 64  # numpy's own limit
MAX_EMPTY = 10_000_000  # axis of an array without content, whose size no byte of the file bounds
SHARED = 1_000_000  # leaves that a pickle may repeat by reference beyond those it spells out
SMALL = 2**31  # larger ints can be chosen to collide as dict keys, which makes a dict quadratic

MAX_TEXT_DEPTH, MAX_TEXT_LEAVES, MAX_TEXT, MAX_JOINED = 8, 1000, 10_000, 100_000

NUMBER = re.compile(r"b1|[iu][1248]|f[248]|U\d{1,9}")
OBJECT = re.compile(r"O\d?")


def scan(data: bytes, where: str, globals_allowed: Collection[tuple[str, str]]) -> None:
    """Goes over every instruction of a pickle before any of it is loaded.

    UserError, naming `where`, for a name outside globals_allowed, an instruction outside OPCODES, a memo index or a
    stack that asks for more memory than the bytes hold, a dict key that is neither text nor a small int, and for
    whatever is no complete pickle up to the last byte.
    """
    machine = _Machine()
    try:
        for seen, (opcode, arg, position) in enumerate(pickletools.genops(data)):
            if opcode.name in ("GLOBAL", "INST"):
                module, _, name = str(arg).partition(" ")
                _check_global(where, module, name, globals_allowed)
            elif opcode.name == "STACK_GLOBAL":
                _check_global(where, *machine.top_names(where), globals_allowed)
            elif opcode.name == "FRAME" and int(arg or 0) > len(data):
                raise ValueError(f"a frame of {arg} bytes")
            elif opcode.name == "STOP" and position != len(data) - 1:
                raise ValueError("more bytes follow its end")
            if opcode.name not in OPCODES:
                raise UserError(f"{where} holds the pickle instruction {opcode.name}, which no list of texts needs")
            if seen == MAX_OPCODES:
                raise UserError(f"{where} holds more than {MAX_OPCODES} pickle instructions; write it in parts")
            machine.step(opcode, arg, seen)
        if machine.marks or machine.stack:
            raise ValueError("it ends before it is finished")
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{where} is no valid pickle, perhaps cut off: {shown(str(error))}") from None


def load(
    data: bytes,
    where: str,
    names: Mapping[tuple[str, str], object],
    persistent: Callable[[object], object] | None = None,
    limit: int | None = None,
) -> Any:
    """The plain value of a scanned pickle, in which every global is what `names` puts in its place.

    persistent makes something of a persistent id; without it there may be none. The value is a tree of None, bool, int,
    float, str, bytes, list, tuple, dict and the values of Held, no deeper than MAX_DEPTH and, walked as a tree, of at
    most `limit` leaves beyond SHARED (the number of bytes if not given). UserError naming `where` otherwise.
    """
    scan(data, where, names.keys())
    try:
        value, _ = _Plain(SHARED + (len(data) if limit is None else limit)).of(
            _Unpickler(data, names, persistent).load()
        )
    except Exception as error:  # the unpickler raises nearly anything, SystemError included
        raise (
            error
            if isinstance(error, UserError)
            else UserError(f"{where} is no valid pickle, perhaps damaged: {shown(str(error))}")
        ) from None
    return value


def read_list(data: bytes, where: str) -> list[object]:
    """The items of a pickled numpy object array, those of its further axes as nested lists; one item if it has no axis.

    Items are what load() gives, arrays in them are nested lists and numpy's scalars plain values. UserError naming
    `where` if it is no such array or wants anything else.
    """
    budget = _Budget(2 * len(data))  # protocol 2 spells bytes as text first, so each is decoded twice
    dtype, array, ndarray = _DtypeCall(), _Reconstruct(budget), Inert()
    names: dict[tuple[str, str], object] = {
        ("numpy", "dtype"): dtype,
        ("numpy", "ndarray"): ndarray,
        ("_codecs", "encode"): _Encode(budget),
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        names[module, "_reconstruct"], names[module, "scalar"] = array, _Scalar(budget)
    value = load(data, where, names)
    if not isinstance(value, list):
        raise UserError(f"{where} holds a pickled {type(value).__name__}; a pickled object array is needed")
    return value


def flat_text(value: object) -> tuple[str, bool]:
    """One text of an item, and whether it was nested.

    A str is itself, None is empty, lists and tuples of texts (or of dicts of them) are their non-empty texts joined by
    spaces, and so is a str that spells out such a list. Anything else is its str, cut at MAX_TEXT. ValueError for more
    than MAX_TEXT_DEPTH levels, or MAX_TEXT_LEAVES texts or MAX_JOINED characters in a nested one.
    """
    if value is None:
        return "", False
    inner = _spelled_out(value) if isinstance(value, str) else value
    if isinstance(inner, str):
        return inner, False
    leaves = _leaves(inner)
    if not isinstance(inner, (list, tuple)):
        return str(inner)[:MAX_TEXT], False
    texts = ["" if leaf is None else leaf if isinstance(leaf, str) else str(leaf)[:MAX_TEXT] for leaf in leaves]
    if sum(map(len, texts)) > MAX_JOINED:
        raise ValueError(f"a nested text holds more than {MAX_JOINED} characters")
    return " ".join(filter(None, texts)), True


def count(shape: object) -> int:
    """The number of places of a shape that a file names; ValueError if it is none, or empty and yet endless."""
    if not isinstance(shape, tuple) or len(shape) > MAX_AXES:
        raise ValueError("something else stands where a shape is needed")
    if not all(type(axis) is int and 0 <= axis < 2**63 for axis in shape):
        raise ValueError("a shape holds what is no length")  # without its text, which may have no end
    if 0 in shape and max(shape) > MAX_EMPTY:
        raise ValueError(f"no array has the shape {shape}")
    return math.prod(shape)


def shown(text: str) -> str:
    """Text of a file as it may stand in a message: one short line."""
    return text[:200].encode("unicode_escape").decode()


def one_line(message: str) -> str:
    """A message, whatever of a file it repeats, as one printable line; a long one is cut in its middle."""
    cut = message if len(message) <= 900 else f"{message[:600]} ... {message[-250:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


class Inert:
    """What stands for a global; as it has a __setstate__ and no attributes, BUILD cannot change it."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise ValueError("it sets the state of something that has none")


class Held(Inert):
    """A finished value that no instruction can reach, and how many leaves it counts for."""

    __slots__ = ("leaves", "value")

    def __init__(self, value: object, leaves: int) -> None:
        self.value, self.leaves = value, leaves


class _Machine:
    """The stack and memo of a pickle as far as its texts and ints are known (None: anything else)."""

    def __init__(self) -> None:
        self.stack: list[str | int | None] = []
        self.marks: list[int] = []
        self.memo: dict[int, str | int | None] = {}

    def top_names(self, where: str) -> tuple[str, str]:
        """The module and name that STACK_GLOBAL would take."""
        module, name = self.stack[-2:] if len(self.stack) > 1 else (None, None)
        if not isinstance(module, str) or not isinstance(name, str):
            raise UserError(f"{where} holds a pickle that hides the name of what it wants to call; it was not opened")
        return module, name

    def step(self, opcode: pickletools.OpcodeInfo, arg: Any, seen: int) -> None:
        """One instruction, the seen-th; ValueError if it takes what is not there or asks for too much memory."""
        name, before = opcode.name, opcode.stack_before
        if name == "MARK":
            self.marks.append(len(self.stack))
        elif name in PUTS or name == "MEMOIZE":
            self._put(len(self.memo) if name == "MEMOIZE" else arg, seen)
        elif name in GETS:
            if arg not in self.memo:
                raise ValueError(f"memo {arg} was never stored")
            self.stack.append(self.memo[arg])
        else:
            self._check_keys(name)
            taken = len(before)
            if pickletools.markobject in before:
                taken = before.index(pickletools.markobject)
                del self.stack[self._last_mark() :]
                self.marks.pop()
            if len(self.stack) - taken < (self.marks[-1] if self.marks else 0):
                raise ValueError(f"{name} takes more than there is")
            if taken:
                del self.stack[-taken:]
            known = arg if isinstance(arg, (str, int)) and name != "GLOBAL" else None
            self.stack.extend(known for _ in opcode.stack_after)
        if len(self.stack) > MAX_STACK or len(self.marks) > MAX_MARKS:
            raise ValueError("it is nested or grouped too deeply")

    def _put(self, index: int, seen: int) -> None:
        """The C unpickler takes memory for every index up to the largest, so they may not run ahead."""
        if not 0 <= index <= seen or len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError(f"memo index {index} after {seen} instructions")
        self.memo[index] = self.stack[-1]

    def _check_keys(self, name: str) -> None:
        """Keys whose hash their author chooses, or takes forever as in tuples of tuples, make a dict hang."""
        keys: list[str | int | None] = []
        if name in ("SETITEMS", "DICT"):
            keys = self.stack[self._last_mark() :: 2]
        elif name == "SETITEM":
            keys = self.stack[-2:-1]
        if not all(isinstance(key, str) or (key is not None and abs(key) < SMALL) for key in keys):
            raise ValueError("a dict key is neither text nor a small whole number")

    def _last_mark(self) -> int:
        if not self.marks:
            raise ValueError("a group ends that never began")
        return self.marks[-1]


def _check_global(where: str, module: str, name: str, allowed: Collection[tuple[str, str]]) -> None:
    if (module, name) not in allowed:
        raise UserError(f"{where} holds a pickle that wants to call {shown(f'{module}.{name}')}; it was not opened")


class _Unpickler(pickle.Unpickler):
    """Finds its globals in a table and nowhere else."""

    def __init__(
        self, data: bytes, names: Mapping[tuple[str, str], object], persistent: Callable[[object], object] | None
    ) -> None:
        super().__init__(io.BytesIO(data))
        self._names, self._persistent = names, persistent

    def find_class(self, module: str, name: str) -> Any:
        """KeyError for what scan() would have refused."""
        return self._names[module, name]

    def persistent_load(self, pid: object) -> object:
        if self._persistent is None:
            raise ValueError("it refers to something outside itself")
        return self._persistent(pid)


class _Plain:
    """Turns what was unpickled into plain values, every shared part once; ValueError beyond `limit` leaves."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._done: dict[int, tuple[Any, int]] = {}

    def of(self, value: object, depth: int = 0) -> tuple[Any, int]:
        """The plain value and its leaves, an empty or inner list counting as one, as if nothing were shared."""
        if value is None or isinstance(value, (str, int, float, bytes)):
            return value, 1
        if id(value) in self._done:
            return self._done[id(value)]
        if depth == MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} lists lie in each other")
        plain, leaves = self._container(value, depth)
        if leaves > self._limit:
            raise ValueError("by references to itself it is far larger than its file")
        self._done[id(value)] = plain, leaves
        return plain, leaves

    def _container(self, value: object, depth: int) -> tuple[Any, int]:
        if isinstance(value, _Array):
            return self.of(value.content(), depth + 1)
        if isinstance(value, Held):
            return value.value, value.leaves
        if not isinstance(value, (list, tuple, dict)):
            raise ValueError(f"it holds a {type(value).__name__.strip('_')} in place of a text or number")
        inside = [self.of(item, depth + 1) for item in (value.values() if isinstance(value, dict) else value)]
        items, leaves = [item for item, _ in inside], 1 + sum(leaves for _, leaves in inside)
        if isinstance(value, dict):
            return dict(zip(value, items, strict=True)), leaves
        return (items if isinstance(value, list) else tuple(items)), leaves


class _Budget:
    """Bytes that may still be decoded; without it, one text referred to a thousand times is decoded as often."""

    __slots__ = ("_left",)

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ValueError("it holds fewer bytes than its arrays need")


class _Encode(Inert):
    """In place of _codecs.encode: how protocol 2 and older spell bytes."""

    __slots__ = ("_budget",)

    def __init__(self, budget: _Budget) -> None:
        self._budget = budget

    def __call__(self, text: object, encoding: object) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise ValueError("bytes that are not spelled in latin1")
        self._budget.take(len(text))
        return text.encode("latin1")


class _Dtype(Inert):
    """In place of a numpy dtype; BUILD may only tell its byte order."""

    __slots__ = ("_name", "_order")

    def __init__(self, name: str) -> None:
        self._name, self._order = name, "="

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "=", "|"):
            raise ValueError("an unknown state of a dtype")
        self._order = state[1]

    def is_object(self) -> bool:
        return OBJECT.fullmatch(self._name) is not None

    def numbers(self) -> np.dtype:
        """The dtype of numbers or texts; ValueError or TypeError for anything else."""
        if not NUMBER.fullmatch(self._name):
            raise ValueError(f"numpy's type {shown(self._name)} in an object array")
        return np.dtype(("" if self._order == "|" else self._order) + self._name)


class _DtypeCall(Inert):
    """In place of numpy.dtype."""

    __slots__ = ()

    def __call__(self, name: object, *copying: object) -> _Dtype:
        if not isinstance(name, str):
            raise ValueError("a dtype without a name")
        return _Dtype(name)


class _Scalar(Inert):
    """In place of numpy's scalar(dtype, bytes): the plain value."""

    __slots__ = ("_budget",)

    def __init__(self, budget: _Budget) -> None:
        self._budget = budget

    def __call__(self, dtype: object, raw: object) -> object:
        return _numbers(dtype, (), raw, self._budget, "C")


class _Array(Inert):
    """In place of an array: what BUILD says of it, once."""

    __slots__ = ("_budget", "_content")

    def __init__(self, budget: _Budget) -> None:
        self._budget = budget
        self._content: list[object] | Held | None = None

    def content(self) -> list[object] | Held:
        if self._content is None:
            raise ValueError("it holds an array without content")
        return self._content

    def __setstate__(self, state: object) -> None:
        """(version, shape, dtype, Fortran order, items or bytes)."""
        if not isinstance(state, tuple) or len(state) != 5 or self._content is not None:
            raise ValueError("an unknown state of an array")
        _, shape, dtype, fortran, raw = state
        places = count(shape)
        if isinstance(dtype, _Dtype) and dtype.is_object():
            self._content = self._objects(raw, places, shape)
        else:
            values = _numbers(dtype, shape, raw, self._budget, "F" if fortran else "C")
            self._content = Held(values if shape else [values], 1 + places)

    def _objects(self, items: object, places: int, shape: tuple[int, ...]) -> list[object]:
        if not isinstance(items, list) or len(items) != places:
            raise ValueError(f"an object array of the shape {shape} does not hold {places} items")
        self._budget.take(math.prod(max(axis, 1) for axis in shape))
        array = np.fromiter(items, dtype=object, count=places).reshape(shape or (1,))
        nested: list[object] = array.tolist()
        return nested


class _Reconstruct(Inert):
    """In place of numpy's _reconstruct(ndarray, (0,), b"b")."""

    __slots__ = ("_budget",)

    def __init__(self, budget: _Budget) -> None:
        self._budget = budget

    def __call__(self, kind: object, shape: object, code: object) -> _Array:
        return _Array(self._budget)


def _numbers(dtype: object, shape: tuple[int, ...], raw: object, budget: _Budget, order: str) -> Any:
    """Plain numbers or texts from exactly as many bytes as they need, as nested lists."""
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
        raise ValueError("an array without a dtype or bytes")
    kind = dtype.numbers()
    if len(raw) != kind.itemsize * count(shape):
        raise ValueError(f"{len(raw)} bytes for an array of {kind} of the shape {shape}")
    if kind.itemsize == 0 and not shape:
        return ""
    budget.take(max(len(raw), math.prod(max(axis, 1) for axis in shape)))
    return np.frombuffer(raw, kind).reshape(shape, order="F" if order == "F" else "C").tolist()


def _spelled_out(text: str) -> object:
    """The list that a text spells out, or the text."""
    stripped = text.strip()
    if not (stripped.startswith("[") and stripped.endswith("]") and len(text) < MAX_TEXT):
        return text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in what is only tried
            value = ast.literal_eval(stripped)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, list) else text


def _leaves(value: object) -> list[object]:
    """What lies in lists, tuples and values of dicts, in order; an empty one counts, so that many of them end too."""
    leaves: list[object] = []
    open_: list[tuple[object, int]] = [(value, 0)]
    while open_:
        item, depth = open_.pop()
        if isinstance(item, (list, tuple, dict)) and len(item) > 0:
            if depth == MAX_TEXT_DEPTH or len(item) > MAX_TEXT_LEAVES:
                raise ValueError(f"a text is nested deeper than {MAX_TEXT_DEPTH} or in more than {MAX_TEXT_LEAVES}")
            inside = item.values() if isinstance(item, dict) else item
            open_.extend((part, depth + 1) for part in reversed(list(inside)))
        else:
            leaves.append(None if isinstance(item, (list, tuple, dict)) else item)
            if len(leaves) > MAX_TEXT_LEAVES:
                raise ValueError(f"a nested text holds more than {MAX_TEXT_LEAVES} texts")
    return leaves
