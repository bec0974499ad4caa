"""Files of other people, written as an attacker or a disk would write them."""

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

TEXTS = ["Slow down for the lead vehicle", "", "Überholen \N{SNOWMAN}", "Nudge left"]


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


class Rebuilt:
    """Pickles as an array of the numbers 0 to 255, whose shape and bytes are what they like."""

    def __init__(self, shape: object, data: bytes) -> None:
        self.state = 1, shape, np.dtype("u1"), False, data

    def __reduce__(self) -> tuple[Any, ...]:
        return np.zeros(1).__reduce__()[0], (np.ndarray, (0,), b"b"), self.state


def object_array(items: list[Any]) -> np.ndarray:
    return np.fromiter(items, dtype=object, count=len(items))


def npz(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """An npz file of members as they are given."""
    path.unlink(missing_ok=True)  # some file systems flush a file that is written over to the disk, which takes long
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def npy(shape: object, data: bytes, descr: str = "|O") -> bytes:
    """A member of an npz file whose header says what it likes."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def pt(path: Path, edit: Callable[[dict[str, bytes]], object], content: object = None) -> Path:
    """A file of torch.save whose members were edited."""
    buffer = io.BytesIO()
    torch.save({"x": torch.ones(3)} if content is None else content, buffer)
    with zipfile.ZipFile(buffer) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    edit(members)
    return npz(path, members, zipfile.ZIP_STORED)


def pt_of(path: Path, data: bytes) -> Path:
    return pt(path, lambda members: members.update({"archive/data.pkl": data}))


def edited(path: Path, old: bytes, new: bytes) -> Path:
    """A pt file of three ones in whose pickle something was replaced."""

    def edit(members: dict[str, bytes]) -> None:
        assert old in members["archive/data.pkl"]
        members["archive/data.pkl"] = members["archive/data.pkl"].replace(old, new)

    return pt(path, edit)


def laughing(levels: int, width: int = 10) -> list[Any]:
    value: list[Any] = ["ha"]
    for _ in range(levels):
        value = [value] * width
    return value


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of the bytes: flipped, replaced, cut out, inserted, repeated, or cut off."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(changed))
        end = min(len(changed), start + rng.randint(1, 8))
        changes: list[Callable[[], object]] = [
            lambda i=start: changed.__setitem__(i, changed[i] ^ (1 << rng.randrange(8))),  # type: ignore[misc]
            lambda i=start: changed.__setitem__(i, rng.choice((0, 1, 0x7F, 0x80, 0xFF))),  # type: ignore[misc]
            lambda i=start, j=end: changed.__delitem__(slice(i, j)),  # type: ignore[misc]
            lambda i=start: changed.__setitem__(slice(i, i), rng.randbytes(4)),  # type: ignore[misc]
            lambda i=start, j=end: changed.__setitem__(slice(i, i), changed[i:j]),  # type: ignore[misc]
            lambda i=start: changed.__delitem__(slice(max(i, len(changed) * 3 // 4), None)),  # type: ignore[misc]
        ]
        rng.choices(changes, weights=(4, 4, 1, 1, 1, 1))[0]()
    return bytes(changed)
