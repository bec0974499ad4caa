"""The library's banded solver on tensors."""

import ctypes

import torch
from torch import Tensor

from alpamayo_toy.kinematics.native.library import flat, library, serves

WIDEST = 3  # diagonals below the first that it is written for


def solves(bands: list[Tensor], right: Tensor) -> bool:
    """True where the library takes such a system: float64, in a CPU's memory, up to four bands."""
    return right.dtype == torch.float64 and len(bands) <= WIDEST + 1 and serves(right, *bands)


def solve(bands: list[Tensor], right: Tensor, keep: bool) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """x (T, B) from bands[k] (T, B) or (T, 1) and right (T, B); to keep also L (w, T, B) and 1 / D (T, B)."""
    lower = right.new_empty(len(bands) - 1, *right.shape) if keep else None
    inverse = right.new_empty(right.shape) if keep else None
    return _call(bands, right, lower, inverse), lower, inverse


def substitute(lower: Tensor, inverse: Tensor, right: Tensor) -> Tensor:
    """x (T, B) by the factors that were kept, for another right-hand side."""
    return _call([], right, lower, inverse)


def _call(bands: list[Tensor], right: Tensor, lower: Tensor | None, inverse: Tensor | None) -> Tensor:
    right, bands = flat(right), [flat(band) for band in bands]
    horizon, batch = right.shape
    out = torch.empty_like(right)
    nothing: list[Tensor | None] = [None] * (WIDEST + 1 - len(bands))
    tensors = [*bands, *nothing, right, out, lower, inverse]
    apart = (ctypes.c_int64 * (WIDEST + 1))(*(int(band.shape[1] > 1) for band in bands))
    width = len(bands) - 1 if lower is None else len(lower)
    library_here = library()
    assert library_here is not None
    if library_here.banded(*(None if t is None else t.data_ptr() for t in tensors), apart, width, horizon, batch):
        raise MemoryError(f"no memory for banded systems of {horizon} rows")
    return out
