"""Predictions that need no learning. They stand beside a student in every table."""

import torch
from torch import Tensor


def constant_velocity(v0: Tensor, horizon: int, dt: float) -> Tensor:
    """Straight on at the initial speed: v0 (...) -> waypoints (..., T, 2)."""
    t = torch.arange(1, horizon + 1, dtype=v0.dtype, device=v0.device) * dt
    x = v0.unsqueeze(-1) * t
    return torch.stack([x, torch.zeros_like(x)], -1)
