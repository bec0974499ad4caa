"""Comfort against numbers written out by hand, and a second implementation of the filters and of both forms."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.metrics.comfort import LIMITS, from_actions, from_positions, passes, savgol_matrix

DT, T = 0.1, 64
Drive = tuple[Tensor, Tensor, Tensor]
FILTERS = [(8, 2, 0), (8, 2, 1), (8, 2, 2), (15, 2, 1), (5, 2, 1), (5, 3, 2), (2, 1, 1), (7, 0, 0), (12, 5, 3)]


def drive(a: Tensor, kappa: Tensor, v0: float) -> Drive:
    """Actions, their trajectory and v0, Alpamayo's integrator."""
    actions = torch.stack([a, kappa], -1).double()
    start = torch.full(actions.shape[:-2], v0, dtype=torch.float64)
    return actions, UnicycleRollout(DT, "trapezoid")(actions, start), start


def constant(a: float, kappa: float, v0: float) -> Drive:
    return drive(torch.full((T,), a), torch.full((T,), kappa), v0)


def gentle() -> Drive:
    """Up to 1 m/s^2 either way at 8 to 10 m/s, through bends of 50 m radius: 1.8 m/s^2 to the side."""
    t = torch.arange(T, dtype=torch.float64) * DT
    return drive(t.sin(), 0.02 * (0.8 * t).sin(), 8.0)


def both(example: Drive) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    actions, trajectory, v0 = example
    return from_actions(actions, trajectory, v0, DT), from_positions(trajectory, DT)


def numbers(extremes: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in extremes.items()}


@pytest.mark.slow
def test_straight_on_at_constant_speed_is_comfortable() -> None:
    for extremes in both(constant(0.0, 0.0, 15.0)):
        assert numbers(extremes) == pytest.approx(dict.fromkeys(LIMITS, 0.0), abs=1e-9)
        assert all(bool(passed) for passed in passes(extremes).values())


def test_a_steady_turn_of_12_m_s2_is_not() -> None:
    for extremes in both(constant(0.0, 0.03, 20.0)):  # 20^2 * 0.03 = 12, 20 * 0.03 = 0.6 rad/s
        assert numbers(extremes) == pytest.approx(
            {**dict.fromkeys(LIMITS, 0.0), "max_abs_lateral_acceleration": 12.0, "max_abs_yaw_rate": 0.6}, abs=0.01
        )
        passed = passes(extremes)
        assert {name for name in passed if not passed[name]} == {"max_abs_lateral_acceleration", "all"}


def test_steady_braking() -> None:
    for extremes in both(constant(-4.0, 0.0, 30.0)):
        assert numbers(extremes) == pytest.approx(
            {
                **dict.fromkeys(LIMITS, 0.0),
                "min_longitudinal_acceleration": -4.0,
                "max_longitudinal_acceleration": -4.0,
            },
            abs=1e-9,
        )
        assert passes(extremes)["all"]
    for extremes in both(constant(2.5, 0.0, 0.0)):
        passed = passes(extremes)
        assert {name for name in passed if not passed[name]} == {"max_longitudinal_acceleration", "all"}


def test_actions_by_hand() -> None:
    actions = torch.tensor([[1.0, 0.1], [-3.0, 0.1], [0.0, -0.2]])
    trajectory = torch.zeros(3, 4)
    trajectory[:, 3] = torch.tensor([5.1, 4.8, 4.8])
    found = from_actions(actions, trajectory, torch.tensor(5.0), DT)
    # mean speeds 5.05, 4.95, 4.8; yaw rates 0.505, 0.495, -0.96; lateral 2.55025, 2.45025, -4.608
    sizes = [math.hypot(1, 2.55025), math.hypot(3, 2.45025), 4.608]
    assert numbers(found) == pytest.approx(
        {
            "min_longitudinal_acceleration": -3.0,
            "max_longitudinal_acceleration": 1.0,
            "max_abs_lateral_acceleration": 4.608,
            "max_abs_magnitude_jerk": (sizes[1] - sizes[0]) / DT,
            "max_abs_longitudinal_jerk": 40.0,
            "max_abs_yaw_rate": 0.96,
            "max_abs_yaw_acceleration": 14.55,
        },
        rel=1e-5,
    )
    euler = from_actions(actions, trajectory, torch.tensor(5.0), DT, "euler")  # speeds 5.0, 5.1, 4.8
    assert euler["max_abs_yaw_rate"].item() == pytest.approx(0.96)
    assert euler["max_abs_yaw_acceleration"].item() == pytest.approx((0.51 + 0.96) / DT)


