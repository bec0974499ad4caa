"""Histories of cars that held an action, and labels made of them."""

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy import Labels, UnicycleRollout

NAMES = [
    "stationary",
    "constant_velocity",
    "constant_turn_rate",
    "constant_acceleration",
    "hold_last_action",
    "decaying_hold",
    "ridge",
]
MIRROR = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
FLOATS = [torch.float32, torch.float64]


def pair(a: float, kappa: float) -> Tensor:
    return torch.tensor([a, kappa], dtype=torch.float64)


def driven_past(v0: Tensor, a: Tensor, kappa: Tensor, poses: int = 16, dt: float = 0.1) -> Tensor:
    """Histories (N, H, 4) of cars that held a and kappa (N,) and have v0 (N,) at t0, in the frame of t0."""
    start = v0 - a * dt * (poses - 1)
    actions = torch.stack([a, kappa], -1)[:, None].expand(-1, poses - 1, 2)
    path = UnicycleRollout(dt, "trapezoid")(actions, start)
    first = torch.zeros_like(path[:, :1])
    first[..., 3] = start[:, None]
    path = torch.cat([first, path], 1)
    moved, turned = path[..., :2] - path[:, -1:, :2], path[:, -1:, 2]
    x = turned.cos() * moved[..., 0] + turned.sin() * moved[..., 1]
    y = turned.cos() * moved[..., 1] - turned.sin() * moved[..., 0]
    return torch.stack([x, y, path[..., 2] - turned, path[..., 3]], -1)


def made(history: Tensor | None, teacher: Tensor, v0: Tensor) -> Labels:
    n = len(v0)
    return Labels(
        clip_id=np.array([f"clip-{i}" for i in range(n)]),
        t0_us=torch.zeros(n, dtype=torch.int64),
        v0=v0,
        teacher=teacher,
        scenario=torch.full((n,), -1),
        source=np.full(n, "made"),
        v0_source=np.full(n, "file"),
        scenario_source="file",
        history=history,
    )


def wandering(n: int, seed: int = 0, samples: int = 2, horizon: int = 8, poses: int = 16) -> Labels:
    """Cars that held an action and then do something else, a little different in every sample."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    v0, a, kappa = 10 + draw[:, 0], draw[:, 1], draw[:, 2] * 0.02
    other = torch.randn(n, samples, horizon, 2, generator=generator, dtype=torch.float64) * pair(1.0, 0.02)
    actions = torch.stack([a, kappa], -1)[:, None, None] + other
    past = driven_past(v0, a, kappa, poses)
    past = past + torch.randn(past.shape, generator=generator, dtype=past.dtype) * 0.01  # or every profile is a line
    return made(past, UnicycleRollout(0.1, "trapezoid")(actions, v0[:, None]), v0)
