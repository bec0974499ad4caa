"""How good a student is, beside the error that its teacher's own variation makes unavoidable."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from alpamayo_toy.baselines import constant_velocity
from alpamayo_toy.data import mixed
from alpamayo_toy.metrics import distance, geometric_median, horizons, min_ade, sanity_checks, starter_metrics
from alpamayo_toy.students import Student
from alpamayo_toy.teachers import FileTeacher, SyntheticTeacher
from alpamayo_toy.trajectory import Labels, Scene

FORMAT = 1  # of metrics.json; README, "metrics.json"
FLOOR_SAMPLES = 64
CHUNK = 64  # clips whose samples are compared at once, so that 64 samples of each stay in the cache


@dataclass(frozen=True)
class Reference:
    """Held-out clips, and what is best at each step: the geometric median of the teacher's samples.

    labels.teacher (N, K, T, 4) is what a student is scored on; center (N, T, 2); floor (N, T), the mean distance of
    the best single prediction; kind says how it was found.
    """

    labels: Labels
    scene: Scene
    center: Tensor
    floor: Tensor
    kind: str


def build_reference(teacher: SyntheticTeacher | FileTeacher, seed: int) -> Reference:
    """The held-out clips of either teacher."""
    if isinstance(teacher, SyntheticTeacher):
        return _synthetic_reference(teacher, seed)
    return _file_reference(teacher.validation, teacher.oracle)


def _synthetic_reference(teacher: SyntheticTeacher, seed: int) -> Reference:
    """Scenes never trained on; the median of 64 fresh drivers scored on 64 others, on whom the student is scored too."""
    labels = teacher.labels(teacher.config.val_scenes, 1, mixed(seed, 2))
    center = torch.cat([geometric_median(c) for c in teacher.fresh(labels, FLOOR_SAMPLES, mixed(seed, 3)).split(CHUNK)])
    labels = labels.with_teacher(teacher.fresh(labels, FLOOR_SAMPLES, mixed(seed, 4)))
    return Reference(labels, labels.scene(), center, mean_errors(center, labels), "geometric_median_of_64_fresh_samples")


def _file_reference(labels: Labels, oracle: bool) -> Reference:
    """The held-out clips of a file; each sample is scored on the median of the clip's others, where there are others."""
    samples = labels.teacher.float()
    k = samples.shape[1]
    others = [[j for j in range(k) if j != i] or [i] for i in range(k)]
    floor = [distance(geometric_median(samples[:, kept]), samples[:, i]) for i, kept in enumerate(others)]
    scene = labels.scene(oracle).to(torch.float32)
    center = geometric_median(samples)
    return Reference(labels.with_teacher(samples), scene, center, torch.stack(floor).mean(0), "leave_one_out_median")


def mean_errors(waypoints: Tensor, labels: Labels) -> Tensor:
    """Mean distance to a clip's samples at each step: (N, T, 2 or more) -> (N, T)."""
    pairs = zip(waypoints.split(CHUNK), labels.teacher.split(CHUNK), strict=True)
    return torch.cat([distance(mine.unsqueeze(1), theirs).mean(1) for mine, theirs in pairs])


@torch.no_grad()
def predicted(student: Student, scene: Scene) -> tuple[Tensor, Tensor]:
    """Actions (N, T, 2) and trajectories (N, T, 4) of a student, on its own device and back."""
    device = student.action_space.mean.device
    actions, trajectory = student(scene.to(device))
    return actions[:, 0].cpu(), trajectory[:, 0].cpu()


def scores(student: Student, reference: Reference) -> dict[str, float]:
    """The few numbers that are watched during training."""
    _, trajectory = predicted(student, reference.scene)
    errors, floor = mean_errors(trajectory, reference.labels), reference.floor.mean()
    excess = distance(trajectory, reference.center).mean()
    return {
        "ade": float(errors.mean()),
        "fde": float(errors[:, -1].mean()),
        "ade_over_floor": float(errors.mean() / floor),
        "excess_over_floor": float(excess / floor),
    }


