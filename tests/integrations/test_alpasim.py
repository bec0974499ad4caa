"""The driver contract: the same bytes in process, over TCP and a Unix socket, by the package's own loop and by ours."""

import logging
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from driven_routes import STEP_US, cars, drive
from taught import built, left

from alpamayo_toy import Prediction, Scene, UnicycleRollout
from alpamayo_toy.errors import UserError
from alpamayo_toy.integrations import alpasim
from alpamayo_toy.integrations.alpasim import (
    AlpasimConfig,
    Seen,
    driver,
    parsed,
    places_on_time,
    scene_of,
    seen_in,
    serve,
)
from alpamayo_toy.kinematics.route import ROUTE_SPACING

grpc = pytest.importorskip("grpc")
pytest.importorskip("carla_driver_interface")
pytestmark = pytest.mark.slow
FAR = 8.0  # m ahead, where it aims


class Pursuer:
    """A student that aims at a point of its route, and a second, unlikely one that goes straight on."""

    history_steps, route_points, context_names, follows_a_route = 16, 20, ("speed_limit_mps",), True

    own = waypoints = None

    def __init__(self, integrator: str = "trapezoid", acceleration: float = 0.0) -> None:
        self.rollout = UnicycleRollout(0.1, integrator)
        self.acceleration = acceleration
        self.seen: list[Scene] = []

    def __call__(self, scene: Scene) -> Prediction:
        self.seen.append(scene)
        route = torch.zeros(1, 20, 2) if scene.route is None else scene.route.nan_to_num(0.0)
        x, y = route[:, 2].unbind(-1)
        kappa = 2 * y / (x.square() + y.square()).clamp(min=1e-3)
        actions = torch.zeros(1, 2, 64, 2)
        actions[:, 1, :, 1] = kappa
        actions[..., 0] = self.acceleration
        likely = torch.tensor([[0.25, 0.75]]).log()
        return Prediction(actions, self.rollout(actions, scene.v0[:, None]), likely)


@contextmanager
def channel(made: Any, how: str, folder: Path) -> Iterator[Any]:
    from carla_driver_interface.inprocess import in_process_channel
    from carla_driver_interface.protocol import channel_options
    from carla_driver_interface.server import serving

    if how == "in process":
        yield in_process_channel(made, mode="alpasim")
        return
    host = "127.0.0.1" if how == "tcp" else "unix:student.sock"
    with chdir(folder), serving(made, port=0, host=host, mode="alpasim") as port:
        address = f"{host}:{port}" if port else host
        with grpc.insecure_channel(address, options=channel_options()) as opened:
            yield opened


