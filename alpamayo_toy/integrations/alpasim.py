"""A student behind the driver contract of AlpaSim and CARLA: python -m alpamayo_toy.integrations.alpasim checkpoint=...

What a session has seen becomes a scene, in the rig frame of its newest pose; the student's trajectories go back as
poses in that frame, which the package puts into the contract's. Extra `alpasim`.
"""

import logging
import re
import sys
import threading
import time
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.config import latest_run
from alpamayo_toy.errors import UserError, require, shortened
from alpamayo_toy.hints import LATEST, unknown_option
from alpamayo_toy.kinematics.route import ROUTE_SPACING, Path, route_ahead, states_in_frame
from alpamayo_toy.kinematics.trajectory import UNKNOWN_SCENARIO, Prediction, Scene
from alpamayo_toy.students.checkpoint import load_student
from alpamayo_toy.students.student import Student

DEADLINE_S = 0.1  # the contract's
FIRST_M = 20.0  # of a route beyond what was driven since it came, among which the car's place beside it is looked for
SEEN_S = 2.0  # that are looked back at least
AHEAD_M = 2 * ROUTE_SPACING  # a route that begins farther ahead says nothing of here
LIMIT = "speed_limit_mps"

log = logging.getLogger("alpamayo_toy.alpasim")


@dataclass
class AlpasimConfig:
    """python -m alpamayo_toy.integrations.alpasim"""

    checkpoint: str = ""  # a run's folder, a checkpoint file, a released folder, hf://user/name, or latest
    port: int = 50051
    host: str = "127.0.0.1"  # 0.0.0.0 for other machines; or a Unix socket, unix:student.sock
    mode: str = "alpasim"  # who asks: alpasim or carla

    def __post_init__(self) -> None:
        require(self.checkpoint != "", "checkpoint", "a run's folder (checkpoint=outputs/...)", self.checkpoint)
        require(0 <= self.port < 65536, "port", "between 0 and 65535", self.port)
        require(self.mode in ("alpasim", "carla"), "mode", "alpasim or carla", self.mode)


@dataclass(frozen=True)
class Seen:
    """What a session knows: poses (N, 3) = x, y, yaw in the local frame at stamps (N,) us, signed speeds (N,) m/s.

    route (P, 2) in the rig frame of its own stamp, NaN-padded; speed_limit m/s, NaN where unknown.
    """

    stamps: np.ndarray
    poses: np.ndarray
    speeds: np.ndarray
    route: np.ndarray
    route_stamp: int
    speed_limit: float = float("nan")


def scene_of(student: Student, seen: Seen) -> Scene:
    """The scene at the newest pose, in its frame; what is not known is missing, never zero.

    A history that does not reach back far enough is missing as a whole, as training hides it. A route is cut anew, 20
    points from beside the car on; one that is older than the newest pose is moved along with the car, and one that is
    older than all poses is none.
    """
    steps, dt = student.history_steps, student.rollout.dt
    nothing = torch.full((1, len(student.context_names)), torch.nan)
    for i, name in enumerate(student.context_names):
        if name == LIMIT:
            nothing[:, i] = seen.speed_limit
    scene = Scene(
        scenario=torch.tensor([UNKNOWN_SCENARIO]),
        v0=torch.tensor([seen.speeds[-1]]),
        history=_history(seen, steps, dt) if steps else None,
        context=nothing.double() if student.context_names else None,
        route=_route(seen) if student.route_points else None,
    )
    return scene.to(torch.float32)


def _states(seen: Seen, at: np.ndarray) -> Tensor:
    """Interpolated states (1, M, 4) at stamps (M,) in the frame of the newest pose."""
    columns = (seen.poses[:, 0], seen.poses[:, 1], np.unwrap(seen.poses[:, 2]), seen.speeds)
    states = torch.from_numpy(np.stack([np.interp(at, seen.stamps, column) for column in columns], -1))[None]
    newest = torch.tensor([[column[-1] for column in columns]], dtype=torch.float64)
    return states_in_frame(states, newest)


def _history(seen: Seen, steps: int, dt: float) -> Tensor | None:
    at = seen.stamps[-1] - np.round(np.arange(steps - 1, -1, -1) * dt * 1e6)
    return _states(seen, at) if seen.stamps[0] <= at[0] else None


