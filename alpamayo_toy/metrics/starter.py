"""What is said of a trajectory without a truth: the project notes' six numbers, and whether a car can do it."""

import torch
from torch import Tensor


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


def feasibility(trajectory: Tensor, v0: Tensor, dt: float, integrator: str) -> dict[str, Tensor]:
    """What a car can do: (..., T, 4), v0 (...) m/s -> bool (...) each.

    no_teleport: no step is longer than the faster of its two ends allows, within 1e-3 m. speed_non_negative: only where
    the integrator promises it, which the trapezoid rule does not.
    """
    v = torch.cat([v0.unsqueeze(-1), trajectory[..., 3]], -1).abs()
    points = torch.cat([torch.zeros_like(trajectory[..., :1, :2]), trajectory[..., :2]], -2)
    steps = torch.linalg.vector_norm(points.diff(dim=-2), dim=-1)
    allowed = torch.maximum(v[..., 1:], v[..., :-1]) * dt + 1e-3
    found = {"speed_non_negative": (trajectory[..., 3] >= 0).all(-1)} if integrator == "euler" else {}
    return {**found, "no_teleport": (steps <= allowed).all(-1)}


def sanity_checks(
    actions: Tensor, trajectory: Tensor, v0: Tensor, dt: float, integrator: str
) -> dict[str, bool | None]:
    """Whether everything is finite, and every trajectory feasible; None where the integrator makes no such promise."""
    passed = {name: bool(each.all()) for name, each in feasibility(trajectory, v0, dt, integrator).items()}
    return {
        "finite": bool(actions.isfinite().all() & trajectory.isfinite().all()),
        "speed_non_negative": passed.get("speed_non_negative"),
        "no_teleport": passed["no_teleport"],
    }
