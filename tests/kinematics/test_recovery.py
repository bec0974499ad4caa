"""From a trajectory alone back to speeds and actions: exact on exact rollouts, honest about everything else."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from places import LABELS_60, needs_60_clips
from trajectories import ROLLOUT, smooth_actions

from alpamayo_toy import ActionSpace, UnicycleRollout, recover_v0
from alpamayo_toy.kinematics.inverse import regularised_states
from alpamayo_toy.kinematics.recovery import alternation, driven_states, label_actions, recover_states, smoothed_heading
from alpamayo_toy.labels.loading import load_labels


def test_the_course_of_a_rough_track_is_held_below_a_centimetre_a_step() -> None:
    steps = torch.arange(1, 65, dtype=torch.float64)
    for step, course in ((0.009, 0.0), (0.011, math.pi / 4)):
        heading = smoothed_heading(torch.stack([step * steps, step * steps], -1) / math.sqrt(2))
        torch.testing.assert_close(heading, torch.full_like(steps, course))


def test_exact_rollouts_are_recovered() -> None:
    actions, v0 = smooth_actions(50)
    trajectory = ROLLOUT(actions, v0)
    found, yaw = recover_v0(trajectory[..., :2])
    assert (found - v0).abs().max() < 1e-3
    assert (yaw - trajectory[..., 2]).abs().max() < 1e-3
    states = recover_states(trajectory[..., :2], v0)
    assert (states - trajectory).abs().max() < 1e-9
    assert (label_actions(states, v0) - actions).abs().max() < 1e-7
    assert alternation(trajectory[..., :2], v0).max() < 1e-4


@pytest.mark.parametrize("integrator", ["euler", "trapezoid"])
def test_label_actions_invert_either_integrator(integrator: str) -> None:
    actions, v0 = smooth_actions(20)
    trajectory = UnicycleRollout(0.1, integrator)(actions, v0)
    driving = trajectory[..., 3].amin(-1) > 0
    assert bool(driving.any())
    assert (label_actions(trajectory, v0, 0.1, integrator) - actions)[driving].abs().max() < 1e-9


def test_states_of_any_positions_are_those_of_the_steps() -> None:
    """Round a circle, then parked: a chord turns by as much each step, and its length is the speed."""
    turn = torch.arange(1, 41, dtype=torch.float64) * 0.2  # more than once round
    points = 10 * torch.stack([turn.sin(), 1 - turn.cos()], -1)
    states = driven_states(torch.cat([points, points[-1:].expand(5, 2)]), 0.1)
    torch.testing.assert_close(states[:40, 2], turn - 0.1)
    torch.testing.assert_close(states[:40, 3], torch.full((40,), 20 * math.sin(0.1) / 0.1, dtype=torch.float64))
    assert states[40:, 3].tolist() == [0.0] * 5
    assert states[40:, 2].tolist() == [states[39, 2].item()] * 5


def test_a_step_that_turns_by_more_than_90_degrees_is_no_step_back() -> None:
    """Unlike an exact rollout's, whose speed may be below 0: 0, 100, 200, 300 degrees, each a metre further."""
    course = torch.arange(4, dtype=torch.float64) * math.radians(100)
    states = driven_states(torch.stack([course.cos(), course.sin()], -1).cumsum(0), 0.1)
    torch.testing.assert_close(states[:, 2], course)
    torch.testing.assert_close(states[:, 3], torch.full((4,), 10.0, dtype=torch.float64))


def test_heading_is_held_at_standstill_and_reversing_is_no_turn() -> None:
    actions = torch.zeros(64, 2, dtype=torch.float64)
    actions[:20, 0], actions[40:44, 0] = -1.0, -0.5  # 2 m/s to rest, then slowly backwards
    v0 = torch.tensor(2.0, dtype=torch.float64)
    trajectory = ROLLOUT(actions, v0)
    states = recover_states(trajectory[..., :2], v0)
    assert trajectory[-1, 3] < -0.1
    assert states[..., 2].abs().max() < 1e-9
    assert (states[..., 3] - trajectory[..., 3]).abs().max() < 1e-9


