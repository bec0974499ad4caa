"""Every number of a prediction, per clip: against a teacher's samples or a recorded drive, and by itself."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from alpamayo_toy.kinematics.action_space import ActionSpace
from alpamayo_toy.metrics import comfort
from alpamayo_toy.metrics.displacement import (
    FDE_SECONDS,
    MISS,
    corner_distance,
    distance,
    final_errors,
    heading_error,
    min_ade,
    min_fde,
    speed_error,
    waymo_miss,
)
from alpamayo_toy.metrics.distribution import energy_score, spread
from alpamayo_toy.metrics.pairs import AT_ONCE
from alpamayo_toy.metrics.starter import feasibility

MIN_ADE_SECONDS = (0.5, 1.0, 3.0, 5.0)  # NVIDIA's horizons


@dataclass(frozen=True)
class Scores:
    """What one predictor scores: per_clip (N,) by metric, NaN where it predicts nothing; per_step, its mean error (T,).

    Metres unless said otherwise. One trajectory: ade, fde and fde_<s> at seconds, miss (FDE > 2 m), waymo_miss_<s>,
    heading_error [rad], speed_error [m/s], final_longitudinal_error and final_lateral_error (their size),
    corner_distance. Several: min_ade, min_ade_<s> of the sample that is best over the whole horizon,
    min_ade_horizon_<s> of the one that is best until then, min_fde, miss, waymo_miss_<s>, corner_distance, spread,
    energy_score. per_step is that of all samples.
    """

    per_clip: dict[str, Tensor]
    per_step: Tensor

    @property
    def is_whole(self) -> bool:
        """Whether every clip has a prediction, so that its means compare with others'."""
        return not bool(next(iter(self.per_clip.values())).isnan().any())


def score(predicted: Tensor, truths: Tensor, v0: Tensor, dt: float, probabilities: Tensor | None = None) -> Scores:
    """Predictions (N, K, T, 4) against each of M truths (N, M, T, 4) of the same clips, v0 (N,) m/s: means over M.

    probabilities (N, K) of modes, for their energy score; without them they are draws.

    A clip whose predictions hold NaN has NaN everywhere and is left out of per_step. Clip by clip, whatever N.
    """
    parts: list[dict[str, Tensor]] = []
    total, count = torch.zeros(truths.shape[2], dtype=torch.float64), 0
    size = max(1, AT_ONCE // (predicted[0, :, 0, 0].numel() * truths[0, :, :, 0].numel()))
    likely = [None] * len(v0) if probabilities is None else probabilities.split(size)
    parted = (t.split(size) for t in (predicted, truths, v0))
    for mine, theirs, start, p in zip(*parted, likely, strict=probabilities is not None):
        errors = distance(mine.unsqueeze(1), theirs.unsqueeze(2))
        known = mine.isfinite().flatten(1).all(1)
        total += errors[known].double().mean((1, 2)).sum(0)
        count += int(known.sum())
        found = _of_one(mine, theirs, start, errors[:, :, 0], dt) if mine.shape[1] == 1 else {}
        if mine.shape[1] > 1:
            found = _of_several(mine, theirs, start, dt, p)
        parts.append({name: torch.where(known, values, torch.nan) for name, values in found.items()})
    return Scores({name: torch.cat([part[name] for part in parts]) for name in parts[0]}, total / max(count, 1))


def of_errors(errors: Tensor, dt: float) -> Scores:
    """Of mean errors (N, T) alone: ade, fde_<s> and fde."""
    times = {f"fde_{name}": errors[:, step - 1] for name, step in _steps(FDE_SECONDS, errors.shape[1], dt)}
    return Scores({"ade": errors.mean(-1), **times, "fde": errors[:, -1]}, errors.double().mean(0))


def _of_one(mine: Tensor, theirs: Tensor, v0: Tensor, errors: Tensor, dt: float) -> dict[str, Tensor]:
    """errors (n, M, T) of mine (n, 1, T, 4)."""
    final = final_errors(mine, theirs)
    found = {
        "ade": errors.mean(-1),
        **{f"fde_{name}": errors[..., step - 1] for name, step in _steps(FDE_SECONDS, errors.shape[-1], dt)},
        "fde": errors[..., -1],
        "miss": errors[..., -1] > MISS,
        **{f"waymo_miss_{s}": x for s, x in waymo_miss(mine.unsqueeze(1), theirs, v0.unsqueeze(1), dt).items()},
        "heading_error": heading_error(mine, theirs),
        "speed_error": speed_error(mine, theirs),
        **{name: values.abs() for name, values in final.items()},
        "corner_distance": corner_distance(mine.unsqueeze(1), theirs),
    }
    return {name: values.to(mine.dtype).mean(1) for name, values in found.items()}


def _of_several(mine: Tensor, theirs: Tensor, v0: Tensor, dt: float, p: Tensor | None) -> dict[str, Tensor]:
    several = mine.unsqueeze(1)
    steps = list(_steps(MIN_ADE_SECONDS, mine.shape[2], dt))
    final = min_fde(several, theirs)
    found = {
        "min_ade": min_ade(several, theirs),
        **{f"min_ade_{name}": min_ade(several, theirs, step) for name, step in steps},
        **{f"min_ade_horizon_{name}": min_ade(several, theirs, step, "horizon") for name, step in steps},
        "min_fde": final,
        "miss": final > MISS,
        **{f"waymo_miss_{s}": x for s, x in waymo_miss(several, theirs, v0.unsqueeze(1), dt).items()},
        "corner_distance": corner_distance(several, theirs),
    }
    means = {name: values.to(mine.dtype).mean(1) for name, values in found.items()}
    return means | {"spread": spread(mine), "energy_score": energy_score(mine, theirs, p)}


def _steps(seconds: tuple[float, ...], horizon: int, dt: float) -> Iterator[tuple[str, int]]:
    """Times within the horizon, short of its end, as text and as steps."""
    for moment in seconds:
        if 1 <= round(moment / dt) < horizon:
            yield f"{moment:.1f}", round(moment / dt)


def quality(
    trajectory: Tensor, v0: Tensor, dt: float, actions: Tensor | None = None, integrator: str = "trapezoid"
) -> dict[str, dict[str, float | None]]:
    """How a drive is driven, as shares of its N clips: (N, T, 4), (N,), the actions (N, T, 2) that made it or None.

    comfort_actions and feasibility of actions only where they are known: those of a recorded drive are noise.
    """
    found: dict[str, dict[str, float | None]] = {}
    if actions is not None:
        found["comfort_actions"] = _shares(
            comfort.passes(comfort.from_actions(actions, trajectory, v0, dt, integrator))
        )
        within = {"within_bounds": ActionSpace().to(actions.dtype).within_bounds(actions)}
        found["feasible"] = _shares(within | feasibility(trajectory, v0, dt, integrator))
    found["comfort_positions"] = _shares(comfort.passes(comfort.from_positions(trajectory[..., :3], dt)))
    return found


def _shares(passed: dict[str, Tensor]) -> dict[str, float | None]:
    return {name: float(mask.double().mean()) for name, mask in passed.items()}
