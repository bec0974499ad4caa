"""Check: is a label file sound? Per clip, errors that drop it and warnings that are counted; and a verdict on all."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.action_space import BOUNDS, trajectory_to_actions
from alpamayo_toy.labels.raw import TIME_STEPS, RawClips, labels_of
from alpamayo_toy.rollout import UnicycleRollout
from alpamayo_toy.trajectory import DT, HORIZON

ERRORS = {
    "unreadable": "cannot be read: see what its reader says, and export it again",
    "non_finite": "holds NaN or infinite values: export the clip again",
    "horizon": "has another number of steps than the file's other clips, or fewer than 4: keep one horizon per file",
    "time_step": "has another time step than the file's other clips, or none in seconds: resample, or keep files apart",
    "t0_included": "begins with the origin itself: drop the first row, the first step is t0 + dt",
    "not_a_rotation": "has matrices that are no rotations: write orthonormal 3x3 matrices, or leave rotations out",
    "left_handed": "turns one way while its rotations turn the other: y must point left and yaw run counter-clockwise",
    "frame": "is not in the ego frame at t0: move t0 to the origin and turn it so that the car faces along x",
    "teleporting": "jumps further than a car can drive: look for lost frames, mixed clips or another unit than metres",
    "duplicate": "came before with the same id and t0 but other trajectories: keep the right one",
}
WARNINGS = {
    "repeated": "came before with the same id, t0 and trajectories: only the first is kept",
    "standing_still": "stays within 0.5 m in every sample: it teaches to stand, too many of these teach nothing else",
    "reversing": "drives backwards faster than 0.5 m/s for longer than 0.5 s: make sure that the car did",
    "kinematic_fit": "is no trapezoid rollout, its actions return it with a mean error above 0.1 m: expect that floor",
    "v0_history": "starts more than 1 m/s off the speed of its history, or the one stated: is that of the same t0?",
    "coarse": "has positions on a grid of half precision or of whole millimetres: actions are noise, export float32",
    "empty_text": "has an empty text: nothing can be learnt from its words",
    "nested_text": "has its text in lists in lists: the first was taken",
    "straight_line": "is exactly straight at constant speed in every sample: probably a dummy, not a teacher's",
    "no_history": "has no history though the file has one, perhaps a failed download: students that need it learn less",
    "horizon_unusual": f"has another horizon than {HORIZON} steps: students and published numbers are not comparable",
    "time_step_unusual": f"has another time step than {DT} s: students and published numbers are not comparable",
    "leakage": "is in more than one split: scores on it are not to be trusted, split by clip or drive",
}

STEPS = 4  # fewer cannot be inverted
ORTHONORMAL = 1e-2  # of R R^T - 1: bfloat16 leaves 4e-3, float32 1e-7
TOP_SPEED = 120.0  # m/s, faster than any road car
AT_ORIGIN = 1e-4  # m, a first row closer than this is t0 itself, rounded
STANDING_START = BOUNDS[0]  # m/s^2, times dt^2: twice what the bound allows in the first step out of standing
EXPECTED_START = 1.0  # m/s^2, likewise in a file of 65 steps, of which the first is most likely t0
TURNING_SPEED = 2.0  # m/s, slower and the course of a noisy step says little
TURNED = 0.05  # rad, a sample that turns less cannot tell left from right
OPPOSED = -0.5  # correlation of heading and course changes: 1 in a sound clip, -1 in a mirrored one, 0 in noise
OFF_COURSE = math.radians(45)  # the 2 m of path looked at bend by at most 38 degrees at the bound of curvature
AT_T0 = 0.1  # m, from the history's last row to the origin
STANDSTILL = 0.5  # m
REVERSING = (-0.5, 0.5)  # m/s, s: real labels roll back at -0.18 m/s near stops
FIT = 0.1  # m, real labels return to 0.04 m
V0_APART = 1.0  # m/s, an acceleration of 4 m/s^2 explains 0.2
MILLIMETRE = 1e-3  # m
NAMED = 20  # clips that a report names for each code
SHOWN = 3  # and a table

Masks = dict[str, np.ndarray]


class Check:
    """What is wrong with the clips of one file or set, added batch by batch as they stream in.

    horizon and dt (s) are what the clips must have; where None, the first batch with a clip in it decides. Of each clip
    kept, id and digest stay in memory, about 300 bytes.
    """

    def __init__(self, name: str, horizon: int | None = None, dt: float | None = None) -> None:
        self.name, self.horizon, self.dt = name, horizon, dt
        self._clips = self._kept = 0
        self._samples: set[int] = set()
        self._sources: set[str] = set()
        self._counts: dict[str, int] = {}
        self._named: dict[str, list[str]] = {}
        self._fits: list[np.ndarray] = []
        self._seen: dict[tuple[str, int], bytes] = {}

    def add(self, raw: RawClips) -> np.ndarray:
        """Judge a batch: (N,) bool, the clips to keep, which have no error and did not come before."""
        if not len(raw):
            return np.zeros(0, dtype=bool)
        self.horizon = raw.shape[1] if self.horizon is None else self.horizon
        self.dt = float(raw.dt) if self.dt is None else self.dt
        with np.errstate(all="ignore"), torch.no_grad():
            found = {**self._of_the_file(raw), **_errors(raw)}
            keep: np.ndarray = ~np.logical_or.reduce(list(found.values()))
            found |= self._met_again(raw, keep)
            keep &= ~found["duplicate"] & ~found["repeated"]
            if keep.any():
                warnings, fit = _warnings(raw.select(keep))
                found |= {code: _spread(mask, keep) for code, mask in warnings.items()}
                self._fits.append(fit)
        self._count(raw, found, keep)
        return keep

    def unreadable(self, why: str) -> None:
        """Count a clip, or a file of them, that its reader gave up; the report has the reader's words for a name."""
        self._clips += 1
        self._tell("unreadable", 1, [why])

    def report(self) -> dict[str, Any]:
        """The verdict and what it rests on: JSON, codes in the order of ERRORS and WARNINGS, those not met left out."""
        fits = np.concatenate(self._fits) if self._fits else None
        return {
            "format": 1,
            "name": self.name,
            "clips": self._clips,
            "kept": self._kept,
            "samples": sorted(self._samples),
            "horizon": self.horizon,
            "dt": self.dt if self.dt is not None and math.isfinite(self.dt) else None,
            "sources": len(self._sources),
            "errors": self._said(ERRORS, self._counts),
            "warnings": self._said(WARNINGS, self._counts | self._unusual()),
            "kinematic_fit": {
                "mean": None if fits is None else round(float(fits.mean()), 6),
                "p99": None if fits is None else round(float(np.percentile(fits, 99)), 6),
                "max": None if fits is None else round(float(fits.max()), 6),
            },
            "verdict": ("sound", "warnings", "unusable")[self.verdict],
        }

    @property
    def verdict(self) -> int:
        """0 sound; 1 warnings, or errors while clips are left; 2 no clip is left."""
        if not self._kept:
            return 2
        return int(bool(self._counts or self._unusual()))

    def _of_the_file(self, raw: RawClips) -> Masks:
        """Errors of a clip beside the others: all of a batch have one horizon and one time step."""
        steps = raw.shape[1]
        return {
            "horizon": np.full(len(raw), steps != self.horizon or steps < STEPS),
            "time_step": np.full(len(raw), not (_usable(raw.dt) and math.isclose(raw.dt, self.dt or 0, rel_tol=1e-4))),
        }

    def _met_again(self, raw: RawClips, sound: np.ndarray) -> Masks:
        """Sound clips that came before, by digests of their trajectories in float32; the new ones are remembered."""
        duplicate, repeated = np.zeros((2, len(raw)), dtype=bool)
        for i in np.flatnonzero(sound):
            digest = hashlib.blake2b(raw.teacher[i].astype(np.float32).tobytes(), digest_size=16).digest()
            key = (str(raw.clip_id[i]), int(raw.t0_us[i]))
            if key in self._seen:
                repeated[i] = self._seen[key] == digest
                duplicate[i] = not repeated[i]
            self._seen.setdefault(key, digest)
        return {"duplicate": duplicate, "repeated": repeated}

    def _count(self, raw: RawClips, found: Masks, keep: np.ndarray) -> None:
        self._clips += len(raw)
        self._kept += int(keep.sum())
        self._samples.add(raw.shape[0])
        self._sources.update(map(str, np.unique(raw.source)))
        for code, mask in found.items():
            rows = np.flatnonzero(mask)
            if len(rows):
                self._tell(code, len(rows), [f"{raw.clip_id[i]} {raw.t0_us[i]}" for i in rows[:NAMED]])

    def _tell(self, code: str, count: int, names: list[str]) -> None:
        self._counts[code] = self._counts.get(code, 0) + count
        self._named[code] = (self._named.get(code, []) + names)[:NAMED]

    def _unusual(self) -> dict[str, int]:
        """Warnings of the file as a whole: how many clips they touch, which are not named."""
        found = {
            "horizon_unusual": self.horizon not in (None, HORIZON),
            "time_step_unusual": self.dt is not None and not math.isclose(self.dt, DT, rel_tol=1e-4),
        }
        return {code: self._kept for code, is_so in found.items() if is_so and self._kept}

    def _said(self, sentences: dict[str, str], counts: dict[str, int]) -> dict[str, Any]:
        return {
            code: {"count": counts[code], "clips": list(self._named.get(code, [])), "says": says}
            for code, says in sentences.items()
            if code in counts
        }