def _route(seen: Seen) -> Tensor | None:
    """(1, 20, 2), None where no route is known here."""
    known = np.isfinite(seen.route).all(-1)
    known &= np.logical_and.accumulate(known)  # up to the first that is not
    points = torch.from_numpy(seen.route[known].astype(np.float64))
    if len(points) > 1:
        points = points[torch.cat([torch.ones(1, dtype=torch.bool), points.diff(dim=0).norm(dim=-1) > 1e-3])]
    if len(points) < 2 or seen.route_stamp < seen.stamps[0]:
        return None
    chord = driven = 0.0  # m since the route came, as the crow flies and as it went: the least and most it came along
    if seen.route_stamp < seen.stamps[-1]:
        then = _states(seen, np.array([seen.route_stamp]))[0, 0]
        cos, sin = then[2].cos(), then[2].sin()
        points = points @ torch.stack([torch.stack([cos, sin]), torch.stack([-sin, cos])]) + then[:2]
        steps = np.diff(seen.poses[seen.stamps >= seen.route_stamp, :2], axis=0)
        chord, driven = float(then[:2].norm()), float(np.linalg.norm(steps, axis=-1).sum())
    here = torch.zeros(1, 1, 3, dtype=torch.float64)
    path = Path.of(points[None])
    along = path.locate(here[..., :2], here[..., 0] + chord, (FIRST_M, max(driven - chord, 0.0) + FIRST_M))[0]
    if float(along) < -AHEAD_M:
        return None
    if float(along) < 0:  # the first segment reaches back straight
        first = points[:1] + float(along) * torch.nn.functional.normalize(points[1:2] - points[:1], dim=-1)
        path = Path.of(torch.cat([first, points])[None])
        along = torch.zeros_like(along)
    return route_ahead(path, here, along)[:, 0]


def seen_in(context: Any, seconds: float = SEEN_S) -> Seen | None:
    """What the session of a DriveContext has seen in so many seconds, and since its route came; None before the first
    pose, or where its numbers are none.
    """
    session = context.session
    with session.lock:
        stamps, poses = list(session.ego_trajectory.timestamps_us), list(session.ego_trajectory.poses)
        velocities = [(state.linear_velocity.x, state.linear_velocity.y) for state in session.dynamic_states]
        route, route_stamp = session.route_waypoints_in_rig[:, :2].copy(), session.route_timestamp_us
    if not stamps:
        return None
    if route_stamp == 0 < stamps[0]:  # protobuf's for what is not said: such a runtime's route is of now
        route_stamp = stamps[-1]
    since = stamps[-1] - 1e6 * seconds
    if len(route):
        since = min(since, route_stamp)
    first = max(0, int(np.searchsorted(stamps, since)) - 1)
    placed = np.array([[*pose.position[:2], pose.yaw] for pose in poses[first:]])
    speeds = np.array(velocities[first:])
    speeds = speeds[:, 0] if speeds.any() else _driven(np.array(stamps[first:]), placed)
    if not (np.isfinite(placed).all() and np.isfinite(speeds).all()):
        return None
    told = getattr(context.renderer_data, LIMIT, 0.0)  # 0 is protobuf's for what is not said
    limit = told if told > 0 and np.isfinite(told) else float("nan")
    return Seen(np.array(stamps[first:]), placed, speeds, route, int(route_stamp), limit)


