"""From waypoints alone back to speeds, headings and actions: exact on exact rollouts, smoothed on anything else."""

import math

import torch
from torch import Tensor

from alpamayo_toy.kinematics.arguments import common_dtype, require_dt, require_tensor
from alpamayo_toy.kinematics.running import running_maximum
from alpamayo_toy.kinematics.trajectory import DT

HOLD = 1e-3  # m, a shorter step has no direction of its own: the heading is held
EXACT = 1e-3  # m, a larger alternating residual means that positions are no exact rollout
SMOOTHING = 1e-6  # s^6, weight of the squared jerk beside squared position errors in smoothed_heading


def label_actions(trajectory: Tensor, v0: Tensor, dt: float = DT, integrator: str = "trapezoid") -> Tensor:
    """The actions between the states of a trajectory, exact: (..., T, 4), v0 (...) -> (..., T, 2), unclamped.

    a = (v[t+1] - v[t]) / dt;  kappa = (yaw[t+1] - yaw[t]) / s, s = (v[t] + v[t+1]) dt / 2, or v[t] dt for euler, and 0
    where the heading does not change. With recover_states this is the exact recursion on waypoints alone.
    """
    v = torch.cat([v0.unsqueeze(-1), trajectory[..., 3]], -1)
    yaw = torch.cat([torch.zeros_like(v[..., :1]), trajectory[..., 2]], -1)
    s = v[..., :-1] * dt if integrator == "euler" else (v[..., :-1] + v[..., 1:]) * (dt / 2)
    turned = yaw[..., 1:] - yaw[..., :-1]
    straight = (turned == 0) | (s == 0)
    kappa = torch.where(straight, 0.0, turned / torch.where(straight, 1.0, s))
    return torch.stack([(v[..., 1:] - v[..., :-1]) / dt, kappa], -1)


def recover_v0(waypoints: Tensor, dt: float = DT) -> tuple[Tensor, Tensor]:
    """Initial speed and yaw from a teacher trajectory alone: (..., T, 2) -> v0 (...), yaw (..., T). Differentiable.

    A trapezoid rollout obeys V[k+1] = 2 d[k] / dt - V[k], V the velocity vectors, d the steps, V[0] = (v0, 0). A wrong
    v0 returns as an error (-1)^k in every V: v0 is the one that leaves the least alternation, by least squares on
    fourth differences. Valid for exact rollouts only: alternation() tells. bfloat16 and float16 are upcast with a
    warning.
    """
    require_dt(dt)
    require_tensor("waypoints", waypoints)
    if waypoints.dim() < 2 or waypoints.shape[-1] != 2:
        raise ValueError(f"waypoints must have shape (..., T, 2) (got {tuple(waypoints.shape)})")
    waypoints = waypoints.to(common_dtype({"waypoints": waypoints}, False))
    v0 = _least_alternating(waypoints, dt)
    return v0, recover_states(waypoints, v0, dt)[..., 2]


def alternation(waypoints: Tensor, v0: Tensor, dt: float = DT) -> Tensor:
    """How far positions are from an exact rollout: (..., T, 2), (...) -> (...), metres.

    Root mean square of the alternating part of the recursion's velocities (fourth differences / 16), as a step. Below
    1e-4 on Alpamayo's files, 4e-4 when rounded to 0.1 mm, 4e-3 when rounded to 1 mm.
    """
    jumps = _fourth_difference(_velocities(waypoints, v0, dt)) / 16
    return jumps.square().sum(-1).mean(-1).sqrt() * (dt / 2)


def recover_states(waypoints: Tensor, v0: Tensor, dt: float = DT, yaw: Tensor | None = None) -> Tensor:
    """The whole trajectory (..., T, 4) of an exact trapezoid rollout from its waypoints (..., T, 2) and v0 (...).

    Speed is signed. Without yaw (..., T) the heading is the course, continuous modulo half a turn, so that rolling back
    by a centimetre is a negative speed and not a turn, and held where the step is shorter than 1e-3 m.
    """
    velocity = _velocities(waypoints, v0, dt)
    if yaw is None:
        steps = _from_origin(waypoints).diff(dim=-2)
        moved = torch.linalg.vector_norm(steps.detach(), dim=-1) > HOLD
        direction = torch.atan2(velocity[..., 1:, 1], velocity[..., 1:, 0])
        yaw = continuous(_held(direction, moved), math.pi)
    v = velocity[..., 1:, 0] * yaw.cos() + velocity[..., 1:, 1] * yaw.sin()
    return torch.stack([waypoints[..., 0], waypoints[..., 1], yaw, v], -1)


