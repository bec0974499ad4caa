"""Predictions that need no learning. They stand beside a student in every table."""

import torch
from torch import Tensor


def stationary(v0: Tensor, horizon: int, dt: float) -> Tensor:
    """Not moving at all, whatever the speed and dt: v0 (...) -> waypoints (..., T, 2)."""
    return v0.new_zeros((*v0.shape, horizon, 2))


def constant_velocity(v0: Tensor, horizon: int, dt: float) -> Tensor:
    """Straight on at the initial speed: v0 (...) -> waypoints (..., T, 2)."""
    t = torch.arange(1, horizon + 1, dtype=v0.dtype, device=v0.device) * dt
    x = v0.unsqueeze(-1) * t
    return torch.stack([x, torch.zeros_like(x)], -1)


def constant_acceleration(v0: Tensor, acceleration: Tensor, horizon: int, dt: float) -> Tensor:
    """Straight on, x = v0 t + a t^2 / 2 until braking has stopped the car: m/s (...), m/s^2 (...) -> (..., T, 2)."""
    t = torch.arange(1, horizon + 1, dtype=v0.dtype, device=v0.device) * dt
    stopped = torch.where(acceleration < 0, (v0 / -acceleration).clamp(min=0), torch.inf)
    t = torch.minimum(t, stopped.unsqueeze(-1))
    x = v0.unsqueeze(-1) * t + acceleration.unsqueeze(-1) * t * t / 2
    return torch.stack([x, torch.zeros_like(x)], -1)


def constant_turn_rate(v0: Tensor, turn_rate: Tensor, horizon: int, dt: float) -> Tensor:
    """A circle at the initial speed: m/s (...), rad/s (...) -> waypoints (..., T, 2).

    x = v0 sin(w t) / w, y = v0 (1 - cos(w t)) / w, written with sinc so that w = 0 is the straight line.
    """
    t = torch.arange(1, horizon + 1, dtype=v0.dtype, device=v0.device) * dt
    s, half = v0.unsqueeze(-1) * t, turn_rate.unsqueeze(-1) * t / 2
    x = s * torch.sinc(2 * half / torch.pi)
    y = s * half * torch.sinc(half / torch.pi) ** 2
    return torch.stack([x, y], -1)
