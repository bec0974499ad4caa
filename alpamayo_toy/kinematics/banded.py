"""Symmetric positive definite banded systems, many at once.

In C where that serves. Else many rows take a loop over time, every step vectorised over the batch, and a few go one by
one through LAPACK; on a GPU, where every step of a loop is a launch, as many as are worth it are solved densely.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from alpamayo_toy.kinematics.device import batched_by_autograd, seen_through
from alpamayo_toy.kinematics.native import banded as native

# Rows. At T = 64 LAPACK takes a fiftieth of the loop's time for 1, a twelfth for 16, as long for 256. No more than 16,
# because the two differ in the last bits, and label sets of more clips are to stay as they were written.
FEW = 16
DENSE = 2048  # rows on a GPU, 64 MB of matrices at T = 64


def solve_banded(bands: list[Tensor], right: Tensor) -> Tensor:
    """x of M x = b: bands[k][i] = M[i, i - k] for k = 0..w, each (T, B), or (T, 1) where alike; b (T, B) -> x (T, B).

    What stands in bands[k][:k] is not read. Time comes first so that each step works on contiguous rows. Differentiable
    by one more solve with the same factors: M y = dL/dx gives dL/db = y and
    dL/dM[i, i - k] = -(y[i] x[i - k] + y[i - k] x[i]).
    """
    if seen_through() or batched_by_autograd(right):
        return _plain(bands, right)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (right, *bands)):
        solution: Tensor = _Solve.apply(right, *bands)  # type: ignore[no-untyped-call]
        return solution
    if native.solves(bands, right):
        return native.solve(bands, right, keep=False)[0]
    return _substituted(_factored(bands, right), right)


class Cholesky(NamedTuple):
    """M = U^T U of each row as LAPACK lays it out: upper (B, T, w + 1), [i, w - k] = U[i - k, i]."""

    upper: Tensor


class InC(NamedTuple):
    """M = L D L^T as the library keeps it: lower (w, T, B), lower[k - 1, i] = L[i, i - k], and inverse (T, B) of D."""

    lower: Tensor
    inverse: Tensor


class Dense(NamedTuple):
    """The LU factors of each whole M, (B, T, T), and the pivots (B, T), of which nothing needs to be asked of a GPU."""

    factors: Tensor
    pivots: Tensor


class Elimination(NamedTuple):
    """M eliminated from both ends at once, the upper end and the mirrored lower one side by side on an axis of two.

    lower (w, m + w, 2, B) and inverse (m, 2, B) of L D L^T for m rows of each end, L reaching w rows into the middle;
    middle (c, c, B), the inverse of what is left between them.
    """

    lower: Tensor
    inverse: Tensor
    middle: Tensor


Factors = Cholesky | InC | Dense | Elimination


def _factored(bands: list[Tensor], like: Tensor) -> Factors:
    """Dense on a GPU, LAPACK's for few rows in float64 on a CPU, else eliminated; like: any right-hand side (T, B)."""
    if like.device.type != "cpu" and 0 < like.shape[1] <= DENSE:
        return _dense(bands, like)
    if like.shape[1] <= FEW and like.dtype == torch.float64 and like.device.type == "cpu":
        factors = _cholesky(bands, like)
        if factors is not None:
            return factors
    return _eliminated(bands, like)


def _substituted(factors: Factors, right: Tensor) -> Tensor:
    """x (T, B) from the factors and b (T, B)."""
    if isinstance(factors, InC):
        return native.substitute(*factors, right)
    if isinstance(factors, Dense):
        dense: Tensor = torch.linalg.lu_solve(*factors, right.T.unsqueeze(-1))
        return dense.squeeze(-1).T
    if isinstance(factors, Elimination):
        return _inwards_and_outwards(factors, right)
    from scipy.linalg.lapack import dpbtrs

    solution = right.detach().numpy().T.copy()
    for upper, row in zip(factors.upper.numpy(), solution, strict=True):
        row[:], _ = dpbtrs(upper.T, row, overwrite_b=True)
    return torch.from_numpy(solution).T


def _cholesky(bands: list[Tensor], like: Tensor) -> Cholesky | None:
    """None where a rounding has left a matrix that is not positive definite: the elimination does not mind."""
    from scipy.linalg.lapack import dpbtrf

    horizon, batch = like.shape
    upper = np.empty((batch, horizon, len(bands)))
    for k, band in enumerate(bands):
        upper[..., -1 - k] = band.detach().numpy().T
    for row in upper:
        row.T[:], failed = dpbtrf(row.T, overwrite_ab=True)
        if failed:
            return None
    return Cholesky(torch.from_numpy(upper))


def _dense(bands: list[Tensor], like: Tensor) -> Dense:
    horizon, batch = like.shape
    matrix = like.new_zeros(batch, horizon, horizon)
    for k, band in enumerate(bands[:horizon]):
        for side in {-k, k}:
            matrix.diagonal(side, 1, 2).copy_(band[k:].T)
    factors, pivots, _ = torch.linalg.lu_factor_ex(matrix)
    return Dense(factors, pivots)