def _driven(stamps: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Signed speeds (N,) from the poses, of a runtime that sends none."""
    if len(stamps) < 2:
        return np.zeros(1)
    steps = np.diff(poses[:, :2], axis=0) / (np.diff(stamps) * 1e-6)[:, None]
    forward = steps[:, 0] * np.cos(poses[1:, 2]) + steps[:, 1] * np.sin(poses[1:, 2])
    return np.concatenate([forward[:1], forward])


def places_on_time(trajectories: np.ndarray, v0: float, dt: float) -> np.ndarray:
    """Euler's trajectories (M, T, 4), with places by the trapezoid rule through the same speeds and headings.

    Euler's own places lag half a step behind its speeds: a runtime that takes speeds from them would see one that
    never changes.
    """
    start = np.zeros_like(trajectories[:, :1])
    start[..., 3] = v0
    yaw, v = np.concatenate([start, trajectories], 1)[..., 2:].transpose(2, 0, 1)
    velocity = v[..., None] * np.stack([np.cos(yaw), np.sin(yaw)], -1)
    places = ((velocity[:, :-1] + velocity[:, 1:]) * (dt / 2)).cumsum(1)
    return np.concatenate([places, trajectories[..., 2:]], -1)


def _times(p: tuple[float, ...], q: tuple[float, ...]) -> tuple[float, float, float, float]:
    """Hamilton's product of quaternions (x, y, z, w)."""
    a, b, c, d = p
    x, y, z, w = q
    return (
        d * x + a * w + b * z - c * y,
        d * y - a * z + b * w + c * x,
        d * z + a * y - b * x + c * w,
        d * w - a * x - b * y - c * z,
    )


def driver(student: Student) -> Any:
    """The student as a carla_driver_interface.BaseDriver. Raises UserError without the extra, or without a route."""
    try:
        from carla_driver_interface.driver import BaseDriver, DriveContext, DriveResult, SessionState
        from carla_driver_interface.geometry import Pose, Trajectory
        from scipy.spatial.transform import Rotation
    except ImportError:
        raise UserError("a driver needs carla-driver-interface: pip install 'alpamayo-toy[alpasim]'") from None
    if not student.follows_a_route:
        raise UserError("the student knows no route: it cannot tell where to go, and will not drive")
    dt, dt_us = student.rollout.dt, student.rollout.dt * 1e6
    lags = student.rollout.integrator == "euler" and student.own is None and student.waypoints is None
    parked = Seen(np.zeros(1), np.zeros((1, 3)), np.zeros(1), np.array([[0.0, 0.0], [80.0, 0.0]]), 0)
    with torch.no_grad():
        student(scene_of(student, parked))  # a first answer takes a second, and must not be one of a session

    class Placed(Pose):
        """A Pose of unit length: the package's own is normalised by SciPy, 0.2 ms for each of some hundred poses."""

        def __init__(self, position: np.ndarray, quat_xyzw: np.ndarray) -> None:
            object.__setattr__(self, "position", position)
            object.__setattr__(self, "quat_xyzw", quat_xyzw)

        @property
        def rotation(self) -> Any:
            return Rotation.from_quat(self.quat_xyzw)

        def __rmatmul__(self, frame: Pose) -> "Placed":
            """frame @ self: of turns q r, Hamilton's product; of places q p q* + t."""
            q, place = tuple(frame.quat_xyzw.tolist()), (*self.position.tolist(), 0.0)
            turned = _times(q, tuple(self.quat_xyzw.tolist()))
            moved = _times(_times(q, place), (-q[0], -q[1], -q[2], q[3]))
            return Placed(frame.position + moved[:3], np.array(turned))

    def poses(states: np.ndarray, now_us: int) -> Any:
        """States (T, 4) as stamped poses in the rig frame."""
        half, zero = states[:, 2] / 2, 0 * states[:, 2]
        places, turns = np.stack([*states[:, :2].T, zero], -1), np.stack([zero, zero, np.sin(half), np.cos(half)], -1)
        stamps = [now_us + round((i + 1) * dt_us) for i in range(len(states))]
        return Trajectory(stamps, [Placed(place, turn) for place, turn in zip(places, turns, strict=True)])

    class StudentDriver(BaseDriver):
        """Answers with all of its trajectories, the likeliest one driven; holds where it has seen no pose."""

        name = "alpamayo_toy"

        def __init__(self) -> None:
            self.took: dict[str, list[float]] = {}  # seconds of every answer, by session
            self.lock = threading.Lock()

        def on_session_start(self, session: SessionState) -> None:
            with self.lock:
                self.took[session.uuid] = []

        def on_session_close(self, session: SessionState) -> None:
            with self.lock:
                took = self.took.pop(session.uuid, [])
            if took:
                median, late = np.median(took), sum(seconds > DEADLINE_S for seconds in took)
                p99 = np.quantile(took, 0.99)
                said = "session %s: %d answers, median %.1f ms, p99 %.1f ms, %d beyond %.0f ms"
                log.info(said, session.uuid, len(took), 1e3 * median, 1e3 * p99, late, 1e3 * DEADLINE_S)

        def drive(self, ctx: DriveContext) -> DriveResult:
            start = time.perf_counter()
            seen = seen_in(ctx, max(SEEN_S, student.history_steps * student.rollout.dt))
            if seen is None:
                log.warning("session %s: no pose with finite numbers yet; holding", ctx.session.uuid)
                return DriveResult(Trajectory.empty())
            with torch.no_grad():
                found: Prediction = student(scene_of(student, seen))
            trajectories = found.trajectories[0].double().numpy()
            if lags:
                trajectories = places_on_time(trajectories, float(seen.speeds[-1]), dt)
            plans = [poses(states, ctx.time_now_us) for states in trajectories]
            best = int(found.log_probabilities[0].argmax())
            seconds = time.perf_counter() - start
            with self.lock:
                if ctx.session.uuid in self.took:  # it may have been closed meanwhile
                    self.took[ctx.session.uuid].append(seconds)
            if seconds > DEADLINE_S:
                log.warning("session %s: an answer took %.0f ms", ctx.session.uuid, 1e3 * seconds)
            likely = float(found.probabilities[0, best])
            return DriveResult(plans[best], sampled_trajectories_in_rig=plans, debug_scalars={"probability": likely})

    return StudentDriver()


def parsed(words: list[str]) -> AlpasimConfig:
    """Options as on the command lines of scripts/. Raises UserError."""
    known = {field.name: field.type for field in fields(AlpasimConfig)}
    given: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"options are written as option=value (got {word!r}); there are {', '.join(known)}")
        if key not in known:
            raise UserError(unknown_option(key, "alpasim", {"alpasim": AlpasimConfig}))
        if known[key] is int and not re.fullmatch("-?[0-9]{1,18}", value):
            raise UserError(f"{key} must be a whole number (got {shortened(value)})")
        given[key] = int(value) if known[key] is int else value
    return AlpasimConfig(**given)


def serve(config: AlpasimConfig) -> None:
    """Until Ctrl-C or SIGTERM. Raises UserError for a student that cannot drive and an address that is taken."""
    path = latest_run("train") if config.checkpoint == LATEST else config.checkpoint
    if path is None:
        raise UserError(f"checkpoint={LATEST}: there is no run in outputs/train; name a folder")
    student, _ = load_student(path)
    torch.set_num_threads(1)
    made = driver(student)
    from carla_driver_interface.server import run_server

    mode: Any = config.mode
    try:
        run_server(made, port=config.port, host=config.host, mode=mode)
    except RuntimeError as error:
        raise UserError(f"host={config.host} port={config.port}: {error}; name another port") from None


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    try:
        serve(parsed(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"error: {error}")
