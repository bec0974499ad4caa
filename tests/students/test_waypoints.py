"""Waypoints: what each output stands for, that fit() standardises it, that actions are read off what was predicted."""

import pytest
import torch
from taught import built, left, stirred
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.recovery import label_actions
from alpamayo_toy.metrics.displacement import distance
from alpamayo_toy.students.config import LossConfig, StudentConfig
from alpamayo_toy.students.heads.waypoints import Waypoints
from alpamayo_toy.training.config import TrainConfig

OUTPUTS = ("waypoints", "residuals", "differences")


def constant_velocity(v0: Tensor) -> Tensor:
    points = torch.zeros(len(v0), 1, 64, 2)
    points[..., 0] = 0.1 * torch.arange(1, 65) * v0[:, None, None]
    return points


@pytest.mark.parametrize("output", OUTPUTS)
def test_what_its_numbers_stand_for(output: str) -> None:
    """Each label's own numbers, standardised, give its waypoints back, and have mean square 1 at every step."""
    labels = left(32)
    made = Waypoints(output, 64, 0.1)
    made.fit(labels)
    numbers, start = labels.teacher[..., :2].float(), constant_velocity(labels.v0.float())
    if output != "waypoints":
        numbers = numbers - start
    if output == "differences":
        numbers = numbers - torch.nn.functional.pad(numbers, (0, 0, 1, 0))[..., :-1, :]
    raw = (numbers - made.mean) / made.std
    trajectories = made(raw, labels.v0.float())
    assert float(distance(trajectories, labels.teacher).max()) < 1e-3
    wide = made.std > 2e-3
    assert bool(wide[8:].all())
    torch.testing.assert_close(raw.var((0, 1), correction=0)[wide], torch.ones(int(wide.sum())), rtol=1e-3, atol=0)


def test_speeds_are_those_of_its_own_steps() -> None:
    """A metre in a step of 0.25 s is 4 m/s; waypoints on the way of a car at 4 m/s are residuals of 0."""
    raw = torch.zeros(1, 1, 8, 2)
    made = Waypoints("residuals", 8, 0.25)(raw, torch.tensor([4.0]))
    assert made[0, 0, :, 0].tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert made[0, 0, :, 3].tolist() == [4.0] * 8


@pytest.mark.parametrize("output", OUTPUTS)
def test_it_begins_with_the_mean_or_at_constant_velocity(output: str) -> None:
    labels = left(32)
    points = built(StudentConfig(output=output), labels)(labels.scene()).trajectories[..., :2]
    mean = labels.teacher[..., :2].float().mean((0, 1)).expand_as(points)
    expected = mean if output == "waypoints" else constant_velocity(labels.v0.float())
    torch.testing.assert_close(points, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("output", OUTPUTS)
def test_actions_are_read_off_and_held_to_the_bounds_where_a_car_obeys_them(output: str) -> None:
    labels = left(8)
    student = stirred(built(StudentConfig(output=output, modes=3), labels))
    scene = labels.scene()
    found = student(scene)
    start = scene.v0.unsqueeze(-1).expand(8, 3)
    torch.testing.assert_close(found.actions, label_actions(found.trajectories, start, 0.1, "euler"))
    assert not bool(student.action_space.within_bounds(found.actions).all())
    assert bool(student.action_space.within_bounds(student.act(scene)).all())
    found.trajectories[..., :2].sum().backward()
    assert all(bool(p.grad is None or p.grad.isfinite().all()) for p in student.parameters())
    assert not found.actions.requires_grad


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UserError, match=r"student.output must be one of actions, waypoints, residuals, differences"):
        StudentConfig(output="xy")
    with pytest.raises(UserError, match=r"student.spread must be false where student.output is no actions"):
        StudentConfig(output="waypoints", spread=True)
    with pytest.raises(UserError, match=r"loss.action must be 0 where student.output=residuals"):
        TrainConfig(student=StudentConfig(output="residuals"))
    TrainConfig(student=StudentConfig(output="residuals"), loss=LossConfig(action=0))
