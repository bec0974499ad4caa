"""Metrics against numbers written out by hand, and the geometric median against a search."""

import math

import pytest
import torch

from alpamayo_toy.baselines import constant_velocity
from alpamayo_toy.metrics import distance, geometric_median, horizons, min_ade, sanity_checks, starter_metrics


def test_distance_ignores_everything_but_x_and_y_and_has_a_gradient_at_zero() -> None:
    a = torch.tensor([[3.0, 4.0, 9.0, 9.0]], requires_grad=True)
    assert distance(a, torch.zeros(1, 4)).tolist() == [5.0]
    (grad,) = torch.autograd.grad(distance(a, a.detach()).sum(), a)
    assert grad.tolist() == [[0.0, 0.0, 0.0, 0.0]]


def test_both_definitions_of_min_ade() -> None:
    truth = torch.zeros(4, 2)
    first = torch.tensor([[0.0, 0.0], [0.0, 0.0], [4.0, 0.0], [4.0, 0.0]])  # mean 2, first half 0
    second = torch.tensor([[1.0, 0.0]] * 4)  # mean 1, first half 1
    samples = torch.stack([first, second])
    assert min_ade(samples, truth).item() == 1.0
    assert min_ade(samples, truth, steps=2).item() == 1.0
    assert min_ade(samples, truth, steps=2, select="horizon").item() == pytest.approx(0.0, abs=1e-12)
    assert min_ade(samples.expand(3, 5, 2, 4, 2), truth.expand(3, 5, 4, 2)).shape == (3, 5)
    with pytest.raises(ValueError, match="select must be full or horizon"):
        min_ade(samples, truth, select="best")


def test_horizons_are_named_by_seconds() -> None:
    errors = torch.arange(1.0, 65.0)
    assert horizons(errors, 0.1) == {"1.0": 10, "2.0": 20, "3.0": 30, "4.0": 40, "5.0": 50, "6.4": 64}
    assert horizons(errors[:8], 0.1) == {"0.8": 8}


def test_starter_metrics_by_hand() -> None:
    actions = torch.tensor([[1.0, 0.1], [-3.0, 0.1], [0.0, -0.2]])
    trajectory = torch.tensor([[0.0, 0, 0, 5.0], [0, 0, 0, 2.0], [0, 0, 0, 3.0]])
    found = {name: value.item() for name, value in starter_metrics(actions, trajectory, 0.1).items()}
    assert found == pytest.approx(
        {
            "max_abs_accel": 3.0,
            "max_abs_curvature": 0.2,
            "min_speed": 2.0,
            "final_speed": 3.0,
            "max_abs_jerk": 40.0,
            "max_abs_curvature_rate": 3.0,
        }
    )


def test_sanity_checks_can_fail() -> None:
    v0, dt = torch.tensor([5.0]), 0.1
    straight = torch.zeros(1, 3, 4)
    straight[..., 0], straight[..., 3] = torch.tensor([0.5, 1.0, 1.5]), 5.0
    actions = torch.zeros(1, 3, 2)
    good = sanity_checks(actions, straight, v0, dt, "euler")
    assert good == {"finite": True, "speed_non_negative": True, "no_teleport": True}
    assert sanity_checks(actions, straight, v0, dt, "trapezoid")["speed_non_negative"] is None
    jump = straight.clone()
    jump[0, 2, 0] = 3.0
    assert sanity_checks(actions, jump, v0, dt, "euler")["no_teleport"] is False
    back = straight.clone()
    back[0, 2, 3] = -0.1
    assert sanity_checks(actions, back, v0, dt, "euler")["speed_non_negative"] is False
    assert sanity_checks(actions * math.nan, straight, v0, dt, "euler")["finite"] is False


def test_geometric_median_has_the_least_mean_distance() -> None:
    points = torch.randn(3, 9, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    median = geometric_median(points)
    best = distance(points, median.unsqueeze(-3)).mean(-2)
    for dx, dy in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01), (0.1, 0.1)):
        moved = median + torch.tensor([dx, dy])
        assert bool((distance(points, moved.unsqueeze(-3)).mean(-2) > best - 1e-7).all())
    same = torch.ones(4, 6, 2)
    assert torch.equal(geometric_median(same), torch.ones(6, 2))


def test_constant_velocity_drives_straight_on() -> None:
    waypoints = constant_velocity(torch.tensor([2.0, 0.0]), 3, 0.5)
    assert waypoints[0].tolist() == [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]
    assert waypoints[1].abs().max() == 0
