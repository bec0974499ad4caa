"""mean_distances(): how far apart every two trajectories are, with a gradient that keeps nothing between."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from alpamayo_toy.metrics.displacement import distance

AT_ONCE = 2**18  # distances, 1 MB: what is made of more falls out of the cache


def mean_distances(samples: Tensor, others: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean distance over the steps of every pair: (..., M, T, 2 or more), (..., Y, T, 2 or more) -> (..., M, Y).

    weights (T,) of the steps, with mean 1. In blocks, and once more for the gradient: all pairs at once would hold
    M Y T distances a clip. The gradient at distance 0 is 0.
    """
    m, horizon, y = samples.shape[-3], samples.shape[-2], others.shape[-3]
    batch = torch.broadcast_shapes(samples.shape[:-3], others.shape[:-3])
    weights = samples.new_ones(horizon) if weights is None else weights
    one, two = (
        t if t.shape[-1] == 2 else t[..., :2] for t in (samples, others)
    )  # a slice costs a copy of its gradient
    one = one.expand(*batch, m, horizon, 2).reshape(-1, m, horizon, 2)
    two = two.expand(*batch, y, horizon, 2).reshape(-1, y, horizon, 2)
    found: Tensor = _Distances.apply(one, two, weights / horizon)  # type: ignore[no-untyped-call]
    return found.view(*batch, m, y)


def distances_among(samples: Tensor, weights: Tensor | None = None) -> Tensor:
    """The same of samples to each other: (..., M, T, 2 or more) -> (..., M, M), symmetric, 0 on the diagonal."""
    return mean_distances(samples, samples, weights)


class _Distances(torch.autograd.Function):
    """(B, M, T, 2), (B, Y, T, 2), weights (T,) that sum to 1 -> (B, M, Y)."""

    @staticmethod
    def forward(ctx: Any, one: Tensor, two: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(one, two, weights)
        found = one.new_empty(*one.shape[:2], two.shape[1])
        for clips, some, dx, dy in _differences(one, two):
            found[clips, some] = dx.mul_(dx).addcmul_(dy, dy).sqrt_() @ weights
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        one, two, weights = ctx.saved_tensors
        first, second, _ = ctx.needs_input_grad
        if torch.is_grad_enabled():  # create_graph: somebody differentiates this once more
            found = distance(one.unsqueeze(2), two.unsqueeze(1)) @ weights
            wanted = [tensor for tensor, needed in ((one, first), (two, second)) if needed]
            grads = iter(torch.autograd.grad(found, wanted, grad, create_graph=True))
            return next(grads) if first else None, next(grads) if second else None, None
        mine = torch.empty_like(one)
        theirs = torch.zeros_like(two) if second else None
        for clips, some, dx, dy in _differences(one, two):
            length = (dx * dx).addcmul_(dy, dy).clamp_(min=torch.finfo(dx.dtype).tiny)
            pull = length.rsqrt_().mul_(weights).mul_(grad[clips, some].unsqueeze(-1))
            dx.mul_(pull)
            dy.mul_(pull)
            mine[clips, some, :, 0], mine[clips, some, :, 1] = dx.sum(2), dy.sum(2)
            if theirs is not None:
                theirs[clips, ..., 0] -= dx.sum(1)
                theirs[clips, ..., 1] -= dy.sum(1)
        return mine, theirs, None


def _differences(one: Tensor, two: Tensor) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """Blocks of clips and of samples, and their differences in x and y (b, m, Y, T), which may be overwritten."""
    (n, m, horizon, _), y = one.shape, two.shape[1]
    few = min(m, max(1, AT_ONCE // max(y * horizon, 1)))
    clips = max(1, AT_ONCE // max(few * y * horizon, 1))
    # x and y each by itself in memory: strided reads take twice as long
    (ax, ay), (bx, by) = ([points[..., i].contiguous() for i in range(2)] for points in (one, two))
    for start in range(0, n, clips):
        rows = slice(start, start + clips)
        for first in range(0, m, few):
            some = slice(first, first + few)
            yield rows, some, ax[rows, some, None] - bx[rows, None], ay[rows, some, None] - by[rows, None]
