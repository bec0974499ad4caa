"""Closed loop: whoever drives is asked again and again, and its own actions decide what it sees next."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from alpamayo_toy.evaluation.config import DriveOptions
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.kinematics.route import states_in_frame
from alpamayo_toy.kinematics.trajectory import Scene
from alpamayo_toy.metrics.driving import plan_jump
from alpamayo_toy.students.student import Student
from alpamayo_toy.teachers.cars import Cars
from alpamayo_toy.teachers.tracker import track

SHOWN = 8  # cars whose plans are all kept, for pictures


@dataclass(frozen=True)
class Situation:
    """Where N cars have come to: state (N, 4) and distance along (N,) on their roads, the last action asked for.

    wait (N,) s for which those that stand are still to stay.
    """

    cars: Cars
    state: Tensor
    along: Tensor
    last: Tensor
    wait: Tensor


Driver = Callable[[Scene, Situation], Tensor]
"""Scenes and where they are -> actions (N, T, 2). A student looks at the scene alone."""


@dataclass(frozen=True)
class Drives:
    """N drives of S steps: actions as applied (N, S, 2), states (N, S, 4) in the frame of each car's start.

    along, beside, heading_error (N, S) against the road; plan (N, T, 2), the waypoints of the first asking, and of the
    first 8 cars those of all A askings, plans (8, A, T, 2), in the same frame; jump (N,), the mean distance of a plan
    from the one before it, NaN where they share no moment.
    """

    actions: Tensor
    states: Tensor
    along: Tensor
    beside: Tensor
    heading_error: Tensor
    plan: Tensor
    plans: Tensor
    jump: Tensor


@torch.no_grad()
def drive(driver: Driver, cars: Cars, options: DriveOptions, integrator: str, dt: float, seed: int = 0) -> Drives:
    """Ask every options.every steps, apply the actions of these steps, look again; on the device of the cars.

    Faults: actions arrive options.delay steps late, the last one before the start being held till then, and are off
    by options.noise of themselves; integrator is the world's.
    """
    steps, every = options.steps(dt), options.every
    generator = torch.Generator().manual_seed(seed)
    world = UnicycleRollout(dt, integrator)
    n, path = len(cars.v0), cars.roads.path
    state = torch.cat([torch.zeros_like(cars.history[:, -1, :3]), cars.v0.unsqueeze(-1)], -1)
    now = Situation(cars, state, cars.along, cars.last, cars.wait)
    past = cars.history
    waiting = cars.last.unsqueeze(1).expand(n, options.delay, 2)  # actions that are on their way
    applied, states, measured, shown, jumps = [], [], [], [], []
    plans: list[Tensor] = []  # the first and the last: all of all cars would be gigabytes
    for first in range(0, steps, every):
        actions = driver(scene_of(now, past), now)
        if actions.shape[1] < every:
            raise ValueError(f"a plan of {actions.shape[1]} steps cannot be driven for {every}")
        plan = in_world(world(actions, now.state[:, 3]), now.state)[..., :2]
        jumps += [plan_jump(before, plan, every) for before in plans[-1:]]
        shown.append(plan[:SHOWN].clone())
        plans = [*plans[:1], plan]
        waiting = torch.cat([waiting, actions[:, :every]], 1)
        count = min(every, steps - first)
        taken, waiting = waiting[:, :count], waiting[:, every:]
        if options.noise:
            taken = taken * (1 + options.noise * torch.randn(taken.shape, generator=generator).to(taken))
        driven = in_world(world(taken, now.state[:, 3]), now.state)
        along = now.along
        for moment in driven[..., :3].unbind(1):
            place, beside, heading = (t[:, 0] for t in path.locate(moment[:, None, :2], along.unsqueeze(-1)))
            measured.append(torch.stack([place, beside, moment[:, 2] - heading], -1))
            along = place
        past = torch.cat([past, driven], 1)[:, -past.shape[1] :]
        wait = (now.wait - count * dt).clamp(min=0)
        now = Situation(cars, driven[:, -1], along, actions[:, count - 1], wait)
        applied.append(taken)
        states.append(driven)
    along, beside, heading = torch.stack(measured, 1).unbind(-1)
    jump = torch.stack(jumps, -1).nanmean(-1) if jumps else torch.full_like(cars.v0, torch.nan)
    driven, shown_plans = torch.cat(states, 1), torch.stack(shown, 1)
    return Drives(torch.cat(applied, 1), driven, along, beside, heading, plans[0], shown_plans, jump)


def in_world(trajectory: Tensor, state: Tensor) -> Tensor:
    """Trajectories (N, T, 4) from the ego frame of states (N, 4) into the frame that these are in."""
    cos, sin = state[:, None, 2].cos(), state[:, None, 2].sin()
    x, y, yaw, v = trajectory.unbind(-1)
    placed = (state[:, None, 0] + cos * x - sin * y, state[:, None, 1] + sin * x + cos * y, state[:, None, 2] + yaw, v)
    return torch.stack(placed, -1)


def scene_of(now: Situation, past: Tensor) -> Scene:
    """What a student may know: route, speed, what is left to do, the history (N, H, 4) from its frame."""
    return now.cars.scene(now.state, now.along, now.wait, states_in_frame(past, now.state))


def student_driver(student: Student) -> Driver:
    """A student, asked with what it has inputs for."""
    return lambda scene, now: student.act(student.known_of(scene, now.cars.context_names))[:, 0]


def tracker_driver(horizon: int, dt: float) -> Driver:
    """The one who taught it: the mean driver, who sees the road itself as far as a route shows it."""

    def act(scene: Scene, now: Situation) -> Tensor:
        seen = now.cars.roads.seen(now.along)
        state, last = now.state.unsqueeze(1), now.last.unsqueeze(1)
        along, wait = now.along.unsqueeze(-1), now.wait.unsqueeze(-1)
        return track(seen, state, along, last, wait, None, horizon, dt)[0][:, 0]

    return act


def straight_driver(horizon: int) -> Driver:
    """Straight on at the speed of now."""
    return lambda scene, now: now.state.new_zeros(len(scene), horizon, 2)


def steady_driver(horizon: int, dt: float) -> Driver:
    """Along the route at the speed of now: the tracker's steering and no acceleration."""

    def act(scene: Scene, now: Situation) -> Tensor:
        held = now.state[:, 3:].expand_as(now.cars.roads.speed)
        roads = replace(now.cars.roads, speed=held)
        state, along, last = now.state.unsqueeze(1), now.along.unsqueeze(-1), now.last.unsqueeze(1)
        still = torch.stack([torch.zeros_like(last[..., 0]), last[..., 1]], -1)
        return track(roads, state, along, still, torch.zeros_like(along), None, horizon, dt)[0][:, 0]

    return act