def _eliminated(bands: list[Tensor], like: Tensor) -> Elimination:
    """Half as many steps as from one end, each twice as wide: on a CPU small steps cost the same."""
    width, (horizon, batch) = len(bands) - 1, like.shape
    m = max(horizon - width, 0) // 2
    reached = min(m + width, horizon)
    lower, inverse = like.new_empty(width, reached, 2, batch), like.new_empty(m, 2, batch)
    low, inv = [rows.unbind(0) for rows in lower.unbind(0)], inverse.unbind(0)
    ring = width + 1  # rows of L D in use at a time: so few that they stay in the cache
    work = [rows.unbind(0) for rows in like.new_empty(width, ring, 2, batch).unbind(0)]
    c = [list(_from_both_ends(band, k, reached).unbind(0)) for k, band in enumerate(bands)]  # becomes L D, row by row
    for i in range(reached):
        reach = min(width, i)
        for k in range(reach, -1, -1):
            for j in range(max(k + 1, i - m + 1), reach + 1):  # column i - j lies before the middle
                c[k][i] = torch.addcmul(c[k][i], low[j - 1][i], c[j - k][i - k], value=-1, out=work[k][i % ring])
            if k > 0 and i - k < m:
                torch.mul(c[k][i], inv[i - k], out=low[k - 1][i])
        if i < m:
            inv[i].copy_(c[0][i]).reciprocal_()
    return Elimination(lower, inverse, _middle(bands, c, m, like))


def _from_both_ends(band: Tensor, k: int, reached: int) -> Tensor:
    """M[i, i - k] from above and, mirrored, M[T-1-i+k, T-1-i] from below, for i < reached: (reached, 2, B or 1)."""
    ends = band.new_empty(reached, 2, band.shape[1])
    ends[k:, 0] = band[k:reached]
    ends[k:, 1] = band[len(band) - reached + k :].flip(0)
    return ends


def _middle(bands: list[Tensor], c: list[list[Tensor]], m: int, like: Tensor) -> Tensor:
    """The inverse (c, c, B) of the rows between both ends, after what the ends took away from it."""
    horizon, batch = like.shape
    size, width = horizon - 2 * m, len(bands) - 1
    matrix = like.new_zeros(batch, size, size)
    for k in range(min(width + 1, size)):
        for row in range(k, size):
            original, mirrored = bands[k][m + row], size - 1 - (row - k)
            entry = original
            if m > 0 and row < width:
                entry = entry + (c[k][m + row][0] - original)
            if m > 0 and mirrored < width:
                entry = entry + (c[k][m + mirrored][1] - original)
            matrix[:, row, row - k] = matrix[:, row - k, row] = entry.expand(batch)
    inverse: Tensor = torch.linalg.inv(matrix)
    return inverse.permute(1, 2, 0).contiguous()


def _inwards_and_outwards(factors: Elimination, right: Tensor) -> Tensor:
    """x from the factors: inwards through L, the middle, outwards through L^T. All (T, B)."""
    lower, inverse, middle = factors
    width, reached, m, horizon = lower.shape[0], lower.shape[1], len(inverse), len(right)
    both = torch.stack([right[:reached], right[horizon - reached :].flip(0)], 1)
    low, x = [rows.unbind(0) for rows in lower.unbind(0)], both.unbind(0)
    for i in range(1, reached):
        for k in range(max(1, i - m + 1), min(width, i) + 1):
            x[i].addcmul_(low[k - 1][i], x[i - k], value=-1)
    inner = right[m : horizon - m].clone()
    reach = reached - m
    if m > 0:
        inner[:reach] += both[m:, 0] - right[m:reached]
        inner[len(inner) - reach :] += both[m:, 1].flip(0) - right[horizon - reached : horizon - m]
    inner = (middle * inner).sum(1)
    both[m:, 0], both[m:, 1] = inner[:reach], inner.flip(0)[:reach]
    both[:m].mul_(inverse)
    for i in range(m - 1, -1, -1):
        for k in range(1, min(width, reached - 1 - i) + 1):
            x[i].addcmul_(low[k - 1][i + k], x[i + k], value=-1)
    return torch.cat([both[:m, 0], inner, both[:m, 1].flip(0)])


def _plain(bands: list[Tensor], right: Tensor) -> Tensor:
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
        factors: Factors
        if native.solves(list(bands), right):
            solution, lower, inverse = native.solve(list(bands), right, keep=True)
            assert lower is not None
            assert inverse is not None
            factors = InC(lower, inverse)
        else:
            factors = _factored(list(bands), right)
            solution = _substituted(factors, right)
        ctx.kind = type(factors)
        ctx.save_for_backward(right, solution, *bands, *factors)
        return solution

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[1:]
        right, solution, *rest = ctx.saved_tensors
        bands, factors = rest[: len(needed)], rest[len(needed) :]
        if torch.is_grad_enabled():  # create_graph: the same formulas in operations that are differentiated again
            solution = solve_banded(bands, right)
        if torch.is_grad_enabled() or seen_through() or batched_by_autograd(grad):
            adjoint = solve_banded(bands, grad)
        else:
            adjoint = _substituted(ctx.kind(*factors), grad)
        grads: list[Tensor | None] = [adjoint]
        for k, band in enumerate(bands):
            if not needed[k]:
                grads.append(None)
                continue
            found = -(adjoint[k:] * solution[: len(right) - k])
            if k > 0:
                found = pad(found - adjoint[:-k] * solution[k:], (0, 0, k, 0))
            grads.append(found.sum_to_size(band.shape))
        return tuple(grads)
