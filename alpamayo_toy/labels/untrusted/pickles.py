"""Pickles of texts, numbers and lists, read without calling or importing anything that is written in them."""

import io
import pickle
import pickletools
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.untrusted.texts import shown

PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
GETS = ("GET", "BINGET", "LONG_BINGET")
# fmt: off
OPCODES = frozenset((
    *PUTS, "MEMOIZE", *GETS,
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG",
    "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE",
    "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "GLOBAL", "STACK_GLOBAL", "REDUCE",
    "BUILD", "BINPERSID", "NEWOBJ", "BYTEARRAY8",
))
# fmt: on
MAX_OPCODES = 2_000_000  # at worst 10 seconds and 600 MB; a text takes 2 of them, in a list of its own 5
MAX_STACK = 1_000_000  # lists and dicts come in batches of 1000, tuples in one piece
MAX_MARKS = 1000  # one for each open list, dict or tuple; nobody nests deeper
MAX_DEPTH = 50  # what is walked recursively, far below Python's own limit
SHARED = 1_000_000  # leaves that a pickle may repeat by reference beyond those it spells out
VALUES = {f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")}
VALUES |= {"decimal.Decimal", "fractions.Fraction", "builtins.complex", "__builtin__.complex", "types.SimpleNamespace"}
"""Of Python's own what only says a value: taken down like an object of a class that is not known."""
CALLABLE = sys.stdlib_module_names | {"__builtin__", "copy_reg", "exceptions", "commands", "numpy", "torch"}
"""Packages whose names are refused by name where they would be called, Python 2's among them."""
SMALL = 2**31  # larger ints can be chosen to collide as dict keys, which makes a dict quadratic


def scan(data: bytes, where: str, globals_allowed: Collection[tuple[str, str]], strangers: bool = False) -> None:
    """Goes over every instruction of a pickle before any of it is loaded.

    UserError, naming `where`, for a name outside globals_allowed, an instruction outside OPCODES, a memo index or a
    stack that asks for more memory than the bytes hold, a dict key that is neither text nor a small int, and for
    whatever is no complete pickle up to the last byte. With strangers, other names may be mentioned, and objects of
    them told (NEWOBJ, and REDUCE for enums, dates and the like), as nothing is made of either; what would call a
    function of Python's, numpy's or PyTorch's is refused by its name all the same.
    """
    machine = _Machine()
    try:
        for seen, (opcode, arg, position) in enumerate(pickletools.genops(data)):
            stranger = None
            if opcode.name in ("GLOBAL", "INST", "STACK_GLOBAL"):
                module, _, name = str(arg).partition(" ")
                module, name = machine.top_names(where) if opcode.name == "STACK_GLOBAL" else (module, name)
                if (module, name) not in globals_allowed:
                    stranger = _Unknown(f"{module}.{name}")
                    if not strangers or opcode.name == "INST":
                        raise refusal(where, stranger.name)
            elif opcode.name in ("REDUCE", "NEWOBJ"):
                called = machine.below_top()
                if isinstance(called, _Unknown) and opcode.name == "REDUCE" and not _says_a_value(called.name):
                    raise refusal(where, called.name)
                if opcode.name == "NEWOBJ" and not isinstance(called, _Unknown):
                    raise UserError(f"{where} holds the pickle instruction NEWOBJ, which no list of texts needs")
            elif opcode.name == "FRAME" and int(arg or 0) > len(data):
                raise ValueError(f"a frame of {arg} bytes")
            elif opcode.name == "STOP" and position != len(data) - 1:
                raise ValueError("more bytes follow its end")
            if opcode.name not in OPCODES:
                raise UserError(f"{where} holds the pickle instruction {opcode.name}, which no list of texts needs")
            if seen == MAX_OPCODES:
                raise UserError(f"{where} holds more than {MAX_OPCODES} pickle instructions; write it in parts")
            machine.step(opcode, arg, seen)
            if stranger is not None:
                machine.stack[-1] = stranger
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
    strangers: bool = False,
) -> Any:
    """The plain value of a scanned pickle, in which every global is what `names` puts in its place.

    persistent makes something of a persistent id; without it there may be none. The value is a tree of None, bool, int,
    float, str, bytes, list, tuple, dict, the values of Held and, with strangers, Stranger for objects of other classes;
    no deeper than MAX_DEPTH and, walked as a tree, of at most `limit` leaves beyond SHARED (the number of bytes if not
    given). UserError naming `where` otherwise.
    """
    scan(data, where, names.keys(), strangers)
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
    if isinstance(value, Stranger):
        raise refusal(where, value.name)
    return value


