"""mean_distances(): how far apart every two trajectories are, with a gradient that keeps nothing between."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from alpamayo_toy.kinematics.device import asked_again, batched_by_autograd, plain_gradients, seen_through
from alpamayo_toy.kinematics.native import pairs as native
from alpamayo_toy.kinematics.native.library import flat, serves
from alpamayo_toy.metrics.displacement import distance

AT_ONCE = 2**18  # distances, 1 MB: what is made of more falls out of the cache


def mean_distances(samples: Tensor, others: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean distance over the steps of every pair: (..., M, T, 2 or more), (..., Y, T, 2 or more) -> (..., M, Y).

    Weights (T,) of the steps have mean 1. In blocks, and once more for the gradient: all pairs at once would hold M Y T
    distances a clip. The gradient at distance 0 is 0.
    """
    # broadcast_shapes() imports a compiler
    batch = torch.broadcast_tensors(samples[..., :1, :1, :1], others[..., :1, :1, :1])[0].shape[:-3]
    one, two = (t.expand(*batch, *t.shape[-3:]).reshape(-1, *t.shape[-3:]) for t in (samples, others))
    return _measured(one, two, weights).view(*batch, samples.shape[-3], others.shape[-3])


def distances_among(samples: Tensor, weights: Tensor | None = None) -> Tensor:
    """The same of samples to each other: (..., M, T, 2 or more) -> (..., M, M), symmetric, 0 on the diagonal."""
    one = samples.reshape(-1, *samples.shape[-3:])
    return _measured(one, None, weights).view(*samples.shape[:-2], samples.shape[-3])


def _measured(one: Tensor, two: Tensor | None, weights: Tensor | None) -> Tensor:
    """(B, M, T, 2 or more), (B, Y, T, 2 or more) -> (B, M, Y); without two among one."""
    horizon = one.shape[-2]
    weights = (one.new_ones(horizon) if weights is None else weights.to(one)) / horizon
    found: Tensor
    watched = seen_through() or batched_by_autograd(one)
    if not watched and serves(*(t for t in (one, two, weights) if t is not None)):
        found = _InC.apply(one, two, weights)  # type: ignore[no-untyped-call]
        return found
    other = one if two is None else two
    if watched:
        return _plain(one, other, weights)
    found = _Distances.apply(one[..., :2], other[..., :2], weights)  # type: ignore[no-untyped-call]
    return found


def _plain(one: Tensor, two: Tensor, weights: Tensor) -> Tensor:
    """All pairs at once, in operations that are differentiated any number of times."""
    return distance(one.unsqueeze(2), two.unsqueeze(1)) @ weights


def _again(
    one: Tensor, two: Tensor | None, weights: Tensor, needed: tuple[bool, bool], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """Both gradients in plain operations."""

    def composed(one: Tensor, two: Tensor | None = None) -> Tensor:
        return _plain(one, one if two is None else two, weights)

    if two is None:
        return *plain_gradients(composed, (one,), needed[:1], grad), None
    return plain_gradients(composed, (one, two), needed, grad)


class _InC(torch.autograd.Function):
    """The library's: all columns in, so that nothing is sliced."""

    @staticmethod
    def forward(ctx: Any, one: Tensor, two: Tensor | None, weights: Tensor) -> Tensor:
        ctx.save_for_backward(one, two, weights)
        return native.mean_distances(flat(one), None if two is None else flat(two), flat(weights))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        one, two, weights = ctx.saved_tensors
        if asked_again(grad):
            return *_again(one, two, weights, ctx.needs_input_grad[:2], grad), None
        other = None if two is None else flat(two)
        return *native.gradients(flat(one), other, flat(grad), flat(weights), ctx.needs_input_grad[1]), None


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
        if asked_again(grad):
            return *_again(one, two, weights, ctx.needs_input_grad[:2], grad), None
        mine = torch.empty_like(one)
        theirs = torch.zeros_like(two) if ctx.needs_input_grad[1] else None
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
