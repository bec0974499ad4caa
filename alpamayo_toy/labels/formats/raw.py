"""RawClips: what a label file says, before anything is derived from it; and Labels made of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.inverse import estimate_speeds, regularised_states
from alpamayo_toy.kinematics.manoeuvres import Scenario, classify
from alpamayo_toy.kinematics.recovery import (
    EXACT,
    alternation,
    continuous,
    recover_states,
    recover_v0,
    smoothed_heading,
)
from alpamayo_toy.kinematics.trajectory import DT, UNKNOWN_SCENARIO, Labels
from alpamayo_toy.teachers.config import DT_S

LARGEST = 1e9  # m, rad or m/s: squares and their sums over all clips stay far from the end of float32
BEYOND = f"numbers beyond {LARGEST:g}"


@dataclass(frozen=True)
class RawClips:
    """N clips of one shape as their file has them: arrays of numbers, any of them wrong.

    clip_id, source (N,) str; t0_us (N,) int64; teacher (N, K, T, 3) m, the last column z; rotation (N, K, T, 3, 3) or
    None; ground_truth (N, T, 3), history (N, H, 3) and their rotations, or None; text (N,) str, (N, K) where each
    sample has its own, or None, nested_text (N,) bool where it was a list in lists. v0 (N,) m/s only where the file
    states it. A clip without history has zeros or NaN in every row of it. route (N, 20, 2), NaN beyond its end, or
    None; route_source as in Labels. recorded: the teacher is a recorded drive, no model's rollout. acted: it was rolled
    out from v0. again (N,) bool: a sample was there twice with the same numbers. origin (N,) str: the path of the file
    that a clip is from. notes: what was not read, or not said.
    """

    clip_id: np.ndarray
    source: np.ndarray
    t0_us: np.ndarray
    teacher: np.ndarray
    rotation: np.ndarray | None = None
    ground_truth: np.ndarray | None = None
    ground_truth_rotation: np.ndarray | None = None
    history: np.ndarray | None = None
    history_rotation: np.ndarray | None = None
    v0: np.ndarray | None = None
    text: np.ndarray | None = None
    nested_text: np.ndarray | None = None
    route: np.ndarray | None = None
    route_source: str = ""
    dt: float = DT
    recorded: bool = False
    acted: bool = False
    again: np.ndarray | None = None
    origin: np.ndarray | None = None
    notes: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.clip_id)

    @property
    def shape(self) -> tuple[int, int]:
        """(K, T)"""
        return self.teacher.shape[1], self.teacher.shape[2]

    @property
    def signature(self) -> tuple[object, ...]:
        """What clips must share to stand in one array: the shapes after N, dt, recorded."""
        values = [getattr(self, f.name) for f in fields(self) if f.name != "notes"]
        return tuple(value.shape[1:] if isinstance(value, np.ndarray) else value for value in values)

    @property
    def has_history(self) -> np.ndarray:
        """(N,) bool: a history that says something, not the zeros that stand for a failed download."""
        if self.history is None or self.history.shape[1] < 4:
            return np.zeros(len(self), dtype=bool)
        said = self.history if self.history_rotation is None else self.history_rotation  # parked: zeros, but turned
        present: np.ndarray = (np.isfinite(said) & (said != 0)).any(tuple(range(1, said.ndim)))
        present &= np.isfinite(self.history).any((1, 2))
        return present

    def with_samples(self, parts: list["RawClips"], again: bool) -> Self:
        """The same clip with the samples of all parts, one after the other, and all their texts."""
        joint: dict[str, Any] = {"teacher": np.concatenate([part.teacher for part in parts], 1)}
        if self.rotation is not None:
            joint["rotation"] = np.concatenate([part.rotation for part in parts if part.rotation is not None], 1)
        said = [part.text[0] for part in parts if part.text is not None]
        if len(parts) > 1 and len(said) == len(parts) and all(isinstance(text, str) for text in said) and any(said):
            joint["text"] = np.array([said], dtype=object)
        notes = frozenset().union(*(part.notes for part in parts))
        return replace(self, **joint, again=np.array([again]), notes=notes)

    def noted(self, notes: frozenset[str]) -> Self:
        """The same with further notes."""
        return replace(self, notes=self.notes | notes)

    def select(self, index: np.ndarray) -> Self:
        """The clips at index, or where a mask is true."""
        rows = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: value[index] for name, value in rows.items() if isinstance(value, np.ndarray)})


def labels_of(raw: RawClips, path: Path) -> Labels:
    """Labels of clips that are sound, in float64. Raises UserError naming the first clip that holds NaN.

    v0 is the file's ("file"), or estimated from the history ("history"); without one it is the median over a clip's K
    samples of recover_v0 ("recovered"); where positions are no exact rollout (alternation above 1 mm) or recorded, it
    and all speeds and headings come from the regularised systems ("smoothed"). Ground truth always takes those. The
    scenario is the one that the first sample looks like ("future").
    """
    _check_numbers(raw, path)
    if raw.teacher.shape[2] < 4:
        raise UserError(f"{path}: teacher has {raw.teacher.shape[2]} steps; at least 4 are needed")
    check_step(path, raw.dt)
    teacher, yaw = _tensor(raw.teacher)[..., :2], yaw_of(raw.rotation)
    past = history_of(raw)
    v0, states, sources = _driven(raw, teacher, yaw, past)
    truth = raw.ground_truth
    try:
        return Labels(
            clip_id=raw.clip_id,
            t0_us=torch.from_numpy(raw.t0_us),
            v0=v0,
            teacher=states,
            scenario=classify(states[:, 0], v0),
            source=raw.source,
            v0_source=sources,
            scenario_source="future",
            ground_truth=None if truth is None else _recorded(truth, raw.ground_truth_rotation, v0, raw.dt),
            history=past,
            route=None if raw.route is None else _tensor(raw.route),
            route_source=raw.route_source,
            text=raw.text,
            dt=raw.dt,
        )
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def _check_numbers(raw: RawClips, path: Path) -> None:
    told = raw.has_history
    flat: dict[str, np.ndarray | None] = {"v0": raw.v0}
    for what, points in (("teacher", raw.teacher), ("ground truth", raw.ground_truth)):
        flat[what] = None if points is None else points[..., :2]
    rest = {"rotation": raw.rotation, "rotation of ground truth": raw.ground_truth_rotation}
    for what, values in (flat | rest).items():
        if values is not None:
            check_finite(path, raw.clip_id, what, values)
    flat["history"] = None if raw.history is None else np.where(told[:, None, None], raw.history[..., :2], 0)
    for what, values in flat.items():
        if values is not None:
            check_size(path, raw.clip_id, what, values)
    for turns in (raw.history, raw.history_rotation):
        if turns is not None:
            check_finite(path, raw.clip_id[told], "history", turns[told])


def _driven(
    raw: RawClips, teacher: Tensor, yaw: Tensor | None, past: Tensor | None
) -> tuple[Tensor, Tensor, np.ndarray]:
    """v0 (N,), trajectories (N, K, T, 4) and where each v0 came from, of waypoints (N, K, T, 2)."""
    many, dt = teacher.shape[:2], raw.dt
    recovered = recover_v0(teacher, dt)[0].median(1).values
    exact = alternation(teacher, recovered.unsqueeze(1).expand(many), dt).median(1).values < EXACT
    if raw.recorded:
        exact = torch.zeros_like(exact)
    rest = (~exact).nonzero()[:, 0]
    rough = teacher[rest]
    heading = smoothed_heading(rough, dt) if yaw is None else yaw[rest]
    v0 = recovered.index_copy(0, rest, regularised_states(rough, heading, None, dt)[0].median(1).values)
    sources = np.where(exact.numpy(), "recovered", "smoothed")
    if past is not None:
        v0 = torch.where(past[:, -1, 3].isnan(), v0, past[:, -1, 3])
        sources = np.where(past[:, -1, 3].isnan().numpy(), sources, "history")
    if raw.v0 is not None:
        v0, sources = _tensor(raw.v0), np.full(len(raw), "file")
    if raw.acted:
        return v0, recover_states(teacher, v0.unsqueeze(1).expand(many), dt, yaw), sources
    smooth = regularised_states(rough, heading, v0[rest].unsqueeze(1).expand(len(rest), many[1]), dt)[1]
    states = recover_states(teacher, recovered.unsqueeze(1).expand(many), dt, yaw)
    return v0, states.index_copy(0, rest, smooth), sources


def _recorded(points: np.ndarray, rotation: np.ndarray | None, v0: Tensor, dt: float) -> Tensor:
    """A recorded track (N, T, 3) as trajectories (N, T, 4)."""
    waypoints, yaw = _tensor(points)[..., :2], yaw_of(rotation)
    return regularised_states(waypoints, smoothed_heading(waypoints, dt) if yaw is None else yaw, v0, dt)[1]


def history_of(raw: RawClips) -> Tensor | None:
    """History as trajectories (N, H, 4), NaN where there is none; its last speed is Alpamayo's estimate of v0."""
    known = torch.from_numpy(raw.has_history)
    if raw.history is None or not bool(known.any()):
        return None
    points = torch.where(known[:, None, None], _tensor(raw.history)[..., :2], 0.0)
    yaw = yaw_of(raw.history_rotation)
    if yaw is None:
        backwards = (points - points[:, -1:]).flip(1)[:, 1:]  # from t0 on, as smoothed_heading takes them
        yaw = torch.cat([smoothed_heading(-backwards, raw.dt).flip(1), torch.zeros_like(points[:, :1, 0])], 1)
    yaw = torch.where(known[:, None], yaw - yaw[:, -1:], 0.0)
    past = torch.cat([points, torch.stack([yaw, estimate_speeds(points, yaw, raw.dt)], -1)], -1)
    return torch.where(known[:, None, None], past, torch.nan)


