"""The project's own one-file form, labels.npz: the fields of Labels as arrays. README of labels, "The label file"."""

import math
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.files import replacing
from alpamayo_toy.kinematics.manoeuvres import classify
from alpamayo_toy.kinematics.recovery import continuous
from alpamayo_toy.kinematics.route import wrapped
from alpamayo_toy.kinematics.trajectory import DT, Labels
from alpamayo_toy.labels.formats.raw import RawClips, check_finite, check_labels, check_step, labels_of
from alpamayo_toy.labels.untrusted.arrays import integers, names, seconds
from alpamayo_toy.labels.untrusted.memory import ALWAYS, TIMES, check_shape
from alpamayo_toy.labels.untrusted.texts import check_length

NUMBERS = ("v0", "teacher", "ground_truth", "history", "context", "route")
STRINGS = ("clip_id", "source", "v0_source", "text", "context_names")
PER_CLIP = {"v0", "ground_truth", "history", "context", "route", "source", "v0_source", "text", "t0_us", "scenario"}
REQUIRED = ("clip_id", "teacher")
KNOWN = {*NUMBERS, *STRINGS, "t0_us", "scenario", "scenario_source", "route_source", "dt", "horizon"}
MOVED = 0.3  # m in a step, from where on its direction says how a car stands
ASTRAY, STRAYING = 0.5, 0.05  # rad off the course, which so large a share of all such steps may be
TURNED = 2.0  # rad, by which none of them turns: an axis of the course without its direction turns by pi


def matches(names: Collection[str]) -> bool:
    return "teacher" in names or set(names) <= KNOWN


def is_history(names: Collection[str]) -> bool:
    """The community's file of histories beside their labels, which holds no labels of its own."""
    return "ego_history_xyz" in names and set(names) <= {"ego_history_xyz", "ego_history_rot"}


def read(arrays: dict[str, Any], path: Path) -> Labels:
    """teacher (N, K, T, 4) with v0, or waypoints (N, K, T, 2), from which v0, yaw and v are recovered."""
    for name in REQUIRED:
        if name not in arrays:
            raise UserError(f"{path} has no {name}; it must hold at least {' and '.join(REQUIRED)}")
    unknown = sorted(set(arrays) - KNOWN)
    if unknown:
        raise UserError(f"{path} holds {unknown[0]}, which no label file has; known: {', '.join(sorted(KNOWN))}")
    for name, values in arrays.items():
        if isinstance(values, list) and name not in STRINGS:
            raise UserError(f"{path}: {name} must hold numbers, not objects")
        other = [value for value in values if not isinstance(value, str)] if isinstance(values, list) else []
        if other:
            raise UserError(f"{path}: {name} must hold strings (got {str(other[0])[:40]})")
    flat = [n for n in STRINGS if n in arrays and np.ndim(arrays[n]) != 1 and (n != "text" or np.ndim(arrays[n]) != 2)]
    if flat:
        raise UserError(f"{path}: {flat[0]} must be a row of strings (got shape {np.shape(arrays[flat[0]])})")
    rest: dict[str, Any] = {}
    for name in STRINGS:
        if name in arrays:
            texts = arrays[name] if isinstance(arrays[name], list) else arrays[name].astype(str).tolist()
            if name == "text":
                _check_texts(path, texts)
            rest[name] = np.array(texts, dtype=object) if name == "text" else names(f"{path}: {name}", texts)
    for name in NUMBERS:
        if name in arrays:
            rest[name] = _float(path, name, arrays[name])
    n = len(rest["clip_id"])
    for name in ("t0_us", "scenario"):
        if name in arrays:
            rest[name] = torch.from_numpy(integers(f"{path}: {name}", arrays[name]))
    rest["dt"] = seconds(f"{path}: dt", arrays.get("dt", DT))
    check_step(path, rest["dt"])
    if "context_names" in rest:
        rest["context_names"] = tuple(rest["context_names"].tolist())
    elif "context" in rest:
        rest["context_names"] = tuple(
            f"context_{i}" for i in range(rest["context"].shape[-1] if rest["context"].dim() == 2 else 0)
        )
    if "scenario" in rest:
        rest["scenario_source"] = str(arrays.get("scenario_source", np.array("file")))
    if "route" in rest:
        rest["route_source"] = str(arrays.get("route_source", np.array("file"))) or "file"
    try:
        labels = _made(path, rest, n)
    except ValueError as error:
        raise error if isinstance(error, UserError) else UserError(f"{path}: {error}") from None
    check_labels(labels, path)
    return labels