def test_it_drives_a_curved_road_for_20_s_inside_a_corridor(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    student = Pursuer()
    caplog.set_level(logging.INFO, "alpamayo_toy.alpasim")
    with channel(driver(student), "in process", tmp_path) as opened:
        found = drive(opened, cars(2), 1)
    assert found.beside.max() < 1
    assert found.along > 80
    early, late = student.seen[1 + 14], student.seen[1 + 15]
    assert early.history is None  # 1.4 s have been seen
    assert late.history is not None
    assert float(late.history[0, -1, :3].abs().max()) < 1e-6
    assert "session road-1: 200 answers, median" in caplog.text
    assert torch.isnan(late.context).all()


def test_every_transport_carries_the_same_answers(tmp_path: Path) -> None:
    found = {}
    for how in ("in process", "tcp", "unix"):
        with channel(driver(Pursuer()), how, tmp_path) as opened:
            found[how] = [
                (a.trajectory, a.debug_info.sampled_trajectories) for a in drive(opened, cars(2), 0, 4).answers
            ]
    assert found["tcp"] == found["in process"] == found["unix"]


def test_the_packages_own_loop_drives_it_over_tcp(tmp_path: Path) -> None:
    from carla_driver_interface.testing import FakeCamera, FakeLoop

    with channel(driver(Pursuer()), "tcp", tmp_path) as opened:
        loop = FakeLoop(opened, (FakeCamera(width=16, height=8),), initial_speed_mps=6.0, initial_lateral_offset_m=1.0)
        result = loop.run(60)
    assert result.steps == 60
    assert abs(result.lateral_offsets_m[-1]) < 0.2  # it has come back to its lane
    assert result.ego.positions[-1, 0] == pytest.approx(6 * 5.9, abs=0.5)
    assert result.speeds_mps[-1] == pytest.approx(6.0, abs=0.05)


def test_a_student_of_euler_accelerates_where_speeds_are_read_off_its_places(tmp_path: Path) -> None:
    from carla_driver_interface.testing import FakeCamera, FakeLoop

    with channel(driver(Pursuer("euler", 1.0)), "in process", tmp_path) as opened:
        loop = FakeLoop(opened, (FakeCamera(width=16, height=8),), initial_speed_mps=6.0)
        result = loop.run(41)
    assert result.speeds_mps[-1] == pytest.approx(
        6.0 + 40 * 0.1 / 2, abs=1e-3
    )  # the loop takes the mean speed of each step


def test_places_on_time_are_those_of_a_car_whose_speeds_these_are() -> None:
    draw = torch.Generator().manual_seed(0)
    actions = torch.randn(3, 64, 2, generator=draw, dtype=torch.float64) * torch.tensor([0.5, 0.02])
    rolled = UnicycleRollout(0.1, "trapezoid")(actions, torch.full((3,), 8.0, dtype=torch.float64)).numpy()
    assert np.allclose(places_on_time(rolled, 8.0, 0.1), rolled, rtol=0, atol=1e-12)  # which need no change
    brakes = torch.tensor([-2.0, 0.0], dtype=torch.float64).expand(1, 64, 2)
    found = places_on_time(UnicycleRollout()(brakes, torch.tensor([8.0], dtype=torch.float64)).numpy(), 8.0, 0.1)
    time = np.minimum(0.1 * np.arange(1, 65), 4.0)  # it stands after 4 s
    assert np.allclose(found[0, :, 0], 8 * time - time**2, rtol=0, atol=1e-12)


def test_an_answer_is_stamped_poses_in_the_frame_of_the_contract(tmp_path: Path) -> None:
    from carla_driver_interface.geometry import Pose, Trajectory

    with channel(driver(Pursuer()), "in process", tmp_path) as opened:
        answer = drive(opened, cars(2), 0, 3).answers[2]
    plan = Trajectory.from_proto(answer.trajectory)
    assert plan.timestamps_us == [2 * STEP_US + k * STEP_US for k in range(65)]
    straight, likely = (Trajectory.from_proto(one) for one in answer.debug_info.sampled_trajectories)
    assert np.allclose(likely.positions, plan.positions)
    assert not np.allclose(straight.positions, plan.positions)
    inside = [plan.poses[0].inverse() @ pose for pose in straight.poses]
    assert np.allclose([pose.yaw for pose in inside], 0, atol=1e-6)
    assert np.allclose([pose.position[1] for pose in inside], 0, atol=1e-4)
    tilted = Pose(np.array([1.0, -2.0, 3.0]), np.array([0.1, -0.2, 0.5, 0.8]))
    (placed,) = {type(pose) for pose in driver(Pursuer()).drive(at_rest()).trajectory_in_rig.poses}
    place, turn = np.array([4.0, 5.0, 0.0]), np.array([0.0, 0.0, 0.6, 0.8])
    found, wanted = tilted @ placed(place, turn), tilted @ Pose(place, turn)
    assert np.allclose(found.position, wanted.position)
    assert np.allclose(found.quat_xyzw, wanted.quat_xyzw)
    assert np.allclose(found.rotation.as_matrix(), wanted.rotation_matrix)


def session(poses: np.ndarray, stamps: list[int], speeds: Any = None, route: Any = ()) -> Any:
    """A DriveContext of a session that has seen poses (N, 3) = x, y, yaw."""
    from carla_driver_interface.driver import DriveContext, SessionState
    from carla_driver_interface.geometry import Pose, Trajectory
    from carla_driver_interface.protocol import DynamicState, Vec3

    speeds = [None] * len(poses) if speeds is None else speeds
    seen = SessionState(uuid="a", seed=0, scene_id="", cameras={})
    seen.ego_trajectory = Trajectory(stamps, [Pose.from_xyz_yaw(x, y, 0.0, yaw) for x, y, yaw in poses])
    seen.dynamic_states = [DynamicState() if v is None else DynamicState(linear_velocity=Vec3(x=v)) for v in speeds]
    seen.route_waypoints_in_rig = np.array(route, dtype=np.float64).reshape(-1, 3)
    seen.route_timestamp_us = stamps[-1] if stamps else 0
    return DriveContext(seen, stamps[-1] if stamps else 0, 0, None)


def at_rest() -> Any:
    return session(np.zeros((1, 3)), [0], [0.0])


def known(context: Any) -> Seen:
    found = seen_in(context)
    assert found is not None
    return found


def test_a_history_is_interpolated_on_its_own_stamps() -> None:
    stamps = [*np.sort(np.random.default_rng(0).integers(0, 2_000_000, 80)).tolist(), 2_000_000]
    moments = np.array(stamps) * 1e-6
    circle = np.stack([20 * np.sin(0.3 * moments), 20 * (1 - np.cos(0.3 * moments)), 0.3 * moments + 3.0], -1)
    scene = scene_of(Pursuer(), known(session(circle, stamps, [6.0] * len(stamps))))
    back = -np.arange(15, -1, -1) * 0.1 * 0.3  # radians from the last pose
    assert scene.history is not None
    torch.testing.assert_close(scene.history[0, :, 2], torch.tensor(back).float(), rtol=0, atol=2e-3)
    distance = 2 * 20 * np.abs(np.sin(back / 2))
    torch.testing.assert_close(scene.history[0, :, :2].norm(dim=-1), torch.tensor(distance).float(), rtol=0, atol=0.02)
    assert scene.v0.item() == pytest.approx(6.0)


def test_speeds_are_signed_and_read_off_the_poses_where_none_are_sent() -> None:
    backwards = np.stack([-0.2 * np.arange(20), np.zeros(20), np.zeros(20)], -1)
    stamps = [k * STEP_US for k in range(20)]
    assert scene_of(Pursuer(), known(session(backwards, stamps, [-2.0] * 20))).v0.item() == pytest.approx(-2.0)
    assert scene_of(Pursuer(), known(session(backwards, stamps))).v0.item() == pytest.approx(-2.0)
    assert scene_of(Pursuer(), known(session(backwards[:1], stamps[:1]))).v0.item() == 0.0
    faster = np.stack([np.array([0.0, 0.1, 0.3, 0.6]), np.zeros(4), np.zeros(4)], -1)
    assert known(session(faster, stamps[:4])).speeds == pytest.approx([1.0, 1.0, 2.0, 3.0])  # of the step to each


def test_a_route_is_cut_anew_from_beside_the_car() -> None:
    line = np.stack([2.0 * np.arange(60) - 3.0, np.full(60, 1.5), np.zeros(60)], -1)
    padded = np.concatenate([line, np.full((5, 3), np.nan)])
    scene = scene_of(Pursuer(), known(session(np.zeros((1, 3)), [0], [5.0], padded)))
    assert scene.route is not None
    wanted = torch.stack([torch.arange(20) * ROUTE_SPACING, torch.full((20,), 1.5)], -1)
    torch.testing.assert_close(scene.route[0], wanted.float())
    short = scene_of(Pursuer(), known(session(np.zeros((1, 3)), [0], [5.0], line[:10]))).route
    assert short is not None
    assert short[0].isnan().any(-1).tolist() == [False] * 4 + [True] * 16
    torn = line.copy()
    torn[10] = np.nan  # what comes behind it is not known to follow
    torch.testing.assert_close(
        scene_of(Pursuer(), known(session(np.zeros((1, 3)), [0], [5.0], torn))).route, short, equal_nan=True
    )
    ahead = scene_of(Pursuer(), known(session(np.zeros((1, 3)), [0], [5.0], line[3:]))).route
    assert ahead is not None
    torch.testing.assert_close(ahead[0], wanted.float())  # 3 m ahead of the car
    for unknown in (line[:0], line[:1], line[[0, 0]], np.full((20, 3), np.nan), line + np.array([40.0, 0, 0])):
        assert scene_of(Pursuer(), known(session(np.zeros((1, 3)), [0], [5.0], unknown))).route is None


@pytest.mark.parametrize("aside", [0.0, 0.2])  # m a step to the left: what moved the car along moves it across as well
def test_a_late_route_is_moved_along_with_the_car(aside: float) -> None:
    poses = np.stack([0.5 * np.arange(11), aside * np.arange(11), 0.05 * np.arange(11)], -1)
    context = session(poses, [k * STEP_US for k in range(11)], [5.0] * 11)
    then = 4
    line = np.stack([np.arange(0.0, 90, 3), np.zeros(30)], -1)  # along the local frame's x axis
    dx, dy = line[:, 0] - poses[then, 0], line[:, 1] - poses[then, 1]
    cos, sin = np.cos(poses[then, 2]), np.sin(poses[then, 2])
    context.session.route_waypoints_in_rig = np.stack([cos * dx + sin * dy, cos * dy - sin * dx, 0 * dx], -1)
    context.session.route_timestamp_us = then * STEP_US
    route = scene_of(Pursuer(), known(context)).route
    assert route is not None
    steps, left = np.arange(20) * ROUTE_SPACING, 10 * aside
    wanted = np.stack([np.cos(0.5) * steps - np.sin(0.5) * left, -np.sin(0.5) * steps - np.cos(0.5) * left], -1)
    torch.testing.assert_close(route[0], torch.tensor(wanted).float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("age", [0.0, 1.0, 3.0, 5.0])  # s, of a route that turns left at a right angle 60 m ahead
def test_a_route_of_long_ago_is_as_many_metres_nearer(age: float) -> None:
    """At 10 m/s the corner is 60 - 10 age ahead."""
    poses = np.stack([1.0 * np.arange(51), np.zeros(51), np.zeros(51)], -1)
    context = session(poses, [k * STEP_US for k in range(51)], [10.0] * 51, [[0, 0, 0], [60, 0, 0], [60, 200, 0]])
    context.session.route_timestamp_us -= round(1e6 * age)
    route = scene_of(Pursuer(), known(context)).route
    assert route is not None
    steps, corner = torch.arange(20) * ROUTE_SPACING, 60 - 10 * age
    wanted = torch.stack([steps.clamp(max=corner), (steps - corner).clamp(min=0)], -1)
    torch.testing.assert_close(route[0], wanted, rtol=0, atol=1e-4)


def test_a_route_without_a_stamp_is_of_now() -> None:
    context = session(np.zeros((20, 3)), [k * STEP_US for k in range(1, 21)], [10.0] * 20, [[0, 0, 0], [90, 0, 0]])
    stamped = scene_of(Pursuer(), known(context)).route
    context.session.route_timestamp_us = 0
    found = scene_of(Pursuer(), known(context)).route
    assert stamped is not None
    assert found is not None
    assert torch.equal(found, stamped)


def test_a_route_that_is_older_than_all_poses_is_none() -> None:
    context = session(np.zeros((20, 3)), [k * STEP_US for k in range(1, 21)], [10.0] * 20, [[0, 0, 0], [90, 0, 0]])
    context.session.route_timestamp_us = STEP_US
    assert scene_of(Pursuer(), known(context)).route is not None
    context.session.route_timestamp_us = STEP_US - 1
    assert scene_of(Pursuer(), known(context)).route is None


def test_a_route_is_looked_for_as_far_along_as_was_driven() -> None:
    """Round a square of 40 m, 150 m along and 10 m from where it began: straight on there."""
    corners = np.array([[0, 0, 0], [40, 0, 0], [40, 40, 0], [0, 40, 0], [0, -80, 0]], dtype=float)
    way, legs = np.arange(151.0), np.array([0.0, 40, 80, 120, 160])
    x, y = np.interp(way, legs, [0, 40, 40, 0, 0]), np.interp(way, legs, [0, 0, 40, 40, 0])
    poses = np.stack([x, y, way // 40 * np.pi / 2], -1)
    context = session(poses, [k * STEP_US for k in range(151)], [10.0] * 151, corners)
    context.session.route_timestamp_us = 0
    route = scene_of(Pursuer(), known(context)).route
    assert route is not None
    wanted = torch.stack([torch.arange(20) * ROUTE_SPACING, torch.zeros(20)], -1)
    torch.testing.assert_close(route[0], wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("ahead", "known_here"), [(2 * 80 / 19 - 0.1, True), (2 * 80 / 19 + 0.1, False)])
def test_a_route_that_begins_two_points_ahead_says_nothing_of_here(ahead: float, known_here: bool) -> None:
    line = np.stack([2.0 * np.arange(60) + ahead, np.zeros(60), np.zeros(60)], -1)
    route = scene_of(Pursuer(), known(session(np.zeros((1, 3)), [0], [5.0], line))).route
    assert (route is not None) is known_here
    assert route is None or float(route[0, 0].norm()) < 1e-4


def test_a_route_that_comes_back_is_begun_where_it_begins() -> None:
    """2 m beside its first part, and where its way back crosses."""
    there = np.stack([2.0 * np.arange(21), np.full(21, 2.0)], -1)
    back = np.stack([40 - 2.0 * np.arange(31), np.full(31, 0.0)], -1)
    line = np.concatenate([np.concatenate([there, back]), np.zeros((52, 1))], -1)
    route = scene_of(Pursuer(), known(session(np.zeros((1, 3)), [0], [5.0], line))).route
    assert route is not None
    wanted = torch.stack([torch.arange(9) * ROUTE_SPACING, torch.full((9,), 2.0)], -1)
    torch.testing.assert_close(route[0, :9], wanted.float())


@pytest.mark.parametrize(("told", "limit"), [(13.9, 13.9), (0.0, np.nan), (-1.0, np.nan), (np.inf, np.nan)])
def test_a_speed_limit_is_shown_where_one_is_told(told: float, limit: float) -> None:
    context = replace(session(np.zeros((1, 3)), [0], [5.0]), renderer_data=SimpleNamespace(speed_limit_mps=told))
    found = scene_of(Pursuer(), known(context)).context
    assert found is not None
    assert found.tolist() == [pytest.approx([limit], nan_ok=True)]


def test_a_history_of_a_student_with_longer_steps_reaches_as_far_back() -> None:
    """Poses every 0.1 s, of which 1.6 s are looked at every 0.2 s."""
    student = Pursuer()
    student.history_steps, student.rollout = 9, UnicycleRollout(0.2, "trapezoid")  # type: ignore[misc]
    poses = np.stack([0.5 * np.arange(40), np.zeros(40), np.zeros(40)], -1)
    history = scene_of(student, known(session(poses, [k * STEP_US for k in range(40)], [5.0] * 40))).history
    assert history is not None
    assert history[0, :, 0].tolist() == pytest.approx([-1.0 * k for k in range(8, -1, -1)], abs=1e-5)
    assert history[0, :, 3].tolist() == [5.0] * 9


def test_a_long_history_is_asked_for_as_long_as_it_is() -> None:
    """16 poses every 0.2 s reach back 3 s, longer than what is looked back at least."""
    student = Pursuer()
    student.rollout = UnicycleRollout(0.2, "trapezoid")  # type: ignore[misc]
    poses = np.stack([0.5 * np.arange(40), np.zeros(40), np.zeros(40)], -1)
    driver(student).drive(session(poses, [k * STEP_US for k in range(40)], [5.0] * 40))
    history = student.seen[-1].history
    assert history is not None
    assert history[0, :, 0].tolist() == pytest.approx([-1.0 * k for k in range(15, -1, -1)], abs=1e-5)


def test_what_is_no_number_is_held_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = driver(Pursuer())
    for context in (
        session(np.zeros((0, 3)), []),
        session(np.array([[np.nan, 0, 0]]), [0], [1.0]),
        session(np.zeros((1, 3)), [0], [float("inf")]),
    ):
        assert len(made.drive(context).trajectory_in_rig) == 0
    assert caplog.text.count("holding") == 3
    context = session(np.zeros((1, 3)), [0], [3.0])
    context.session.route_waypoints_in_rig[:] = np.inf
    assert len(made.drive(context).trajectory_in_rig) == 64


def test_sessions_do_not_see_each_other(tmp_path: Path) -> None:
    with channel(driver(Pursuer()), "tcp", tmp_path) as opened:
        alone = [drive(opened, cars(2), i, 8).answers for i in range(2)]
        at_once: dict[int, Any] = {}
        threads = [
            threading.Thread(target=lambda i=i: at_once.update({i: drive(opened, cars(2), i, 8).answers}))
            for i in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for i in range(2):
        assert [a.trajectory for a in at_once[i]] == [a.trajectory for a in alone[i]]


def test_a_session_that_is_closed_early_or_unknown(tmp_path: Path) -> None:
    from carla_driver_interface.protocol import DriveRequest, DriveSessionCloseRequest, EgodriverServiceStub

    made = driver(Pursuer())
    with channel(made, "in process", tmp_path) as opened:
        stub = EgodriverServiceStub(opened)
        with pytest.raises(grpc.RpcError, match="Unknown session"):
            stub.drive(DriveRequest(session_uuid="never"))
        stub.close_session(DriveSessionCloseRequest(session_uuid="never"))
        made.drive(at_rest())  # of a session that is closed meanwhile
    assert made.took == {}


def test_poses_that_come_out_of_order_are_left_aside(tmp_path: Path) -> None:
    from carla_driver_interface.geometry import Pose, Trajectory
    from carla_driver_interface.protocol import (
        DriveRequest,
        DriveSessionRequest,
        EgodriverServiceStub,
        RolloutEgoTrajectory,
    )

    student = Pursuer()
    with channel(driver(student), "in process", tmp_path) as opened:
        stub = EgodriverServiceStub(opened)
        stub.start_session(DriveSessionRequest(session_uuid="a"))
        assert len(stub.drive(DriveRequest(session_uuid="a")).trajectory.poses) == 0  # nothing seen yet
        for now in (3, 1, 2, 4, 4):
            sent = RolloutEgoTrajectory(session_uuid="a")
            sent.trajectory.CopyFrom(Trajectory([now * STEP_US], [Pose.from_xyz_yaw(now, 0, 0, 0)]).to_proto())
            stub.submit_egomotion_observation(sent)
        answer = stub.drive(DriveRequest(session_uuid="a", time_now_us=4 * STEP_US))
    assert answer.trajectory.poses[0].pose.vec.x == 4
    assert student.seen[-1].v0.item() == pytest.approx(10.0)  # a metre in 0.1 s


def test_mistakes_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parsed(["checkpoint=x", "port=0", "host=unix:s"]) == AlpasimConfig("x", 0, "unix:s")
    for words, said in (
        ([], "checkpoint must be a run's folder"),
        (["checkpoint=x", "prt=1"], "there is no option prt; did you mean port"),
        (["checkpoint=x", "port=abc"], r"port must be a whole number \(got 'abc'\)"),
        *(
            (["checkpoint=x", f"port={no}"], f"port must be a whole number .*{no[:3]}")
            for no in ("²", "٣", "--5", "9" * 5000)
        ),
        (["checkpoint=x", "port=-5"], r"port must be between 0 and 65535 \(got -5\)"),
        (["checkpoint=x", "port=70000"], "port must be between 0 and 65535"),
        (["checkpoint=x", "mode=nuplan"], "mode must be alpasim or carla"),
        (["run"], r"options are written as option=value \(got 'run'\)"),
    ):
        with pytest.raises(UserError, match=said):
            parsed(words)
    with pytest.raises(UserError, match="there is no nowhere"):
        serve(AlpasimConfig("nowhere"))
    monkeypatch.setattr(alpasim, "load_student", lambda path: (Pursuer(), None))
    with pytest.raises(UserError, match=r"host=unix:///no/where port=1: failed to bind .*; name another port"):
        serve(AlpasimConfig("x", 1, "unix:///no/where"))
    with pytest.raises(UserError, match="knows no route"):
        driver(built(labels=left(reveal="none")))


def test_a_student_of_this_project_answers(tmp_path: Path) -> None:
    student = built()
    with channel(driver(student), "in process", tmp_path) as opened:
        answer = drive(opened, cars(2), 0, 2).answers[-1]
    assert len(answer.trajectory.poses) == 65
    assert len(answer.debug_info.sampled_trajectories) == 1


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "carla_driver_interface.driver", None)
    with pytest.raises(UserError, match=r"pip install 'alpamayo-toy\[alpasim\]'"):
        driver(Pursuer())