def evaluate(student: Student, reference: Reference) -> dict[str, Any]:
    """Everything that metrics.json says of a student."""
    labels = reference.labels
    actions, trajectory = predicted(student, reference.scene)
    still = constant_velocity(reference.scene.v0, labels.horizon, labels.dt)
    errors = mean_errors(trajectory, labels)
    excess = float(distance(trajectory, reference.center).mean())
    ade, floor = float(errors.mean()), float(reference.floor.mean())
    found: dict[str, Any] = {
        **describe(actions, trajectory, reference.scene.v0, labels.dt, student.rollout.integrator),
        "clips": len(labels),
        "samples": labels.teacher.shape[1],
        "student": _entry(errors, labels.dt),
        "floor": {"kind": reference.kind, **_entry(reference.floor, labels.dt)},
        "excess": excess,
        "ade_over_floor": ade / floor if floor > 0 else None,
        "excess_over_floor": excess / floor if floor > 0 else None,
        "baselines": {"constant_velocity": _entry(mean_errors(still, labels), labels.dt)},
    }
    if labels.ground_truth is not None:
        truth = labels.ground_truth.float()
        found["ground_truth"] = {
            "student": _entry(distance(trajectory, truth), labels.dt),
            "constant_velocity": _entry(distance(still, truth), labels.dt),
            "teacher_first_sample": _entry(distance(labels.teacher[:, 0], truth), labels.dt),
            "teacher_min_ade": float(min_ade(labels.teacher, truth).mean()),
        }
    return found


def table(metrics: dict[str, Any]) -> str:
    """The scores of metrics.json as a few aligned lines for a terminal."""
    rows = {"student": metrics["student"], "floor": metrics["floor"], **metrics["baselines"]}
    names = list(metrics["student"]["fde"])
    lines = [f"{'metres':<20}{'ADE':>8}" + "".join(f"{'FDE ' + name + ' s':>12}" for name in names)]
    for name, row in rows.items():
        lines.append(f"{name:<20}{row['ade']:>8.3f}" + "".join(f"{row['fde'][n]:>12.3f}" for n in names))
    floor = f"{metrics['floor']['kind']}, {metrics['clips']} clips of {metrics['samples']} samples"
    lines.append(f"floor: {floor}")
    if metrics["ade_over_floor"] is not None:
        lines.append(f"ADE / floor {metrics['ade_over_floor']:.3f}   excess / floor {metrics['excess_over_floor']:.3f}")
    for name, value in metrics.get("ground_truth", {}).items():
        lines.append(f"against ground truth: {name:<22}{value if isinstance(value, float) else value['ade']:>8.3f}")
    failed = [name for name, passed in metrics["checks"].items() if passed is False]
    lines.append(f"checks: {'failed: ' + ', '.join(failed) if failed else 'passed'}")
    return "\n".join(lines)


def describe(actions: Tensor, trajectory: Tensor, v0: Tensor, dt: float, integrator: str) -> dict[str, Any]:
    """The part of metrics.json that needs no teacher: (N, T, 2), (N, T, 4), (N,). One rollout also gets plain numbers."""
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


def _summary(values: Tensor) -> dict[str, float | int]:
    numbers = values.double()
    return {
        "mean": float(numbers.mean()),
        "std": float(numbers.std(correction=0)),
        "min": float(numbers.min()),
        "max": float(numbers.max()),
        "count": len(numbers),
    }


def _entry(errors: Tensor, dt: float) -> dict[str, Any]:
    """ADE and FDE by horizon from errors per clip and step (N, T)."""
    return {"ade": float(errors.mean()), "fde": horizons(errors.mean(0), dt)}


def _chunked_median(samples: Tensor) -> Tensor:
    return torch.cat([geometric_median(chunk) for chunk in samples.split(CHUNK)])
