"""Recorded drives and NVIDIA's loader dictionaries: ego_history_xyz (N, H, 3) and ego_future_xyz (N, T, 3), rotations.

Axes of length 1 may stand in front, or none for a single clip. Where pred_xyz (N, K, T, 3) lies beside them, the
teacher is the model and the recorded future the ground truth.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.trajectory import DT
from alpamayo_toy.labels.formats.raw import RawClips
from alpamayo_toy.labels.untrusted.arrays import names, numbers, seconds
from alpamayo_toy.labels.untrusted.texts import flat_text

TAILS = {
    "ego_future_xyz": ("T", "3"),
    "ego_history_xyz": ("H", "3"),
    "pred_xyz": ("K", "T", "3"),
    "ego_future_rot": ("T", "3", "3"),
    "ego_history_rot": ("H", "3", "3"),
    "pred_rot": ("K", "T", "3", "3"),
}
"""Arrays and their shapes after the axis of clips; those in front say what the others must fit."""


def matches(keys: Collection[str]) -> bool:
    """Whether these are the keys of recorded drives or of a loader's dictionary."""
    return {"ego_history_xyz", "ego_future_xyz"} <= set(keys)


def clips(content: dict[str, Any], path: Path) -> Iterator[RawClips]:
    """All clips at once. Raises UserError naming the key whose shape or values do not fit."""
    arrays = {name: _array(path, name, content[name], tail) for name, tail in TAILS.items() if name in content}
    _check_together(path, arrays)
    future, turned = arrays["ego_future_xyz"], arrays.get("ego_future_rot")
    n = len(future)
    driven: dict[str, Any]
    if "pred_xyz" in arrays:
        driven = {"teacher": arrays["pred_xyz"], "rotation": arrays.get("pred_rot")}
        driven |= {"ground_truth": future, "ground_truth_rotation": turned}
    else:
        driven = {"teacher": future[:, None], "rotation": None if turned is None else turned[:, None]}
    ids = _strings(path, content, "clip_id", n)
    sources = _strings(path, content, "source", n)
    numbered = np.array([f"{path.stem}-{i}" for i in range(n)])
    if n == 1 and "cot" in content:
        try:
            text, nested = flat_text(content["cot"])
        except ValueError as error:
            raise UserError(f"{path}: cot: {error}") from None
        driven |= {"text": np.array([text], dtype=object), "nested_text": np.array([nested])}
    yield RawClips(
        clip_id=next(found for found in (sources, ids, numbered) if found is not None),
        source=np.full(n, path.name) if sources is None else sources,
        t0_us=_t0_us(path, content, n),
        history=arrays["ego_history_xyz"],
        history_rotation=arrays.get("ego_history_rot"),
        dt=seconds(f"{path}: dt", content.get("dt", DT)),
        recorded="pred_xyz" not in arrays,
        **driven,
    )


def _array(path: Path, name: str, value: object, tail: tuple[str, ...]) -> np.ndarray:
    """An array (N, *tail), whatever axes of length 1 stand in front of it or are missing."""
    array = numbers(f"{path}: {name}", value)
    lead, rest = array.shape[: max(array.ndim - len(tail), 0)], array.shape[-len(tail) :]
    fixed = [(size, int(wanted)) for size, wanted in zip(rest, tail, strict=False) if wanted.isdigit()]
    if array.ndim < len(tail) or array.size == 0 or sum(size > 1 for size in lead) > 1 or any(a != b for a, b in fixed):
        raise UserError(f"{path}: {name} must have shape (N, {', '.join(tail)}) (got {array.shape})")
    return array.reshape(-1, *rest)


def _check_together(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Raise UserError where two arrays disagree in N, H, T or K."""
    known: dict[str, tuple[int, str]] = {}
    for name, array in arrays.items():
        for axis, size in zip(("N", *TAILS[name]), array.shape, strict=True):
            wanted, other = known.setdefault(axis, (size, name))
            if size != wanted:
                shapes = f"{name} {array.shape}, {other} {arrays[other].shape}"
                raise UserError(f"{path}: {name} has {axis} = {size}, {other} has {wanted} ({shapes})")


def _per_clip(path: Path, content: dict[str, Any], name: str, n: int) -> np.ndarray | None:
    """A value for each clip (n,), or None where there is none."""
    value = content.get(name)
    if value is None:
        return None
    array = np.asarray(value.numpy() if isinstance(value, Tensor) else value)
    if array.size != n:
        raise UserError(f"{path}: {name} must have one value for each of {n} clips (got {array.shape})")
    return array.reshape(-1)


def _strings(path: Path, content: dict[str, Any], name: str, n: int) -> np.ndarray | None:
    values = _per_clip(path, content, name, n)
    return None if values is None else names(f"{path}: {name}", values)


def _t0_us(path: Path, content: dict[str, Any], n: int) -> np.ndarray:
    """t0 in microseconds (n,) int64, 0 where nothing is said."""
    for name, unit in (("t0_s", 1e6), ("t0_us", 1)):
        values = _per_clip(path, content, name, n)
        if values is None:
            continue
        kinds, wanted = ("iuf", "seconds") if name == "t0_s" else ("iu", "integers")
        if values.dtype.kind not in kinds or not (np.abs(values.astype(np.float64)) < 2**63 / unit).all():
            raise UserError(f"{path}: {name} must hold {wanted} (got {str(values[:3])[:100]})")
        us = np.round(values.astype(np.float64) * unit) if name == "t0_s" else values
        return us.astype(np.int64)
    return np.zeros(n, dtype=np.int64)
