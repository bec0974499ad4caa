"""plan_of(): a trajectory and its actions in a car's terms, step by step."""

from typing import NamedTuple

import torch
from torch import Tensor


class Plan(NamedTuple):
    """(..., T) each, at t0 + dt .. t0 + T dt, in the ego frame at t0 and of its rear axle.

    time s after t0; x, y m; yaw rad, continuous; v m/s; a m/s^2; yaw_rate rad/s; wheel_angle rad of the front wheels,
    of a bicycle; left is positive.
    """

    time: Tensor
    x: Tensor
    y: Tensor
    yaw: Tensor
    v: Tensor
    a: Tensor
    yaw_rate: Tensor
    wheel_angle: Tensor


def plan_of(actions: Tensor, trajectory: Tensor, wheelbase: float, dt: float = 0.1) -> Plan:
    """actions (..., T, 2), trajectory (..., T, 4), wheelbase m -> Plan.

    yaw_rate = v kappa      wheel_angle = atan(wheelbase kappa)

    a and kappa are those of the step that ends there. Raises ValueError for shapes that do not go together and for a
    wheelbase that is not above 0.
    """
    if actions.shape[-1:] != (2,) or trajectory.shape[-1:] != (4,) or actions.shape[:-1] != trajectory.shape[:-1]:
        shapes = f"{tuple(actions.shape)} and {tuple(trajectory.shape)}"
        raise ValueError(f"actions must have shape (..., T, 2) and trajectory (..., T, 4) (got {shapes})")
    if not wheelbase > 0:
        raise ValueError(f"wheelbase must be > 0 m (got {wheelbase})")
    a, kappa = actions.unbind(-1)
    x, y, yaw, v = trajectory.unbind(-1)
    time = dt * torch.arange(1, a.shape[-1] + 1, dtype=v.dtype, device=v.device)
    return Plan(time.expand(a.shape), x, y, yaw, v, a, v * kappa, (wheelbase * kappa).atan())
