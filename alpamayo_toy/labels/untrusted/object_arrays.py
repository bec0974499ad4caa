"""Pickled numpy object arrays, read without numpy's own unpickling."""

import math
import re
from typing import Any

import numpy as np

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.untrusted.pickles import Built, Held, Inert, load
from alpamayo_toy.labels.untrusted.texts import shown

MAX_AXES = 64  # numpy's own limit
MAX_EMPTY = 10_000_000  # axis of an array without content, whose size no byte of the file bounds

NUMBER = re.compile(r"b1|[iu][1248]|f[248]|U\d{1,9}")
OBJECT = re.compile(r"O\d?")


def read_list(data: bytes, where: str) -> list[object]:
    """The items of a pickled numpy object array, those of its further axes as nested lists; one item if it has no axis.

    Items are what load() gives, arrays in them are nested lists and numpy's scalars plain values. UserError naming
    `where` if it is no such array or wants anything else.
    """
    value = load(data, where, numpy_names(len(data)))
    if not isinstance(value, list):
        raise UserError(f"{where} holds a pickled {type(value).__name__}; a pickled object array is needed")
    return value


def numpy_names(size: int, nested: bool = True) -> dict[tuple[str, str], object]:
    """What a pickle of so many bytes may call for numpy's arrays: nested lists, or arrays of numbers and texts."""
    budget = _Budget(2 * size)  # protocol 2 spells bytes as text first, so each is decoded twice
    names: dict[tuple[str, str], object] = {
        ("numpy", "dtype"): _DtypeCall(),
        ("numpy", "ndarray"): Inert(),
        ("_codecs", "encode"): _Encode(budget),
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        names[module, "_reconstruct"] = _Reconstruct(budget, nested)
        names[module, "scalar"] = _Scalar(budget)
        names[module.replace("multiarray", "numeric"), "_frombuffer"] = _FromBuffer(budget, nested)
    return names


def count(shape: object) -> int:
    """The number of places of a shape that a file names; ValueError if it is none, or empty and yet endless."""
    if not isinstance(shape, tuple) or len(shape) > MAX_AXES:
        raise ValueError("something else stands where a shape is needed")
    if not all(type(axis) is int and 0 <= axis < 2**63 for axis in shape):
        raise ValueError("a shape holds what is no length")  # without its text, which may have no end
    if 0 in shape and max(shape) > MAX_EMPTY:
        raise ValueError(f"no array has the shape {shape}")
    return math.prod(shape)


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
        return _numbers(dtype, (), raw, self._budget, "C").tolist()


class _FromBuffer(Inert):
    """In place of numpy's _frombuffer(bytes, dtype, shape, order): an array as protocol 5 spells it."""

    __slots__ = ("_budget", "_nested")

    def __init__(self, budget: _Budget, nested: bool) -> None:
        self._budget, self._nested = budget, nested

    def __call__(self, raw: object, dtype: object, shape: Any, order: object) -> Held:
        data = bytes(raw) if isinstance(raw, bytearray) else raw
        values = _numbers(dtype, shape, data, self._budget, str(order))
        plain = values.tolist() if shape else [values.tolist()]
        return Held(plain if self._nested else values, 1 + count(shape))


class _Reconstruct(Inert):
    """In place of numpy's _reconstruct(ndarray, (0,), b"b"): an array whose content BUILD will tell."""

    __slots__ = ("_budget", "_nested")

    def __init__(self, budget: _Budget, nested: bool) -> None:
        self._budget, self._nested = budget, nested

    def __call__(self, kind: object, shape: object, code: object) -> Built:
        return Built(self._content)

    def _content(self, state: object) -> list[object] | Held:
        """What (version, shape, dtype, Fortran order, items or bytes) says."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("an unknown state of an array")
        _, shape, dtype, fortran, raw = state
        places = count(shape)
        if isinstance(dtype, _Dtype) and dtype.is_object():
            return self._objects(raw, places, shape)
        values = _numbers(dtype, shape, raw, self._budget, "F" if fortran else "C")
        if not self._nested:
            return Held(values, 1 + places)
        return Held(values.tolist() if shape else [values.tolist()], 1 + places)

    def _objects(self, items: object, places: int, shape: tuple[int, ...]) -> list[object]:
        if not isinstance(items, list) or len(items) != places:
            raise ValueError(f"an object array of the shape {shape} does not hold {places} items")
        self._budget.take(math.prod(max(axis, 1) for axis in shape))
        array = np.fromiter(items, dtype=object, count=places).reshape(shape or (1,))
        nested: list[object] = array.tolist()
        return nested


def _numbers(dtype: object, shape: tuple[int, ...], raw: object, budget: _Budget, order: str) -> np.ndarray:
    """Plain numbers or texts from exactly as many bytes as they need."""
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
        raise ValueError("an array without a dtype or bytes")
    kind = dtype.numbers()
    if len(raw) != kind.itemsize * count(shape):
        raise ValueError(f"{len(raw)} bytes for an array of {kind} of the shape {shape}")
    if kind.itemsize == 0 and not shape:
        return np.array("")
    budget.take(max(len(raw), math.prod(max(axis, 1) for axis in shape)))
    return np.frombuffer(raw, kind).reshape(shape, order="F" if order == "F" else "C")
