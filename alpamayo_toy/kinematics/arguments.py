"""What rollout and inverse are given, at their boundary: ValueError or TypeError that names the argument."""

from numbers import Real
from typing import Any

import torch
from torch import Tensor

from alpamayo_toy.errors import shortened
from alpamayo_toy.teachers.config import DT_S

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


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
