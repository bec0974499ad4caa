"""Waypoints: what a student without a rollout predicts, to see what predicting actions is worth."""

import torch
from torch import Tensor, nn

from alpamayo_toy.kinematics.recovery import driven_states
from alpamayo_toy.kinematics.trajectory import Labels

FLAT = 1e-3  # m, the least standard deviation: a set that never turns must not blow a head's sideways numbers up


class Waypoints(nn.Module):
    """Raw numbers (B, K, T, 2) -> positions, in three ways, c[t] = (v0 t dt, 0) the constant velocity:

        waypoints    p[t] = n[t]              residuals    p[t] = c[t] + n[t]
        differences  p[t] = c[t] + n[0] + ... + n[t]

    n[t] = mean[t] + std[t] raw[t], (T, 2) in metres over the training labels, the mean of the last two left at 0.
    Heading and speed are those of each step, and actions can only be read off them: nothing keeps them smooth or within
    bounds.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, output: str, horizon: int, dt: float) -> None:
        super().__init__()
        self.output, self.dt = output, dt
        self.register_buffer("mean", torch.zeros(horizon, 2))
        self.register_buffer("std", torch.ones(horizon, 2))

    def forward(self, raw: Tensor, v0: Tensor) -> Tensor:
        """raw (B, K, T, 2), v0 (B,) m/s -> trajectories (B, K, T, 4); a gradient comes through the positions alone."""
        numbers = self.mean + self.std * raw
        points = numbers.cumsum(-2) if self.output == "differences" else numbers
        if self.output != "waypoints":
            points = points + self._constant(v0)
        with torch.no_grad():
            states = driven_states(points, self.dt)
        return torch.cat([points, states[..., 2:]], -1)

    def fit(self, labels: Labels) -> None:
        """Take mean and standard deviation of the numbers from the training labels."""
        numbers = labels.teacher[..., :2].float()
        if self.output != "waypoints":
            numbers = numbers - self._constant(labels.v0.float())
        if self.output == "differences":
            numbers = torch.cat([numbers[..., :1, :], numbers.diff(dim=-2)], -2)
        numbers = numbers.flatten(0, 1)
        self.std.copy_(numbers.std(0, correction=0).clamp(min=FLAT))
        if self.output == "waypoints":
            self.mean.copy_(numbers.mean(0))

    def _constant(self, v0: Tensor) -> Tensor:
        """Where constant velocity leads: (B,) -> (B, 1, T, 2)."""
        ahead = v0.unsqueeze(-1) * self.dt * torch.arange(1, self.mean.shape[0] + 1, device=v0.device)
        return torch.stack([ahead, torch.zeros_like(ahead)], -1).unsqueeze(1)
