"""What can be wrong with a clip: the rules behind the codes of check.py, and their thresholds."""

import math

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.kinematics.action_space import BOUNDS
from alpamayo_toy.kinematics.inverse import trajectory_to_actions
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.kinematics.route import ROUTE_SPACING, curvature_of
from alpamayo_toy.kinematics.trajectory import HORIZON, Labels
from alpamayo_toy.labels.formats.raw import RawClips
from alpamayo_toy.teachers.config import DT_S

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
STILL = 0.5  # m
REVERSING = (-0.5, 0.5)  # m/s, s: real labels roll back at -0.18 m/s near stops
FIT = 0.1  # m, real labels return to 0.04 m
V0_APART = 1.0  # m/s, an acceleration of 4 m/s^2 explains 0.2
MILLIMETRE = 1e-3  # m
BESIDE = 5.0  # m, from the car to the first point of its route
APART = 1.5 * ROUTE_SPACING  # m, between two points of a route
BENT = 1.25 * BOUNDS[1]  # 1/m: the bound of curvature with a margin, since points 4.2 m apart cut corners

Masks = dict[str, np.ndarray]


def errors(raw: RawClips) -> Masks:
    """(N,) bool for every error that a clip has by itself; one that is not finite has no other."""
    non_finite = _non_finite(raw)
    finite = ~non_finite
    found = {"non_finite": non_finite}
    if not finite.any() or raw.shape[1] < STEPS or not usable_step(raw.dt):
        return found
    sane = raw.select(finite)
    path = _paths(sane)
    included, frame = _t0_included(path, raw.dt), _frame(sane, path)
    rest = {
        "t0_included": included,
        "not_a_rotation": _not_a_rotation(sane),
        "left_handed": _left_handed(sane),
        "frame": frame,
        "teleporting": _teleporting(sane, path) & ~frame,
    }
    return found | {code: spread(mask, finite) for code, mask in rest.items()}


def warnings(raw: RawClips, labels: Labels) -> tuple[Masks, np.ndarray]:
    """(N,) bool for every warning about sound clips and their labels, and the kinematic fit (N,) in metres."""
    fit = _kinematic_fit(labels.teacher, labels.v0, raw.dt)
    points = raw.teacher[..., :2].astype(np.float64)
    still = (np.linalg.norm(points, axis=-1) < STILL).all((1, 2))
    told = np.isin(labels.v0_source, ("file", "history"))
    first = np.median(points[:, :, 0, 0], axis=1) / raw.dt
    nothing = np.zeros(len(raw), dtype=bool)
    found = {
        "standing_still": still,
        "reversing": _reversing(labels.teacher[..., 3].numpy(), raw.dt),
        "kinematic_fit": fit > FIT,
        "v0_history": told & (np.abs(labels.v0.numpy() - first) > V0_APART),
        "coarse": ~still & _coarse(points),
        "empty_text": nothing
        if raw.text is None
        else np.array([not "".join(np.atleast_1d(t)).strip() for t in raw.text]),
        "nested_text": nothing if raw.nested_text is None else raw.nested_text.astype(bool),
        "straight_line": ~still & _straight_line(points),
        "repeated_samples": nothing if raw.again is None else raw.again,
        "no_history": nothing if raw.history is None else ~raw.has_history,
        **_route(raw),
    }
    return found, fit


def _route(raw: RawClips) -> Masks:
    """A route that begins away from the car, jumps, or bends; NaN beyond its end says nothing."""
    if raw.route is None:
        return {}
    points = raw.route.astype(np.float64)
    curvature = curvature_of(torch.from_numpy(points)).abs().numpy()
    return {
        "route_away": np.hypot(points[:, 0, 0], points[:, 0, 1]) > BESIDE,
        "route_jumps": _any(_lengths(points) > APART),
        "route_bends": _any(curvature > BENT),
    }


def usable_step(dt: float) -> bool:
    """Whether a time step may be one in seconds."""
    return DT_S[0] <= dt <= DT_S[1]


def spread(mask: np.ndarray, among: np.ndarray) -> np.ndarray:
    """A mask over the clips selected by among, over all clips."""
    wide = np.zeros(len(among), dtype=bool)
    wide[among] = mask
    return wide


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
