"""A plan in a car's terms: the heading turns at its yaw rate, and a bicycle with its wheel angle drives it."""

import math

import pytest
import torch

from alpamayo_toy import UnicycleRollout
from alpamayo_toy.kinematics.plan import plan_of

WHEELBASE = 2.9


def test_the_heading_turns_at_the_yaw_rate() -> None:
    actions = torch.tensor([1.5, 0.08], dtype=torch.float64).expand(3, 64, 2)
    v0 = torch.tensor([0.0, 4.0, 9.0], dtype=torch.float64)
    plan = plan_of(actions, UnicycleRollout(0.1, "trapezoid")(actions, v0), WHEELBASE)
    turned = (plan.yaw_rate[:, 1:] + plan.yaw_rate[:, :-1]) / 2 * 0.1  # v, and so the yaw rate, is linear in time
    torch.testing.assert_close(plan.yaw.diff(dim=-1), turned)
    torch.testing.assert_close(plan.v, v0[:, None] + 1.5 * plan.time)
    assert plan.time[1].tolist() == pytest.approx([0.1 * (i + 1) for i in range(64)])
    back = plan_of(actions[:1, :1], torch.tensor([[[0.0, 0.0, 0.0, -2.0]]]).double(), WHEELBASE)
    assert back.yaw_rate.item() == pytest.approx(-0.16)  # wheels to the left, and backwards: the nose goes right


@pytest.mark.parametrize("integrator", ["euler", "trapezoid"])
def test_a_bicycle_with_this_wheel_angle_drives_it(integrator: str) -> None:
    draw = torch.Generator().manual_seed(0)
    actions = torch.randn(2, 5, 64, 2, generator=draw) * torch.tensor([1.0, 0.05])
    trajectory = UnicycleRollout(0.1, integrator)(actions, torch.full((2, 5), 12.0))
    plan = plan_of(actions, trajectory, WHEELBASE)
    torch.testing.assert_close(plan.v * plan.wheel_angle.tan() / WHEELBASE, plan.yaw_rate)
    torch.testing.assert_close(torch.stack([plan.x, plan.y, plan.yaw, plan.v], -1), trajectory, rtol=0, atol=0)
    assert plan.time.shape == plan.wheel_angle.shape == (2, 5, 64)
    assert torch.equal(plan.a, actions[..., 0])


def test_a_circle_of_its_wheelbase_takes_45_degrees() -> None:
    actions = torch.tensor([[0.0, 1 / WHEELBASE]])
    plan = plan_of(actions, torch.zeros(1, 4), WHEELBASE, dt=0.2)
    assert plan.wheel_angle.item() == pytest.approx(math.pi / 4)
    assert plan.time.tolist() == pytest.approx([0.2])


def test_what_does_not_go_together_is_named() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 2\) and \(4, 4\)"):
        plan_of(torch.zeros(3, 2), torch.zeros(4, 4), WHEELBASE)
    with pytest.raises(ValueError, match=r"trajectory \(\.\.\., T, 4\) \(got \(3, 2\) and \(3, 3\)\)"):
        plan_of(torch.zeros(3, 2), torch.zeros(3, 3), WHEELBASE)
    with pytest.raises(ValueError, match="wheelbase must be > 0 m"):
        plan_of(torch.zeros(3, 2), torch.zeros(3, 4), 0.0)
