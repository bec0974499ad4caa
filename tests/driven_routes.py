"""The runtime's side of the driver contract: random roads, driven closed loop, each answer followed exactly.

python tests/driven_routes.py RUN [COUNT]: so many roads of 20 s, through the same bytes as a simulator's.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alpamayo_toy.kinematics.route import route_ahead
from alpamayo_toy.teachers.cars import Cars
from alpamayo_toy.teachers.config import RoadConfig, SyntheticConfig
from alpamayo_toy.teachers.teacher import synthetic_teacher

STEP_US = 100_000


def cars(count: int, seconds: float = 20.0, seed: int = 7) -> Cars:
    """Cars on random roads, none of which begins at rest."""
    teacher = synthetic_teacher(RoadConfig(from_rest=0.0), SyntheticConfig())
    return teacher.cars(count, torch.Generator().manual_seed(seed), seconds, first=True)


@dataclass
class Driven:
    """Of a road: metres beside it at each step, how far along it came, seconds from asking to answer, answers."""

    beside: np.ndarray
    along: float
    took: np.ndarray
    answers: list[Any]


def drive(channel: Any, roads: Cars, i: int, steps: int = 200, turn: float = 0.7) -> Driven:
    """One session on road i. turn: of the local frame against the road's, which no driver may notice."""
    from carla_driver_interface.geometry import Pose, Trajectory, waypoints_to_proto
    from carla_driver_interface.protocol import (
        DriveRequest,
        DriveSessionCloseRequest,
        DriveSessionRequest,
        DynamicState,
        EgodriverServiceStub,
        RolloutEgoTrajectory,
        Route,
        RouteRequest,
        Vec3,
    )

    stub, uuid = EgodriverServiceStub(channel), f"road-{i}"
    stub.start_session(DriveSessionRequest(session_uuid=uuid, random_seed=0))
    one = roads.select(torch.tensor([i]))
    path, along, speed = one.roads.path, one.along, float(one.v0)
    moved = Pose.from_xyz_yaw(100.0, -50.0, 2.0, turn)  # of the road's frame in the local one
    pose, beside, took, answers = moved, [], [], []
    for k in range(steps):
        now = k * STEP_US
        egomotion = RolloutEgoTrajectory(session_uuid=uuid)
        egomotion.trajectory.CopyFrom(Trajectory([now], [pose]).to_proto())
        egomotion.dynamic_states.append(DynamicState(linear_velocity=Vec3(x=speed)))
        stub.submit_egomotion_observation(egomotion)
        at = moved.inverse() @ pose
        here = torch.tensor([[[*at.position[:2], at.yaw]]]).to(along)
        along, off, _ = (value[:, 0] for value in path.locate(here[..., :2], along[:, None]))
        beside.append(abs(float(off)))
        points = np.pad(route_ahead(path, here, along[:, None])[0, 0].double().numpy(), [(0, 0), (0, 1)])
        route = Route(timestamp_us=now, waypoints=waypoints_to_proto(points))
        stub.submit_route(RouteRequest(session_uuid=uuid, route=route))
        start = time.perf_counter()
        answer = stub.drive(DriveRequest(session_uuid=uuid, time_now_us=now, time_query_us=now + STEP_US))
        took.append(time.perf_counter() - start)
        answers.append(answer)
        plan = Trajectory.from_proto(answer.trajectory)
        following, later = (plan.interpolate(now + i * STEP_US) for i in (1, 2))
        assert following is not None
        assert later is not None
        ahead, behind = (float((following.inverse() @ other).position[0]) for other in (later, pose))
        speed, pose = (ahead - behind) / (2 * STEP_US * 1e-6), following
    stub.close_session(DriveSessionCloseRequest(session_uuid=uuid))
    return Driven(np.array(beside), float(along - one.along), np.array(took), answers)


def main(run: str, count: int) -> None:
    from carla_driver_interface.inprocess import in_process_channel

    from alpamayo_toy import load_student
    from alpamayo_toy.integrations.alpasim import driver

    torch.set_num_threads(1)
    roads, channel = cars(count), in_process_channel(driver(load_student(Path(run))[0]), mode="alpasim")
    found = [drive(channel, roads, i) for i in range(count)]
    took, farthest = np.concatenate([one.took for one in found]) * 1e3, np.array([one.beside.max() for one in found])
    print(f"inside 2 m of the route for 20 s: {(farthest < 2).sum()} of {count}; farthest {farthest.max():.2f} m")
    print(
        f"answers: median {np.median(took):.1f} ms, p99 {np.quantile(took, 0.99):.1f} ms, longest {took.max():.1f} ms"
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 50)
