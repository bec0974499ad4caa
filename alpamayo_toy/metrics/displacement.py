"""Errors of positions, headings and speeds against one ground truth, each defined where it is computed."""

import math

import torch
from torch import Tensor

FDE_SECONDS = (1.0, 2.0, 3.0, 4.0, 5.0)
MISS = 2.0  # m, Argoverse 2 (av2.datasets.motion_forecasting.eval.metrics)

# Waymo Open Motion Dataset's motion_metrics.cc and challenge configuration
WAYMO_MISS = {3.0: (1.0, 2.0), 5.0: (1.8, 3.6)}  # s: lateral, longitudinal threshold in m
WAYMO_SPEEDS = (1.4, 11.0)  # m/s, initial speeds at which the thresholds are halved, and whole
BOX = (4.0, 3.0, 2.0)  # m, length, width, height: NVIDIA's box for the corner distance


def distance(trajectories: Tensor, other: Tensor) -> Tensor:
    """Euclidean distance of waypoints at every step, in metres: (..., T, 2 or more), broadcast -> (..., T).

    Written out because a norm over an axis of two takes twice as long; its gradient at distance 0 is 0.
    """
    dx, dy = trajectories[..., 0] - other[..., 0], trajectories[..., 1] - other[..., 1]
    return (dx * dx + dy * dy).clamp(min=torch.finfo(dx.dtype).tiny).sqrt()