@settings(max_examples=25, deadline=None)
@given(batch=st.lists(st.integers(1, 3), max_size=3), horizon=st.integers(4, 64))
def test_any_batch_dimensions(batch: list[int], horizon: int) -> None:
    waypoints = torch.cumsum(torch.ones(*batch, horizon, 2, dtype=torch.float64), -2)
    v0, yaw = recover_v0(waypoints)
    assert v0.shape == tuple(batch)
    assert yaw.shape == (*batch, horizon)


def test_recovery_is_differentiable() -> None:
    actions, v0 = smooth_actions(1)
    waypoints = ROLLOUT(actions[:, :8], v0)[..., :2].requires_grad_()
    assert torch.autograd.gradcheck(lambda w: recover_v0(w), (waypoints,))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_upcast_with_a_warning(dtype: torch.dtype) -> None:
    actions, v0 = smooth_actions(2)
    rounded = ROLLOUT(actions, v0)[..., :2].to(dtype)
    with pytest.warns(UserWarning, match=r"waypoints in torch\.\w+ lies on a grid of ") as caught:
        found = recover_v0(rounded)
    assert len(caught) == 1
    assert all(torch.equal(one, other) for one, other in zip(found, recover_v0(rounded.float()), strict=True))


def test_too_few_waypoints_are_refused() -> None:
    with pytest.raises(ValueError, match="4 waypoints or more"):
        recover_v0(torch.zeros(3, 2))


@pytest.mark.parametrize(("grid", "exact"), [(1e-4, True), (1e-3, False), (1e-2, False)])
def test_rounded_positions_are_told_from_exact_ones(grid: float, exact: bool) -> None:
    actions, v0 = smooth_actions(30)
    waypoints = (ROLLOUT(actions, v0)[..., :2] / grid).round() * grid
    found, _ = recover_v0(waypoints)
    assert bool(alternation(waypoints, found).median() < 1e-3) == exact
    if not exact:
        smooth_v0, smooth = regularised_states(waypoints, smoothed_heading(waypoints))
        assert (smooth_v0 - v0).abs().mean() < 0.05
        assert (smooth[..., 3] - ROLLOUT(actions, v0)[..., 3]).abs().mean() < 0.02


def test_a_parked_track_keeps_its_heading_when_smoothed() -> None:
    generator = torch.Generator().manual_seed(0)
    waypoints = 0.01 * torch.randn(20, 64, 2, dtype=torch.float64, generator=generator)
    assert smoothed_heading(waypoints * 0).abs().max() == 0
    assert bool(smoothed_heading(waypoints).isfinite().all())


def test_a_wave_of_ten_radians_a_second_is_halved() -> None:
    """Least squares with w = 1e-6 s^6 leave 1 / (1 + w o^6) of a wave, o = 2 sin(pi f dt) / dt: here 10 1/s."""
    moment = torch.arange(1, 65, dtype=torch.float64) * 0.1
    turns = 20 * math.asin(0.5)  # rad/s
    track = torch.stack([10 * moment, 0.01 * (turns * moment).sin()], -1)
    slope = 0.01 * math.sin(turns * 0.1) / 0.1 / 10 * (turns * moment).cos()  # of the differences of neighbours
    torch.testing.assert_close(smoothed_heading(track)[20:44], slope[20:44] / 2, rtol=0, atol=1e-4)


def test_a_parabola_is_no_rough_track_and_has_its_own_course_to_the_end() -> None:
    moment = torch.arange(1, 33, dtype=torch.float64) * 0.1
    track = torch.stack([8 * moment, 0.9 * moment**2], -1)
    torch.testing.assert_close(smoothed_heading(track), torch.atan2(1.8 * moment, torch.full_like(moment, 8.0)))


def test_a_recorded_track_that_rolls_back_does_not_turn_round() -> None:
    """3 m ahead in 3 s, then back the same way: straight on, and along a circle of 10 m."""
    moment = torch.arange(1, 65, dtype=torch.float64) * 0.1
    way = 3 - (moment - 3).abs()
    assert smoothed_heading(torch.stack([way, 0 * way], -1)).abs().max() < 1e-9
    arc = 10 * torch.stack([(way / 10).sin(), 1 - (way / 10).cos()], -1)
    torch.testing.assert_close(smoothed_heading(arc), way / 10, rtol=0, atol=0.08)


