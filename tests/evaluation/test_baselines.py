"""Baselines: closed forms, laws, ridge regression against another formula, clips without history, recorded drives."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from places import SHARED
from torch import Tensor

from alpamayo_toy import Labels, UnicycleRollout, load_labels, trajectory_to_actions
from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.baselines import (
    PENALTY,
    Residuals,
    Ridge,
    baselines,
    constant_acceleration,
    constant_turn_rate,
    constant_velocity,
    decaying_hold,
    hold,
    last_actions,
    stationary,
)
from alpamayo_toy.metrics.displacement import ade, min_ade
from alpamayo_toy.teachers.augment import with_mirror_images

DRIVES = SHARED / "drives" / "real_drives_kitti_00-07.npz"
NAMES = [
    "stationary",
    "constant_velocity",
    "constant_turn_rate",
    "constant_acceleration",
    "hold_last_action",
    "decaying_hold",
    "ridge",
]
NEED_HISTORY = NAMES[2:]
MIRROR = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
FLOATS = [torch.float32, torch.float64]

speeds = st.floats(0, 40)
accelerations = st.floats(-6, 4)
curvatures = st.floats(-0.2, 0.2)


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


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


def inputs(labels: Labels) -> Tensor:
    """The 2H - 1 numbers that ridge regression sees, written out."""
    assert labels.history is not None
    _, _, yaw, v = labels.history.unbind(-1)
    return torch.stack(
        [v[:, i] for i in range(v.shape[1])] + [yaw[:, i + 1] - yaw[:, i] for i in range(v.shape[1] - 1)], 1
    )


# closed forms


def test_straight_lines_by_hand() -> None:
    v0 = torch.tensor([2.0, 0.0])
    assert stationary(v0, 3, 0.5).tolist() == [[[0.0] * 4] * 3] * 2
    found = constant_velocity(v0, 3, 0.5)
    assert found[0].tolist() == [[1.0, 0.0, 0.0, 2.0], [2.0, 0.0, 0.0, 2.0], [3.0, 0.0, 0.0, 2.0]]
    assert found[1].abs().max() == 0


def test_braking_by_hand() -> None:
    v0 = torch.tensor([4.0, 0.0, -0.1], dtype=torch.float64)
    found = constant_acceleration(v0, torch.full_like(v0, -2.0), 30, 0.1)
    assert found[0, [9, 19, 29], 0].tolist() == pytest.approx([3.0, 4.0, 4.0])
    assert found[0, [9, 19, 29], 3].tolist() == pytest.approx([2.0, 0.0, 0.0])
    assert found[1:].abs().max() == 0


def test_a_quarter_circle_by_hand() -> None:
    found = constant_turn_rate(number(4.0), number(math.pi / 2), 10, 0.1)
    assert found[-1].tolist() == pytest.approx([8 / math.pi, 8 / math.pi, math.pi / 2, 4.0])


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


# laws


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


# the last action


@settings(max_examples=50)
@given(st.floats(5, 30), st.floats(-2, 2), st.floats(-0.1, 0.1))
def test_the_last_action_of_a_car_that_held_it(v0: float, a: float, kappa: float) -> None:
    past = driven_past(number(v0)[None], number(a)[None], number(kappa)[None])
    found = last_actions(past, 0.1)[0]
    assert found[0].item() == pytest.approx(a, abs=3e-4 * v0 + 2e-3 * abs(a))  # the ridge pulls speeds towards 0
    assert found[1].item() == pytest.approx(kappa, abs=1e-4 + 2e-2 * abs(kappa))
    mirrored = last_actions(past * MIRROR, 0.1)[0]
    assert torch.allclose(mirrored, found * pair(1, -1))


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


# ridge regression


def test_ridge_recovers_a_linear_world() -> None:
    generator = torch.Generator().manual_seed(0)
    past = torch.randn(4000, 6, 4, generator=generator, dtype=torch.float64)
    v0 = past[:, -1, 3]
    empty = made(past, torch.zeros(4000, 1, 5, 4, dtype=torch.float64), v0)
    world = torch.randn(11, 20, generator=generator, dtype=torch.float64)
    truth = (inputs(empty) @ world + torch.arange(20)).view(-1, 1, 5, 4)
    labels = empty.with_teacher(truth)
    train, rest = labels.select(torch.arange(3000)), labels.select(torch.arange(3000, 4000))
    error = Ridge.fit(train).predict(rest) - rest.teacher[:, 0]
    assert error.abs().max() < 1e-3 * truth.std()


def test_ridge_is_least_squares_with_rows_for_the_penalty() -> None:
    """A second formula: an intercept column, and a row of sqrt(penalty) for every input, all samples as rows."""
    labels, rest = wandering(60, samples=3), wandering(9, seed=1)
    x = np.repeat(inputs(labels).numpy(), 3, 0)
    y = labels.teacher.reshape(180, -1).numpy()
    mean, std = x.mean(0), x.std(0)
    rows = np.concatenate([(x - mean) / std, np.ones((180, 1))], 1)
    penalty = np.concatenate([np.eye(31) * math.sqrt(3 * PENALTY), np.zeros((31, 1))], 1)  # every clip is there 3 times
    solved = np.linalg.lstsq(np.concatenate([rows, penalty]), np.concatenate([y, np.zeros((31, y.shape[1]))]))[0]
    expected = np.concatenate([(inputs(rest).numpy() - mean) / std, np.ones((9, 1))], 1) @ solved
    found = Ridge.fit(labels).predict(rest)
    assert found.shape == (9, 8, 4)
    assert np.allclose(found.flatten(1).numpy(), expected, atol=1e-6)


def test_ridge_fitted_to_mirror_images_treats_left_and_right_alike() -> None:
    ridge, rest = Ridge.fit(with_mirror_images(wandering(40))), wandering(9, seed=1)
    assert rest.history is not None
    mirrored = ridge.predict(replace(rest, history=rest.history * MIRROR))
    assert torch.allclose(mirrored, ridge.predict(rest) * MIRROR, atol=1e-9)


def test_ridge_stands_constant_inputs_and_a_single_clip() -> None:
    labels = wandering(1)
    assert torch.allclose(Ridge.fit(labels).predict(labels)[0], labels.teacher[0].mean(0))
    v0 = torch.full((5,), 3.0, dtype=torch.float64)
    parked = made(torch.zeros(5, 16, 4, dtype=torch.float64), torch.ones(5, 1, 8, 4, dtype=torch.float64), v0)
    assert torch.allclose(Ridge.fit(parked).predict(parked), torch.ones(5, 8, 4, dtype=torch.float64))


# clips without history


def without(labels: Labels, rows: list[int]) -> Labels:
    assert labels.history is not None
    past = labels.history.clone()
    past[rows] = torch.nan
    return replace(labels, history=past)


def test_clips_without_history_are_left_out_of_the_fit() -> None:
    labels = wandering(40)
    kept = labels.select(torch.tensor([i for i in range(40) if i not in (0, 7)]))
    mixed = without(labels, [0, 7])
    assert torch.equal(Ridge.fit(mixed).weight, Ridge.fit(kept).weight)
    assert torch.equal(Residuals.fit(mixed).residuals, Residuals.fit(kept).residuals)


def test_clips_without_history_are_nan_and_no_others() -> None:
    training, labels = wandering(40), wandering(10, seed=1)
    clean, found = baselines(labels, training), baselines(without(labels, [2, 9]), training)
    assert list(found) == NAMES
    for name, trajectory in found.items():
        whole = clean[name]
        assert isinstance(trajectory, Tensor)
        assert isinstance(whole, Tensor)
        lost = trajectory.isnan().flatten(1)
        assert bool(lost[[2, 9]].all()) == bool(lost.any()) == (name in NEED_HISTORY)
        rest = [i for i in range(10) if i not in (2, 9)]
        assert torch.equal(trajectory[rest], whole[rest])
    residuals = Residuals.fit(training)
    several = residuals.predict(without(labels, [2, 9]))
    assert bool(several[[2, 9]].isnan().all())
    assert torch.equal(several[3], residuals.predict(labels)[3])


@pytest.mark.parametrize("dtype", FLOATS)
def test_baselines_come_in_the_dtype_of_v0(dtype: torch.dtype) -> None:
    labels = wandering(10, seed=1)
    labels = replace(labels, v0=labels.v0.to(dtype))
    for trajectory in (*baselines(labels, wandering(40)).values(), Residuals.fit(wandering(40)).predict(labels)[:, 0]):
        assert isinstance(trajectory, Tensor)
        assert trajectory.dtype == dtype
        assert trajectory.shape == (10, 8, 4)


def test_baselines_see_the_past_only() -> None:
    training, labels = wandering(40), wandering(10, seed=1)
    other = labels.with_teacher(labels.teacher + 1)
    for name, trajectory in baselines(labels, training).items():
        same = baselines(other, training)[name]
        assert isinstance(trajectory, Tensor)
        assert isinstance(same, Tensor)
        assert torch.equal(trajectory, same)


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


NO_HISTORY = "needs a history, which these labels do not have"


@pytest.mark.parametrize("lost", [None, list(range(10))])
def test_labels_without_history_get_a_reason(lost: list[int] | None) -> None:
    labels = wandering(10)
    labels = replace(labels, history=None) if lost is None else without(labels, lost)
    found = baselines(labels, wandering(40))
    assert list(found) == NAMES
    assert {name: found[name] for name in NEED_HISTORY} == dict.fromkeys(NEED_HISTORY, NO_HISTORY)
    assert all(isinstance(found[name], Tensor) for name in NAMES[:2])
    with pytest.raises(UserError, match=NO_HISTORY):
        Residuals.fit(wandering(40)).predict(labels)


def test_short_histories_get_a_reason() -> None:
    found = baselines(wandering(10, poses=4), wandering(40))
    assert found["decaying_hold"] == "needs a history of 5 poses or more; these labels have 4"


@pytest.mark.parametrize(
    ("training", "reason"),
    [
        (None, "needs training labels, and none are given"),
        (replace(wandering(4), history=None), "needs a history, which the training labels do not have"),
        (
            wandering(4, poses=11),
            "was fitted to 11 poses of history and 8 steps of 0.1 s; these labels have 16, 8 and 0.1",
        ),
        (
            wandering(4, horizon=9),
            "was fitted to 16 poses of history and 9 steps of 0.1 s; these labels have 16, 8 and 0.1",
        ),
        (
            replace(wandering(4), dt=0.2),
            "was fitted to 16 poses of history and 8 steps of 0.2 s; these labels have 16, 8 and 0.1",
        ),
    ],
)
def test_training_labels_that_do_not_fit_take_away_ridge_alone(training: Labels | None, reason: str) -> None:
    found = baselines(wandering(10), training)
    assert found["ridge"] == reason
    assert all(isinstance(found[name], Tensor) for name in NAMES[:-1])
    if training is not None:
        with pytest.raises(UserError) as caught:
            Residuals.fit(training).predict(wandering(10))
        assert str(caught.value) == reason


# residuals


def test_residuals_are_drawn_from_the_training_clips_and_go_by_the_seed() -> None:
    training, labels = wandering(20), wandering(10, seed=1)
    residuals = Residuals.fit(training)
    decaying, hers = (baselines(which, None)["decaying_hold"] for which in (labels, training))
    assert isinstance(decaying, Tensor)
    assert isinstance(hers, Tensor)
    found = residuals.predict(labels, samples=5, seed=3)
    assert found.shape == (10, 5, 8, 4)
    assert residuals.predict(labels).shape == (10, 6, 8, 4)
    assert torch.equal(found, residuals.predict(labels, samples=5, seed=3))
    assert not torch.equal(found, residuals.predict(labels, samples=5, seed=4))
    drawn = (found - decaying[:, None]).reshape(50, 1, -1)
    missed = (training.teacher - hers[:, None]).reshape(1, 40, -1)
    off = (drawn - missed).abs().amax(-1)
    assert off.amin(1).max() < 1e-9
    assert len(off.argmin(1).unique()) > 20  # of 40, and not the same few for every clip


def test_a_training_clip_is_among_its_own_residuals() -> None:
    labels = wandering(1, samples=1)
    assert torch.allclose(Residuals.fit(labels).predict(labels, samples=2), labels.teacher.expand(1, 2, 8, 4))


# recorded drives


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
