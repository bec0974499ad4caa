"""Banded systems: in C, few rows by LAPACK, and many by elimination are one function, to whoever looks on."""

import pytest
import torch
from served import by_both
from torch import Tensor

from alpamayo_toy.kinematics import banded
from alpamayo_toy.kinematics.banded import FEW, solve_banded
from alpamayo_toy.kinematics.native import banded as native

which = by_both(native)


def systems(rows: int, horizon: int, width: int, seed: int = 0) -> tuple[Tensor, list[Tensor], Tensor]:
    """M (B, T, T) positive definite, its bands with NaN where nothing is read, and b (T, B)."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(rows, horizon, horizon, dtype=torch.float64, generator=generator).tril().triu(-width)
    matrix = root @ root.mT + torch.eye(horizon)
    right = torch.randn(horizon, rows, dtype=torch.float64, generator=generator)
    return matrix, bands_of(matrix, width), right


def bands_of(matrix: Tensor, width: int) -> list[Tensor]:
    rows, horizon, _ = matrix.shape
    bands = []
    for k in range(width + 1):
        diagonal = matrix.diagonal(-k, 1, 2).T if k < horizon else matrix.new_zeros(0, rows)
        bands.append(torch.cat([torch.full((min(k, horizon), rows), torch.nan, dtype=torch.float64), diagonal]))
    return bands


def eliminated(monkeypatch: pytest.MonkeyPatch, bands: list[Tensor], right: Tensor) -> Tensor:
    with monkeypatch.context() as patched:
        patched.setattr(banded, "FEW", -1)
        patched.setattr(native, "serves", lambda *tensors: False)
        return solve_banded(bands, right)


@pytest.mark.parametrize("rows", [0, 1, 4, FEW, FEW + 1])
@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("horizon", [1, 2, 3, 9])
def test_systems_are_solved(monkeypatch: pytest.MonkeyPatch, horizon: int, width: int, rows: int) -> None:
    matrix, bands, right = systems(rows, horizon, width)
    before = [tensor.clone() for tensor in (right, *bands)]
    expected = torch.linalg.solve(matrix, right.T.unsqueeze(-1)).squeeze(-1).T
    found = solve_banded(bands, right)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(eliminated(monkeypatch, bands, right), found, rtol=0, atol=1e-12)
    if rows > 0:  # what a GPU does
        whole = banded._substituted(banded._dense(bands, right), right)
        torch.testing.assert_close(whole, expected, rtol=0, atol=1e-12)
    for kept, tensor in zip(before, (right, *bands), strict=True):  # LAPACK works in place, but on copies
        assert torch.equal(kept.nan_to_num(), tensor.nan_to_num())
    if rows > 0:
        seen = torch.func.vmap(lambda r: solve_banded(bands, r))(right[None])[0]
        torch.testing.assert_close(seen, expected, rtol=0, atol=1e-12)


def test_few_rows_go_to_lapack_in_float64_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "serves", lambda *tensors: False)
    asked: list[int] = []
    eliminate = banded._eliminated
    monkeypatch.setattr(banded, "_eliminated", lambda b, like: (asked.append(like.shape[1]), eliminate(b, like))[1])
    for rows in (1, FEW):
        _, bands, right = systems(rows, 9, 3)
        solve_banded(bands, right)
    assert asked == []
    _, bands, right = systems(FEW + 1, 9, 3)
    solve_banded(bands, right)
    assert asked == [FEW + 1]
    _, bands, right = systems(2, 9, 3)
    single = solve_banded([band.float() for band in bands], right.float())
    assert asked == [FEW + 1, 2]
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), solve_banded(bands, right), rtol=1e-3, atol=1e-3)


def test_both_ways_have_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    _, bands, right = systems(5, 12, 3)
    bands = [band.nan_to_num() for band in bands]
    shared = torch.full((12, 1), 0.1, dtype=torch.float64)  # one band for all rows, as a penalty is
    upstream = torch.randn(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = []
    for few in (FEW, -1):
        monkeypatch.setattr(banded, "FEW", few)
        if few < 0:
            monkeypatch.setattr(native, "serves", lambda *tensors: False)
        inputs = [tensor.clone().requires_grad_() for tensor in (right, bands[0] + 3, bands[1], shared)]
        x = solve_banded([*inputs[1:3], bands[2], inputs[3]], inputs[0])
        found.append((x, *torch.autograd.grad(x, inputs, upstream)))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-12)


def test_a_matrix_that_is_not_positive_definite_is_solved_all_the_same() -> None:
    matrix, _, right = systems(3, 9, 2)
    matrix[1] -= 3 * torch.eye(9)
    assert torch.linalg.eigvalsh(matrix[1])[0] < -0.1
    expected = torch.linalg.solve(matrix, right.T.unsqueeze(-1)).squeeze(-1).T
    torch.testing.assert_close(solve_banded(bands_of(matrix, 2), right), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rows", [5, FEW + 1])
def test_a_nan_stays_in_its_row(rows: int) -> None:
    _, bands, right = systems(rows, 9, 2)
    expected = solve_banded(bands, right)
    bands[0][4, 2] = torch.nan
    found = solve_banded(bands, right)
    assert bool(found[:, 2].isnan().any())
    others = torch.arange(rows) != 2
    torch.testing.assert_close(found[:, others], expected[:, others], rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("onlooker", ["make_fx", "jit.trace", "forward mode", "vectorized jacobian"])
def test_whoever_looks_on_sees_every_operation(onlooker: str) -> None:
    """A solve outside of torch would be a constant in a trace, and would have no derivative."""
    _, bands, right = systems(3, 6, 2)
    bands = [band.nan_to_num() for band in bands]

    def solve(b: Tensor) -> Tensor:
        return solve_banded(bands, b)

    expected = solve(2 * right)
    if onlooker == "make_fx":
        found = torch.fx.experimental.proxy_tensor.make_fx(solve)(right)(2 * right)
    elif onlooker == "jit.trace":
        found = torch.jit.trace(solve, right)(2 * right)
    elif onlooker == "forward mode":
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(right, 2 * right)
            found = torch.autograd.forward_ad.unpack_dual(solve(dual)).tangent
    else:
        jacobian = torch.autograd.functional.jacobian(solve, right, vectorize=True)
        found = torch.einsum("tbsc,sc->tb", jacobian, 2 * right)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_the_gradient_at_every_band_is_that_of_a_dense_solve() -> None:
    matrix, _, right = systems(2, 6, 3)
    weight = torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    lower = matrix.requires_grad_()
    whole = lower.tril().triu(-3) + lower.tril(-1).triu(-3).mT
    dense = torch.linalg.solve(whole, right.T.unsqueeze(-1)).squeeze(-1).T
    banded_one = solve_banded([band.nan_to_num() for band in bands_of(lower, 3)], right)
    wanted, found = (torch.autograd.grad((x * weight).sum(), lower, retain_graph=True)[0] for x in (dense, banded_one))
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)
