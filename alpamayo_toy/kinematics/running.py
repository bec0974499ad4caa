"""Running extremes along the last axis, (..., T) -> (..., T), by doubling: in operations that every exporter knows."""

from collections.abc import Callable

import torch
from torch import Tensor


def running_minimum(values: Tensor) -> Tensor:
    """min(values[0], ..., values[t])"""
    return _running(torch.minimum, values)


def running_maximum(values: Tensor) -> Tensor:
    """max(values[0], ..., values[t])"""
    return _running(torch.maximum, values)


def _running(extreme: Callable[[Tensor, Tensor], Tensor], values: Tensor) -> Tensor:
    reach, horizon = 1, int(values.shape[-1])
    while reach < horizon:  # log2 T times
        values = torch.cat([values[..., :reach], extreme(values[..., reach:], values[..., :-reach])], -1)
        reach *= 2
    return values
