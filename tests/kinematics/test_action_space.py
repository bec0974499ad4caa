"""The action space: inside its bounds, there and back, statistics only where the car moves."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from served import by_both
from torch import Tensor
from trajectories import ROLLOUT, smooth_actions

from alpamayo_toy import ActionSpace
from alpamayo_toy.kinematics import action_space
from alpamayo_toy.kinematics.trajectory import Labels

which = by_both(action_space)


def test_statistics_read_curvature_only_where_the_car_moves() -> None:
    actions, v0 = smooth_actions(40)
    moving = ActionSpace.fit(labels_of(actions, v0))
    assert moving.std[1] == pytest.approx(float(actions[..., 1].std(correction=0)), rel=0.02)
    assert moving.mean[0] == pytest.approx(float(actions[..., 0].mean()), abs=1e-6)
    still = ActionSpace.fit(labels_of(actions * 0, v0 * 0))
    assert still.std.tolist() == pytest.approx([0.1, 1e-3])
    pulls_away = torch.zeros(1, 8, 2, dtype=torch.float64)
    pulls_away[0, 0] = torch.tensor([5.0, 0.3])  # from 0.5 to 1 m/s: its curvature does not count
    assert ActionSpace.fit(labels_of(pulls_away, torch.tensor([0.5]).double())).std[1] == pytest.approx(1e-3)


def labels_of(actions: Tensor, v0: Tensor) -> Labels:
    n = len(v0)
    names, zeros = np.array([f"clip-{i}" for i in range(n)]), torch.zeros(n, dtype=torch.int64)
    return Labels(names, zeros, v0, ROLLOUT(actions, v0).unsqueeze(1), zeros, names, names, "file")


def test_tokens_beyond_either_end_are_the_last_ones() -> None:
    far = torch.tensor([[-11.0, 11.0], [0.0, -10.0]])  # standard deviations
    assert ActionSpace().encode(far).tolist() == [0, 2999, 1500, 0]
    assert ActionSpace().count_clipped(far).item() == 2


def test_what_is_no_number_has_no_token() -> None:
    space, actions = ActionSpace(), torch.zeros(3, 4, 2)
    actions[2, 1] = torch.tensor([torch.inf, torch.nan])
    with pytest.raises(ValueError, match=r"^actions hold a NaN at index \(2, 1, 1\) of \(3, 4, 2\): it has no token$"):
        space.encode(actions)
    assert space.encode(actions[2, :, :1].expand(-1, 2))[2:4].tolist() == [2999, 2999]
    compiled = torch.compile(space.encode, backend="eager", fullgraph=True)
    assert torch.equal(compiled(actions[:2]), space.encode(actions[:2]))
    assert torch.vmap(space.encode)(actions[:2]).shape == (2, 8)


@given(raw=st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=2))
def test_squash_stays_inside_the_bounds(raw: list[float]) -> None:
    space = ActionSpace.alpamayo()
    assert bool(space.within_bounds(space.squash(torch.tensor([raw]))))


def test_normalize_inverts_denormalize_and_squash_is_denormalize_near_the_mean() -> None:
    space = ActionSpace.alpamayo().double()
    z = torch.linspace(-1, 1, 20, dtype=torch.float64).view(10, 2)
    assert torch.allclose(space.normalize(space.denormalize(z)), z)
    assert (space.squash(z) - space.denormalize(z)).abs().max() < 2e-3
    assert space.within_bounds(torch.tensor([[9.8, 0.33], [-9.8, -0.33]])).item()
    assert not space.within_bounds(torch.tensor([[0.0, 0.331]])).item()


@pytest.mark.parametrize("shape", [(3, 5, 2), (3, 4, 301, 2)])
def test_scaled_raw_actions_are_squashed_as_the_formula_says(shape: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(0)
    raw = torch.randn(*shape, dtype=torch.float64, generator=draw) * 20
    scale = torch.rand(3, 2, dtype=torch.float64, generator=draw) + 0.5
    space = ActionSpace.alpamayo().double()
    wide = raw * scale.view(3, *[1] * (len(shape) - 2), 2) * space.std + space.mean
    wanted = space.bound * (wide / space.bound).tanh()
    torch.testing.assert_close(space.squash(raw, scale), wanted, rtol=1e-13, atol=1e-15)
    near = ActionSpace.alpamayo().squash(raw.float(), scale.float())
    torch.testing.assert_close(near.double(), wanted, rtol=1e-5, atol=1e-7)


def test_the_gradient_of_squash_is_that_of_its_formula_any_number_of_times() -> None:
    draw, space = torch.Generator().manual_seed(1), ActionSpace.alpamayo().double()
    raw = (torch.randn(2, 3, 4, 2, dtype=torch.float64, generator=draw) * 9).requires_grad_()
    scale = torch.rand(2, 2, dtype=torch.float64, generator=draw).add(0.5).requires_grad_()
    for asked in (lambda raw: space.squash(raw, scale.detach()), lambda raw: space.squash(raw, scale)):
        assert torch.autograd.gradcheck(asked, (raw,))
        assert torch.autograd.gradgradcheck(asked, (raw,))
        wanted = torch.autograd.functional.jacobian(asked, raw)
        torch.testing.assert_close(torch.autograd.functional.jacobian(asked, raw, vectorize=True), wanted)
        torch.testing.assert_close(torch.func.jacfwd(asked)(raw), wanted)
    assert torch.autograd.gradcheck(lambda scale: space.squash(raw.detach(), scale), (scale,))


def test_what_is_no_number_stays_none_and_the_bounds_are_reached() -> None:
    raw = torch.tensor([[[torch.nan, torch.inf]], [[-torch.inf, torch.nan]]]).requires_grad_()
    found = ActionSpace().squash(raw, torch.ones(2, 2))
    torch.testing.assert_close(
        found, torch.tensor([[[torch.nan, 0.33]], [[-9.8, torch.nan]]]), rtol=0, atol=0, equal_nan=True
    )
    (grad,) = torch.autograd.grad(found.sum(), raw)
    assert grad.isnan().tolist() == [[[True, False]], [[False, True]]]
    assert grad.nan_to_num(0.0).abs().max() == 0


def test_mirrored_numbers_are_squashed_to_mirrored_actions() -> None:
    raw = torch.linspace(-40, 40, 402).view(3, 67, 2)
    scale, space = torch.tensor([[1.0, 2.0], [0.5, 1.0], [1.0, 0.25]]), ActionSpace()
    assert torch.equal(space.squash(-raw, scale), -space.squash(raw, scale))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tanh_is_within_three_units_in_the_last_place(dtype: torch.dtype) -> None:
    raw = torch.cat([torch.linspace(-25, 25, 20000), torch.logspace(-12, 1.5, 20000)]).to(dtype).view(1, -1, 2)
    one = torch.ones(2, dtype=dtype)
    space = ActionSpace(0 * one, one).to(dtype)
    space.bound.fill_(1)
    found = space.squash(raw, one.unsqueeze(0)).numpy()
    exact = np.tanh(raw.numpy().astype(np.longdouble))
    assert (np.abs(found - exact) <= 3 * np.spacing(np.abs(found))).all()


def test_the_released_numbers() -> None:
    space = ActionSpace.alpamayo()
    assert space.mean.tolist() == pytest.approx([0.029026947, 0.000269217], rel=1e-5)
    assert space.std.tolist() == pytest.approx([0.681042674, 0.026148281], rel=1e-6)
    assert space.bound.tolist() == pytest.approx([9.8, 0.33])
    cut = ActionSpace().clamp(torch.tensor([[-10.0, 0.1], [3.0, -0.5], [11.0, 0.4]]))
    torch.testing.assert_close(cut, torch.tensor([[-9.8, 0.1], [3.0, -0.33], [9.8, 0.33]]))
    inside = torch.tensor([[[0.0, 0.0], [9.9, 0.0]], [[0.0, 0.0], [0.0, -0.34]], [[-9.8, 0.33], [0.0, 0.0]]])
    assert ActionSpace().within_bounds(inside).tolist() == [False, False, True]


def test_statistics_by_hand() -> None:
    """Of population, as divided by n; backwards as fast as forwards; steps of 0.2 s."""
    back = torch.tensor([[[1.0, 0.1], [-1.0, 0.3]]], dtype=torch.float64)
    labels = labels_of(back, torch.tensor([-5.0]).double())
    found = ActionSpace.fit(labels)
    assert found.mean.tolist() == pytest.approx([0.0, 0.2])
    assert found.std.tolist() == pytest.approx([1.0, 0.1])
    slower = ActionSpace.fit(replace(labels, dt=0.2))  # the same states in twice the time: half of a and of kappa
    assert slower.std.tolist() == pytest.approx([0.5, 0.05])
    still = ActionSpace.fit(labels_of(back * torch.tensor([0.1, 0.0]), torch.tensor([0.5]).double()))
    assert still.mean[1] == 0
    turns = torch.tensor([[[0.0, 0.2], [0.0, -0.2]]], dtype=torch.float64)
    for speed, spread in ((0.59, 1e-3), (0.61, 0.2)):
        slow = ActionSpace.fit(labels_of(turns, torch.tensor([speed], dtype=torch.float64)))
        assert slow.std[1] == pytest.approx(spread)
