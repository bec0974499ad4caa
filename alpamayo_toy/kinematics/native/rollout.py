"""The library's rollout and its adjoint on tensors."""

import torch
from torch import Tensor

from alpamayo_toy.kinematics.native.library import flat, function, in_shares

SHARE = 2048  # rows that are worth a thread
TILE = 16  # as in rollout.c


def rollout(
    actions: Tensor, v0: Tensor, dt: float, clamp: bool, steps: slice, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """Actions (..., T, 2), v0 (...) -> S of the T states (..., S, 4) and, to keep for the adjoint, yaw and v at every
    16th step (..., T / 16, 2) in float64.
    """
    actions, v0 = flat(actions), flat(v0)
    given = range(actions.shape[-2])[steps]
    out = actions.new_empty(*actions.shape[:-2], len(given), 4)
    tiles = -(-actions.shape[-2] // TILE)
    kept = actions.new_empty(*v0.shape, tiles, 2, dtype=torch.float64) if keep else None
    _call("rollout", [actions, v0, out, kept], v0.numel(), dt, clamp, given)
    return out, kept


def adjoint(actions: Tensor, kept: Tensor, grad: Tensor, dt: float, clamp: bool, steps: slice) -> tuple[Tensor, Tensor]:
    """The gradient (..., S, 4) at those states, pulled back to actions (..., T, 2) and v0 (...)."""
    actions = flat(actions)
    found = torch.empty_like(actions), actions.new_empty(actions.shape[:-2])
    given = range(actions.shape[-2])[steps]
    _call("adjoint", [actions, kept, flat(grad), *found], found[1].numel(), dt, clamp, given)
    return found


def _call(name: str, tensors: list[Tensor | None], rows: int, dt: float, clamp: bool, given: range) -> None:
    actions = tensors[0]
    assert actions is not None
    call, horizon = function(name, actions.dtype), actions.shape[-2]
    rest = (horizon, dt, clamp, given.start, given.step, len(given))
    in_shares(lambda count, *pointers: call(*pointers, count, *rest), tensors, rows, SHARE)
