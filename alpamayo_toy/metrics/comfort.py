"""Comfort of a drive against the limits of nuPlan and NAVSIM, from actions or from recorded positions.

From actions every quantity is an exact finite difference. Positions at 10 Hz carry noise that differences multiply by
hundreds, so they go through Savitzky-Golay filters first, with nuPlan's windows and orders. The two forms do not give
the same numbers: the filters see some 0.8 s at once, and flatten what is shorter.
"""

import math

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.kinematics.device import kept
from alpamayo_toy.kinematics.recovery import continuous

# nuPlan's comfort metrics and NAVSIM's pdm_comfort_metrics.py: lowest and highest comfortable value of each extreme
LIMITS = {
    "min_longitudinal_acceleration": (-4.05, math.inf),  # m/s^2
    "max_longitudinal_acceleration": (-math.inf, 2.40),  # m/s^2
    "max_abs_lateral_acceleration": (0.0, 4.89),  # m/s^2
    "max_abs_magnitude_jerk": (0.0, 8.37),  # m/s^3, of the length of the acceleration
    "max_abs_longitudinal_jerk": (0.0, 4.13),  # m/s^3
    "max_abs_yaw_rate": (0.0, 0.95),  # rad/s
    "max_abs_yaw_acceleration": (0.0, 1.93),  # rad/s^2
}
# nuPlan's filters as (window, order)
ACCELERATION, JERK, YAW_RATE, YAW_ACCELERATION = (8, 2), (15, 2), (5, 2), (5, 3)


def from_actions(
    actions: Tensor, trajectory: Tensor, v0: Tensor, dt: float, integrator: str = "trapezoid"
) -> dict[str, Tensor]:
    """Extremes by the names of LIMITS: actions (..., T, 2), their rollout (..., T, 4), v0 (...) m/s -> (...) each.

    Over a step, with v its mean speed (v[t] + v[t+1]) / 2, or v[t] for euler: longitudinal acceleration a, lateral
    v^2 kappa, yaw rate v kappa = (yaw[t+1] - yaw[t]) / dt. Jerks and yaw acceleration are differences of neighbouring
    steps over dt; T >= 2. Actions count as commanded, braking at standstill too.
    """
    v = torch.cat([v0.unsqueeze(-1), trajectory[..., 3]], -1)
    speed = v[..., :-1] if integrator == "euler" else (v[..., :-1] + v[..., 1:]) / 2
    a, yaw_rate = actions[..., 0], speed * actions[..., 1]
    lateral = speed * yaw_rate
    rates = torch.stack([torch.hypot(a, lateral), a, yaw_rate], -2).diff(dim=-1) / dt
    magnitude_jerk, longitudinal_jerk, yaw_acceleration = rates.unbind(-2)
    return _extremes(a, lateral, magnitude_jerk, longitudinal_jerk, yaw_rate, yaw_acceleration)


def from_positions(poses: Tensor, dt: float) -> dict[str, Tensor]:
    """Extremes by the names of LIMITS: poses (..., T, 3 or more) = x, y, yaw, T >= 4 -> (...) each.

    The steps between positions, turned by the mean heading of their two ends and summed up, are the way travelled
    forwards, s, and sideways, n. With primes through the acceleration filter, the derivative taken by the filter:
        longitudinal acceleration  s'' - yaw' n'
        lateral acceleration       n'' + yaw' s'     v^2 kappa where the car does not slide
    A second derivative of x and y would mix the two wherever the filter's time and the heading's differ, most of all
    at the ends. Jerks are derivatives of the acceleration and of its length, yaw rate and acceleration of the heading,
    each through its own filter. Filters longer than T are cut to T (as in NAVSIM).
    """
    yaw = continuous(poses[..., 2])
    mean = (yaw[..., 1:] + yaw[..., :-1]) / 2
    dx, dy = poses[..., 0].diff(dim=-1), poses[..., 1].diff(dim=-1)
    s = _from_zero(dx * mean.cos() + dy * mean.sin())
    n = _from_zero(dy * mean.cos() - dx * mean.sin())
    turning = _filtered(yaw, ACCELERATION, 1, dt)
    a = _filtered(s, ACCELERATION, 2, dt) - turning * _filtered(n, ACCELERATION, 1, dt)
    lateral = _filtered(n, ACCELERATION, 2, dt) + turning * _filtered(s, ACCELERATION, 1, dt)
    return _extremes(
        a,
        lateral,
        _filtered(torch.hypot(a, lateral), JERK, 1, dt),
        _filtered(a, JERK, 1, dt),
        _filtered(yaw, YAW_RATE, 1, dt),
        _filtered(yaw, YAW_ACCELERATION, 2, dt),
    )


def passes(extremes: dict[str, Tensor]) -> dict[str, Tensor]:
    """Which extremes are within LIMITS, by name, and "all" of them: (...) -> bool (...). NaN does not pass."""
    found = {name: (extremes[name] >= low) & (extremes[name] <= high) for name, (low, high) in LIMITS.items()}
    return {**found, "all": torch.stack(list(found.values())).all(0)}


@kept
def savgol_matrix(
    steps: int,
    window: int,
    order: int,
    derivative: int,
    dt: float,
    dtype: torch.dtype = torch.float64,
    device: torch.device | None = None,
) -> Tensor:
    """Savitzky-Golay filter as a matrix (T, T): matrix @ values is scipy.signal.savgol_filter(mode="interp").

    Each row fits a polynomial of `order` to `window` neighbouring values by least squares and evaluates its derivative.
    An odd window is centred on its step. An even one, w, takes the steps i - w/2 + 1 .. i + w/2 and evaluates at their
    centre: the result stands for the time half a step after t[i]. The first and last w // 2 rows evaluate the
    polynomial of the first or last window at the steps themselves, without that shift.
    """
    from scipy.signal import savgol_filter

    if not 0 <= derivative <= order < window <= steps:
        raise ValueError(
            f"0 <= derivative <= order < window <= steps must hold (got {derivative}, {order}, {window}, {steps})"
        )
    matrix = savgol_filter(np.eye(steps), window, order, derivative, dt, axis=0, mode="interp")
    return torch.from_numpy(matrix).to(device, dtype)


def _filtered(values: Tensor, savgol: tuple[int, int], derivative: int, dt: float) -> Tensor:
    """A derivative of (..., T) through the filter (window, order)."""
    steps, (window, order) = values.shape[-1], savgol
    matrix = savgol_matrix(steps, min(window, steps), order, derivative, dt, values.dtype, values.device)
    return values @ matrix.mT


def _from_zero(steps: Tensor) -> Tensor:
    """Sums of steps with 0 in front: (..., T-1) -> (..., T)."""
    return torch.cat([torch.zeros_like(steps[..., :1]), steps.cumsum(-1)], -1)


def _extremes(a: Tensor, *others: Tensor) -> dict[str, Tensor]:
    """The longitudinal acceleration's two ends and the largest size of the others, in the order of LIMITS."""
    ends = [a.amin(-1), a.amax(-1), *(other.abs().amax(-1) for other in others)]
    return dict(zip(LIMITS, ends, strict=True))