def table(report: dict[str, Any]) -> str:
    """A report to be read at a terminal."""
    samples = ", ".join(map(str, report["samples"])) or "no"
    head = f"{_printable(report['name'])}: {report['clips']} clips, {report['kept']} kept, {samples} samples a clip"
    if report["horizon"] is not None:
        head += f", {report['horizon']} steps of {_number(report['dt'])} s, sources: {report['sources']}"
    lines = [head]
    for kind in ("errors", "warnings"):
        for code, entry in report[kind].items():
            lines.append(f"  {kind[:-1]:<8}{entry['count']:>8}  {code}: {entry['says']}")
            shown = [_printable(clip) for clip in entry["clips"][:SHOWN]]
            more = [f"and {entry['count'] - len(shown)} more"] if entry["count"] > len(shown) else []
            lines += [f"{'':20}{', '.join(shown + more)}"] if shown else []
    fit = report["kinematic_fit"]
    if fit["mean"] is not None:
        lines.append(f"  as actions and back: mean {fit['mean']:.4f} m, p99 {fit['p99']:.4f} m, max {fit['max']:.4f} m")
    words = {
        "sound": "sound: nothing to complain about",
        "warnings": "usable, with a look at the above",
        "unusable": "unusable: no clip is left",
    }
    if report["verdict"] == "warnings" and report["errors"]:
        words["warnings"] = f"usable without {report['clips'] - report['kept']} of {report['clips']} clips"
    return "\n".join([*lines, words[report["verdict"]]])