def _check_texts(path: Path, texts: list[Any]) -> None:
    """Raise UserError for a clip that says more than is read; texts are strings, or lists of K."""
    try:
        for text in texts:
            check_length(len(text) if isinstance(text, str) else sum(map(len, text)))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def _made(path: Path, rest: dict[str, Any], n: int) -> Labels:
    teacher, clip_id = rest.pop("teacher"), rest.pop("clip_id")
    if teacher.dim() != 4 or teacher.shape[-1] not in (2, 4) or len(teacher) != n or 0 in teacher.shape:
        wanted = f"({n}, K, T, 4) or ({n}, K, T, 2) for {n} clip ids, none of them 0"
        raise UserError(f"{path}: teacher must have shape {wanted} (got {tuple(teacher.shape)})")
    if teacher.shape[2] < 4:
        raise UserError(f"{path}: teacher has {teacher.shape[2]} steps; at least 4 are needed")
    check_shape(f"{path}: teacher", *teacher.shape[1:3])
    check_finite(path, clip_id, "teacher", teacher.numpy())
    for name in PER_CLIP & set(rest):
        if rest[name].shape[:1] != (n,) or (name == "v0" and rest[name].dim() != 1):
            raise UserError(f"{path}: {name} must have one row for each of {n} clips (got {tuple(rest[name].shape)})")
    truth = rest.get("ground_truth")
    if truth is not None and (truth.dim() != 3 or truth.shape[-1] != teacher.shape[-1]):
        raise UserError(f"{path}: ground_truth must have shape (N, T, {teacher.shape[-1]}) (got {tuple(truth.shape)})")
    past = rest.get("history")
    if past is not None and past.dim() == 3:
        check_shape(f"{path}: history", 1, past.shape[1])
    if teacher.shape[-1] == 2:
        return _recovered(path, clip_id, teacher, rest)
    if "v0" not in rest:
        raise UserError(f"{path} has no v0, the speed at t0 that goes with teacher (N, K, T, 4)")
    teacher = _followed(path, "teacher", teacher)
    if truth is not None:
        rest["ground_truth"] = _followed(path, "ground_truth", truth)
    if past is not None and past.dim() == 3 and past.shape[-1] == 4:
        rest["history"] = _followed(path, "history", past.flip(1)).flip(1)
    if "scenario" not in rest:
        rest["scenario"], rest["scenario_source"] = classify(teacher[:, 0], rest["v0"]), "future"
    defaults = {
        "t0_us": torch.zeros(n, dtype=torch.int64),
        "source": np.full(n, path.name),
        "v0_source": np.full(n, "file"),
    }
    return Labels(clip_id=clip_id, teacher=teacher, **{**defaults, **rest})


def _followed(path: Path, name: str, states: Tensor) -> Tensor:
    """States (..., T, 4) from t0 on with continuous headings, 0 at t0: within +-pi or 0 to 2 pi they may be wrapped.

    Raises UserError where they do not follow the course, as degrees and clockwise ones.
    """
    yaw = continuous(states[..., 2])
    if bool(((yaw - states[..., 2]).abs() > math.pi).any()):  # what is continuous stays to the bit
        states = torch.cat([states[..., :2], yaw.unsqueeze(-1), states[..., 3:]], -1)
    step = states[..., :2].diff(dim=-2)
    moving = step.square().sum(-1) > MOVED**2
    off = wrapped((yaw[..., 1:] + yaw[..., :-1]) / 2 - torch.atan2(step[..., 1], step[..., 0])).abs()
    off = torch.minimum(off, math.pi - off)[moving]  # one may drive backwards
    turned = yaw.diff(dim=-1).abs()[moving]
    if len(off) and (float((off > ASTRAY).float().mean()) > STRAYING or float(turned.max()) > TURNED):
        how = f"turn by up to {float(turned.max()):.2g} rad in a step and are {float(off.median()):.2g} rad off"
        raise UserError(
            f"{path}: the headings of {name} do not follow the course, they {how};"
            " they must be radians, counter-clockwise, 0 at t0"
        )
    return states


def _recovered(path: Path, clip_id: np.ndarray, teacher: Tensor, rest: dict[str, Any]) -> Labels:
    """Labels of waypoints (N, K, T, 2) with whatever else the file says."""

    def xyz(points: Tensor | None) -> Any:
        return None if points is None else np.pad(points.double().numpy(), [(0, 0)] * (points.dim() - 1) + [(0, 1)])

    raw = RawClips(
        clip_id=clip_id,
        source=rest.get("source", np.full(len(clip_id), path.name)),
        t0_us=rest["t0_us"].numpy() if "t0_us" in rest else np.zeros(len(clip_id), dtype=np.int64),
        teacher=xyz(teacher),
        ground_truth=xyz(rest.get("ground_truth")),
        v0=rest["v0"].numpy() if "v0" in rest else None,
        text=rest.get("text"),
        dt=rest["dt"],
    )
    said = ("history", "context", "context_names", "scenario", "scenario_source", "route", "route_source")
    return replace(labels_of(raw, path), **{name: rest[name] for name in said if name in rest})


def write(labels: Labels, path: Path) -> None:
    """The label set as one file, compressed unless read() would refuse what that unpacks to; read() gives it back."""
    arrays: dict[str, Any] = {
        name: value.numpy() if isinstance(value, Tensor) else value.astype(str) if name == "text" else value
        for name, value in vars(labels.listed()).items()
        if value is not None and name not in ("context_names", "route_source", "own_scenarios")
    }
    if labels.route is not None:
        arrays["route_source"] = np.array(labels.route_source)
    if labels.context_names:
        arrays["context_names"] = np.array(labels.context_names)
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)
        numbers = sum(array.size * max(array.itemsize, 8) for array in map(np.asarray, arrays.values()))
        if numbers > max(ALWAYS, TIMES * file.seek(0, os.SEEK_END)):
            file.seek(0)
            file.truncate()
            np.savez(file, **arrays)


def _float(path: Path, name: str, array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "fiu":
        raise UserError(f"{path}: {name} must hold numbers (got {array.dtype})")
    return torch.from_numpy(array.astype(np.float32 if array.dtype == np.float32 else np.float64))
