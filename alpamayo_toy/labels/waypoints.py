"""From waypoints alone to Labels: initial speed, heading and speed of files that store positions only."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.recovery import EXACT, alternation, recover_states, recover_v0, smoothed_states
from alpamayo_toy.scenarios import classify
from alpamayo_toy.trajectory import DT, Labels


def labels_of(
    path: Path,
    clip_id: np.ndarray,
    teacher: Tensor,
    ground_truth: Tensor | None = None,
    v0: Tensor | None = None,
    dt: float = DT,
    **rest: Any,
) -> Labels:
    """Labels from teacher waypoints (N, K, T, 2) and ground-truth waypoints (N, T, 2), in float64.

    v0 is the median over a clip's K samples of recover_v0 (source "recovered"); where the positions are no exact
    rollout (alternation above 1 mm), speed and yaw are smoothed differences ("smoothed"). Ground truth always is.
    Without a scenario of its own a clip gets the one its first sample looks like ("future").
    """
    check_waypoints(path, clip_id, "teacher", teacher)
    teacher = teacher.double()
    recovered = recover_v0(teacher, dt)[0].median(1).values
    exact = alternation(teacher, recovered.unsqueeze(1).expand(teacher.shape[:2]), dt).median(1).values < EXACT
    smooth_v0, smooth = smoothed_states(teacher, dt)
    sources = np.where(exact.numpy(), "recovered", "smoothed")
    known = v0
    if known is None:
        known = torch.where(exact, recovered, smooth_v0.median(1).values)
    else:
        sources = np.full(len(clip_id), "file")
    states = recover_states(teacher, recovered.unsqueeze(1).expand(teacher.shape[:2]), dt)
    states = torch.where(exact[:, None, None, None], states, smooth)
    if ground_truth is not None:
        check_waypoints(path, clip_id, "ground truth", ground_truth)
        ground_truth = smoothed_states(ground_truth.double(), dt)[1]
    if "scenario" not in rest:
        rest["scenario"], rest["scenario_source"] = classify(states[:, 0], known), "future"
    return Labels(
        clip_id=clip_id,
        v0=known.double(),
        teacher=states,
        ground_truth=ground_truth,
        v0_source=sources,
        dt=dt,
        **{"t0_us": torch.zeros(len(clip_id), dtype=torch.int64), "source": np.full(len(clip_id), path.name), **rest},
    )


def check_waypoints(path: Path, clip_id: np.ndarray, what: str, waypoints: Tensor) -> None:
    """Raise UserError for fewer than 4 steps, or naming the first clip with NaN or infinite values."""
    if waypoints.shape[-2] < 4:
        raise UserError(f"{path}: {what} has {waypoints.shape[-2]} steps; at least 4 are needed")
    bad = ~torch.isfinite(waypoints).flatten(1).all(1)
    if bool(bad.any()):
        raise UserError(f"{path}: {what} of clip {clip_id[int(bad.nonzero()[0])]} holds NaN or infinite values")