def leakage(parts: Mapping[str, Iterable[tuple[str, int]]]) -> list[str]:
    """The clip ids, sorted, that more than one split holds, at whatever t0: split name -> (clip_id, t0_us) of each."""
    owner: dict[str, str] = {}
    shared = {clip for name, keys in parts.items() for clip, _ in keys if owner.setdefault(clip, name) != name}
    return sorted(shared)


def _errors(raw: RawClips) -> Masks:
    """(N,) bool for every error that a clip has by itself; one that is not finite has no other."""
    non_finite = _non_finite(raw)
    finite = ~non_finite
    found = {"non_finite": non_finite}
    if not finite.any() or raw.shape[1] < STEPS or not _usable(raw.dt):
        return found
    sane = raw.select(finite)
    path = _paths(sane)
    included, frame = _t0_included(path, raw.dt), _frame(sane, path)
    errors = {
        "t0_included": included,
        "not_a_rotation": _not_a_rotation(sane),
        "left_handed": _left_handed(sane),
        "frame": frame,
        "teleporting": _teleporting(sane, path) & ~frame,
    }
    return found | {code: _spread(mask, finite) for code, mask in errors.items()}


def _warnings(raw: RawClips) -> tuple[Masks, np.ndarray]:
    """(N,) bool for every warning about sound clips, and the kinematic fit (N,) in metres."""
    labels = labels_of(raw, Path())
    fit = _kinematic_fit(labels.teacher, labels.v0, raw.dt)
    points = raw.teacher[..., :2].astype(np.float64)
    still = (np.linalg.norm(points, axis=-1) < STANDSTILL).all((1, 2))
    told = np.isin(labels.v0_source, ("file", "history"))
    first = np.median(points[:, :, 0, 0], axis=1) / raw.dt
    nothing = np.zeros(len(raw), dtype=bool)
    found = {
        "standing_still": still,
        "reversing": _reversing(labels.teacher[..., 3].numpy(), raw.dt),
        "kinematic_fit": fit > FIT,
        "v0_history": told & (np.abs(labels.v0.numpy() - first) > V0_APART),
        "coarse": ~still & _coarse(points),
        "empty_text": nothing if raw.text is None else np.array([not str(text).strip() for text in raw.text]),
        "nested_text": nothing if raw.nested_text is None else raw.nested_text.astype(bool),
        "straight_line": ~still & _straight_line(points),
        "no_history": nothing if raw.history is None else ~raw.has_history,
    }
    return found, fit


