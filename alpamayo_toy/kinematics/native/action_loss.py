"""The library's smooth L1 of actions, and its gradient, on tensors."""

import torch
from torch import Tensor

from alpamayo_toy.kinematics.native.library import flat, function, in_shares

SHARE = 2**20  # numbers that are worth a thread


def action_loss(actions: Tensor, taught: Tensor, nearest: Tensor | None, std: Tensor) -> tuple[Tensor, Tensor]:
    """Actions (B, M, T, 2), taught (B, Y, T, 2), nearest (B, Y) int64 of M or the first, std (2,) -> (), (B, M, T, 2).

    The mean over all numbers of taught, and its gradient at actions.
    """
    mine, theirs, std, which = flat(actions), flat(taught), flat(std), None if nearest is None else flat(nearest)
    sums, grad = torch.empty(len(mine), dtype=torch.float64), torch.empty_like(mine)
    call, scenes = function("action_loss", mine.dtype), len(mine)
    (m, y), numbers = (mine.shape[1], theirs.shape[1]), mine[0, 0].numel()

    def do(count: int, *pointers: int | None) -> None:
        call(*pointers, std.data_ptr(), count, m, y, numbers)

    in_shares(do, [mine, theirs, which, sums, grad], scenes, max(1, SHARE // (y * numbers)))
    return (sums.sum() / theirs.numel()).to(mine.dtype), grad.div_(theirs.numel())
