"""What a drive along a path is judged by: does it stay on its lane, get on, and keep its plans?"""

import math

import torch
from torch import Tensor

from alpamayo_toy.kinematics.route import wrapped
from alpamayo_toy.metrics.displacement import distance

CORRIDOR = 2.0  # m to either side of the path
STANDS, ROLLING = 0.1, 0.5  # m/s
PATIENCE = 3.0  # s
UNDER_WAY, UNDER_WAY_S = 2.0, 5.0  # m/s, and when
STOP_WITHIN = 1.0  # m
ON_HEADING = math.radians(10.0)


def along_a_path(
    start: Tensor, along: Tensor, beside: Tensor, heading_error: Tensor, corridor: float = CORRIDOR
) -> dict[str, Tensor]:
    """By name (N,) each, of N drives of S steps from start (N,): along, beside, heading_error (N, S), metres, radians.

    left_corridor: 1.0 where |beside| exceeded the corridor at any step, else 0.0. lateral_rms, lateral_p95 and
    lateral_end: of |beside|, in metres. heading_end: |heading error| at the end in radians; on_heading: 1.0 where that
    is at most 10 degrees. progress: metres along.
    """
    away, heading_end = beside.abs(), wrapped(heading_error[..., -1]).abs()
    return {
        "left_corridor": (away > corridor).any(-1).to(away.dtype),
        "lateral_rms": away.square().mean(-1).sqrt(),
        "lateral_p95": away.quantile(0.95, -1),
        "lateral_end": away[..., -1],
        "heading_end": heading_end,
        "on_heading": (heading_end <= ON_HEADING).to(away.dtype),
        "progress": along[..., -1] - start,
    }


def from_rest(v0: Tensor, speed: Tensor, dt: float) -> dict[str, Tensor]:
    """How cars that stand get going, by name (N,) each: v0 (N,), speed (N, S).

    pulls_away: 1.0 where it rolls within 3 s. under_way: 1.0 where it is above 2 m/s after 5 s. NaN for cars that
    moved, and for all where the drive is shorter.
    """
    steps = {"pulls_away": round(PATIENCE / dt), "under_way": round(UNDER_WAY_S / dt)}
    rolling, at_5_s = speed[:, : steps["pulls_away"]].amax(-1), speed[:, : steps["under_way"]][:, -1]
    moves = {"pulls_away": rolling > ROLLING, "under_way": at_5_s > UNDER_WAY}
    stood = {name: (v0 < STANDS) & (speed.shape[-1] >= steps[name]) for name in moves}
    return {name: torch.where(stood[name], moves[name].to(v0.dtype), torch.nan) for name in moves}


def stopping(line: Tensor, along: Tensor, speed: Tensor) -> dict[str, Tensor]:
    """How cars stop that are to do so at line (N,) m along, NaN where nowhere, by name (N,) each; along, speed (N, S).

    stop_error: metres from the line at the end. stops: 1.0 where it is within 1 m and below 0.1 m/s then. overshoot:
    metres beyond the line, at most.
    """
    error = (along[:, -1] - line).abs()
    stops = (error <= STOP_WITHIN) & (speed[:, -1] < STANDS)
    return {
        "stop_error": error,
        "stops": torch.where(line.isnan(), torch.nan, stops.to(line.dtype)),
        "overshoot": (along.amax(-1) - line).clamp(min=0),
    }


def plan_jump(before: Tensor, after: Tensor, steps: int) -> Tensor:
    """Mean distance (...) in metres of two plans (..., T, 2) in one frame, the second made `steps` steps later.

    Compared where both speak of the same moments; NaN where there is no such one.
    """
    horizon = before.shape[-2]
    if steps >= horizon:
        return before.new_full(before.shape[:-2], torch.nan)
    return distance(before[..., steps:, :], after[..., : horizon - steps, :]).mean(-1)
