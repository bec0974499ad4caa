"""What metrics.json says of any run, with or without a teacher."""

from pathlib import Path
from typing import Any

from torch import Tensor

from alpamayo_toy.labels.soundness.check import ROUTES
from alpamayo_toy.metrics.starter import sanity_checks, starter_metrics
from alpamayo_toy.teachers.config import FileConfig, MixtureConfig

UNITS = {
    "final_speed": "m/s",
    "min_speed": "m/s",
    "max_abs_accel": "m/s^2",
    "max_abs_curvature": "1/m",
    "max_abs_jerk": "m/s^3",
    "max_abs_curvature_rate": "1/m/s",
}
"""Of the numbers that any trajectory has."""
FORMAT = 1  # of metrics.json; README.md beside this, "metrics.json"


def origin(scenario: Any, teacher: Any, seed: int) -> dict[str, Any]:
    """What the labels are, for metrics.json."""
    if isinstance(teacher, FileConfig):
        return {
            "scenario": "FILE",
            "teacher": Path(teacher.path).name,
            "teacher_samples": teacher.samples,
            "route_error_m": teacher.route_error_m,
            "seed": seed,
        }
    return {
        "scenario": "ALL" if isinstance(scenario, MixtureConfig) else scenario.name,
        "teacher": "synthetic",
        "seed": seed,
    }


def describe(actions: Tensor, trajectory: Tensor, v0: Tensor, dt: float, integrator: str) -> dict[str, Any]:
    """What metrics.json says without a teacher: (N, T, 2), (N, T, 4), (N,); plain numbers too where N = 1."""
    found = starter_metrics(actions, trajectory, dt)
    plain = {name: float(values[0]) for name, values in found.items()} if len(v0) == 1 else {}
    return {
        "format": FORMAT,
        "integrator": integrator,
        "dt": dt,
        "horizon": actions.shape[-2],
        **plain,
        "summary": {name: _summary(values) for name, values in found.items()},
        "checks": sanity_checks(actions, trajectory, v0, dt, integrator),
    }


def routes_said(metrics: dict[str, Any]) -> str | None:
    """Where the routes that were scored with come from, in words; None without, or where they are synthetic."""
    if metrics["route_source"] is None or metrics.get("teacher") == "synthetic":
        return None
    aside = metrics.get("route_error_m")
    return ROUTES[metrics["route_source"]] + (f"; moved aside by {aside:g} m (rms)" if aside else "")


def _summary(values: Tensor) -> dict[str, float | int]:
    numbers = values.double()
    return {
        "mean": float(numbers.mean()),
        "std": float(numbers.std(correction=0)),
        "min": float(numbers.min()),
        "max": float(numbers.max()),
        "count": len(numbers),
    }