@pytest.mark.parametrize("dt", [0.05, 0.1])
def test_a_recorded_track_takes_the_speeds_of_the_inverse(dt: float) -> None:
    """v and yaw of regularised_states are those between the actions of trajectory_to_actions, whatever holds them."""
    actions, v0 = smooth_actions(30)
    states = UnicycleRollout(dt, "trapezoid")(actions, v0)
    held, track = regularised_states(states[..., :2], states[..., 2], v0, dt)
    assert torch.equal(held, v0)
    assert (track - states).abs().amax((0, 1)).tolist() == pytest.approx([0, 0, 0, 0], abs=2e-4 / dt)
    found, free = regularised_states(states[..., :2], states[..., 2], dt=dt)
    assert (found - v0).abs().max() < 0.05
    assert (free[..., 3] - states[..., 3]).abs().max() < 0.05
    wrapped = torch.remainder(states[..., 2] + torch.pi, 2 * torch.pi) - torch.pi
    assert torch.allclose(regularised_states(states[..., :2], wrapped, v0, dt)[1], track)


@needs_60_clips
def test_real_teacher_trajectories_are_recovered_to_the_micrometre() -> None:
    labels = load_labels(LABELS_60)
    waypoints = torch.tensor([clip["pred_xyz"] for clip in json.loads(LABELS_60.read_text())], dtype=torch.float64)
    v0 = labels.v0.unsqueeze(1).expand(60, 6)
    actions = label_actions(labels.teacher, v0)
    assert set(labels.v0_source) == {"recovered"}
    back = ROLLOUT(actions, v0)[..., :2]
    assert (back - waypoints[..., :2]).norm(dim=-1).max() < 1e-6
    space = ActionSpace().double()
    clamped = space.clamp(actions)
    assert bool(space.within_bounds(clamped).all())
    assert (ROLLOUT(clamped, v0)[..., :2] - waypoints[..., :2]).norm(dim=-1).max() < 5e-3
    assert 0.015 <= float(ActionSpace.fit(labels).std[1]) <= 0.02


@pytest.mark.parametrize("integrator", ["euler", "trapezoid"])
def test_a_car_that_stands_while_its_heading_drifts_has_no_curvature(integrator: str) -> None:
    trajectory = torch.zeros(1, 6, 4)
    trajectory[..., 2] = torch.linspace(0.01, 0.06, 6)
    assert torch.equal(label_actions(trajectory, torch.zeros(1), 0.1, integrator), torch.zeros(1, 6, 2))


@pytest.mark.parametrize(("step", "moves"), [(0.9e-3, False), (1.1e-3, True)])
def test_a_step_of_a_millimetre_has_a_direction(step: float, moves: bool) -> None:
    """After a metre ahead, steps to the left; of an exact rollout v is along the heading that it is held at."""
    points = torch.tensor([[1.0, 0.0], [1.0, step], [1.0, 2 * step]], dtype=torch.float64)
    course = torch.tensor([0.0, math.pi / 2, math.pi / 2], dtype=torch.float64)
    torch.testing.assert_close(driven_states(points)[:, 2], course if moves else 0 * course)
    left = torch.tensor([[0.0, step]], dtype=torch.float64)  # in one step from rest
    turned = recover_states(left, torch.tensor(0.0).double())[0, 2]
    assert float(turned.abs()) == pytest.approx(math.pi / 2 if moves else 0.0)


def test_a_wrong_speed_alternates_by_half_of_its_way() -> None:
    line = torch.stack([0.5 * torch.arange(1.0, 21), torch.zeros(20)], -1).double()
    found = alternation(line.expand(2, 20, 2), torch.tensor([5.0, 5.4], dtype=torch.float64))
    assert found.tolist() == pytest.approx([0.0, 0.4 * 0.1 / 2], abs=1e-12)


def test_a_heading_that_is_known_is_taken_as_it_is() -> None:
    """A car that slides: 1 m/s ahead and 1 m/s to the left with its nose straight on."""
    points = 0.1 * torch.arange(1.0, 9).double()[:, None].expand(8, 2)
    states = recover_states(points, torch.tensor(1.0).double(), yaw=torch.zeros(8, dtype=torch.float64))
    assert states[:, 2].abs().max() == 0
    torch.testing.assert_close(states[:, 3], torch.ones(8, dtype=torch.float64))