def driven_states(waypoints: Tensor, dt: float = DT) -> Tensor:
    """States of positions that obey no model: (..., T, 2) -> (..., T, 4), each with course and speed of the step to it.

    The course is continuous, and held where a step is shorter than 1e-3 m.
    """
    points = _from_origin(waypoints)
    steps = points[..., 1:, :] - points[..., :-1, :]
    length = torch.linalg.vector_norm(steps, dim=-1)
    yaw = continuous(_held(torch.atan2(steps[..., 1], steps[..., 0]), length > HOLD))
    return torch.cat([waypoints, yaw.unsqueeze(-1), (length / dt).unsqueeze(-1)], -1)


def smoothed_heading(waypoints: Tensor, dt: float = DT) -> Tensor:
    """Course of positions that are no exact rollout and carry no heading: (..., T, 2) -> (..., T), rad.

    Positions with the origin in front are smoothed by the penalised least squares min |p - q|^2 + w |D^3 q|^2 / dt^6
    (Whittaker 1923) with w = 1e-6 s^6; the course is held where they hardly move, and continuous modulo half a turn.
    """
    points = _from_origin(waypoints)
    n = points.shape[-2]
    third = torch.eye(n, dtype=points.dtype, device=points.device).diff(n=3, dim=0) / dt**3
    smooth = torch.linalg.solve(
        torch.eye(n, dtype=points.dtype, device=points.device) + SMOOTHING * third.mT @ third, points
    )
    velocity = torch.gradient(smooth, spacing=dt, dim=-2, edge_order=2)[0]
    moved = torch.linalg.vector_norm(velocity, dim=-1) * dt > 10 * HOLD
    direction = torch.atan2(velocity[..., 1], velocity[..., 0])
    return continuous(_held(direction[..., 1:], moved[..., 1:]), math.pi)


def _from_origin(waypoints: Tensor) -> Tensor:
    """The waypoints (..., T, 2) with the position at t0 in front: (..., T+1, 2)."""
    return torch.cat([torch.zeros_like(waypoints[..., :1, :2]), waypoints[..., :2]], -2)


def _signs(n: int, like: Tensor) -> Tensor:
    """1, -1, 1, ... (n,)"""
    return 1 - 2 * (torch.arange(n, dtype=like.dtype, device=like.device) % 2)


def _velocities(waypoints: Tensor, v0: Tensor, dt: float) -> Tensor:
    """V[k+1] = 2 d[k] / dt - V[k] in closed form: (..., T+1, 2) from V[0] = (v0, 0)."""
    steps = _from_origin(waypoints).diff(dim=-2) * (2 / dt)
    signs = _signs(steps.shape[-2] + 1, steps)
    sums = -(steps * signs[:-1, None]).cumsum(-2)
    start = torch.stack([v0, torch.zeros_like(v0)], -1).unsqueeze(-2)
    return torch.cat([start, start + sums], -2) * signs[:, None]


def _fourth_difference(values: Tensor) -> Tensor:
    return values.diff(n=4, dim=-2)


def _least_alternating(waypoints: Tensor, dt: float) -> Tensor:
    zero = torch.zeros(waypoints.shape[:-2], dtype=waypoints.dtype, device=waypoints.device)
    if waypoints.shape[-2] < 4:
        raise ValueError(f"v0 can be recovered from 4 waypoints or more (got {tuple(waypoints.shape)})")
    jumps = _fourth_difference(_velocities(waypoints, zero, dt))[..., 0]
    return -(jumps * _signs(jumps.shape[-1], jumps)).mean(-1) / 16


def _held(values: Tensor, valid: Tensor) -> Tensor:
    """Each value where valid, otherwise the latest valid one; 0 before the first. (..., T)"""
    steps = torch.arange(1, values.shape[-1] + 1, device=values.device)
    latest = running_maximum(valid * steps)
    return torch.cat([torch.zeros_like(values[..., :1]), values], -1).gather(-1, latest)


def continuous(angle: Tensor, period: float = 2 * math.pi) -> Tensor:
    """Angles (..., T) made continuous modulo period, starting from heading 0 at t0."""
    jumps = torch.cat([angle[..., :1], angle[..., 1:] - angle[..., :-1]], -1)
    return (jumps - period * (jumps.detach() / period).round()).cumsum(-1)