@pytest.mark.parametrize("integrator", ["euler", "trapezoid"])
def test_yaw_rates_from_actions_are_the_rollouts_own(integrator: str) -> None:
    generator = torch.Generator().manual_seed(0)
    actions = torch.randn(5, T, 2, dtype=torch.float64, generator=generator) * torch.tensor([2.0, 0.1])
    v0 = torch.tensor([0.0, 1.0, 3.0, 8.0, 20.0], dtype=torch.float64)
    trajectory = UnicycleRollout(DT, integrator)(actions, v0)
    yaw = torch.cat([torch.zeros(5, 1, dtype=torch.float64), trajectory[..., 2]], -1)
    found = from_actions(actions, trajectory, v0, DT, integrator)
    torch.testing.assert_close(found["max_abs_yaw_rate"], yaw.diff(dim=-1).abs().amax(-1) / DT)
    torch.testing.assert_close(found["max_abs_yaw_acceleration"], yaw.diff(n=2, dim=-1).abs().amax(-1) / DT**2)


def test_two_centimetres_of_alternating_noise_by_hand() -> None:
    """Second differences of +-d are +-4 d / dt^2; no parabola through 8 points sees them, for they cancel in pairs."""
    _, trajectory, _ = constant(0.0, 0.0, 10.0)
    trajectory[:, 0] += 0.02 * (1 - 2 * (torch.arange(T) % 2))
    raw = trajectory[:, 0].diff(n=2) / DT**2
    assert raw.abs().amax().item() == pytest.approx(4 * 0.02 / 0.01)
    assert raw.abs().amax() > LIMITS["max_longitudinal_acceleration"][1]
    assert raw.diff().abs().amax().item() / DT == pytest.approx(160.0)
    found = from_positions(trajectory, DT)
    assert numbers(found) == pytest.approx(dict.fromkeys(LIMITS, 0.0), abs=1e-9)
    assert passes(found)["all"]


