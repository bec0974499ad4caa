"""Symmetric positive definite banded systems, many at once: a loop over time, every step vectorised over the batch."""

from typing import Any

import torch
from torch import Tensor


def solve_banded(diagonals: Tensor, right: Tensor) -> Tensor:
    """x of M x = b: diagonals (w + 1, T, B) with diagonals[k, i] = M[i, i - k], b (T, B) -> x (T, B).

    Time comes first so that each step works on contiguous rows. Differentiable by one more solve with the same
    factors: M y = dL/dx gives dL/db = y and dL/dM[i, i - k] = -(y[i] x[i - k] + y[i - k] x[i]).
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return _eliminated(diagonals, right)
    solution: Tensor = _Solve.apply(diagonals, right)  # type: ignore[no-untyped-call]
    return solution


def _factored(diagonals: Tensor) -> tuple[Tensor, Tensor]:
    """L (w, T, B) below the diagonal and 1 / D (T, B) of M = L D L^T, from a copy of M that is worked on in place."""
    width, horizon = diagonals.shape[0] - 1, diagonals.shape[1]
    lower, inverse = torch.empty_like(diagonals[1:]), torch.empty_like(diagonals[0])
    m = [band.unbind(0) for band in diagonals.clone().unbind(0)]
    low, inv = [band.unbind(0) for band in lower.unbind(0)], inverse.unbind(0)
    for i in range(horizon):
        reach = min(width, i)
        for k in range(reach, 0, -1):
            for j in range(k + 1, reach + 1):
                m[k][i].addcmul_(low[j - 1][i], m[j - k][i - k], value=-1)
            torch.mul(m[k][i], inv[i - k], out=low[k - 1][i])
            m[0][i].addcmul_(low[k - 1][i], m[k][i], value=-1)
        torch.reciprocal(m[0][i], out=inv[i])
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


def _eliminated(diagonals: Tensor, right: Tensor) -> Tensor:
    """The same solution in plain operations, which functorch transforms and torch.compile see through."""
    width, horizon = diagonals.shape[0] - 1, diagonals.shape[1]
    below: list[list[Tensor]] = []  # below[i][k] = L[i, i - k] D[i - k]
    pivots: list[Tensor] = []
    forward: list[Tensor] = []
    for i in range(horizon):
        reach = min(width, i)
        row = [diagonals[0, i]] * (reach + 1)
        pivot, value = diagonals[0, i], right[i]
        for k in range(reach, 0, -1):
            entry = diagonals[k, i]
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
    def forward(ctx: Any, diagonals: Tensor, right: Tensor) -> Tensor:
        lower, inverse = _factored(diagonals)
        solution = _substituted(lower, inverse, right)
        ctx.save_for_backward(diagonals, right, lower, inverse, solution)
        return solution

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        diagonals, right, lower, inverse, solution = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: the same formulas in operations that are differentiated again
            solution = solve_banded(diagonals, right)
            adjoint = solve_banded(diagonals, grad)
        else:
            adjoint = _substituted(lower, inverse, grad)
        if not ctx.needs_input_grad[0]:
            return None, adjoint
        bands = [-adjoint * solution]
        for k in range(1, diagonals.shape[0]):
            inner = -(adjoint[k:] * solution[:-k] + adjoint[:-k] * solution[k:])
            bands.append(torch.cat([torch.zeros_like(inner[:1]).expand(k, *inner.shape[1:]), inner]))
        return torch.stack(bands), adjoint
