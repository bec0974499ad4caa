"""Smooth L1 of actions: its definition by a plain loop, and its gradient, in C and in PyTorch."""

import pytest
import torch
from served import by_both
from torch import Tensor

from alpamayo_toy.kinematics.action_space import ActionSpace
from alpamayo_toy.students import action_loss as module
from alpamayo_toy.students.action_loss import action_loss

which = by_both(module)


def drawn(*shape: int, seed: int) -> Tensor:
    """Actions as far from each other as one standard deviation and as three."""
    draw = torch.randn(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return draw * torch.tensor([0.9, 0.04])


def space() -> ActionSpace:
    return ActionSpace.alpamayo().double()


def by_hand(actions: Tensor, taught: Tensor, nearest: Tensor) -> Tensor:
    """z^2 / 2 or |z| - 1/2 of every number, one sample after the other."""
    terms = []
    for scene in range(len(taught)):
        for sample, mode in zip(taught[scene], nearest[scene].tolist(), strict=True):
            z = (actions[scene, mode] - sample) / space().std
            terms.append(torch.where(z.abs() < 1, z.square() / 2, z.abs() - 0.5))
    return torch.stack(terms).mean()


@pytest.mark.parametrize("steps", [1, 8, 11, 64])
def test_value_and_gradient_by_a_plain_loop(steps: int) -> None:
    actions, taught = drawn(5, 4, steps, seed=0).requires_grad_(), drawn(5, 3, steps, seed=1)
    nearest = torch.randint(4, (5, 3), generator=torch.Generator().manual_seed(2))
    found, wanted = action_loss(space(), actions, taught, nearest), by_hand(actions, taught, nearest)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(3 * found, actions), torch.autograd.grad(3 * wanted, actions))
    alone = actions[:, :1].detach().requires_grad_()
    found, wanted = action_loss(space(), alone, taught), by_hand(alone, taught, torch.zeros_like(nearest))
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found, alone), torch.autograd.grad(wanted, alone))
    near = action_loss(ActionSpace.alpamayo(), alone.detach().float(), taught.float())
    torch.testing.assert_close(near, found.detach().float())


def test_a_number_by_hand() -> None:
    """Half a deviation and three of them: (1/8 + 5/2) / 2, and slopes of 1/2 and 1 deviation over two numbers."""
    ones = ActionSpace(torch.tensor([5.0, -3.0]), torch.tensor([2.0, 0.1]))  # the mean does not matter
    actions = torch.tensor([[[[1.0, -0.3]]]], requires_grad=True)
    found = action_loss(ones, actions, torch.zeros(1, 1, 1, 2))
    assert found.item() == pytest.approx(1.3125)
    found.backward()
    torch.testing.assert_close(actions.grad, torch.tensor([[[[0.5 / 2 / 2, -1 / 0.1 / 2]]]]))


def test_any_number_of_derivatives() -> None:
    actions, taught = drawn(2, 3, 4, seed=3).requires_grad_(), drawn(2, 2, 4, seed=4)
    nearest = torch.tensor([[0, 2], [1, 1]])

    def found(actions: Tensor) -> Tensor:
        return action_loss(space(), actions, taught, nearest)

    assert torch.autograd.gradcheck(found, (actions,))
    assert torch.autograd.gradgradcheck(found, (actions,))
    teacher = taught.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: action_loss(space(), actions.detach(), t, nearest), (teacher,))
    once, twice = torch.autograd.functional.hessian(found, actions), torch.func.hessian(found)(actions)
    torch.testing.assert_close(once, twice)


def test_what_is_no_number_is_said() -> None:
    """A loss that is not finite ends a run: neither an infinite nor an undefined action may go under."""
    for odd in (torch.nan, torch.inf):
        actions = torch.zeros(1, 1, 20, 2)
        actions[0, 0, 17, 1] = odd
        assert not action_loss(space().float(), actions, torch.zeros(1, 6, 20, 2)).isfinite()
