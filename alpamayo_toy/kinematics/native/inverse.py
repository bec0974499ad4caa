"""The library's inverse and its adjoint on tensors."""

from typing import NamedTuple

import torch
from torch import Tensor

from alpamayo_toy.kinematics.native.library import flat, function, in_shares

SHARE = 256  # tracks that are worth a thread


class Systems(NamedTuple):
    """What is alike for all tracks.

    diagonals (15, T) float64 without what hangs on a track: heading 4, speed 4, acceleration 3, curvature 3, and how
    the first speeds hang on v0; slow, m/s, below which "guard" holds curvatures at 0, and most, 1/m, which it clamps
    them to; guard, the place in GUARDS.
    """

    diagonals: Tensor
    dt: float
    slow: float
    most: float
    guard: int


def inverse(waypoints: Tensor, yaw: Tensor, v0: Tensor, systems: Systems) -> Tensor:
    """Waypoints (B, T, 2), yaw (B, T), v0 (B) -> actions (B, T, 2)."""
    out = torch.empty_like(waypoints, memory_format=torch.contiguous_format)
    _call("inverse", [flat(waypoints), flat(yaw), flat(v0), out], systems)
    return out


def adjoint(
    waypoints: Tensor, yaw: Tensor, v0: Tensor, grad: Tensor, systems: Systems
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient (B, T, 2) at the actions, pulled back to waypoints (B, T, 2), yaw (B, T) and v0 (B)."""
    given = flat(waypoints), flat(yaw), flat(v0)
    found = torch.empty_like(given[0]), torch.empty_like(given[1]), torch.empty_like(given[2])
    _call("inverse_adjoint", [*given, flat(grad), *found], systems)
    return found


def _call(name: str, tensors: list[Tensor | None], systems: Systems) -> None:
    yaw = tensors[1]
    assert yaw is not None
    call, (rows, horizon) = function(name, yaw.dtype), yaw.shape

    def do(count: int, *pointers: int | None) -> None:
        if call(*pointers, systems.diagonals.data_ptr(), count, horizon, *systems[1:]):
            raise MemoryError(f"no memory for tracks of {horizon} steps")

    in_shares(do, tensors, rows, SHARE)
