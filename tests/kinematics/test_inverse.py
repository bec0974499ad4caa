"""Alpamayo's inverse: against a dense oracle, its released numbers, its own forward, and what breaks others."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from effort import within
from hypothesis import given, settings
from hypothesis import strategies as st
from places import LABELS_60, SHARED, needs_60_clips
from served import by_both
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from alpamayo_toy import ActionSpace, UnicycleRollout, estimate_v0, load_labels, recover_v0, trajectory_to_actions
from alpamayo_toy.commands.benchmark import dense_oracle
from alpamayo_toy.kinematics import inverse
from alpamayo_toy.kinematics.banded import FEW
from alpamayo_toy.kinematics.inverse import GUARDS, LONG, InverseWeights, regularised_states
from alpamayo_toy.kinematics.native import banded as native

which = by_both(native, inverse)

ROLLOUT = UnicycleRollout(0.1, "trapezoid")
EXACT = InverseWeights((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0))
needs_golden = pytest.mark.skipif(not (SHARED / "golden").exists(), reason="the golden numbers are not on this machine")


def tracks(n: int, horizon: int = 64, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Smooth drives with a little noise: waypoints, yaw, v0, and the actions beneath."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(horizon, dtype=torch.float64) / 10
    phase = 6 * torch.rand(n, 2, 1, dtype=torch.float64, generator=generator)
    waves = torch.sin(t + phase) * torch.tensor([[0.6], [0.05]], dtype=torch.float64)
    actions, v0 = waves.transpose(-1, -2), 2 + 8 * torch.rand(n, dtype=torch.float64, generator=generator)
    trajectory = ROLLOUT(actions, v0)
    noise = 0.01 * torch.randn(trajectory[..., :3].shape, dtype=torch.float64, generator=generator)
    return trajectory[..., :2] + noise[..., :2], trajectory[..., 2] + 0.2 * noise[..., 2], v0, actions


@pytest.mark.parametrize("horizon", [4, 5, 64, 130, LONG + 1, 300])
def test_it_equals_the_dense_oracle(horizon: int) -> None:
    waypoints, yaw, v0, _ = tracks(20, horizon)
    found = trajectory_to_actions(waypoints, yaw, v0, guard="none")
    assert (found - dense_oracle(waypoints, yaw, v0)).abs().max() < 1e-9


def test_long_tracks_have_the_gradient_of_the_dense_oracle() -> None:
    given = tuple(t.requires_grad_() for t in tracks(2, LONG + 9)[:3])
    upstream = torch.randn(2, LONG + 9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad(trajectory_to_actions(*given, guard="none"), given, upstream)
    wanted = torch.autograd.grad(dense_oracle(*given), given, upstream)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6 * float(other.abs().max()))


@pytest.mark.parametrize("fixed", [False, True])
def test_the_bands_of_long_tracks_are_those_of_the_whole_matrix(fixed: bool) -> None:
    weights, cpu = (1e-6, 1e-4), torch.device("cpu")
    for n, order in ((LONG + 1, 2), (LONG + 40, 3)):
        eye = torch.eye(n + fixed, dtype=torch.float64)
        differences = eye.diff(n=order, dim=0) / 0.1**order
        matrix = weights[0] * differences.mT @ differences + weights[1] * eye
        held = matrix[1 : order + 1, :1]
        matrix = matrix[1:, 1:] if fixed else matrix
        for k, band in enumerate(inverse._penalty_bands(n, order, 0.1, weights, fixed, cpu)):
            torch.testing.assert_close(band[k:, 0], matrix.diagonal(-k), rtol=1e-12, atol=0)
        if fixed:
            torch.testing.assert_close(inverse._penalty_coupling(n, order, 0.1, weights, cpu), held, rtol=1e-12, atol=0)


@pytest.mark.parametrize("guard", GUARDS)
def test_tracks_do_not_depend_on_their_company(guard: str) -> None:
    """Few rows take another solver than many: alone, on either side of the crossover, in a batch of a thousand."""
    whole = tuple(t.requires_grad_() for t in tracks(1000)[:3])
    upstream = torch.randn(1000, 64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = trajectory_to_actions(*whole, guard=guard)
    slopes = torch.autograd.grad(expected, whole, upstream)
    states = regularised_states(*(t.detach() for t in whole))[1]
    for rows in (1, 2, FEW, FEW + 1):
        few = tuple(t.detach()[:rows].requires_grad_() for t in whole)
        found = trajectory_to_actions(*few, guard=guard)
        untracked = trajectory_to_actions(*(t.detach() for t in few), guard=guard)
        torch.testing.assert_close(found, expected[:rows], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(untracked, expected[:rows], rtol=1e-10, atol=1e-10)
        for slope, other in zip(torch.autograd.grad(found, few, upstream[:rows]), slopes, strict=True):
            torch.testing.assert_close(slope, other[:rows], rtol=1e-10, atol=1e-10 * float(other.abs().max()))
        again = regularised_states(*(t.detach() for t in few))[1]
        torch.testing.assert_close(again, states[:rows], rtol=1e-10, atol=1e-10)


def golden_windows() -> tuple[dict[str, np.ndarray], Tensor, Tensor, Tensor, Tensor]:
    with np.load(SHARED / "golden" / "alpamayo_inverse.npz") as file:
        golden = dict(file)

    def read(name: str) -> tuple[Tensor, Tensor]:
        rotation = torch.from_numpy(golden[f"ego_{name}_rot"]).double()
        return torch.from_numpy(golden[f"ego_{name}_xyz"])[..., :2].double(), torch.atan2(
            rotation[..., 1, 0], rotation[..., 0, 0]
        )

    return golden, *read("history"), *read("future")


@needs_golden
def test_it_equals_the_released_inverse() -> None:
    golden, past, past_yaw, future, future_yaw = golden_windows()
    v0 = estimate_v0(past, past_yaw)
    assert (v0 - torch.from_numpy(golden["v0"])).abs().max() < 1e-6
    mean = np.array([golden["accel_mean"], golden["curvature_mean"]])
    std = np.array([golden["accel_std"], golden["curvature_std"]])
    expected = torch.from_numpy(golden["action_normalized"] * std + mean)
    error = (trajectory_to_actions(future, future_yaw, v0, guard="none") - expected).abs().amax((0, 1))
    assert error[0] < 1e-6
    assert error[1] < 1e-8
    single = trajectory_to_actions(future.float(), future_yaw.float(), v0.float(), guard="none")
    assert single.dtype == torch.float32
    error = (single - expected).abs().amax((0, 1))
    assert error[0] < 5e-4
    assert error[1] < 1e-5


@needs_golden
def test_tokens_equal_the_released_ones() -> None:
    _, past, past_yaw, future, future_yaw = golden_windows()
    actions = trajectory_to_actions(future, future_yaw, estimate_v0(past, past_yaw), guard="none")
    space = ActionSpace.alpamayo().double()
    with np.load(SHARED / "golden" / "alpamayo_tokens.npz") as golden:
        expected, decoded = torch.from_numpy(golden["tokens"]).long(), golden["decoded_xyz"]
    found = space.encode(actions)
    off = found - expected
    assert (off == 0).double().mean() >= 0.998
    assert off.abs().max() <= 1
    bins = ((space.normalize(actions) + 10) / 20 * 2999).flatten(-2)
    edge = (bins - bins.floor() - 0.5).abs()
    assert bool((edge[off != 0] < 0.1).all())
    back = ROLLOUT(space.decode(expected), estimate_v0(past, past_yaw))[..., :2]
    assert np.abs(back.numpy() - decoded[..., :2]).max() < 1e-2


def test_tokens_come_back_within_half_a_bin_and_clipping_is_counted() -> None:
    space = ActionSpace.alpamayo().double()
    actions = torch.stack([torch.linspace(-6, 6, 50), torch.linspace(-0.25, 0.25, 50)], -1).double()
    tokens = space.encode(actions)
    assert tokens.shape == (100,)
    assert tokens.dtype == torch.int64
    assert ((space.decode(tokens) - actions).abs() <= space.std * 10 / 2999 + 1e-12).all()
    assert space.count_clipped(actions).item() == 0
    assert space.count_clipped(torch.tensor([[9.0, 0.0], [0.0, 0.3], [0.0, 0.0]])).item() == 2
    assert space.encode(torch.tensor([[9.0, -0.3]], dtype=torch.float64)).tolist() == [2999, 0]


def test_unsquash_inverts_squash() -> None:
    space = ActionSpace.alpamayo().double()
    raw = torch.randn(100, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    assert torch.allclose(space.unsquash(space.squash(raw)), raw)


speeds = st.lists(st.floats(0.05, 20), min_size=2, max_size=9)
bends = st.lists(st.floats(-0.3, 0.3), min_size=2, max_size=9)


def spread(values: list[float], horizon: int) -> Tensor:
    """A few numbers drawn out to a horizon, linearly."""
    points = torch.tensor(values, dtype=torch.float64)[None, None]
    return torch.nn.functional.interpolate(points, horizon, mode="linear", align_corners=True)[0, 0]


@settings(max_examples=60, deadline=None)
@given(v=speeds, kappa=bends, horizon=st.integers(4, 256))
def test_without_smoothing_it_inverts_the_rollout(v: list[float], kappa: list[float], horizon: int) -> None:
    profile = spread(v, horizon + 1)
    actions = torch.stack([profile.diff() / 0.1, spread(kappa, horizon)], -1)
    trajectory = ROLLOUT(actions, profile[0])
    back = trajectory_to_actions(trajectory[..., :2], trajectory[..., 2], profile[0], guard="none", weights=EXACT)
    assert (back - actions).abs().max() < 1e-6
    single = trajectory.float()
    coarse = trajectory_to_actions(single[..., :2], single[..., 2], profile[0].float(), guard="none", weights=EXACT)
    error = (coarse - actions).abs().amax(0)
    # float32's grid grows with the distance, and what is left of it in v and yaw weighs more the shorter the step
    reach = max(1.0, float(trajectory[..., :2].abs().max()) / 64)
    # (steps of a constant speed may all round alike: 0.0147 at T = 50 has been seen, within 45 m)
    allowed = max(0.02, 3e-4 * horizon) * reach
    slowest, grid = float(profile.min()), 1.2e-7 * max(1.0, float(trajectory[..., 2].abs().max()))
    assert error[0] < allowed
    assert error[1] < 2e-5 + float(actions[..., 1].abs().max()) * allowed * 0.1 / slowest + grid / (0.1 * slowest)


@pytest.mark.parametrize("horizon", [4, 16, 64, 256])
def test_float32_positions_cost_little_within_64_metres(horizon: int) -> None:
    mean = min(6.0, 600 / horizon)
    t = torch.arange(horizon + 1, dtype=torch.float64) * (6.4 / horizon) * 0.1
    speeds = mean + mean / 3 * torch.sin(t + torch.linspace(0, 6, 50, dtype=torch.float64)[:, None])
    kappa = 0.02 * torch.cos(t[:-1] + torch.linspace(0, 6, 50, dtype=torch.float64)[:, None])
    actions = torch.stack([speeds.diff(dim=-1) / 0.1, kappa], -1)
    trajectory = ROLLOUT(actions, speeds[:, 0]).float()
    v0 = speeds[:, 0].float()
    found = trajectory_to_actions(trajectory[..., :2], trajectory[..., 2], v0, guard="none", weights=EXACT)
    error = (found - actions).abs().amax((0, 1))
    assert error[0] < max(0.013, 2e-4 * horizon)
    assert error[1] < 2e-5


@settings(max_examples=30, deadline=None)
@given(v=st.floats(0, 3), still=st.integers(0, 30), horizon=st.integers(8, 64))
def test_at_standstill_acceleration_is_exact_and_curvature_finite(v: float, still: int, horizon: int) -> None:
    profile = torch.cat([torch.linspace(v, 0, 8, dtype=torch.float64), torch.zeros(horizon - 7, dtype=torch.float64)])
    profile = torch.cat([profile, torch.zeros(still, dtype=torch.float64)])
    actions = torch.stack([profile.diff() / 0.1, torch.zeros(len(profile) - 1, dtype=torch.float64)], -1)
    trajectory = ROLLOUT(actions, profile[0])
    back = trajectory_to_actions(trajectory[..., :2], trajectory[..., 2], profile[0], guard="none", weights=EXACT)
    assert (back - actions)[..., 0].abs().max() < 1e-6
    assert bool(back.isfinite().all())


@needs_60_clips
@pytest.mark.parametrize(("guard", "worst"), [("none", 0.05), ("guard", 0.3), ("ridge", 0.2)])
def test_real_trajectories_come_back(guard: str, worst: float) -> None:
    labels = load_labels(LABELS_60)
    v0 = labels.v0.unsqueeze(1).expand(60, 6)
    actions = trajectory_to_actions(labels.teacher[..., :2], labels.teacher[..., 2], v0, guard=guard)
    errors = (ROLLOUT(actions, v0) - labels.teacher)[..., :2].norm(dim=-1)
    assert errors.mean() <= 0.0025
    assert errors.max() <= worst


@pytest.mark.parametrize(("heading_noise", "most", "p99"), [(0.02, 0.2, 0.04), (0.05, 0.6, 0.09)])
def test_a_parked_car_has_little_curvature(heading_noise: float, most: float, p99: float) -> None:
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        waypoints = 0.02 * torch.randn(512, 64, 2, dtype=torch.float64, generator=generator)
        yaw = heading_noise * torch.randn(512, 64, dtype=torch.float64, generator=generator)
        found = {g: trajectory_to_actions(waypoints, yaw, torch.zeros(512), guard=g)[..., 1].abs() for g in GUARDS}
        assert found["ridge"].max() <= most
        assert found["ridge"].flatten().quantile(0.99) <= p99
        assert found["guard"].max() == 0
        assert found["none"].max() > 0.5


@pytest.mark.slow
def test_gradients_are_right_twice_and_flow_back_into_waypoints() -> None:
    waypoints, yaw, v0, _ = tracks(2, 6)
    inputs = tuple(t.clone().requires_grad_() for t in (waypoints, yaw, v0))
    for guard in ("none", "ridge"):

        def inverse(p: Tensor, y: Tensor, v: Tensor, guard: str = guard) -> Tensor:
            return trajectory_to_actions(p, y, v, guard=guard)

        assert torch.autograd.gradcheck(inverse, inputs)
        assert torch.autograd.gradgradcheck(inverse, inputs)
    wanted = torch.zeros(2, 6, 2, dtype=torch.float64)
    loss = (trajectory_to_actions(*inputs) - wanted).square().mean()
    (grad,) = torch.autograd.grad(loss, inputs[0])
    closer = trajectory_to_actions(waypoints - 1e-4 * grad, yaw, v0)
    assert (closer - wanted).square().mean() < loss


def test_what_is_kept_from_inference_mode_can_be_differentiated_through() -> None:
    for kept in vars(inverse).values():
        if hasattr(kept, "cache_clear"):
            kept.cache_clear()
    waypoints, yaw, v0, _ = tracks(2, 9)
    with torch.inference_mode():
        expected = trajectory_to_actions(waypoints, yaw, v0)
        estimate_v0(waypoints, yaw)
    inputs = tuple(tensor.requires_grad_() for tensor in (waypoints, yaw, v0))
    found = trajectory_to_actions(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for slope in torch.autograd.grad(found.sum() + estimate_v0(waypoints, yaw).sum(), inputs):
        assert slope.abs().max() > 0


@pytest.mark.slow
def test_vmap_and_jacrev_see_the_same_function() -> None:
    waypoints, yaw, v0, _ = tracks(3, 8)
    whole = trajectory_to_actions(waypoints, yaw, v0)
    assert torch.allclose(torch.vmap(trajectory_to_actions)(waypoints, yaw, v0), whole, atol=1e-12)
    jacobian = torch.func.jacrev(lambda p: trajectory_to_actions(p, yaw[0], v0[0]))(waypoints[0])
    expected = torch.autograd.functional.jacobian(lambda p: trajectory_to_actions(p, yaw[0], v0[0]), waypoints[0])
    assert torch.allclose(jacobian, expected, atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(batch=st.lists(st.integers(0, 3), max_size=3), horizon=st.integers(4, 20), double=st.booleans())
def test_any_batch_dimensions_and_both_precisions(batch: list[int], horizon: int, double: bool) -> None:
    dtype = torch.float64 if double else torch.float32
    waypoints = torch.zeros(*batch, horizon, 2, dtype=dtype)
    actions = trajectory_to_actions(waypoints, waypoints[..., 0], torch.zeros(batch, dtype=dtype))
    assert actions.shape == (*batch, horizon, 2)
    assert actions.dtype == dtype
    assert estimate_v0(waypoints, waypoints[..., 0]).shape == tuple(batch)


def test_wrapped_headings_and_many_tracks_change_nothing() -> None:
    t = torch.arange(1, 65, dtype=torch.float64) * 0.1
    yaw = 0.9 * t
    actions = torch.stack([torch.zeros(64), torch.full((64,), 0.18)], -1).double()
    trajectory = ROLLOUT(actions, torch.tensor(5.0, dtype=torch.float64))
    assert trajectory[-1, 2] > 3.2
    yaw = trajectory[..., 2]
    wrapped = torch.atan2(yaw.sin(), yaw.cos())
    v0 = torch.tensor(5.0, dtype=torch.float64)
    whole = trajectory_to_actions(trajectory[..., :2], yaw, v0)
    assert torch.allclose(trajectory_to_actions(trajectory[..., :2], wrapped, v0), whole, atol=1e-12)
    many = trajectory_to_actions(trajectory[..., :2].expand(4100, 64, 2), yaw.expand(4100, 64), v0.expand(4100))
    assert torch.allclose(many, whole.expand(4100, 64, 2), atol=1e-12)


def test_one_nan_in_a_thousand_tracks_is_named_at_once() -> None:
    waypoints, yaw, v0, _ = tracks(1000)
    waypoints[637, 5, 1] = torch.nan
    with within(40), pytest.raises(ValueError, match=r"waypoints holds a NaN or infinite .* at index \(637, 5, 1\)"):
        trajectory_to_actions(waypoints, yaw, v0)
    unchecked = trajectory_to_actions(waypoints, yaw, v0, check=False)
    assert bool(unchecked[637].isnan().any())
    assert bool(unchecked[:637].isfinite().all())
    with pytest.raises(ValueError, match=r"history_yaw holds a NaN or infinite value at index \(3, 0\)"):
        estimate_v0(torch.zeros(5, 16, 2), torch.full((5, 16), torch.inf).masked_fill(torch.arange(5)[:, None] < 3, 0))


@pytest.mark.parametrize(
    ("waypoints", "yaw", "v0", "message"),
    [
        (
            torch.zeros(64, 3),
            torch.zeros(64),
            torch.tensor(1.0),
            r"waypoints must have shape \(\.\.\., T, 2\) with T >= 4",
        ),
        (torch.zeros(3, 2), torch.zeros(3), torch.tensor(1.0), "T >= 4"),
        (torch.zeros(5, 64, 2), torch.zeros(5, 63), torch.zeros(5), r"yaw must have shape \(5, 64\) \(got \(5, 63\)\)"),
        (torch.zeros(5, 64, 2), torch.zeros(5, 64), torch.zeros(4), r"v0 must have shape \(5,\) \(got \(4,\)\)"),
        (torch.zeros(64, 2).long(), torch.zeros(64), torch.tensor(1.0), "waypoints must be a floating-point tensor"),
    ],
)
def test_wrong_shapes_and_dtypes_are_named(waypoints: Tensor, yaw: Tensor, v0: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trajectory_to_actions(waypoints, yaw, v0)


def test_other_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="guard must be one of none, guard, ridge"):
        trajectory_to_actions(torch.zeros(64, 2), torch.zeros(64), torch.tensor(1.0), guard="on")
    with pytest.raises(ValueError, match=r"history_waypoints must have shape \(\.\.\., H, 2\) with H >= 4"):
        estimate_v0(torch.zeros(3, 2), torch.zeros(3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_upcast_with_one_warning_that_names_the_grid(dtype: torch.dtype) -> None:
    waypoints, yaw, v0, _ = tracks(2)
    with pytest.warns(UserWarning, match=r"waypoints in torch\.\w+ lies on a grid of ") as caught:
        actions = trajectory_to_actions(waypoints.to(dtype), yaw.to(dtype), v0.to(dtype))
    assert len(caught) == 1
    assert actions.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_nothing_lies_on_no_grid(dtype: torch.dtype) -> None:
    w, yaw = torch.zeros(0, 8, 2, dtype=dtype), torch.zeros(0, 8, dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trajectory_to_actions(w, yaw, yaw[:, 0]).shape == (0, 8, 2)
        assert estimate_v0(w, yaw).shape == recover_v0(w)[0].shape == (0,)


@pytest.mark.parametrize(
    ("mode", "dt"),  # each a dt of its own, of which nothing is kept yet
    [(torch.inference_mode, 0.11), (FakeTensorMode, 0.12), (lambda: torch.device("meta"), 0.13)],
)
def test_constants_of_an_onlooker_stay_with_it(mode: Callable[[], Any], dt: float) -> None:
    w, yaw, v0, _ = tracks(4)
    with mode() as inside:
        fake = isinstance(inside, FakeTensorMode)
        trajectory_to_actions(*(inside.from_tensor(t) if fake else t for t in (w, yaw, v0)), dt, check=False)
    w.requires_grad_()
    found = trajectory_to_actions(w, yaw, v0, dt)
    found.sum().backward()
    torch.testing.assert_close(found, dense_oracle(w.detach(), yaw, v0, dt), check_dtype=False, atol=1e-3, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node")  # PyTorch's own
@pytest.mark.parametrize("what", ["actions", "v0"])
def test_what_is_linearised_is_the_derivative(what: str) -> None:
    """The constants too are seen by the tracer that folds them, which loses what is done in place."""
    generator = torch.Generator().manual_seed(0)
    steps = torch.rand(1, 4, 2, generator=generator, dtype=torch.float64)
    points, yaw = steps.cumsum(1), 0.1 * steps[..., 0]

    def asked(points: Tensor, yaw: Tensor) -> Tensor:
        if what == "v0":
            return estimate_v0(points - points[:, -1:], yaw)
        return trajectory_to_actions(points, yaw, torch.full((1,), 5.0, dtype=torch.float64), check=False)

    pushes = (torch.ones_like(points), torch.ones_like(yaw))
    wanted = torch.func.jvp(asked, (points, yaw), pushes)[1]
    _, linear = torch.func.linearize(asked, points, yaw)
    torch.testing.assert_close(linear(*pushes), wanted)


def test_an_answer_may_be_changed_in_place() -> None:
    points = torch.rand(3, 16, 2, dtype=torch.float64).cumsum(1).requires_grad_()
    speed = estimate_v0(points, torch.zeros(3, 16, dtype=torch.float64))
    (wanted,) = torch.autograd.grad(2 * speed.sum(), points, retain_graph=True)
    speed *= 2
    torch.testing.assert_close(torch.autograd.grad(speed.sum(), points)[0], wanted)


@pytest.mark.parametrize("guard", GUARDS)
def test_a_car_that_backs_up_has_the_gradient_of_pytorch(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Braked through rest and driven backwards, at speeds where the ridge weighs most."""
    speeds = torch.stack([torch.linspace(1, -1, 13), torch.linspace(-0.2, -2, 13), torch.linspace(-0.1, 0.3, 13)])
    speeds = speeds.double()
    actions = torch.stack([speeds.diff(dim=-1) / 0.1, 0.2 * torch.linspace(-1, 2, 12).double().expand(3, 12)], -1)
    driven = ROLLOUT(actions, speeds[:, 0])
    inputs = tuple(t.clone().requires_grad_() for t in (driven[..., :2], driven[..., 2], speeds[:, 0]))
    upstream = torch.randn(3, 12, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = torch.autograd.grad(trajectory_to_actions(*inputs, guard=guard), inputs, upstream)
    monkeypatch.setattr(inverse, "serves", lambda *tensors: False)
    wanted = torch.autograd.grad(trajectory_to_actions(*inputs, guard=guard), inputs, upstream)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-7 * float(theirs.abs().max()))
