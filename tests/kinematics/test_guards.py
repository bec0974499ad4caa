"""What the inverse does where a car hardly moves, and its speeds from the past, by dense systems in NumPy."""

import numpy as np
import pytest
import torch
from served import by_both
from torch import Tensor

from alpamayo_toy import estimate_v0, trajectory_to_actions
from alpamayo_toy.kinematics import inverse
from alpamayo_toy.kinematics.inverse import DEFAULT_WEIGHTS, estimate_speeds, regularised_states

which = by_both(inverse)
DT = 0.1


def slow_cars() -> tuple[Tensor, Tensor, Tensor]:
    """Four that brake from 2 m/s to a crawl, stop, or back up, through a tight bend, with noise."""
    draw = torch.Generator().manual_seed(0)
    time = torch.arange(1, 33, dtype=torch.float64) * DT
    speeds = torch.linspace(2, -0.5, 32).double() + torch.tensor([0.6, 0.3, 0.0, -0.4], dtype=torch.float64)[:, None]
    yaw = 0.5 * time + 0.02 * torch.randn(4, 32, dtype=torch.float64, generator=draw)
    steps = DT * speeds[..., None] * torch.stack([yaw.cos(), yaw.sin()], -1)
    noise = 0.005 * torch.randn(4, 32, 2, dtype=torch.float64, generator=draw)
    return steps.cumsum(1) + noise, yaw, speeds[:, 0]


def differences(n: int, order: int) -> np.ndarray:
    return np.diff(np.eye(n), order, axis=0) / DT**order


def test_weights_are_alpamayos() -> None:
    assert DEFAULT_WEIGHTS == ((1e-6, 1e-8), (1e-6, 1e-4), (1e-4, 1e-4), (1e-4, 1e-4))


def test_curvature_where_cars_hardly_move() -> None:
    """none: smoothed, with a ridge of 1e-4; ridge: one that grows as steps get short; guard: none, cut and let go."""
    waypoints, yaw, v0 = slow_cars()
    found = {guard: trajectory_to_actions(waypoints, yaw, v0, guard=guard) for guard in ("none", "guard", "ridge")}
    assert torch.equal(trajectory_to_actions(waypoints, yaw, v0), found["ridge"])
    a = found["none"][..., 0]
    assert torch.equal(a, found["guard"][..., 0])
    assert torch.equal(a, found["ridge"][..., 0])
    states = regularised_states(waypoints, yaw, v0)[1]
    theta, v = (torch.cat([first, states[..., k]], -1) for first, k in ((0 * v0[:, None], 2), (v0[:, None], 3)))
    s = (v[:, :-1] * DT + a * DT * DT / 2).numpy()
    turned = theta.diff(dim=-1).numpy()
    smoothing = 1e-4 * differences(32, 2).T @ differences(32, 2)
    for guard, ridge in (("none", 1e-4 + 0 * s), ("ridge", 1e-3 * (0.06 / (np.abs(s) + 0.02)) ** 2)):
        for row in range(4):
            matrix = np.diag(s[row] ** 2 + ridge[row]) + smoothing
            kappa = np.linalg.solve(matrix, s[row] * turned[row])
            assert found[guard][row, :, 1].numpy() == pytest.approx(kappa, abs=1e-8)
    moves = (v[:, 1:].abs() >= 0.6) & (v[:, :-1].abs() >= 0.6)
    assert 0.2 < moves.double().mean() < 0.8
    assert bool((found["none"][..., 1].abs() > 0.33)[moves].any())
    torch.testing.assert_close(found["guard"][..., 1], found["none"][..., 1].clamp(-0.33, 0.33) * moves)


def test_speeds_along_the_past_by_a_dense_system() -> None:
    """v[t] u[t] + v[t+1] u[t+1] ~ 2 (p[t+1] - p[t]) / dt with no end held; the last of them is that at t0."""
    waypoints, yaw, _ = slow_cars()
    found = estimate_speeds(waypoints, yaw)
    third = differences(32, 3)
    for row in range(4):
        u = np.stack([np.cos(yaw[row].numpy()), np.sin(yaw[row].numpy())], -1)
        equations = np.zeros((31, 2, 32))
        for t in range(31):
            equations[t, :, t], equations[t, :, t + 1] = u[t], u[t + 1]
        flat, right = equations.reshape(62, 32), (np.diff(waypoints[row].numpy(), axis=0) * 2 / DT).ravel()
        matrix = flat.T @ flat + 1e-6 * third.T @ third + 1e-4 * np.eye(32)
        assert found[row].numpy() == pytest.approx(np.linalg.solve(matrix, flat.T @ right), abs=1e-8)
    assert torch.equal(estimate_v0(waypoints, yaw), found[:, -1])
    free, states = regularised_states(waypoints, yaw)
    whole = estimate_speeds(
        torch.cat([0 * waypoints[:, :1], waypoints], 1), torch.cat([0 * yaw[:, :1], states[..., 2]], 1)
    )
    torch.testing.assert_close(torch.cat([free[:, None], states[..., 3]], 1), whole)
