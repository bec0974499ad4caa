"""The rollout against a plain loop, closed forms and Alpamayo's own numbers; its gradients above all."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from places import DATA, SHARED
from served import by_both
from torch import Tensor

from alpamayo_toy import UnicycleRollout
from alpamayo_toy.kinematics import rollout

INTEGRATORS = ("euler", "trapezoid")


which = by_both(rollout)


def plain_loop(actions: Tensor, v0: Tensor, dt: float, integrator: str) -> Tensor:
    x = y = yaw = torch.zeros_like(v0)
    v, states = v0, []
    for t in range(actions.shape[-2]):
        a, kappa = actions[..., t, 0], actions[..., t, 1]
        if integrator == "euler":
            x, y, yaw = x + v * torch.cos(yaw) * dt, y + v * torch.sin(yaw) * dt, yaw + v * kappa * dt
            faster = v + a * dt
            v = torch.where(faster < 0, torch.zeros_like(faster), faster)
        else:
            v_next, yaw_next = v + a * dt, yaw + kappa * (v * dt + a * dt * dt / 2)
            x = x + (v * torch.cos(yaw) + v_next * torch.cos(yaw_next)) * dt / 2
            y = y + (v * torch.sin(yaw) + v_next * torch.sin(yaw_next)) * dt / 2
            v, yaw = v_next, yaw_next
        states.append(torch.stack([x, y, yaw, v], -1))
    return torch.stack(states, -2)


def stop_and_go(horizon: int = 64) -> tuple[Tensor, Tensor]:
    """Brakes to rest, stays, pulls away, brakes again: in eighths, so that every tie is exact."""
    a = torch.zeros(horizon, dtype=torch.float64)
    a[:10], a[10:20], a[20:30], a[30:45], a[45:] = -1.0, -0.5, 0.5, -0.75, 0.0
    kappa = torch.linspace(-0.1, 0.2, horizon, dtype=torch.float64)
    return torch.stack([a, kappa], -1), torch.tensor(1.0, dtype=torch.float64)


def cases() -> dict[str, tuple[Tensor, Tensor, float]]:
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(40, 64, 2, dtype=torch.float64, generator=generator) * torch.tensor([2.0, 0.05])
    eighths = torch.randint(-2, 3, (200, 64, 2), generator=generator).double() / 8
    ties = torch.randint(-2, 4, (200,), generator=generator).double() / 4
    stops, v0 = stop_and_go()
    return {
        "random": (noise, torch.rand(40, dtype=torch.float64, generator=generator) * 5, 0.1),
        "negative v0": (noise, -torch.rand(40, dtype=torch.float64, generator=generator), 0.1),
        "exact ties": (eighths, ties, 0.25),
        "stop and go": (stops, v0, 0.125),
        "parked": (torch.zeros(5, 64, 2, dtype=torch.float64), torch.zeros(5, dtype=torch.float64), 0.1),
        "from rest": (noise.abs(), torch.zeros(40, dtype=torch.float64), 0.1),
        "one step": (noise[:, :1], torch.ones(40, dtype=torch.float64) * 0.05, 0.1),
        "two batch axes": (noise.view(8, 5, 64, 2), torch.rand(8, 1, dtype=torch.float64, generator=generator), 0.1),
    }


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("case", list(cases()))
def test_outputs_and_gradients_equal_the_plain_loop(case: str, integrator: str) -> None:
    actions, v0, dt = cases()[case]
    actions.requires_grad_()
    v0.requires_grad_()
    expanded = v0.expand(actions.shape[:-2])
    ours, loop = UnicycleRollout(dt, integrator)(actions, v0), plain_loop(actions, expanded, dt, integrator)
    upstream = torch.randn(loop.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    assert (ours - loop).abs().max() <= 1e-10
    mine = torch.autograd.grad(ours, (actions, v0), upstream)
    theirs = torch.autograd.grad(loop, (actions, v0), upstream)
    for a, b in zip(mine, theirs, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 1e-10
    with torch.no_grad():
        assert torch.equal(UnicycleRollout(dt, integrator)(actions, v0), ours)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_transforms_and_second_derivatives_see_the_same_function(integrator: str) -> None:
    actions, v0 = stop_and_go(16)
    rollout = UnicycleRollout(0.125, integrator)
    many, speeds = actions.expand(3, 16, 2) * 0.5, torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    assert torch.allclose(torch.vmap(rollout)(many, speeds), rollout(many, speeds), atol=1e-12)
    jacobian = torch.func.jacrev(rollout, argnums=(0, 1))(actions, v0)
    expected = torch.autograd.functional.jacobian(lambda a, v: plain_loop(a, v, 0.125, integrator), (actions, v0))
    for a, b in zip(jacobian, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_gradcheck_and_gradgradcheck(integrator: str) -> None:
    generator = torch.Generator().manual_seed(1)
    actions = torch.randn(3, 7, 2, dtype=torch.float64, generator=generator).requires_grad_()
    v0 = torch.rand(3, dtype=torch.float64, generator=generator).requires_grad_()
    rollout = UnicycleRollout(0.1, integrator)
    assert torch.autograd.gradcheck(rollout, (actions, v0))
    assert torch.autograd.gradgradcheck(rollout, (actions, v0))
    assert torch.autograd.gradcheck(lambda a: rollout(a, v0.detach()), (actions,))
    assert torch.autograd.gradgradcheck(lambda v: rollout(actions.detach(), v), (v0,))


def test_a_parked_car_can_learn_to_pull_away() -> None:
    actions = torch.zeros(64, 2, requires_grad=True)
    UnicycleRollout()(actions, torch.tensor(0.0))[-1, 0].backward()
    assert actions.grad is not None
    assert bool((actions.grad[:-1, 0] > 0).all())


def test_braking_stops_and_stays() -> None:
    actions = torch.zeros(64, 2)
    actions[:, 0] = -2.0
    trajectory = UnicycleRollout()(actions, torch.tensor(3.0))
    assert bool((trajectory[..., 3] >= 0).all())
    assert torch.equal(trajectory[20:, 0], trajectory[20, 0].expand(44))


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_constant_curvature_drives_a_circle(integrator: str) -> None:
    radius, v, dt, n = 12.0, 6.0, 0.001, 4000
    actions = torch.tensor([0.0, 1 / radius], dtype=torch.float64).expand(n, 2)
    x, y, yaw, _ = UnicycleRollout(dt, integrator)(actions, torch.tensor(v, dtype=torch.float64))[-1]
    turned = v * dt * n / radius
    assert yaw.item() == pytest.approx(turned, abs=1e-9)
    error = math.hypot(x.item() - radius * math.sin(turned), y.item() - radius * (1 - math.cos(turned)))
    assert error < (1e-2 if integrator == "euler" else 1e-6)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@settings(max_examples=40, deadline=None)
@given(
    a=st.floats(-3, 3),
    kappa=st.floats(-0.2, 0.2),
    v0=st.floats(0, 20),
    horizon=st.integers(1, 64),
)
def test_turning_left_mirrors_turning_right(integrator: str, a: float, kappa: float, v0: float, horizon: int) -> None:
    actions = torch.tensor([a, kappa], dtype=torch.float64).expand(horizon, 2)
    rollout, speed = UnicycleRollout(0.1, integrator), torch.tensor(v0, dtype=torch.float64)
    left, right = rollout(actions, speed), rollout(actions * torch.tensor([1.0, -1.0]), speed)
    assert torch.allclose(left * torch.tensor([1.0, -1.0, -1.0, 1.0]), right, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(batch=st.lists(st.integers(0, 3), max_size=3), horizon=st.integers(1, 20), double=st.booleans())
def test_any_batch_dimensions_and_both_precisions(batch: list[int], horizon: int, double: bool) -> None:
    dtype = torch.float64 if double else torch.float32
    actions = torch.zeros(*batch, horizon, 2, dtype=dtype, requires_grad=True)
    trajectory = UnicycleRollout()(actions, torch.ones(batch, dtype=dtype))
    assert trajectory.shape == (*batch, horizon, 4)
    assert trajectory.dtype == dtype
    trajectory.sum().backward()


def test_other_memory_layouts_and_shared_speeds() -> None:
    actions = torch.randn(2, 64, 5, dtype=torch.float64).movedim(-1, 0)  # (5, 2, 64): time last, not contiguous
    actions = actions.transpose(-1, -2).requires_grad_()
    v0 = torch.tensor(2.0, dtype=torch.float64)
    ours = UnicycleRollout()(actions, v0)
    assert torch.allclose(ours, plain_loop(actions, v0.expand(5), 0.1, "euler"), atol=1e-12)
    (grad,) = torch.autograd.grad(ours.sum(), actions)
    (expected,) = torch.autograd.grad(plain_loop(actions, v0.expand(5), 0.1, "euler").sum(), actions)
    assert torch.allclose(grad, expected, atol=1e-12)


def test_float32_stays_close_over_a_long_horizon() -> None:
    generator = torch.Generator().manual_seed(2)
    actions = torch.randn(8, 1024, 2, generator=generator) * torch.tensor([0.5, 0.01])
    v0 = torch.full((8,), 10.0)
    exact = UnicycleRollout()(actions.double(), v0.double())
    assert (UnicycleRollout()(actions, v0) - exact).abs().max() < 2e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_upcast_with_one_warning(dtype: torch.dtype) -> None:
    with pytest.warns(UserWarning, match="upcast to float32") as caught:
        trajectory = UnicycleRollout()(torch.zeros(4, 2, dtype=dtype), torch.tensor(1.0, dtype=dtype))
    assert len(caught) == 1
    assert trajectory.dtype == torch.float32


def test_autocast_does_not_reach_the_integration() -> None:
    actions, v0 = torch.randn(3, 64, 2), torch.rand(3) * 10
    with warnings.catch_warnings(), torch.autocast("cpu", torch.bfloat16):
        warnings.simplefilter("error")
        assert torch.equal(UnicycleRollout()(actions, v0), UnicycleRollout()(actions, v0).float())
        inside = UnicycleRollout()(actions, v0)
    assert torch.equal(inside, UnicycleRollout()(actions, v0))


@pytest.mark.parametrize(
    ("actions", "v0", "message"),
    [
        (torch.zeros(64, 3), torch.tensor(1.0), r"actions must have shape \(\.\.\., T, 2\)"),
        (torch.zeros(2), torch.tensor(1.0), r"actions must have shape"),
        (torch.zeros(0, 2), torch.tensor(1.0), r"T >= 1"),
        (torch.zeros(4, 64, 2), torch.ones(3), r"v0 \(3,\) does not broadcast"),
        (torch.zeros(64, 2, dtype=torch.int64), torch.tensor(1.0), "actions must be a floating-point"),
        (torch.zeros(64, 2), torch.tensor(1), "v0 must be a floating-point"),
    ],
)
def test_wrong_shapes_and_dtypes_are_named(actions: Tensor, v0: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UnicycleRollout()(actions, v0)


def test_wrong_options_are_named() -> None:
    with pytest.raises(ValueError, match="integrator must be one of euler, trapezoid"):
        UnicycleRollout(integrator="rk4")
    with pytest.raises(ValueError, match="dt must be > 0"):
        UnicycleRollout(dt=0)


def check_against_alpamayo(golden: dict[str, np.ndarray]) -> None:
    mean = np.array([golden["accel_mean"], golden["curvature_mean"]])
    std = np.array([golden["accel_std"], golden["curvature_std"]])
    actions = torch.from_numpy(golden["action_normalized"].astype(np.float64) * std + mean)
    ours = UnicycleRollout(float(golden["dt"]), "trapezoid")(actions, torch.from_numpy(golden["v0"].astype(np.float64)))
    assert np.abs(ours[..., :2].numpy() - golden["xyz"][..., :2]).max() <= 1e-9
    turns = ours[..., 2].numpy() - golden["yaw"]
    assert np.abs(np.angle(np.exp(1j * turns))).max() <= 1e-9  # theirs is wrapped, ours continuous


def test_alpamayo_numbers_are_reproduced() -> None:
    with np.load(DATA / "alpamayo_rollout_slice.npz") as golden:
        check_against_alpamayo(dict(golden))


@pytest.mark.skipif(not (SHARED / "golden").exists(), reason="the full golden file is not on this machine")
def test_all_golden_alpamayo_numbers_are_reproduced() -> None:
    with np.load(SHARED / "golden" / "alpamayo_rollout.npz") as golden:
        check_against_alpamayo(dict(golden))


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_many_gradients_at_once_are_those_one_by_one(integrator: str) -> None:
    rollout = UnicycleRollout(0.1, integrator)
    actions, v0 = stop_and_go(12)
    actions.requires_grad_()
    v0.requires_grad_()
    pushes = torch.randn(3, *actions.shape[:-1], 4, generator=torch.Generator().manual_seed(0)).to(actions)
    once = torch.autograd.grad(rollout(actions, v0), (actions, v0), pushes, is_grads_batched=True)
    for i, push in enumerate(pushes):
        for many, one in zip(once, torch.autograd.grad(rollout(actions, v0), (actions, v0), push), strict=True):
            torch.testing.assert_close(many[i], one)


def test_what_comes_out_may_be_written_on() -> None:
    actions = torch.ones(2, 3, 8, 2, requires_grad=True)
    found = UnicycleRollout()(actions, torch.ones(2, 3))
    found[..., 0] *= 2
    (written,) = torch.autograd.grad(found.sum(), actions)
    weights = torch.tensor([2.0, 1.0, 1.0, 1.0])
    (wanted,) = torch.autograd.grad((UnicycleRollout()(actions, torch.ones(2, 3)) * weights).sum(), actions)
    torch.testing.assert_close(written, wanted)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize(
    ("horizon", "steps"), [(64, slice(1, None, 4)), (31, slice(None, 7)), (100, slice(40, 97, 33))]
)
def test_some_states_are_those_of_all_and_so_are_their_gradients(integrator: str, horizon: int, steps: slice) -> None:
    draw = torch.Generator().manual_seed(horizon)
    actions = (torch.randn(3, 6, horizon, 2, dtype=torch.float64, generator=draw) * 0.5).requires_grad_()
    v0 = torch.rand(3, 1, dtype=torch.float64, generator=draw).requires_grad_()
    model = UnicycleRollout(integrator=integrator)
    some, whole = model(actions, v0, steps), model(actions, v0)[..., steps, :]
    assert torch.equal(some, whole)
    with torch.no_grad():
        assert torch.equal(model(actions, v0, steps), whole)
    pull = torch.randn(some.shape, dtype=torch.float64, generator=draw)
    wanted = torch.autograd.grad(whole, (actions, v0), pull)
    torch.testing.assert_close(torch.autograd.grad(some, (actions, v0), pull), wanted, rtol=1e-12, atol=1e-13)


def test_derivatives_of_some_states_go_on() -> None:
    actions = (torch.randn(2, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    v0 = torch.ones(2, dtype=torch.float64, requires_grad=True)
    some = lambda actions, v0: UnicycleRollout(0.1, "trapezoid")(actions, v0, slice(1, None, 2))  # noqa: E731
    assert torch.autograd.gradcheck(some, (actions, v0))
    assert torch.autograd.gradgradcheck(some, (actions, v0))
    wanted = torch.func.jacrev(lambda actions: UnicycleRollout(0.1, "trapezoid")(actions, v0))(actions)[:, 1::2]
    torch.testing.assert_close(torch.func.jacfwd(lambda actions: some(actions, v0))(actions), wanted)


def test_no_states_and_steps_that_go_backwards() -> None:
    actions, v0 = torch.ones(2, 5, 2, requires_grad=True), torch.ones(2)
    none = UnicycleRollout()(actions, v0, slice(5, None))
    assert none.shape == (2, 0, 4)
    (grad,) = torch.autograd.grad(none.sum(), actions)
    assert torch.equal(grad, torch.zeros(2, 5, 2))
    for step in (0, -1):
        with pytest.raises(ValueError, match="steps must go forwards"):
            UnicycleRollout()(actions, v0, slice(None, None, step))
    number: Any = 3
    with pytest.raises(TypeError, match=r"steps must be a slice \(got int\)"):
        UnicycleRollout()(actions, v0, number)


def test_actions_and_speeds_of_two_types_are_integrated_in_the_wider_one() -> None:
    actions = torch.full((2, 9, 2), 0.1)
    for one, other in ((actions, torch.ones(2).double()), (actions.double(), torch.ones(2))):
        found = UnicycleRollout()(one, other)
        assert found.dtype == torch.float64
        assert torch.equal(found, UnicycleRollout()(one.double(), other.double()))
