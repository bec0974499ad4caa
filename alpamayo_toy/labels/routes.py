"""Routes of recorded drives: what lies beyond a window's own future is the future of the windows that follow it.

Such a route is an oracle of where, not of when: route_source "recorded". One of the clip's own future alone, "future",
gives away how far the clip goes as well.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.recovery import smoothed_heading
from alpamayo_toy.kinematics.route import ROUTE_SPACING, route_ahead
from alpamayo_toy.kinematics.route import Path as Road
from alpamayo_toy.kinematics.trajectory import ROUTE_POINTS, Labels
from alpamayo_toy.labels.formats.raw import RawClips, as_raw, yaw_of
from alpamayo_toy.labels.formats.reading import Part

STEP = 0.5  # m: nearer to the last point of a path a car stands, and its noise is no road
LENGTH = (ROUTE_POINTS - 1) * ROUTE_SPACING + STEP  # m, of path that a route is cut from
SAME_TIME = 1e-3  # s
MEETING = 2.0  # m: windows that disagree by more on where the car is later are none of one drive


@dataclass(frozen=True)
class Window:
    """A clip's recorded future: t0 in s, poses (T + 1, 3) = x, y, yaw from t0 on, and their times (T + 1,) in s."""

    t0: float
    poses: np.ndarray
    times: np.ndarray

    def at(self, time: float) -> np.ndarray:
        """The pose (3,) at a time."""
        return np.array([np.interp(time, self.times, column) for column in self.poses.T])


def with_routes(parts: Iterable[Part], path: Path, source: str) -> Iterator[Part]:
    """The parts of a file, each clip with a route of that source, NaN beyond its end. All of a file is held in memory.

    recorded: the 80 m that were driven from t0 on, by the windows of one clip id and source, until the drive ends.
    future: no further than the clip's own future goes, the recorded one or else the teacher's first sample.
    Raises UserError for clips that have routes already, and where nothing is recorded or nothing can be chained.
    """
    held = list(parts)
    futures = [None if isinstance(part, UserError) else _futures(part, path, source) for part in held]
    if all(poses is None for poses in futures):
        raise UserError(f"{path} holds no recorded future that routes could be cut from, only a teacher's samples")
    routes = [None if poses is None else np.full((len(poses), ROUTE_POINTS, 2), np.nan) for poses in futures]
    chained = False
    for drive in _drives(held, futures, alone=source == "future").values():
        drive.sort(key=lambda entry: entry[0].t0)
        windows = [window for window, _, _ in drive]
        chained |= any(a.t0 < b.t0 <= a.times[-1] for a, b in pairwise(windows))
        for (_, k, row), route in zip(drive, drive_routes(windows), strict=True):
            target = routes[k]
            assert target is not None
            target[row] = route
    if source == "recorded" and not chained:
        raise UserError(f"{path}: no window begins within another's future, by clip id and t0; name whole drives")
    for part, ahead in zip(held, routes, strict=True):
        if ahead is None or isinstance(part, UserError):
            yield part
        elif isinstance(part, RawClips):
            yield replace(part, route=ahead, route_source=source)
        else:
            yield replace(part, route=torch.from_numpy(ahead).to(part.teacher.dtype), route_source=source)


def _drives(
    parts: list[Part], futures: list[np.ndarray | None], alone: bool
) -> dict[tuple[object, ...], list[tuple[Window, int, int]]]:
    """The windows of each drive with the part and row that they stand in; alone: each window is a drive of its own."""
    found: dict[tuple[object, ...], list[tuple[Window, int, int]]] = {}
    first: dict[tuple[object, ...], int] = {}
    for k, (part, poses) in enumerate(zip(parts, futures, strict=True)):
        if isinstance(part, UserError) or poses is None:
            continue
        for row in np.flatnonzero(np.isfinite(poses).all((1, 2))).tolist():
            key = (k, row) if alone else (str(part.clip_id[row]), str(part.source[row]))
            t0_us = int(part.t0_us[row])
            t0 = (t0_us - first.setdefault(key, t0_us)) / 1e6
            window = Window(t0, poses[row], t0 + part.dt * np.arange(poses.shape[1]))
            found.setdefault(key, []).append((window, k, row))
    return found


def drive_routes(windows: list[Window]) -> np.ndarray:
    """Routes (n, 20, 2) in the frame of each of the windows of one drive, which are in the order of their t0."""
    starts = [window.t0 for window in windows]
    paths = [_path(windows, starts, i) for i in range(len(windows))]
    points = np.full((len(paths), max(2, *map(len, paths)), 2), np.nan)
    for row, path in zip(points, paths, strict=True):
        row[: len(path)] = path
    here = torch.zeros(len(paths), 1, 3, dtype=torch.float64)
    routes: np.ndarray = route_ahead(Road.of(torch.from_numpy(points)), here, here[..., 0])[:, 0].numpy()
    return routes


def _path(windows: list[Window], starts: list[float], i: int) -> list[tuple[float, float]]:
    """80 m of points from window i on, in its frame, at least 0.5 m apart; fewer where the drive ends."""
    now, pose = i, np.zeros(3)
    driven, length = [(0.0, 0.0)], 0.0
    end = windows[i].t0
    while True:
        window = windows[now]
        for x, y in _moved(window.poses[window.times > end + SAME_TIME], pose)[:, :2].tolist():
            away = math.hypot(x - driven[-1][0], y - driven[-1][1])
            if away >= STEP:
                driven.append((x, y))
                length += away
            if length >= LENGTH:
                return driven
        end = float(window.times[-1])
        last = _moved(window.poses[-1:], pose)[0]
        for later in range(bisect_right(starts, end + SAME_TIME) - 1, now, -1):
            if window.t0 < starts[later] and end + SAME_TIME < windows[later].times[-1]:
                there = _moved(window.at(starts[later])[None], pose)[0]
                again = _moved(windows[later].at(end)[None], there)[0]
                break
        else:
            return driven
        if math.hypot(*(again - last)[:2]) > MEETING:
            return driven
        now, pose = later, there


def _moved(poses: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Poses (n, 3) that are told in a frame (3,), where that frame's own pose is told."""
    x, y, yaw = frame
    cos, sin = math.cos(yaw), math.sin(yaw)
    turned = [cos * poses[:, 0] - sin * poses[:, 1] + x, sin * poses[:, 0] + cos * poses[:, 1] + y, poses[:, 2] + yaw]
    return np.stack(turned, -1)


def _futures(part: RawClips | Labels, path: Path, source: str) -> np.ndarray | None:
    """Poses (N, T + 1, 3) from t0 on of what was recorded; without, for future what a teacher would drive, or None."""
    if part.route is not None:
        raise UserError(f"{path}: clip {part.clip_id[0]} has a route already; convert it without --routes")
    raw = as_raw(part) if isinstance(part, Labels) else part
    points, rotation = raw.ground_truth, raw.ground_truth_rotation
    if raw.recorded or (points is None and source == "future"):
        points, rotation = raw.teacher[:, 0], None if raw.rotation is None else raw.rotation[:, 0]
    if points is None:
        return None
    waypoints = torch.from_numpy(points[..., :2].astype(np.float64))
    yaw = yaw_of(rotation)
    yaw = smoothed_heading(waypoints, raw.dt) if yaw is None else yaw
    poses = torch.cat([waypoints, yaw.unsqueeze(-1)], -1).numpy()
    return np.concatenate([np.zeros_like(poses[:, :1]), poses], 1)
