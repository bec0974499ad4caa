"""Trajectories by hand, at rest, at one point or metres apart, and actions as a model would predict them."""

import torch
from torch import Tensor

from alpamayo_toy import UnicycleRollout

ROLLOUT = UnicycleRollout(0.1, "trapezoid")


def ending_at(*ends: tuple[float, float], steps: int = 64) -> Tensor:
    """Samples (K, T, 4) that stand at one point each."""
    samples = torch.zeros(len(ends), steps, 4, dtype=torch.float64)
    samples[..., :2] = torch.tensor(ends, dtype=torch.float64).unsqueeze(-2)
    return samples


def smooth_actions(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Slowly varying actions and initial speeds, as a model would predict them."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(64, dtype=torch.float64) / 64
    waves = torch.stack([torch.sin((k + 1) * 3 * t + k) for k in range(3)])
    weights = torch.randn(n, 2, 3, dtype=torch.float64, generator=generator)
    actions = (weights @ waves).transpose(-1, -2) * torch.tensor([0.5, 0.02])
    return actions, 5 + 8 * torch.rand(n, dtype=torch.float64, generator=generator)