def ade(trajectory: Tensor, ground_truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Average displacement error in metres: (..., T, 2 or more) twice -> (...), the mean of distance over the steps."""
    return _mean(distance(trajectory, ground_truth), mask)


def fde(trajectory: Tensor, ground_truth: Tensor, step: int | None = None, mask: Tensor | None = None) -> Tensor:
    """Final displacement error in metres: (..., T, 2 or more) twice -> (...), the distance at the last valid step.

    With step, the distance at that index: 29 is 3.0 s at 10 Hz.
    """
    return _at(distance(trajectory, ground_truth), step, mask)


def min_ade(
    trajectories: Tensor,
    ground_truth: Tensor,
    steps: int | None = None,
    select: str = "full",
    mask: Tensor | None = None,
) -> Tensor:
    """minADE_K in metres: (..., K, T, 2 or more), (..., T, 2 or more) -> (...).

    select="full": the sample with the least mean distance over the whole horizon, averaged over its first `steps`
    (NVIDIA's definition). select="horizon": the least mean distance over those steps (a smaller number).
    """
    errors, mask = _sample_errors(trajectories, ground_truth, mask)
    cut = _mean(errors[..., :steps], None if mask is None else mask[..., :steps])
    return cut.gather(-1, _best(cut, errors, select, mask)).squeeze(-1)


def min_fde(
    trajectories: Tensor,
    ground_truth: Tensor,
    step: int | None = None,
    select: str = "horizon",
    mask: Tensor | None = None,
) -> Tensor:
    """minFDE_K in metres: (..., K, T, 2 or more), (..., T, 2 or more) -> (...).

    At the last valid step, or at index step. select="horizon": the least distance at that step, as Argoverse 2 and
    Waymo define it. select="full": the distance of the sample that min_ade chooses, the one with the least mean
    distance over the whole horizon.
    """
    errors, mask = _sample_errors(trajectories, ground_truth, mask)
    final = _at(errors, step, mask)
    return final.gather(-1, _best(final, errors, select, mask)).squeeze(-1)


def brier_min_fde(
    trajectories: Tensor, ground_truth: Tensor, probability: Tensor, mask: Tensor | None = None
) -> Tensor:
    """minFDE_K + (1 - p)^2, p the probability of the sample that ends nearest (Argoverse 2): metres by convention.

    (..., K, T, 2 or more), (..., T, 2 or more), probability (..., K), used as given -> (...).
    """
    errors, mask = _sample_errors(trajectories, ground_truth, mask)
    final = _at(errors, None, mask)
    best = final.argmin(-1, keepdim=True)
    p = probability.expand(final.shape).gather(-1, best)
    return (final.gather(-1, best) + (1 - p).square()).squeeze(-1)


def miss(trajectories: Tensor, ground_truth: Tensor, step: int | None = None, mask: Tensor | None = None) -> Tensor:
    """Whether minFDE_K > 2.0 m (Argoverse 2): (..., K, T, 2 or more), (..., T, 2 or more) -> bool (...).

    A clip whose minFDE_K is NaN counts as no miss: leave it out beforehand.
    """
    return min_fde(trajectories, ground_truth, step, mask=mask) > MISS


def waymo_miss(
    trajectories: Tensor, ground_truth: Tensor, v0: Tensor, dt: float, mask: Tensor | None = None
) -> dict[str, Tensor]:
    """Waymo's miss by measured time: (..., K, T, 2 or more), (..., T, 4), v0 (...) m/s -> {"3.0": (...), "5.0": (...)}.

    1.0 if no sample is within both thresholds at that time, in the ground truth's heading frame, else 0.0; NaN where
    the ground truth is not valid then. Measured at the nearest step; times beyond the horizon are absent. With
    f = (|v0| - 1.4) / (11 - 1.4) clamped to 0..1, lateral and longitudinal thresholds are (0.5 + 0.5 f) times 1.0 and
    2.0 m at 3 s, 1.8 and 3.6 m at 5 s.
    """
    longitudinal, lateral = _in_heading_frame(trajectories, ground_truth.unsqueeze(-3))
    slow, fast = WAYMO_SPEEDS
    scale = 0.5 + 0.5 * ((v0.abs() - slow) / (fast - slow)).clamp(0, 1).unsqueeze(-1)
    found = {}
    for seconds, (across, along) in WAYMO_MISS.items():
        step = round(seconds / dt) - 1
        if 0 <= step < lateral.shape[-1]:
            within = (lateral[..., step].abs() <= across * scale) & (longitudinal[..., step].abs() <= along * scale)
            missed = (~within.any(-1)).to(lateral.dtype)
            found[f"{seconds:.1f}"] = missed if mask is None else torch.where(mask[..., step], missed, math.nan)
    return found


def heading_error(trajectory: Tensor, ground_truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over the steps of |yaw - yaw_gt| modulo full turns, 0 to pi rad: (..., T, 4) twice -> (...)."""
    _check_states("heading_error", trajectory, ground_truth)
    turned = trajectory[..., 2] - ground_truth[..., 2]
    return _mean(torch.atan2(turned.sin(), turned.cos()).abs(), mask)


def speed_error(trajectory: Tensor, ground_truth: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean over the steps of |v - v_gt| in m/s: (..., T, 4) twice -> (...)."""
    _check_states("speed_error", trajectory, ground_truth)
    return _mean((trajectory[..., 3] - ground_truth[..., 3]).abs(), mask)


def final_errors(
    trajectory: Tensor, ground_truth: Tensor, step: int | None = None, mask: Tensor | None = None
) -> dict[str, Tensor]:
    """Longitudinal and lateral error in metres in the ground truth's heading frame: (..., T, 2 or more), (..., T, 4).

    At the last valid step, or at index step: (...) each, signed, positive ahead of the ground truth and left of it.
    """
    longitudinal, lateral = _in_heading_frame(trajectory, ground_truth)
    return {
        "final_longitudinal_error": _at(longitudinal, step, mask),
        "final_lateral_error": _at(lateral, step, mask),
    }


def corner_distance(
    trajectories: Tensor,
    ground_truth: Tensor,
    box: tuple[float, float, float] = BOX,
    mask: Tensor | None = None,
) -> Tensor:
    """NVIDIA's corner distance in metres, planar: (..., K, T, 4), (..., T, 4) -> (...).

    A box of length, width, height stands with its centre on every waypoint, its length along the heading. For each
    step and corner the least distance to the ground truth's corner over the K samples, then the mean over steps and
    corners. In the plane the upper four corners repeat the lower four, so that height does not count. Raises
    ValueError where headings are missing.
    """
    _check_states("corner_distance", trajectories, ground_truth)
    truth = ground_truth.unsqueeze(-3)
    forward = trajectories.new_tensor([0.5, 0.5, -0.5, -0.5]) * box[0]
    left = trajectories.new_tensor([0.5, -0.5, 0.5, -0.5]) * box[1]
    # differences of rotations are added to differences of positions: float32 loses nothing to far-away corners
    cos = (trajectories[..., 2].cos() - truth[..., 2].cos()).unsqueeze(-1)
    sin = (trajectories[..., 2].sin() - truth[..., 2].sin()).unsqueeze(-1)
    moved = (trajectories[..., :2] - truth[..., :2]).unsqueeze(-2)
    dx, dy = moved[..., 0] + forward * cos - left * sin, moved[..., 1] + forward * sin + left * cos
    return _mean(torch.hypot(dx, dy).amin(-3).mean(-1), mask)


def horizons(errors: Tensor, dt: float) -> dict[str, float]:
    """Final displacement error by seconds and at the end, from mean errors per step (T,): {"1.0": m, ..., "6.4": m}."""
    steps = {f"{seconds:.1f}": round(seconds / dt) for seconds in FDE_SECONDS}
    steps[f"{len(errors) * dt:.1f}"] = len(errors)
    return {name: float(errors[step - 1]) for name, step in steps.items() if 1 <= step <= len(errors)}


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the last axis, over the valid steps only: (..., T) -> (...); NaN where none is valid."""
    if mask is None:
        return values.mean(-1)
    return torch.where(mask, values, 0.0).sum(-1) / mask.sum(-1)


def _at(values: Tensor, step: int | None, mask: Tensor | None) -> Tensor:
    """Values at index step, or at the last valid step: (..., T) -> (...); NaN where the mask leaves none."""
    if mask is None:
        return values[..., -1 if step is None else step]
    if step is not None:
        return torch.where(mask[..., step], values[..., step], math.nan)
    last = (mask * torch.arange(mask.shape[-1], device=mask.device)).amax(-1)
    found = values.gather(-1, last.expand(values.shape[:-1]).unsqueeze(-1)).squeeze(-1)
    return torch.where(mask.any(-1), found, math.nan)


def _sample_errors(trajectories: Tensor, ground_truth: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Distance of every sample (..., K, T), and the mask with an axis for the samples."""
    errors = distance(trajectories, ground_truth.unsqueeze(-3))
    return errors, None if mask is None else mask.unsqueeze(-2)


def _best(values: Tensor, errors: Tensor, select: str, mask: Tensor | None) -> Tensor:
    """Index (..., 1) of the sample with the least value (horizon), or the least mean error over all steps (full)."""
    if select not in ("full", "horizon"):
        raise ValueError(f"select must be full or horizon (got {select!r})")
    return (values if select == "horizon" else _mean(errors, mask)).argmin(-1, keepdim=True)


def _in_heading_frame(trajectories: Tensor, ground_truth: Tensor) -> tuple[Tensor, Tensor]:
    """Displacement from the ground truth along and across its heading: (..., T, 2 or more), (..., T, 4) -> (..., T)."""
    _check_states("errors in the heading frame", ground_truth)
    dx, dy = trajectories[..., 0] - ground_truth[..., 0], trajectories[..., 1] - ground_truth[..., 1]
    cos, sin = ground_truth[..., 2].cos(), ground_truth[..., 2].sin()
    return dx * cos + dy * sin, dy * cos - dx * sin


def _check_states(what: str, *trajectories: Tensor) -> None:
    """Three columns are refused too: they are as likely x, y, z as x, y, yaw."""
    for trajectory in trajectories:
        if trajectory.shape[-1] != 4:
            raise ValueError(
                f"headings are needed for {what}: (..., T, 4) = x, y, yaw, v (got {tuple(trajectory.shape)})"
            )
