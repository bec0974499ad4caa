"""What a drive along a path is judged by: does it stay on its lane, get on, and keep its plans?"""

import torch
from torch import Tensor

from alpamayo_toy.kinematics.route import wrapped
from alpamayo_toy.metrics.displacement import distance

CORRIDOR = 2.0  # m to either side of the path
STANDS, ROLLING = 0.1, 0.5  # m/s
PATIENCE = 3.0  # s


def along_a_path(
    start: Tensor, along: Tensor, beside: Tensor, heading_error: Tensor, corridor: float = CORRIDOR
) -> dict[str, Tensor]:
    """By name (N,) each, of N drives of S steps from start (N,): along, beside, heading_error (N, S), metres, radians.

    left_corridor: 1.0 where |beside| exceeded the corridor at any step, else 0.0. lateral_rms, lateral_p95 and
    lateral_end: of |beside|, in metres. heading_end: |heading error| at the end in radians. progress: metres along.
    """
    away = beside.abs()
    return {
        "left_corridor": (away > corridor).any(-1).to(away.dtype),
        "lateral_rms": away.square().mean(-1).sqrt(),
        "lateral_p95": away.quantile(0.95, -1),
        "lateral_end": away[..., -1],
        "heading_end": wrapped(heading_error[..., -1]).abs(),
        "progress": along[..., -1] - start,
    }


def pulls_away(v0: Tensor, speed: Tensor, dt: float) -> Tensor:
    """Whether cars that stand roll within 3 s: v0 (N,), speed (N, S) -> (N,) 1.0 or 0.0.

    NaN for those that moved, and for all where the drive is shorter.
    """
    if speed.shape[-1] * dt < PATIENCE - dt / 2:
        return torch.full_like(v0, torch.nan)
    moves = speed[:, : round(PATIENCE / dt)].amax(-1) > ROLLING
    return torch.where(v0 < STANDS, moves.to(v0.dtype), torch.nan)


def plan_jump(before: Tensor, after: Tensor, steps: int) -> Tensor:
    """Mean distance (...) in metres of two plans (..., T, 2) in one frame, the second made `steps` steps later.

    Compared where both speak of the same moments; NaN where there is no such one.
    """
    horizon = before.shape[-2]
    if steps >= horizon:
        return before.new_full(before.shape[:-2], torch.nan)
    return distance(before[..., steps:, :], after[..., : horizon - steps, :]).mean(-1)
