"""Symmetric positive definite banded systems, many at once: a loop over time, every step vectorised over the batch."""

from typing import Any

import torch
from torch import Tensor


def solve_banded(bands: list[Tensor], right: Tensor) -> Tensor:
    """x of M x = b: bands[k][i] = M[i, i - k] for k = 0..w, each (T, B), or (T, 1) where alike; b (T, B) -> x (T, B).

    What stands in bands[k][:k] is not read. Time comes first so that each step works on contiguous rows. Differentiable
    by one more solve with the same factors: M y = dL/dx gives dL/db = y and
    dL/dM[i, i - k] = -(y[i] x[i - k] + y[i - k] x[i]).
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return _eliminated(bands, right)
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in (right, *bands)):
        return _substituted(*_factored(bands, right), right)
    solution: Tensor = _Solve.apply(right, *bands)  # type: ignore[no-untyped-call]
    return solution


def _factored(bands: list[Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
    """L (w, T, B) below the diagonal and 1 / D (T, B) of M = L D L^T."""
    width, horizon = len(bands) - 1, len(like)
    lower, inverse = like.new_empty(width, *like.shape), torch.empty_like(like)
    low, inv = [rows.unbind(0) for rows in lower.unbind(0)], inverse.unbind(0)
    work = [rows.unbind(0) for rows in like.new_empty(width, *like.shape).unbind(0)]
    m = [list(band.unbind(0)) for band in bands]  # row by row replaced by L D, in the workspace
    for i in range(horizon):
        reach = min(width, i)
        for k in range(reach, 0, -1):
            for j in range(k + 1, reach + 1):
                m[k][i] = torch.addcmul(m[k][i], low[j - 1][i], m[j - k][i - k], value=-1, out=work[k][i])
            torch.mul(m[k][i], inv[i - k], out=low[k - 1][i])
            m[0][i] = torch.addcmul(m[0][i], low[k - 1][i], m[k][i], value=-1, out=work[0][i])
        inv[i].copy_(m[0][i]).reciprocal_()
    return lower, inverse


def _substituted(lower: Tensor, inverse: Tensor, right: Tensor) -> Tensor:
    """x from the factors: forward through L, divide by D, back through L^T. All (T, B)."""
    width, horizon = lower.shape[0], lower.shape[1]
    solution = right.clone()
    low, x = [band.unbind(0) for band in lower.unbind(0)], solution.unbind(0)
    for i in range(1, horizon):
        for k in range(1, min(width, i) + 1):
            x[i].addcmul_(low[k - 1][i], x[i - k], value=-1)
    solution.mul_(inverse)
    for i in range(horizon - 2, -1, -1):
        for k in range(1, min(width, horizon - 1 - i) + 1):
            x[i].addcmul_(low[k - 1][i + k], x[i + k], value=-1)
    return solution


def _eliminated(bands: list[Tensor], right: Tensor) -> Tensor:
    """The same solution in plain operations, which functorch transforms and torch.compile see through."""
    width, horizon = len(bands) - 1, len(right)
    below: list[list[Tensor]] = []  # below[i][k] = L[i, i - k] D[i - k]
    pivots: list[Tensor] = []
    forward: list[Tensor] = []
    for i in range(horizon):
        reach = min(width, i)
        row = [bands[0][i]] * (reach + 1)
        pivot, value = bands[0][i], right[i]
        for k in range(reach, 0, -1):
            entry = bands[k][i]
            for j in range(k + 1, reach + 1):
                entry = entry - row[j] * below[i - k][j - k] / pivots[i - j]
            row[k] = entry
            pivot = pivot - entry * entry / pivots[i - k]
            value = value - entry * forward[i - k] / pivots[i - k]
        below.append(row)
        pivots.append(pivot)
        forward.append(value)
    solution = list(forward)
    for i in range(horizon - 1, -1, -1):
        value = forward[i]
        for k in range(1, min(width, horizon - 1 - i) + 1):
            value = value - below[i + k][k] * solution[i + k]
        solution[i] = value / pivots[i]
    return torch.stack(solution)


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, right: Tensor, *bands: Tensor) -> Tensor:
        lower, inverse = _factored(list(bands), right)
        solution = _substituted(lower, inverse, right)
        ctx.save_for_backward(right, lower, inverse, solution, *bands)
        return solution

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        right, lower, inverse, solution, *bands = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: the same formulas in operations that are differentiated again
            solution = solve_banded(bands, right)
            adjoint = solve_banded(bands, grad)
        else:
            adjoint = _substituted(lower, inverse, grad)
        grads: list[Tensor | None] = [adjoint]
        for k, band in enumerate(bands):
            if not ctx.needs_input_grad[k + 1]:
                grads.append(None)
                continue
            found = -(adjoint[k:] * solution[: len(right) - k])
            if k > 0:
                found = found - adjoint[:-k] * solution[k:]
                found = torch.cat([torch.zeros_like(solution[:k]), found])
            grads.append(found.sum_to_size(band.shape))
        return tuple(grads)
