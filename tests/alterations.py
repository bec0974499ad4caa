"""What can be wrong with a file: odd values, bent arrays, places changed, bytes spoilt, members repacked; by a draw."""

import copy
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = ("?", "c16", "U", "u1", "i1", "f2", "f4", ">f8", ">i4", "i8", "u8", "M8[s]", "S8", "O")
NUMBERS = (np.nan, np.inf, -np.inf, 1e308, -1e308, 1e200, 1e39, 1e29, 1e-310, 1e6, 0.0, -1.0)
STRINGS = (
    "",
    "\ud800",
    "a\nb",
    "a\0b",
    "\0",
    "x" * 10_000,
    "é" * 300,
    "\x1b[2J",
    "../../etc",
    "[[",
    "['a', ['b']]",
    "nan",
)
INTEGERS = (0, 1, -1, 65, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30, 10**400, 10**5000)
Draw = np.random.Generator


def deep(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


def chosen(draw: Draw, several: Any) -> Any:
    """One of them as it is; Generator.choice would make numpy's scalars of them."""
    several = list(several)
    return several[int(draw.integers(len(several)))]


def odd(draw: Draw) -> Any:
    """What no file should hold in that place."""
    singles = (None, True, False, 1.5, {}, [], [[]], [[], [1]], [None], {"a": 1}, [1, "a"], ["a", None], deep(60))
    kinds = (singles, NUMBERS, STRINGS, INTEGERS, (deep(500), [deep(9)] * 4, list(STRINGS), [[s] for s in STRINGS]))
    return copy.deepcopy(chosen(draw, chosen(draw, kinds)))


def bent(draw: Draw, value: np.ndarray) -> np.ndarray:
    """Numbers of another type, shape or sense."""
    if value.size == 0 or value.ndim == 0:
        return np.full((int(draw.integers(4)),) * int(draw.integers(3)), chosen(draw, NUMBERS))
    axis = int(draw.integers(value.ndim))

    def sprinkled() -> np.ndarray:
        other = value.astype(np.float64)
        other[tuple(draw.integers(size) for size in value.shape)] = chosen(draw, NUMBERS)
        return other

    def rows(count: int) -> np.ndarray:
        return value.take(np.arange(count) % value.shape[axis], axis)

    ways: dict[str, Callable[[], np.ndarray]] = {
        "dtype": lambda: value.astype(chosen(draw, DTYPES)),
        "sprinkled": sprinkled,
        "one": lambda: value[(0,) * int(draw.integers(value.ndim + 1))],
        "full": lambda: np.full(value.shape, chosen(draw, NUMBERS)),
        "scaled": lambda: value * chosen(draw, (0, -1, 1e3, 1e-3, 1e18, 1e150)),
        "transposed": lambda: value.swapaxes(axis, int(draw.integers(value.ndim))),
        "flat": lambda: value.reshape(-1),
        "framed": lambda: value.reshape(*(1,) * int(draw.integers(1, 4)), *value.shape),
        "empty": lambda: rows(0),
        "less": lambda: rows(value.shape[axis] - 1),
        "more": lambda: rows(value.shape[axis] + 1),
        "single": lambda: rows(1),
        "65": lambda: rows(65),
        "noise": lambda: value + draw.normal(0, chosen(draw, (1e-3, 1.0, 1e3)), value.shape),
        "huge": lambda: np.full(value.shape, chosen(draw, [i for i in INTEGERS if -(2**63) <= i < 2**63])),
        "reversed": lambda: np.flip(value, axis),
    }
    return np.array(chosen(draw, ways.values())())


def places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key in it, down to lists of numbers or texts."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield content, key
        if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], list | dict | str)):
            yield from places(value)


def edited(draw: Draw, content: Any) -> Any:
    """A copy of a content with 1 to 3 things changed."""
    content = copy.deepcopy(content)
    for _ in range(int(draw.choice([1, 1, 1, 2, 3]))):
        top = [(holder, key) for holder, key in places(content) if isinstance(key, str)]
        where = top if top and draw.random() < 0.7 else list(places(content))
        if not where:
            return odd(draw)
        holder, key = chosen(draw, where)
        value, way = holder[key], draw.random()
        if way < 0.08:
            del holder[key]
        elif way < 0.16 and isinstance(key, str):
            holder[chosen(draw, (key + "x", key.upper(), chosen(draw, top)[1], *STRINGS))] = holder.pop(key)
        elif way < 0.16:
            holder.insert(key, copy.deepcopy(value))
        elif way < 0.24:
            holder[key] = copy.deepcopy(content if draw.random() < 0.1 else chosen(draw, places(content))[0])
        elif way < 0.5 or isinstance(value, dict | str | bool | None):
            holder[key] = odd(draw)
        elif isinstance(value, np.ndarray):
            holder[key] = bent(draw, value)
        else:
            array = np.array(value, dtype=None if isinstance(value, int | float) else object)
            if array.dtype == object:
                with np.errstate(all="ignore"):
                    array = np.array(value)
            holder[key] = bent(draw, array).tolist()
    return content


def garbled(draw: Draw, data: bytes) -> bytes:
    """The bytes with a fault of a disk or of a transfer."""
    changed = bytearray(data)
    size = max(len(data), 1)
    # half of the faults where the directories of archives and the metadata of Parquet lie
    at = int(draw.integers(size)) if draw.random() < 0.5 else max(size - 1 - int(draw.integers(min(size, 1500))), 0)
    end = at + int(draw.choice([1, 4, 64, 4096]))
    way = draw.integers(5)
    if way == 0 and data:
        for _ in range(int(draw.integers(1, 9))):
            changed[(at + int(draw.integers(64))) % size] ^= 1 << int(draw.integers(8))
    elif way == 1:
        del changed[at:]
    elif way == 2:
        changed[at:at] = chosen(draw, (b"\0", b"\xff" * 8, b"[" * 100_000, b"\n", draw.bytes(16)))
    elif way == 3:
        changed[at:at] = changed[at:end]
    else:
        changed[at:end] = bytes(len(changed[at:end]))
    return bytes(changed)


def repacked(draw: Draw, path: Path) -> None:
    """A fault inside one member of a zip archive, whose checksums are right."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    wrong = chosen(draw, [name for name in members if name.endswith((".npy", ".pkl"))] or list(members))
    head = members[wrong][: int(draw.choice([128, 10**9]))]
    members[wrong] = garbled(draw, head) + members[wrong][len(head) :]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
