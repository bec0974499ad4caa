"""How a scenario is driven: what a scene draws, and the (a, kappa) profile of a driver in it."""

import math

import torch
from torch import Tensor

from alpamayo_toy.kinematics.trajectory import DT, HORIZON

MAX_CURVATURE = 0.33  # 1/m, Alpamayo's bound
MAX_CURVATURE_RATE = 0.15  # 1/m/s, how fast a driver turns the wheel
RAMP = 0.3  # share of a turn's length spent winding the curvature up, and again down

PARAMETERS = (
    "speed_mps",  # at t0
    "final_speed_mps",
    "speed_onset_s",  # when the speed begins to change
    "speed_change_s",  # how long it takes
    "turn_angle_deg",  # heading change of the whole turn, left positive
    "lane_offset_m",  # sideways shift of the whole lane change, left positive
    "steer_onset_s",  # when turn or lane change begin, at the planned speed
    "steer_s",  # how long they take
)
"""What a scene draws, in the order of its vector (..., 8)."""

DRIVER = ("pace", "timing", "aim", "drift")
"""What a driver varies, in the order of the standard normal vector (..., 4) that drive() takes."""

# Standard deviations of the driver's variation, tuned to the spread of six Alpamayo-1.5 samples (README.md).
PACE = 0.028  # 1/s, share of the planned speed by which a driver grows faster or slower, per second
TIMING = 0.06  # share by which a change of speed takes longer
AIM = 0.04  # share by which a turn or lane change goes further
DRIFT = 0.03  # m/s^2, lateral acceleration of a constant bend at the plan's highest speed


def drive(scene: Tensor, driver: Tensor, horizon: int = HORIZON, dt: float = DT) -> Tensor:
    """What a driver does in a scene: scene (..., 8), driver (..., 4) -> actions (..., T, 2), to be rolled out by euler.

    Speed follows v0 + (v1 - v0) S(u), u the share of the change that has passed, S(u) = 3u^2 - 2u^3, times the
    driver's pace. Steering is a road, curvature as a function of the distance s driven: a turn winds up, holds and
    unwinds (a trapezoid), a lane change is one period of a sine, so that kappa needs no division by speed. All drivers
    of a scene see the same road. |d kappa / d t| <= 0.15 1/m/s and |kappa| <= 0.33 1/m hold for every sample.
    """
    v0, v1, onset, change, angle, offset, steer_onset, steer = scene.unbind(-1)
    pace, timing, aim, drift = driver.unbind(-1)
    t = torch.arange(horizon + 1, dtype=scene.dtype, device=scene.device) * dt
    top = torch.maximum(v0, v1).clamp(min=1.0)

    plan = _speed(t, v0, v1, onset, change)
    s_plan = _distance(plan, dt)
    start, end = (_at(s_plan, moment, dt) for moment in (steer_onset, steer_onset + steer))
    length = (end - start).clamp(min=1.0)

    v = _speed(t, v0, v1, onset, change * (1 + TIMING * timing))
    v = v * (1 + t * (PACE * pace).unsqueeze(-1))
    a = v.diff(dim=-1) / dt
    s = _distance(v, dt)
    u = (((s[..., :-1] + s[..., 1:]) / 2 - start.unsqueeze(-1)) / length.unsqueeze(-1)).clamp(0, 1)
    turn = torch.minimum(u, 1 - u).div(RAMP).clamp(max=1) / (1 - RAMP)  # mean 1 over u in [0, 1]
    swing = torch.sin(2 * math.pi * u) * (2 * math.pi)  # twice integrated over [0, 1]: 1
    aimed = 1 + AIM * aim
    kappa = (torch.deg2rad(angle) * aimed / length).unsqueeze(-1) * turn
    kappa = kappa + (offset * aimed / length**2).unsqueeze(-1) * swing
    kappa = kappa + (DRIFT * drift / top**2).unsqueeze(-1)
    rate = kappa.diff(dim=-1).abs().amax(-1, keepdim=True) / (dt * MAX_CURVATURE_RATE)
    sharp = kappa.abs().amax(-1, keepdim=True) / MAX_CURVATURE
    kappa = kappa / torch.maximum(rate, sharp).clamp(min=1)
    return torch.stack([a, kappa], -1)


def _speed(t: Tensor, v0: Tensor, v1: Tensor, onset: Tensor, change: Tensor) -> Tensor:
    u = ((t - onset.unsqueeze(-1)) / change.unsqueeze(-1)).clamp(0, 1)
    return v0.unsqueeze(-1) + (v1 - v0).unsqueeze(-1) * (u * u * (3 - 2 * u))


def _distance(v: Tensor, dt: float) -> Tensor:
    """Driven by t = 0..T at speeds v (..., T+1), as euler integrates it."""
    return torch.cat([torch.zeros_like(v[..., :1]), (v[..., :-1] * dt).cumsum(-1)], -1)


def _at(values: Tensor, moment: Tensor, dt: float) -> Tensor:
    """values (..., T+1) at t = 0, dt, .. linearly read at moment (...), which is clamped to the horizon."""
    position = (moment / dt).clamp(0, values.shape[-1] - 1)
    left = position.floor().clamp(max=values.shape[-1] - 2).long()
    low, high = (values.gather(-1, (left + k).unsqueeze(-1)).squeeze(-1) for k in (0, 1))
    return low + (high - low) * (position - left)
