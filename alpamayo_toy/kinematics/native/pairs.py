"""The library's mean distances of every pair, and their gradient, on tensors."""

import torch
from torch import Tensor

from alpamayo_toy.kinematics.native.library import function, in_shares

SHARE = 2**20  # distances that are worth a thread


def mean_distances(one: Tensor, two: Tensor | None, weights: Tensor) -> Tensor:
    """One (B, M, T, 2 or more), two (B, Y, T, 2 or more), weights (T,) -> (B, M, Y); without two among one."""
    out = one.new_empty(*one.shape[:2], (one if two is None else two).shape[1])
    _call(one, two, None, out, None, None, weights)
    return out


def gradients(
    one: Tensor, two: Tensor | None, grad: Tensor, weights: Tensor, second: bool
) -> tuple[Tensor, Tensor | None]:
    """The gradient (B, M, Y) of the distances pulled back to one and, if it is wanted, to two."""
    mine, theirs = torch.empty_like(one), None if two is None or not second else torch.empty_like(two)
    _call(one, two, grad.contiguous(), None, mine, theirs, weights)
    return mine, theirs


def _call(
    one: Tensor,
    two: Tensor | None,
    grad: Tensor | None,
    out: Tensor | None,
    mine: Tensor | None,
    theirs: Tensor | None,
    weights: Tensor,
) -> None:
    call = function("distances", one.dtype)
    clips, m, horizon, width = one.shape
    y, other = (m, width) if two is None else (two.shape[1], two.shape[3])
    rest = (m, y, width, other, horizon)

    def do(count: int, *pointers: int | None) -> None:
        if call(*pointers, weights.data_ptr(), count, *rest):
            raise MemoryError(f"no memory for the distances of {m} and {y} trajectories of {horizon} steps")

    in_shares(do, [one, two, grad, out, mine, theirs], clips, max(1, SHARE // max(1, m * y * horizon)))
