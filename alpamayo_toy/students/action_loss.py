"""action_loss(): how far a student's actions are from a teacher's, in standard deviations."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from alpamayo_toy.kinematics.action_space import ActionSpace
from alpamayo_toy.kinematics.device import asked_again, batched_by_autograd, plain_gradients, seen_through
from alpamayo_toy.kinematics.native import action_loss as native
from alpamayo_toy.kinematics.native.library import serves


def action_loss(space: ActionSpace, actions: Tensor, taught: Tensor, nearest: Tensor | None = None) -> Tensor:
    """Smooth L1 of (actions - taught) / std, the mean over all: (B, M, T, 2), (B, Y, T, 2) -> ().

    nearest (B, Y) int64 says which of the M each of the Y is compared with; without it that is the only one.
    """
    std = space.std.to(actions)
    watched = seen_through() or batched_by_autograd(actions) or taught.requires_grad
    if watched or not serves(actions, taught, std):
        return _plain(actions, taught, nearest, std)
    found: Tensor = _InC.apply(actions, taught, nearest, std)  # type: ignore[no-untyped-call]
    return found


def _plain(actions: Tensor, taught: Tensor, nearest: Tensor | None, std: Tensor) -> Tensor:
    """In PyTorch's operations."""
    if nearest is not None:
        first = actions.shape[1] * torch.arange(len(actions), device=actions.device).unsqueeze(1)
        which = (first + nearest).flatten()  # rows cost less than gather()'s numbers
        actions = actions.flatten(0, 1).index_select(0, which).view(taught.shape)
    rows = std.repeat(taught.shape[-2])  # an axis of two takes five times as long
    mine, theirs = actions.flatten(-2) / rows, taught.flatten(-2) / rows
    return functional.smooth_l1_loss(mine.expand_as(theirs), theirs)


class _InC(torch.autograd.Function):
    """The same in C, whose one pass finds the gradient too."""

    @staticmethod
    def forward(ctx: Any, actions: Tensor, taught: Tensor, nearest: Tensor | None, std: Tensor) -> Tensor:
        found, pull = native.action_loss(actions, taught, nearest, std)
        ctx.save_for_backward(actions, taught, nearest, std, pull)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        actions, taught, nearest, std, pull = ctx.saved_tensors
        if not asked_again(grad):
            return pull * grad, None, None, None

        def composed(actions: Tensor) -> Tensor:
            return _plain(actions, taught, nearest, std)

        return *plain_gradients(composed, (actions,), (True,), grad), None, None, None
