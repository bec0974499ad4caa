"""Distances of every pair: those of plain differences, and their gradient."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from served import by_both
from torch import Tensor

from alpamayo_toy.metrics import pairs
from alpamayo_toy.metrics.pairs import distances_among, mean_distances

which = by_both(pairs)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def plain(one: Tensor, other: Tensor, weights: Tensor) -> Tensor:
    apart = (one[..., :, None, :, :2] - other[..., None, :, :, :2]).norm(dim=-1)
    return (apart * weights).mean(-1)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 9), st.sampled_from([2, 4]))
def test_they_are_the_mean_distances_of_every_pair(m: int, y: int, steps: int, columns: int) -> None:
    one, other = drawn(3, 2, m, steps, columns), drawn(2, y, steps, columns, seed=1)
    weights = torch.linspace(0.5, 1.5, steps, dtype=torch.float64)
    torch.testing.assert_close(mean_distances(one, other), plain(one, other, torch.ones_like(weights)))
    torch.testing.assert_close(mean_distances(one, other, weights), plain(one, other, weights))
    torch.testing.assert_close(distances_among(one, weights), plain(one, one, weights))


def test_gradcheck() -> None:
    one, other, weights = drawn(2, 3, 4, 4), drawn(2, 5, 4, 4, seed=1), drawn(4, seed=2).abs()
    one.requires_grad_(True)
    other.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda a, b: mean_distances(a, b, weights), (one, other))
    assert torch.autograd.gradcheck(lambda a: distances_among(a, weights), (one,))
    assert torch.autograd.gradgradcheck(lambda a, b: mean_distances(a, b, weights), (one, other))
    assert torch.autograd.gradgradcheck(lambda a: distances_among(a, weights)[:, :2, 2], (one,))


def test_the_gradient_of_points_that_meet_is_zero() -> None:
    same = torch.ones(1, 2, 3, 2, requires_grad=True)
    (mean_distances(same, torch.ones(1, 1, 3, 2)).sum() + distances_among(same).sum()).backward()
    assert same.grad is not None
    assert torch.equal(same.grad, torch.zeros_like(same))


def test_gradients_of_any_number_of_steps_and_columns_are_those_of_plain_differences() -> None:
    for steps in (1, 16, 41):
        one, other = drawn(5, 3, steps, 4).requires_grad_(), drawn(5, 2, steps, 2, seed=1).requires_grad_()
        pull, among = drawn(5, 3, 2, seed=2), drawn(5, 3, 3, seed=3)
        found, own = mean_distances(one, other), distances_among(one)
        plainly = plain(one, other, torch.ones(()))
        its_own = ((one[:, :, None, :, :2] - one[:, None, :, :, :2]).square().sum(-1) + 1e-300).sqrt().mean(-1)
        right = torch.autograd.grad((plainly * pull).sum() + (its_own * among).sum(), (one, other))
        torch.testing.assert_close(torch.autograd.grad((found * pull).sum() + (own * among).sum(), (one, other)), right)


def test_derivatives_forwards_and_many_at_once_are_those_backwards() -> None:
    one, other = drawn(2, 3, 4, 2), drawn(2, 5, 4, 2, seed=1)
    for asked in (lambda a: mean_distances(a, other), distances_among):
        wanted = torch.autograd.functional.jacobian(asked, one)
        torch.testing.assert_close(torch.autograd.functional.jacobian(asked, one, vectorize=True), wanted)
        torch.testing.assert_close(torch.func.jacfwd(asked)(one), wanted)
        torch.testing.assert_close(torch.func.jacrev(asked)(one), wanted)
        again = torch.autograd.functional.jacobian(asked, one, create_graph=True)
        torch.testing.assert_close(again, wanted)