def _non_finite(raw: RawClips) -> np.ndarray:
    """NaN or infinity in anything but a history that is nothing else, which stands for none."""
    bad = np.zeros(len(raw), dtype=bool)
    for array in (raw.teacher, raw.rotation, raw.ground_truth, raw.ground_truth_rotation, raw.v0):
        if array is not None:
            bad |= _any(~np.isfinite(array))
    if raw.history is not None:
        finite = np.isfinite(raw.history)
        bad |= _any(~finite) & (raw.has_history | _any(finite & (raw.history != 0)))
    if raw.history_rotation is not None:
        bad |= _any(~np.isfinite(raw.history_rotation)) & raw.has_history
    return bad


def _paths(raw: RawClips) -> np.ndarray:
    """Samples and ground truth in the plane with the origin in front: (N, K + 1 or K, T + 1, 2), float64."""
    tracks = raw.teacher if raw.ground_truth is None else np.concatenate([raw.teacher, raw.ground_truth[:, None]], 1)
    points = tracks[..., :2].astype(np.float64)
    return np.concatenate([np.zeros_like(points[:, :, :1]), points], 2)


def _t0_included(path: np.ndarray, dt: float) -> np.ndarray:
    """A first step of nothing and a second that no car drives out of standing."""
    steps = _lengths(path[:, :, :3])
    limit = (EXPECTED_START if path.shape[2] - 1 == HORIZON + 1 else STANDING_START) * dt**2
    return _any((steps[..., 0] < AT_ORIGIN) & (steps[..., 1] > limit))


def _not_a_rotation(raw: RawClips) -> np.ndarray:
    found = np.zeros(len(raw), dtype=bool)
    for matrices in (raw.rotation, raw.ground_truth_rotation):
        if matrices is not None:
            found |= _any(_improper(matrices))
    if raw.history_rotation is not None:
        found |= raw.has_history & _any(_improper(raw.history_rotation))
    return found


