"""The library's squashing of raw numbers into actions, and its adjoint, on tensors."""

import torch
from torch import Tensor

from alpamayo_toy.kinematics.native.library import flat, function, in_shares

SHARE = 2**18  # numbers that are worth a thread


def squash(raw: Tensor, scale: Tensor, space: Tensor) -> Tensor:
    """Raw (B, ..., 2), scale (B, 2), space (3, 2) = mean, std, bound -> actions (B, ..., 2)."""
    return _call(raw, scale, None, space)


def adjoint(actions: Tensor, scale: Tensor, grad: Tensor, space: Tensor) -> Tensor:
    """The gradient (B, ..., 2) at what squash() gave, pulled back to raw."""
    return _call(actions, scale, flat(grad), space)


def _call(given: Tensor, scale: Tensor, grad: Tensor | None, space: Tensor) -> Tensor:
    given, scale = flat(given), flat(scale)
    out = torch.empty_like(given)
    call, scenes = function("squash", given.dtype), len(scale)
    numbers = given.numel() // scenes

    def do(count: int, *pointers: int | None) -> None:
        call(*pointers, space.data_ptr(), count, numbers)

    in_shares(do, [given, scale, grad, out], scenes, max(1, SHARE // numbers))
    return out