def test_two_centimetres_of_random_noise_pass_the_filters_but_not_finite_differences() -> None:
    """Standard deviations of a second difference, sqrt(6) d / dt^2 = 4.90, and of the second derivative of a parabola
    fitted to 8 points, d / dt^2 sqrt(720 / (8 (8^2 - 1) (8^2 - 4))) = 0.309, both in m/s^2 for d = 2 cm."""
    noise = 0.02 * torch.randn(100, T, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (noise[..., 0].diff(n=2, dim=-1) / DT**2).std().item() == pytest.approx(4.90, abs=0.1)
    assert (noise[..., 0] @ savgol_matrix(T, 8, 2, 2, DT).mT).std().item() == pytest.approx(0.309, abs=0.01)
    actions, trajectory, v0 = gentle()
    assert passes(from_actions(actions, trajectory, v0, DT))["all"]
    noisy = trajectory.expand(100, T, 4).clone()
    noisy[..., :2] += noise
    assert passes(from_positions(noisy, DT))["all"].double().mean() > 0.95
    raw = torch.linalg.vector_norm(noisy[..., :2].diff(n=2, dim=-2), dim=-1) / DT**2
    assert (raw.amax(-1) > 4.89).all()
    assert (raw.diff(dim=-1).abs().amax(-1) / DT > 8.37).all()


def test_both_forms_agree_on_a_comfortable_drive() -> None:
    actions, positions = (numbers(extremes) for extremes in both(gentle()))
    # the length of the acceleration has a corner where it touches 0, and a filter rounds it off
    assert 0.5 * actions["max_abs_magnitude_jerk"] < positions.pop("max_abs_magnitude_jerk")
    for name, value in positions.items():
        assert value == pytest.approx(actions[name], rel=0.1), name


def test_heading_through_half_a_turn() -> None:
    _, trajectory, _ = constant(0.0, 0.05, 12.0)  # 3.84 rad in all
    wrapped = trajectory.clone()
    wrapped[:, 2] = torch.atan2(trajectory[:, 2].sin(), trajectory[:, 2].cos())
    assert wrapped[:, 2].min() < 0 < trajectory[:, 2].min()
    assert numbers(from_positions(wrapped, DT)) == pytest.approx(numbers(from_positions(trajectory, DT)), abs=1e-9)


def test_a_jump_to_the_side_is_felt() -> None:
    _, trajectory, _ = constant(0.0, 0.0, 10.0)
    trajectory[32:, 1] += 1.0
    assert not passes(from_positions(trajectory, DT))["max_abs_lateral_acceleration"]


def test_nothing_that_is_not_a_number_passes() -> None:
    actions, trajectory, v0 = constant(0.0, 0.0, 10.0)
    broken = trajectory.clone()
    broken[3, 0] = math.nan
    assert not passes(from_positions(broken, DT))["all"]
    assert not passes(from_actions(actions * math.nan, trajectory, v0, DT))["all"]


def test_each_limit_is_comfortable_itself_and_counts() -> None:
    bounds = [low if math.isinf(high) else high for low, high in LIMITS.values()]
    assert bounds == [-4.05, 2.40, 4.89, 8.37, 4.13, 0.95, 1.93]
    calm = {name: torch.tensor(0.0, dtype=torch.float64) for name in LIMITS}
    assert passes(calm)["all"]
    for name, (low, high) in LIMITS.items():
        bound, beyond = (low, low - 1e-6) if math.isinf(high) else (high, high + 1e-6)
        assert passes({**calm, name: torch.tensor(bound, dtype=torch.float64)})["all"]
        passed = passes({**calm, name: torch.tensor(beyond, dtype=torch.float64)})
        assert {key for key in passed if not passed[key]} == {name, "all"}


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batch_dimensions_and_dtypes(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    actions = torch.randn(*batch, T, 2, dtype=torch.float64, generator=generator) * torch.tensor([1.0, 0.02])
    v0 = 5 + torch.rand(batch, dtype=torch.float64, generator=generator)
    trajectory = UnicycleRollout(DT, "trapezoid")(actions, v0)
    forms = (
        from_actions(actions.to(dtype), trajectory.to(dtype), v0.to(dtype), DT),
        from_positions(trajectory.to(dtype), DT),
    )
    one = tuple(tensor.reshape(-1, *tensor.shape[len(batch) :])[-1] for tensor in (actions, trajectory, v0))
    for found, alone in zip(forms, (from_actions(*one, DT), from_positions(one[1], DT)), strict=True):
        assert list(found) == list(LIMITS)
        for name, value in found.items():
            assert value.shape == batch
            assert value.dtype == dtype
            assert float(value.reshape(-1)[-1]) == pytest.approx(float(alone[name]), rel=1e-3, abs=1e-3), name
        assert all(passed.shape == batch and passed.dtype == torch.bool for passed in passes(found).values())


@settings(max_examples=30, deadline=None)
@given(x=st.floats(-50, 50), y=st.floats(-50, 50), turn=st.floats(-7, 7))
def test_moving_the_frame_changes_nothing(x: float, y: float, turn: float) -> None:
    trajectory = gentle()[1]
    c, s = math.cos(turn), math.sin(turn)
    px, py, yaw, _ = trajectory.unbind(-1)
    moved = torch.stack([x + c * px - s * py, y + s * px + c * py, yaw + turn], -1)
    assert numbers(from_positions(moved, DT)) == pytest.approx(numbers(from_positions(trajectory, DT)), abs=1e-7)


@pytest.mark.parametrize(("window", "order", "derivative"), FILTERS)
def test_filters_against_polynomials_fitted_by_numpy(window: int, order: int, derivative: int) -> None:
    steps, values = 20, np.random.default_rng(0).normal(size=20)
    half = window // 2
    for row, found in enumerate((savgol_matrix(steps, window, order, derivative, DT).numpy() @ values).tolist()):
        start = min(max(row - (window - 1) // 2, 0), steps - window)
        at = start + (window - 1) / 2 if half <= row < steps - half else row
        fit = np.polynomial.Polynomial.fit(DT * np.arange(start, start + window), values[start : start + window], order)
        assert found == pytest.approx(fit.deriv(derivative)(at * DT), rel=1e-8, abs=1e-8 / DT**derivative)


def fitted(steps: int, window: int, order: int, derivative: int) -> np.ndarray:
    """The filter's rows (T, T) by the pseudo-inverse of each window's powers."""
    row = np.arange(steps)
    start = np.clip(row - (window - 1) // 2, 0, steps - window)
    inner = (row >= window // 2) & (row < steps - window // 2)
    centre, power = (window - 1) / 2, np.arange(order + 1)
    at = np.where(inner, 0.0, row - start - centre)
    falling = np.array([math.perm(m, derivative) for m in range(order + 1)])
    polynomial = falling * at[:, None] ** np.maximum(power - derivative, 0)
    weights = polynomial @ np.linalg.pinv((np.arange(window) - centre)[:, None] ** power) / DT**derivative
    matrix = np.zeros((steps, steps))
    np.put_along_axis(matrix, start[:, None] + np.arange(window), weights, 1)
    return matrix


@pytest.mark.parametrize("steps", [15, 16, 64])
@pytest.mark.parametrize(("window", "order", "derivative"), FILTERS)
def test_filters_against_fits_by_the_pseudo_inverse(steps: int, window: int, order: int, derivative: int) -> None:
    expected = fitted(steps, window, order, derivative)
    found = savgol_matrix(steps, window, order, derivative, DT).numpy()
    assert abs(found - expected).max() < 1e-11 * abs(expected).max()


def test_an_even_window_is_half_a_step_ahead_except_at_the_ends() -> None:
    t = torch.arange(12, dtype=torch.float64) * DT
    shift = savgol_matrix(12, 8, 2, 0, DT) @ t - t
    assert shift.tolist() == pytest.approx([0.0] * 4 + [0.05] * 4 + [0.0] * 4, abs=1e-12)


def test_positions_in_numpy() -> None:
    """The whole filtered form again, in complex numbers."""
    noise = 0.02 * torch.randn(T, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    trajectory = gentle()[1].clone()
    trajectory[:, :2] += noise
    x, y, yaw, _ = trajectory.numpy().T

    def savgol(values: np.ndarray, window: int, order: int, derivative: int) -> np.ndarray:
        return fitted(T, window, order, derivative) @ values

    way = np.cumsum((np.diff(x) + 1j * np.diff(y)) * np.exp(-0.5j * (yaw[1:] + yaw[:-1])))
    way = np.concatenate([[0], way])
    s1, n1 = savgol(way.real, 8, 2, 1), savgol(way.imag, 8, 2, 1)
    turning = savgol(yaw, 8, 2, 1)
    a = savgol(way.real, 8, 2, 2) - turning * n1
    lateral = savgol(way.imag, 8, 2, 2) + turning * s1
    expected = [
        a.min(),
        a.max(),
        abs(lateral).max(),
        abs(savgol(np.hypot(a, lateral), 15, 2, 1)).max(),
        abs(savgol(a, 15, 2, 1)).max(),
        abs(savgol(yaw, 5, 2, 1)).max(),
        abs(savgol(yaw, 5, 3, 2)).max(),
    ]
    assert list(numbers(from_positions(trajectory, DT)).values()) == pytest.approx(expected, rel=1e-9)


def test_filters_are_cut_to_short_drives() -> None:
    _, trajectory, _ = constant(1.0, 0.0, 5.0)
    for steps in (4, 5, 8, 14):
        found = from_positions(trajectory[:steps], DT)
        assert found["max_longitudinal_acceleration"].item() == pytest.approx(1.0)
        assert found["max_abs_magnitude_jerk"].item() == pytest.approx(0.0, abs=1e-8)
    with pytest.raises(ValueError, match="order < window <= steps must hold"):
        from_positions(trajectory[:3], DT)


WATCHED: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "inference mode": torch.inference_mode,
    "fake tensors": FakeTensorMode,
    "a default device without numbers": lambda: torch.device("meta"),
}


@pytest.mark.parametrize("mode", WATCHED)
def test_filters_that_somebody_looked_on_at_leave_nothing_behind(mode: str) -> None:
    """First built in another mode, they are the numbers that they are, made once, and gradients flow through."""
    steps = 40 + list(WATCHED).index(mode)  # of no other test
    trajectory = torch.linspace(0, 3, steps, dtype=torch.float64)[:, None] ** torch.arange(1.0, 4, dtype=torch.float64)
    with WATCHED[mode](), suppress(AssertionError):  # fake tensors take no others
        savgol_matrix(steps, 5, 2, 1, DT)
        from_positions(trajectory, DT)
    trajectory.requires_grad_()
    found = from_positions(trajectory, DT)
    (gradient,) = torch.autograd.grad(found["max_abs_lateral_acceleration"], trajectory)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0
    made = savgol_matrix(steps, 5, 2, 1, DT)
    assert made is savgol_matrix(steps, 5, 2, 1, DT)
    expected = savgol_filter(np.eye(steps), 5, 2, 1, DT, axis=0, mode="interp")
    torch.testing.assert_close(made, torch.from_numpy(expected), rtol=0, atol=0)