def _improper(matrices: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> (...) bool: columns not orthonormal, or a mirror. By components, since 3 x 3 products are slow."""
    m = np.moveaxis(matrices.astype(np.float64), (-1, -2), (0, 1))
    rows = [[m[j, i] for j in range(3)] for i in range(3)]
    bad = np.zeros(matrices.shape[:-2], dtype=bool)
    for i in range(3):
        for j in range(i, 3):
            product = sum((a * b for a, b in zip(rows[i], rows[j], strict=True)), np.zeros(()))
            bad |= np.abs(product - float(i == j)) > ORTHONORMAL
    (a, b, c), (d, e, f), (g, h, i_) = rows
    bad |= a * (e * i_ - f * h) - b * (d * i_ - f * g) + c * (d * h - e * g) < 0
    return bad


def _left_handed(raw: RawClips) -> np.ndarray:
    """Changes of heading against changes of course, over the moving steps of all samples."""
    found = np.zeros(len(raw), dtype=bool)
    if raw.rotation is not None:
        found |= _opposed(raw.teacher, raw.rotation, raw.dt)
    if raw.ground_truth is not None and raw.ground_truth_rotation is not None:
        found |= _opposed(raw.ground_truth[:, None], raw.ground_truth_rotation[:, None], raw.dt)
    return found


def _opposed(points: np.ndarray, rotation: np.ndarray, dt: float) -> np.ndarray:
    """(N, K, T, 3), (N, K, T, 3, 3) -> (N,) bool"""
    yaw = _yaw(rotation)
    steps = np.diff(points[..., :2].astype(np.float64), axis=2)
    moving = np.hypot(steps[..., 0], steps[..., 1]) > TURNING_SPEED * dt
    both = moving[..., 1:] & moving[..., :-1]
    course = np.where(both, _turns(np.arctan2(steps[..., 1], steps[..., 0])), 0.0)
    turns = _turns(yaw)
    heading = np.where(both, (turns[..., 1:] + turns[..., :-1]) / 2, 0.0)
    product, size = (course * heading).sum((1, 2)), np.sqrt((course**2).sum((1, 2)) * (heading**2).sum((1, 2)))
    enough = (np.abs(course).sum(2) > TURNED) & (np.abs(heading).sum(2) > TURNED)
    opposed: np.ndarray = _any(enough) & (product < OPPOSED * size)
    return opposed


def _frame(raw: RawClips, path: np.ndarray) -> np.ndarray:
    """Does not begin at the origin, or not along x, or its history does not end at the origin."""
    steps = _lengths(path[:, :, :3])
    found: np.ndarray = _any(steps[..., 0] > 3 * steps[..., 1] + 1) | _any(_off_course(path, raw.dt))
    for rotation in (raw.rotation, raw.ground_truth_rotation):
        if rotation is not None:
            found |= _any(np.abs(_yaw(rotation[..., :1, :, :])) > OFF_COURSE)
    if raw.history is not None and raw.has_history.any():
        last = raw.history[:, -1, :2].astype(np.float64)
        found |= raw.has_history & (np.hypot(last[:, 0], last[:, 1]) > AT_T0)
    return found


def _off_course(path: np.ndarray, dt: float) -> np.ndarray:
    """(N, K, T + 1, 2) -> (N, K): the first step above 2 m/s within a second goes sideways; backwards is reversing."""
    steps = np.diff(path[:, :, : max(round(1 / dt), 1) + 1], axis=2)
    moving = np.hypot(steps[..., 0], steps[..., 1]) > TURNING_SPEED * dt
    first = np.take_along_axis(steps, moving.argmax(2)[..., None, None], 2)[:, :, 0]
    angle = np.abs(np.arctan2(first[..., 1], first[..., 0]))
    sideways: np.ndarray = moving.any(2) & (angle > OFF_COURSE) & (angle < math.pi - OFF_COURSE)
    return sideways


def _teleporting(raw: RawClips, path: np.ndarray) -> np.ndarray:
    """A step beyond 120 m/s, or beyond 3 times both its neighbours + 2 m; a point aside of both its neighbours.

    Aside: off their middle by more than a quarter of their distance + 1 m. A turn that sharp takes 20 g and a radius
    below the step.
    """
    steps = _lengths(path)
    neighbours = np.maximum(steps[..., :-1], np.concatenate([steps[..., 2:], np.zeros_like(steps[..., :1])], -1))
    jump = (steps[..., 1:] > TOP_SPEED * raw.dt) | (steps[..., 1:] > 3 * neighbours + 2)
    ahead, behind = path[:, :, 2:], path[:, :, :-2]
    aside = np.linalg.norm(path[:, :, 1:-1] - (ahead + behind) / 2, axis=-1)
    found: np.ndarray = _any(jump) | _any(aside > np.linalg.norm(ahead - behind, axis=-1) / 4 + 1)
    if raw.history is not None and raw.has_history.any():
        past = _lengths(raw.history[..., :2].astype(np.float64))
        found |= raw.has_history & _any(past > TOP_SPEED * raw.dt)
    return found if raw.v0 is None else found | (np.abs(raw.v0) > TOP_SPEED)


def _kinematic_fit(teacher: Tensor, v0: Tensor, dt: float) -> np.ndarray:
    """(N, K, T, 4), (N,) -> (N,) m: the mean error of the sample that actions and their rollout return worst."""
    start = v0.unsqueeze(1).expand(teacher.shape[:2])
    actions = trajectory_to_actions(teacher[..., :2], teacher[..., 2], start, dt, guard="none", check=False)
    returned = UnicycleRollout(dt, "trapezoid")(actions, start)
    error = torch.linalg.vector_norm(returned[..., :2] - teacher[..., :2], dim=-1)
    worst: np.ndarray = error.mean(-1).amax(1).numpy()
    return worst


def _reversing(v: np.ndarray, dt: float) -> np.ndarray:
    """(N, K, T) m/s -> (N,) bool"""
    speed, duration = REVERSING
    count = int(duration / dt + 1e-6) + 1
    if count > v.shape[2]:
        return np.zeros(len(v), dtype=bool)
    back = np.concatenate([np.zeros((*v.shape[:2], 1), dtype=np.int64), (v < speed).cumsum(2)], 2)
    return _any(back[..., count:] - back[..., :-count] == count)


def _coarse(points: np.ndarray) -> np.ndarray:
    """(N, K, T, 2) -> (N,) bool: every number of a clip lies on the grid; within float32's own for millimetres."""
    exact = torch.from_numpy(points)
    halves = [(exact == exact.to(half).double()).all(-1).numpy() for half in (torch.bfloat16, torch.float16)]
    off = np.abs(points - np.round(points / MILLIMETRE) * MILLIMETRE)
    rounded = (off <= 1e-6 + np.finfo(np.float32).eps * np.abs(points)).all(-1)
    return _any(np.stack([grid.all((1, 2)) for grid in (*halves, rounded)], 1))


def _straight_line(points: np.ndarray) -> np.ndarray:
    """(N, K, T, 2) -> (N,) bool: second differences of nothing but float32's rounding."""
    bends = np.abs(np.diff(points, n=2, axis=2)).max((1, 2, 3))
    straight: np.ndarray = bends <= 4 * np.finfo(np.float32).eps * np.abs(points).max((1, 2, 3))
    return straight


def _usable(dt: float) -> bool:
    return TIME_STEPS[0] <= dt <= TIME_STEPS[1]


def _lengths(path: np.ndarray) -> np.ndarray:
    """(..., T, 2) -> (..., T - 1) m"""
    steps = np.diff(path, axis=-2)
    lengths: np.ndarray = np.hypot(steps[..., 0], steps[..., 1])
    return lengths


def _yaw(rotation: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> (...) rad: where the forward axis points."""
    yaw: np.ndarray = np.arctan2(rotation[..., 1, 0], rotation[..., 0, 0])
    return yaw


def _turns(angle: np.ndarray) -> np.ndarray:
    """(..., T) -> (..., T - 1) rad: differences the short way round."""
    turns: np.ndarray = (np.diff(angle, axis=-1) + math.pi) % (2 * math.pi) - math.pi
    return turns


def _any(mask: np.ndarray) -> np.ndarray:
    """(N, ...) -> (N,) bool"""
    return np.asarray(mask.any(tuple(range(1, mask.ndim))))


def _spread(mask: np.ndarray, among: np.ndarray) -> np.ndarray:
    """A mask over the clips selected by among, over all clips."""
    wide = np.zeros(len(among), dtype=bool)
    wide[among] = mask
    return wide


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"


def _printable(text: str) -> str:
    """A clip id may be anything: control characters and lone surrogates would break the terminal."""
    return text if text.isprintable() else text.encode("unicode_escape", "backslashreplace").decode("ascii")
