"""The library's rollout and its adjoint on tensors."""

import torch
from torch import Tensor

from alpamayo_toy.kinematics.native.library import flat, function, in_shares

SHARE = 2048  # rows that are worth a thread


def rollout(actions: Tensor, v0: Tensor, dt: float, clamp: bool, keep: bool) -> tuple[Tensor, Tensor | None]:
    """Actions (..., T, 2), v0 (...) -> trajectory (..., T, 4) and, to keep for the adjoint, yaw and v (..., T, 2)."""
    actions, v0 = flat(actions), flat(v0)
    out = actions.new_empty(*actions.shape[:-1], 4)
    kept = torch.empty_like(actions) if keep else None
    _call("rollout", [actions, v0, out, kept], dt, clamp)
    return out, kept


def adjoint(actions: Tensor, v0: Tensor, kept: Tensor, grad: Tensor, dt: float, clamp: bool) -> tuple[Tensor, Tensor]:
    """The gradient (..., T, 4) at the trajectory, pulled back to actions (..., T, 2) and v0 (...)."""
    actions, v0 = flat(actions), flat(v0)
    found = torch.empty_like(actions), torch.empty_like(v0)
    _call("adjoint", [actions, v0, kept, flat(grad), *found], dt, clamp)
    return found


def _call(name: str, tensors: list[Tensor | None], dt: float, clamp: bool) -> None:
    actions, v0 = tensors[:2]
    assert actions is not None
    assert v0 is not None
    call, horizon = function(name, actions.dtype), actions.shape[-2]
    in_shares(lambda count, *pointers: call(*pointers, count, horizon, dt, clamp), tensors, v0.numel(), SHARE)
