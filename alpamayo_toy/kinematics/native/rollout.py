"""The library's rollout and its adjoint on tensors."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from alpamayo_toy.kinematics.native.library import library

KINDS = {torch.float32: "float", torch.float64: "double"}
SHARE = 2048  # rows that are worth a thread


def serves(actions: Tensor, v0: Tensor) -> bool:
    """True where the library is there and both are plain tensors in a CPU's memory."""
    plain = all(type(tensor) in (Tensor, nn.Parameter) and tensor.device.type == "cpu" for tensor in (actions, v0))
    return plain and actions.numel() > 0 and library() is not None


def rollout(actions: Tensor, v0: Tensor, dt: float, clamp: bool, keep: bool) -> tuple[Tensor, Tensor | None]:
    """Actions (..., T, 2), v0 (...) -> trajectory (..., T, 4) and, to keep for the adjoint, yaw and v (..., T, 2)."""
    actions, v0 = _flat(actions), _flat(v0)
    out = actions.new_empty(*actions.shape[:-1], 4)
    kept = torch.empty_like(actions) if keep else None
    _in_shares("rollout", [actions, v0, out, kept], dt, clamp)
    return out, kept


def adjoint(actions: Tensor, v0: Tensor, kept: Tensor, grad: Tensor, dt: float, clamp: bool) -> tuple[Tensor, Tensor]:
    """The gradient (..., T, 4) at the trajectory, pulled back to actions (..., T, 2) and v0 (...)."""
    actions, v0, grad = _flat(actions), _flat(v0), _flat(grad)
    found = torch.empty_like(actions), torch.empty_like(v0)
    _in_shares("adjoint", [actions, v0, kept, grad, *found], dt, clamp)
    return found


def _flat(tensor: Tensor) -> Tensor:
    """Its numbers one after the other in memory."""
    return tensor.detach().resolve_neg().contiguous()


def _in_shares(name: str, tensors: list[Tensor | None], dt: float, clamp: bool) -> None:
    """Call a function of the library on all rows, or on a share of them in each of PyTorch's threads."""
    actions, v0 = tensors[:2]
    assert actions is not None
    assert v0 is not None
    function: Callable[..., Any] = getattr(library(), f"{name}_{KINDS[actions.dtype]}")
    rows, horizon = v0.numel(), actions.shape[-2]

    def do(first: int, count: int) -> None:
        pointers = [None if t is None else t.data_ptr() + first * (t.nbytes // rows) for t in tensors]
        function(*pointers, count, horizon, dt, clamp)

    threads = min(torch.get_num_threads(), rows // SHARE)
    if threads < 2:
        do(0, rows)
        return
    share = -(-rows // threads)
    with ThreadPoolExecutor(threads) as pool:
        starts = range(0, rows, share)
        list(pool.map(do, starts, (min(share, rows - start) for start in starts)))