def _says_a_value(name: str) -> bool:
    """Whether a name is rather that of an enum, a date or another class than of a function to be afraid of."""
    return name in VALUES or name.partition(".")[0] not in CALLABLE


def refusal(where: str, name: str) -> UserError:
    """What is said of a pickle that would call something."""
    return UserError(f"{where} holds a pickle that wants to call {shown(name)}; it was not opened")


@dataclass(frozen=True)
class Stranger:
    """In place of an object of a class that is not known: the class's name, and the plain state it was stored with."""

    name: str
    state: Any = None


@dataclass(frozen=True)
class _Unknown:
    """On the scanned stack: a name that nothing may call."""

    name: str


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


class Built(Inert):
    """A value that BUILD tells, once: `made` turns its state into a list to go through or a Held."""

    __slots__ = ("_content", "_made")

    def __init__(self, made: Callable[[object], list[object] | Held]) -> None:
        self._made = made
        self._content: list[object] | Held | None = None

    def content(self) -> list[object] | Held:
        if self._content is None:
            raise ValueError("it holds an array without content")
        return self._content

    def __setstate__(self, state: object) -> None:
        if self._content is not None:
            raise ValueError("an unknown state of an array")
        self._content = self._made(state)


class _Told(Inert):
    """What objects of a class that is not known are loaded as: they keep what they are told, and do nothing with it."""

    __slots__ = ("state",)

    def __new__(cls, *_: object) -> "_Told":
        made = super().__new__(cls)
        made.state = None
        return made

    def __setstate__(self, state: object) -> None:
        parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)  # (dict, slots)
        dicts = [part for part in parts if isinstance(part, dict)]
        self.state: Any = {key: value for part in dicts for key, value in part.items()}

    def __setitem__(self, key: object, value: object) -> None:
        self.state = {**(self.state or {}), key: value}


class _Machine:
    """The stack and memo of a pickle as far as its texts, ints and strange names are known (None: anything else)."""

    def __init__(self) -> None:
        self.stack: list[str | int | _Unknown | None] = []
        self.marks: list[int] = []
        self.memo: dict[int, str | int | _Unknown | None] = {}

    def below_top(self) -> str | int | _Unknown | None:
        """What REDUCE and NEWOBJ would take for their function or class."""
        return self.stack[-2] if len(self.stack) > 1 else None

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
        keys: list[str | int | _Unknown | None] = []
        if name in ("SETITEMS", "DICT"):
            keys = self.stack[self._last_mark() :: 2]
        elif name == "SETITEM":
            keys = self.stack[-2:-1]
        if not all(isinstance(key, str) or (isinstance(key, int) and abs(key) < SMALL) for key in keys):
            raise ValueError("a dict key is neither text nor a small whole number")

    def _last_mark(self) -> int:
        if not self.marks:
            raise ValueError("a group ends that never began")
        return self.marks[-1]


class _Unpickler(pickle.Unpickler):
    """Finds its globals in a table and nowhere else."""

    def __init__(
        self, data: bytes, names: Mapping[tuple[str, str], object], persistent: Callable[[object], object] | None
    ) -> None:
        super().__init__(io.BytesIO(data))
        self._names, self._persistent = names, persistent

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in; for a name that is not known, which scan() has let pass, a class that does nothing."""
        if (module, name) not in self._names:
            return type(f"{module}.{name}", (_Told,), {"__slots__": ()})
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
        if value is None or isinstance(value, (str, int, float, bytes, bytearray)):
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
        if isinstance(value, Built):
            return self.of(value.content(), depth + 1)
        if isinstance(value, Held):
            return value.value, value.leaves
        if isinstance(value, _Told):
            state, leaves = self.of(value.state, depth + 1)
            return Stranger(type(value).__name__, state), leaves
        if isinstance(value, type) and issubclass(value, _Told):
            return Stranger(value.__name__), 1
        if not isinstance(value, (list, tuple, dict)):
            raise ValueError(f"it holds a {type(value).__name__.strip('_')} in place of a text or number")
        inside = [self.of(item, depth + 1) for item in (value.values() if isinstance(value, dict) else value)]
        items, leaves = [item for item, _ in inside], 1 + sum(leaves for _, leaves in inside)
        if isinstance(value, dict):
            return dict(zip(value, items, strict=True)), leaves
        return (items if isinstance(value, list) else tuple(items)), leaves
