"""Numbers about trajectories, each defined where it is computed. Leading `...` batch dimensions; only x and y count."""

import torch
from torch import Tensor

FDE_SECONDS = (1.0, 2.0, 3.0, 4.0, 5.0)


def distance(trajectories: Tensor, other: Tensor) -> Tensor:
    """Euclidean distance of waypoints at every step, in metres: (..., T, 2 or more), broadcast -> (..., T).

    Written out because a norm over an axis of two takes twice as long; its gradient at distance 0 is 0.
    """
    dx, dy = trajectories[..., 0] - other[..., 0], trajectories[..., 1] - other[..., 1]
    return (dx * dx + dy * dy).clamp(min=torch.finfo(dx.dtype).tiny).sqrt()


def min_ade(trajectories: Tensor, ground_truth: Tensor, steps: int | None = None, select: str = "full") -> Tensor:
    """minADE_K in metres: (..., K, T, 2 or more), (..., T, 2 or more) -> (...).

    select="full": the sample with the least mean distance over the whole horizon, averaged over its first `steps`
    (NVIDIA's definition). select="horizon": the least mean distance over those steps (a smaller number).
    """
    if select not in ("full", "horizon"):
        raise ValueError(f"select must be full or horizon (got {select!r})")
    errors = distance(trajectories, ground_truth.unsqueeze(-3))
    cut = errors[..., :steps].mean(-1)
    if select == "horizon":
        return cut.min(-1).values
    return cut.gather(-1, errors.mean(-1).argmin(-1, keepdim=True)).squeeze(-1)


def horizons(errors: Tensor, dt: float) -> dict[str, float]:
    """Final displacement error by seconds and at the end, from mean errors per step (T,): {"1.0": m, ..., "6.4": m}."""
    steps = {f"{seconds:.1f}": round(seconds / dt) for seconds in FDE_SECONDS}
    steps[f"{len(errors) * dt:.1f}"] = len(errors)
    return {name: float(errors[step - 1]) for name, step in steps.items() if 1 <= step <= len(errors)}


def geometric_median(trajectories: Tensor, iterations: int = 60) -> Tensor:
    """At each step the point with the least mean distance to all samples: (..., K, T, 2 or more) -> (..., T, 2).

    Weiszfeld's iteration from the mean, with distances kept above 1e-5 m.
    """
    points = trajectories[..., :2]
    median = points.mean(-3, keepdim=True)
    for _ in range(iterations):
        weight = distance(points, median).clamp(min=1e-5).reciprocal().unsqueeze(-1)
        median = (points * weight).sum(-3, keepdim=True) / weight.sum(-3, keepdim=True)
    return median.squeeze(-3)


def medoid(trajectories: Tensor) -> Tensor:
    """The sample with the least mean distance to the others: (..., K, T, 2 or more) -> int64 (...)."""
    pairwise = [
        distance(trajectories, trajectories[..., k : k + 1, :, :]).mean(-1) for k in range(trajectories.shape[-3])
    ]
    return torch.stack(pairwise, -1).sum(-1).argmin(-1)


def starter_metrics(actions: Tensor, trajectory: Tensor, dt: float) -> dict[str, Tensor]:
    """The project notes' six: actions (..., T, 2), trajectory (..., T, 4), T >= 2 -> (...) each.

    m/s^2, 1/m, m/s, m/s, m/s^3 (da/dt) and 1/m/s (dkappa/dt); rates are differences of neighbouring actions.
    """
    rates = actions.diff(dim=-2) / dt
    return {
        "max_abs_accel": actions[..., 0].abs().amax(-1),
        "max_abs_curvature": actions[..., 1].abs().amax(-1),
        "min_speed": trajectory[..., 3].amin(-1),
        "final_speed": trajectory[..., -1, 3],
        "max_abs_jerk": rates[..., 0].abs().amax(-1),
        "max_abs_curvature_rate": rates[..., 1].abs().amax(-1),
    }


def sanity_checks(
    actions: Tensor, trajectory: Tensor, v0: Tensor, dt: float, integrator: str
) -> dict[str, bool | None]:
    """finite; speed_non_negative (None where the integrator promises none); no_teleport: no step is longer than the
    faster of its two ends allows, within 1e-3 m."""
    v = torch.cat([v0.unsqueeze(-1), trajectory[..., 3]], -1).abs()
    points = torch.cat([torch.zeros_like(trajectory[..., :1, :2]), trajectory[..., :2]], -2)
    steps = torch.linalg.vector_norm(points.diff(dim=-2), dim=-1)
    allowed = torch.maximum(v[..., 1:], v[..., :-1]) * dt + 1e-3
    finite = bool(actions.isfinite().all() & trajectory.isfinite().all())
    return {
        "finite": finite,
        "speed_non_negative": bool((trajectory[..., 3] >= 0).all()) if integrator == "euler" else None,
        "no_teleport": finite and bool((steps <= allowed).all()),
    }
