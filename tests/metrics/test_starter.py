"""The starter metrics by hand, and checks that can fail."""

import math

import pytest
import torch

from alpamayo_toy.metrics.starter import sanity_checks, starter_metrics


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
    for beyond, passed in ((0.9e-3, True), (1.1e-3, False)):  # m, of a step of 0.5 m
        rounded = straight.clone()
        rounded[0, 2, 0] = 1.5 + beyond
        assert sanity_checks(actions, rounded, v0, dt, "euler")["no_teleport"] is passed
    for v0_other, last, passed in ((0.0, 5.0, True), (5.0, 0.0, True), (4.9, 4.9, False)):  # m/s at a step's two ends
        ends = straight[:, :1].clone()
        ends[..., 3] = last
        assert sanity_checks(actions[:, :1], ends, torch.tensor([v0_other]), dt, "euler")["no_teleport"] is passed
    assert sanity_checks(actions, straight + torch.tensor([0.5, 0, 0, 0]), v0, dt, "euler")["no_teleport"] is False
    two = torch.cat([straight, jump])
    assert sanity_checks(actions.repeat(2, 1, 1), two, v0.repeat(2), dt, "euler")["no_teleport"] is False
    backwards = straight * torch.tensor([-1.0, 1.0, 1.0, -1.0])
    assert sanity_checks(actions, backwards, -v0, dt, "trapezoid")["no_teleport"] is True
    stopped = straight.clone()
    stopped[0, 2] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert sanity_checks(actions, stopped, v0, dt, "euler") == good
    assert sanity_checks(actions, straight * math.nan, v0, dt, "euler")["finite"] is False
    back = straight.clone()
    back[0, 2, 3] = -0.1
    assert sanity_checks(actions, back, v0, dt, "euler")["speed_non_negative"] is False
    assert sanity_checks(actions * math.nan, straight, v0, dt, "euler")["finite"] is False