def yaw_of(rotation: np.ndarray | None) -> Tensor | None:
    """Continuous headings (..., T) of rotations (..., T, 3, 3): atan2 of what the forward axis points at."""
    if rotation is None:
        return None
    matrices = _tensor(rotation)
    return continuous(torch.atan2(matrices[..., 1, 0], matrices[..., 0, 0]))


def matrices_of(yaw: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) of headings (...)."""
    matrices = np.zeros((*yaw.shape, 3, 3))
    matrices[..., 0, 0] = matrices[..., 1, 1] = np.cos(yaw)
    matrices[..., 1, 0], matrices[..., 0, 1], matrices[..., 2, 2] = np.sin(yaw), -np.sin(yaw), 1.0
    return matrices


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))


def check_finite(path: Path, clip_id: np.ndarray, what: str, values: np.ndarray) -> None:
    """Raise UserError naming the first clip with NaN or infinite values."""
    _refuse(path, clip_id, what, ~np.isfinite(values), "NaN or infinite values")


def check_size(path: Path, clip_id: np.ndarray, what: str, values: np.ndarray) -> None:
    """Raise UserError naming the first clip with numbers that no drive has."""
    _refuse(path, clip_id, what, np.abs(values) > LARGEST, BEYOND)


def _refuse(path: Path, clip_id: np.ndarray, what: str, wrong: np.ndarray, reason: str) -> None:
    bad = wrong.any(tuple(range(1, wrong.ndim)))
    if bad.any():
        raise UserError(f"{path}: {what} of clip {clip_id[int(bad.argmax())]} holds {reason}")


def check_step(path: Path, dt: float) -> None:
    """Raise UserError for a step that no drive is sampled at."""
    if not DT_S[0] <= dt <= DT_S[1]:  # outside of it the unit is not seconds
        raise UserError(f"{path}: dt is {dt} s; it must be between {DT_S[0]} and {DT_S[1]}")


def check_labels(labels: Labels, path: Path) -> None:
    """Raise UserError for what Labels takes and no arithmetic does: absurd numbers, steps, scenarios and routes."""
    check_step(path, labels.dt)
    for what in ("teacher", "v0", "ground_truth", "history", "context", "route"):
        values = getattr(labels, what)
        if values is not None:  # NaN stands for what is unknown, where Labels allows it
            _refuse(path, labels.clip_id, what, values.isinf().numpy(), "infinite values")
            check_size(path, labels.clip_id, what, values.numpy())
    if labels.route is not None:
        unknown = labels.route.isnan().any(-1)
        back = unknown[:, :-1] & ~unknown[:, 1:]
        _refuse(path, labels.clip_id, "route", back.numpy(), "NaN before its end; only the points beyond it may be NaN")
    outside = (labels.scenario < UNKNOWN_SCENARIO) | (labels.scenario >= len(Scenario))
    if bool(outside.any()):
        raise UserError(f"{path}: scenario must be {UNKNOWN_SCENARIO} (unknown) or 0 to {len(Scenario) - 1}")


def as_raw(labels: Labels) -> RawClips:
    """A label set as a file would hold it, so that it can be checked like one."""

    def xyz(trajectories: Tensor | None) -> Any:
        if trajectories is None:
            return None
        points = trajectories.double().numpy()
        return np.concatenate([points[..., :2], points[..., :1] * 0], -1)

    def turned(trajectories: Tensor | None) -> Any:
        if trajectories is None:
            return None
        return matrices_of(trajectories[..., 2].double().numpy())

    return RawClips(
        clip_id=labels.clip_id,
        source=labels.source,
        t0_us=labels.t0_us.numpy(),
        teacher=xyz(labels.teacher),
        rotation=turned(labels.teacher),
        ground_truth=xyz(labels.ground_truth),
        ground_truth_rotation=turned(labels.ground_truth),
        history=xyz(labels.history),
        history_rotation=turned(labels.history),
        v0=labels.v0.double().numpy(),
        text=labels.text,
        route=None if labels.route is None else labels.route.double().numpy(),
        route_source=labels.route_source,
        dt=labels.dt,
    )


GATHERED = 1024  # clips that are worked on at once


def gathered(parts: Iterable[RawClips], size: int = GATHERED) -> Iterator[RawClips]:
    """Neighbours of the same shapes joined into batches of about that many clips, and larger ones cut, in order."""
    waiting: list[RawClips] = []
    together, clips = None, 0
    for part in parts:
        if waiting and (part.signature != together or clips >= size):
            yield joined(waiting)
            waiting, clips = [], 0
        whole = len(part) // size * size if not waiting else 0
        for start in range(0, whole, size):
            yield part.select(np.arange(start, start + size))
        if whole < len(part):
            waiting.append(part.select(np.arange(whole, len(part))) if whole else part)
            together, clips = waiting[0].signature if not clips else together, clips + len(part) - whole
    if waiting:
        yield joined(waiting)


def joined(parts: list[RawClips]) -> RawClips:
    """Parts with the same signature as one."""
    if len(parts) == 1:
        return parts[0]
    columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(RawClips)}
    arrays: dict[str, Any] = {n: np.concatenate(c) for n, c in columns.items() if isinstance(c[0], np.ndarray)}
    return replace(parts[0], **arrays, notes=frozenset().union(*(part.notes for part in parts)))
