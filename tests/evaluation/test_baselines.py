"""Baselines: closed forms, laws, the last action, recorded drives."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from histories import FLOATS, MIRROR, NAMES, driven_past, made, pair, wandering
from hypothesis import given, settings
from hypothesis import strategies as st
from places import SHARED
from torch import Tensor

from alpamayo_toy import UnicycleRollout, load_labels, trajectory_to_actions
from alpamayo_toy.evaluation.baselines import (
    Residuals,
    baselines,
    constant_acceleration,
    constant_turn_rate,
    constant_velocity,
    decaying_hold,
    hold,
    last_actions,
    stationary,
)
from alpamayo_toy.metrics.displacement import (
    ade,
    min_ade,
)
from alpamayo_toy.teachers.augment import with_mirror_images

DRIVES = SHARED / "drives" / "real_drives_kitti_00-07.npz"
speeds = st.floats(0, 40)
accelerations = st.floats(-6, 4)
curvatures = st.floats(-0.2, 0.2)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def test_straight_lines_by_hand() -> None:
    v0 = torch.tensor([2.0, 0.0])
    assert stationary(v0, 3, 0.5).tolist() == [[[0.0] * 4] * 3] * 2
    found = constant_velocity(v0, 3, 0.5)
    assert found[0].tolist() == [[1.0, 0.0, 0.0, 2.0], [2.0, 0.0, 0.0, 2.0], [3.0, 0.0, 0.0, 2.0]]
    assert found[1].abs().max() == 0


def test_constant_velocity_drives_straight_on() -> None:
    waypoints = constant_velocity(torch.tensor([2.0, 0.0]), 3, 0.5)[..., :2]
    assert waypoints[0].tolist() == [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]
    assert waypoints[1].abs().max() == 0


def test_braking_by_hand() -> None:
    v0 = torch.tensor([4.0, 0.0, -0.1], dtype=torch.float64)
    found = constant_acceleration(v0, torch.full_like(v0, -2.0), 30, 0.1)
    assert found[0, [9, 19, 29], 0].tolist() == pytest.approx([3.0, 4.0, 4.0])
    assert found[0, [9, 19, 29], 3].tolist() == pytest.approx([2.0, 0.0, 0.0])
    assert found[1:].abs().max() == 0


def test_a_quarter_circle_by_hand() -> None:
    found = constant_turn_rate(number(4.0), number(math.pi / 2), 10, 0.1)
    assert found[-1].tolist() == pytest.approx([8 / math.pi, 8 / math.pi, math.pi / 2, 4.0])


@pytest.mark.slow
@given(speeds, st.floats(-0.5, 0.5))
def test_a_turn_rate_keeps_the_car_on_its_circle(v0: float, w: float) -> None:
    found = constant_turn_rate(number(v0), number(w), 64, 0.1)
    assert torch.allclose(found[:, 2], w * torch.arange(1, 65, dtype=torch.float64) * 0.1)
    # w times the distance from the centre (0, v0 / w) is v0
    assert torch.allclose((w * found[:, 0]).square() + (v0 - w * found[:, 1]).square(), number(v0).square())


@given(speeds, st.floats(0, 4), st.sampled_from([0.05, 0.1, 0.5]))
def test_hold_straight_on_is_constant_acceleration(v0: float, a: float, dt: float) -> None:
    found = hold(number(v0), pair(a, 0), 40, dt)
    assert torch.allclose(found, constant_acceleration(number(v0), number(a), 40, dt), atol=1e-9)


@given(speeds, st.floats(-6, -0.01))
def test_hold_brakes_as_constant_acceleration_does_until_the_step_in_which_it_stops(v0: float, a: float) -> None:
    found = hold(number(v0), pair(a, 0), 64, 0.1)
    exact = constant_acceleration(number(v0), number(a), 64, 0.1)
    rolling = exact[:, 3] > 0
    assert torch.allclose(found[rolling], exact[rolling], atol=1e-9)
    assert found[~rolling, 3].abs().sum() < 1e-9
    beyond = found[~rolling, 0] - exact[~rolling, 0]
    assert bool(((beyond > -1e-9) & (beyond <= abs(a) * 0.1**2 / 8 + 1e-9)).all())


def test_a_car_that_brakes_comes_to_rest_and_stays() -> None:
    found = hold(number(1.0), pair(-4.0, 0.1), 6, 0.1)
    assert found[:, 3].tolist() == pytest.approx([0.6, 0.2, 0.0, 0.0, 0.0, 0.0])
    assert torch.allclose(found[3:], found[2:3].expand(3, 4))
    assert found[-1, 2].item() == pytest.approx(0.1 * (0.08 + 0.04 + 0.01))  # curvature times the way
    assert hold(number(-0.1), pair(0.0, 0.1), 6, 0.1).abs().max() == 0


@given(speeds, st.sampled_from([hold, decaying_hold]))
def test_no_action_is_constant_velocity(v0: float, drive: Callable[..., Tensor]) -> None:
    found = drive(number(v0), pair(0, 0), 64, 0.1)
    assert torch.allclose(found, constant_velocity(number(v0), 64, 0.1))


def test_hold_on_a_circle_is_the_trapezoid_of_constant_turn_rate() -> None:
    exact = constant_turn_rate(number(8.0), number(0.4), 640, 0.01)
    found = hold(number(8.0), pair(0.0, 0.05), 640, 0.01)
    assert torch.allclose(found[:, 2:], exact[:, 2:])
    assert (found - exact).abs().max() < 8 * 6.4 * (0.4 * 0.01) ** 2 / 12 * 1.01  # the rule's error bound


@given(speeds, st.floats(0, 4), curvatures, st.sampled_from([0.5, 1.0, 2.0]))
def test_decaying_hold_reaches_v0_and_the_acceleration_of_its_seconds(
    v0: float, a: float, kappa: float, seconds: float
) -> None:
    found = decaying_hold(number(v0), pair(a, kappa), 400, 0.1, seconds)
    assert found[-1, 3].item() == pytest.approx(v0 + a * seconds, abs=1e-6)
    t = torch.arange(1, 401, dtype=torch.float64) * 0.1
    assert torch.allclose(found[:, 3], v0 + a * seconds * (1 - torch.exp(-t / seconds)))
    if a == 0:
        assert found[-1, 2].item() == pytest.approx(kappa * v0 * seconds, abs=1e-6)


def test_decaying_hold_by_default_decays_in_one_second_and_hold_never() -> None:
    action = pair(1.0, 0.02)
    found = decaying_hold(number(5.0), action, 64, 0.1)
    assert torch.equal(found, decaying_hold(number(5.0), action, 64, 0.1, seconds=1.0))
    assert found[9, 3].item() == pytest.approx(5 + 1 - math.exp(-1))
    assert torch.allclose(decaying_hold(number(5.0), action, 64, 0.1, seconds=1e7), hold(number(5.0), action, 64, 0.1))


@given(speeds, accelerations, curvatures)
def test_left_and_right_are_alike(v0: float, a: float, kappa: float) -> None:
    for drive in (hold, decaying_hold):
        found = drive(number(v0), pair(a, kappa), 32, 0.1)
        assert torch.allclose(drive(number(v0), pair(a, -kappa), 32, 0.1), found * MIRROR)
        assert bool((found[:, 3] > -1e-9).all())
    turning = constant_turn_rate(number(v0), number(kappa), 32, 0.1)
    assert torch.allclose(constant_turn_rate(number(v0), number(-kappa), 32, 0.1), turning * MIRROR)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("batch", [(), (3,), (2, 0), (2, 3)])
def test_leading_dimensions_and_dtypes(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    v0 = 10 * torch.rand(batch, generator=generator).to(dtype)
    actions = (torch.randn(*batch, 2, generator=generator) * torch.tensor([2.0, 0.05])).to(dtype)
    a, kappa = actions.unbind(-1)
    arguments: list[tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = [
        (stationary, (v0,)),
        (constant_velocity, (v0,)),
        (constant_acceleration, (v0, a)),
        (constant_turn_rate, (v0, kappa)),
        (hold, (v0, actions)),
        (decaying_hold, (v0, actions)),
    ]
    for drive, given_ in arguments:
        found = drive(*given_, 7, 0.1)
        assert found.shape == (*batch, 7, 4)
        assert found.dtype == dtype
        rows = [tuple(t.reshape(v0.numel(), *t.shape[v0.dim() :])[i] for t in given_) for i in range(v0.numel())]
        singly = [drive(*row, 7, 0.1) for row in rows]
        assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(found.reshape(-1, 7, 4), singly, strict=True))


@settings(max_examples=50)
@given(st.floats(5, 30), st.floats(-2, 2), st.floats(-0.1, 0.1))
def test_the_last_action_of_a_car_that_held_it(v0: float, a: float, kappa: float) -> None:
    past = driven_past(number(v0)[None], number(a)[None], number(kappa)[None])
    found = last_actions(past, 0.1)[0]
    assert found[0].item() == pytest.approx(a, abs=3e-4 * v0 + 2e-3 * abs(a))  # the ridge pulls speeds towards 0
    assert found[1].item() == pytest.approx(kappa, abs=1e-4 + 2e-2 * abs(kappa))
    mirrored = last_actions(past * MIRROR, 0.1)[0]
    assert torch.allclose(mirrored, found * pair(1, -1))


@pytest.mark.slow
@given(st.floats(-3, 3), st.floats(-50, 50), st.floats(-50, 50))
def test_the_frame_of_the_history_does_not_matter(turn: float, x: float, y: float) -> None:
    past = driven_past(number(9.0)[None], number(1.0)[None], number(0.03)[None])[0]
    cos, sin = math.cos(turn), math.sin(turn)
    px, py, yaw, v = past.unbind(-1)
    moved = torch.stack([cos * px - sin * py + x, sin * px + cos * py + y, yaw + turn, v], -1)
    assert torch.allclose(last_actions(moved, 0.1), last_actions(past, 0.1), atol=1e-6)


def test_it_looks_at_the_end_of_the_history() -> None:
    actions = torch.zeros(1, 15, 2, dtype=torch.float64)
    actions[:, 8:] = pair(-2.0, 0.04)
    path = UnicycleRollout(0.1, "trapezoid")(actions, number(12.0)[None])
    start = torch.tensor([[[0.0, 0.0, 0.0, 12.0]]], dtype=torch.float64)
    found = last_actions(torch.cat([start, path], 1), 0.1)[0]
    assert found[0].item() == pytest.approx(-2, abs=0.1)
    assert found[1].item() == pytest.approx(0.04, abs=0.004)
    inverse = trajectory_to_actions(path[..., :2], path[..., 2], number(12.0)[None], 0.1)
    assert torch.equal(found, inverse[0, -1])


def test_a_parked_car_does_not_steer() -> None:
    noise = torch.randn(50, 16, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    past = noise * torch.tensor([0.02, 0.02, 0.05, 0.1], dtype=torch.float64)
    past[..., 3] += 0.05
    assert bool((last_actions(past, 0.1)[:, 1] == 0).all())
    past[..., 3] += 5.0
    assert bool((last_actions(past, 0.1)[:, 1] != 0).all())


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_stays_with_its_clip(dtype: torch.dtype) -> None:
    past = wandering(6).history
    assert past is not None
    past = past.to(dtype).reshape(2, 3, 16, 4)
    clean = last_actions(past, 0.1)
    assert clean.shape == (2, 3, 2)
    assert clean.dtype == dtype
    past[0, 1] = torch.nan
    past[1, 2, 0, 0] = torch.nan
    found = last_actions(past, 0.1)
    lost = torch.tensor([[False, True, False], [False, False, True]])
    assert bool(found[lost].isnan().all())
    assert torch.equal(found[~lost], clean[~lost])


@pytest.mark.parametrize("shape", [(4,), (4, 4), (2, 16, 3)])
def test_histories_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"history must have shape \(\.\.\., H, 4\) with H >= 5"):
        last_actions(torch.zeros(shape), 0.1)


def test_a_car_that_holds_its_action_is_foretold() -> None:
    v0, a, kappa = (torch.tensor(v, dtype=torch.float64) for v in ([9.0] * 3, [1.0, 0.0, 2.0], [0.0, 0.03, 0.03]))
    actions = torch.stack([a, kappa], -1)[:, None, None].expand(3, 1, 64, 2)
    labels = made(driven_past(v0, a, kappa), UnicycleRollout(0.1, "trapezoid")(actions, v0[:, None]), v0)
    found = {name: t for name, t in baselines(labels, None).items() if isinstance(t, Tensor)}
    errors = {name: ade(trajectory, labels.teacher[:, 0]) for name, trajectory in found.items()}
    assert errors["hold_last_action"].max() < 0.1
    assert errors["constant_acceleration"][0] < 0.1
    assert errors["constant_turn_rate"][1] < 0.1
    assert errors["constant_velocity"].min() > 5
    assert found["constant_turn_rate"][2, 9, 2].item() == pytest.approx(0.03 * 9, rel=0.02)  # the rate at t0


@pytest.mark.skipif(not DRIVES.exists(), reason="the real drives are not on this machine")
def test_recorded_drives() -> None:
    """KITTI 00-05 to fit, 06 and 07 to score."""
    labels = load_labels(DRIVES)
    held = np.isin(labels.clip_id, ["kitti_odometry/06", "kitti_odometry/07"])
    train, test = (labels.select(torch.from_numpy(np.flatnonzero(side))) for side in (~held, held))
    assert (len(train), len(test)) == (1344, 214)
    training, truth = with_mirror_images(train), test.teacher[:, 0]
    found = {name: t for name, t in baselines(test, training).items() if isinstance(t, Tensor)}
    assert list(found) == NAMES
    errors = {name: float(ade(trajectory, truth).mean()) for name, trajectory in found.items()}
    expected = {
        "constant_velocity": 6.17,
        "constant_turn_rate": 6.05,
        "constant_acceleration": 6.25,
        "hold_last_action": 6.73,
        "decaying_hold": 4.80,
        "ridge": 3.87,
    }
    assert {name: errors[name] for name in expected} == pytest.approx(expected, abs=0.02)
    residuals = Residuals.fit(training)
    several = [float(min_ade(residuals.predict(test, seed=seed), truth).mean()) for seed in range(5)]
    assert 3.2 < min(several) < max(several) < 3.7
