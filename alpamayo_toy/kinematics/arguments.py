"""What rollout and inverse are given, at their boundary: ValueError or TypeError that names the argument."""

import math
import warnings
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from alpamayo_toy.errors import shortened
from alpamayo_toy.kinematics.device import seen_through
from alpamayo_toy.teachers.config import DT_S

HALVES = (torch.bfloat16, torch.float16)
DTYPES = (torch.float32, torch.float64, *HALVES)


def require_dt(dt: Any) -> None:
    """Seconds that a step takes, a plain number."""
    if type(dt) is not float and (isinstance(dt, bool) or not isinstance(dt, Real)):
        raise TypeError(f"dt must be a number of seconds (got {shortened(dt)})")
    seconds = float(dt)
    if not seconds > 0:
        raise ValueError(f"dt must be > 0 (got {dt})")
    if not DT_S[0] <= seconds <= DT_S[1]:
        raise ValueError(f"dt must be between {DT_S[0]:g} and {DT_S[1]:g} s (got {dt})")


def require_tensor(name: str, tensor: Any, beside: Tensor | None = None) -> None:
    """A dense floating-point tensor that holds numbers, on the device of the one beside it."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a tensor (got {type(tensor).__name__})")
    if tensor.dtype not in DTYPES:
        raise ValueError(f"{name} must be a floating-point tensor of 16, 32 or 64 bits (got {tensor.dtype})")
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_nested:
        kind = "nested" if tensor.is_nested else tensor.layout
        raise ValueError(f"{name} must be a dense tensor that holds numbers (got {kind} on {tensor.device})")
    if beside is not None and tensor.device != beside.device:
        raise ValueError(f"{name} must be on the device of the others, {beside.device} (got {tensor.device})")


def common_dtype(tensors: dict[str, Tensor], check: bool) -> torch.dtype:
    """The dtype to answer in; warns of half precision; ValueError, with check, for NaN or infinity."""
    visible = not seen_through()
    dtype = torch.float32
    for name, tensor in tensors.items():
        dtype = torch.promote_types(dtype, tensor.dtype)
        columns = tensor.detach().unbind(-1) if tensor.shape[-1:] == (2,) else (tensor.detach(),)  # a slice sums slowly
        if check and visible and not all(math.isfinite(c.sum()) for c in columns) and not bool(tensor.isfinite().all()):
            bad = (~tensor.isfinite()).nonzero()[0].tolist()
            raise ValueError(f"{name} holds a NaN or infinite value at index {tuple(bad)} of {tuple(tensor.shape)}")
    halves = [name for name, tensor in tensors.items() if tensor.numel() and tensor.dtype in HALVES]
    if halves and visible:
        first = tensors[halves[0]]
        grid = torch.finfo(first.dtype).eps * float(first.abs().max())
        warnings.warn(
            f"{halves[0]} in {first.dtype} lies on a grid of {grid:.2g} at its largest value; actions are its second"
            " differences and mostly noise",
            stacklevel=3,
        )
    return dtype
