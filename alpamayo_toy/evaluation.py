"""How good a student is, beside the error that its teacher's own variation makes unavoidable."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alpamayo_toy.action_space import ActionSpace
from alpamayo_toy.baselines import constant_velocity
from alpamayo_toy.checkpoint import load_student
from alpamayo_toy.config import EvalConfig, FileConfig, MixtureConfig, RolloutConfig, SyntheticConfig
from alpamayo_toy.data import mixed
from alpamayo_toy.device import choose_device
from alpamayo_toy.errors import UserError
from alpamayo_toy.files import write_json
from alpamayo_toy.labels import load_labels
from alpamayo_toy.metrics import distance, geometric_median, horizons, min_ade, sanity_checks, starter_metrics
from alpamayo_toy.recovery import label_actions
from alpamayo_toy.scenarios import Scenario
from alpamayo_toy.students import Student
from alpamayo_toy.teachers import FileTeacher, StoredTeacher, SyntheticTeacher, build_teacher
from alpamayo_toy.trajectory import Labels, Scene

FORMAT = 1  # of metrics.json; README, "metrics.json"
FLOOR_SAMPLES = 64
PICTURED = 8  # scenes in a picture from above
PROFILED = 3  # of them with actions over time
DRAWN_SAMPLES = 12  # of the teacher, in a scene from above
CHUNK = 64  # clips whose samples are compared at once, so that 64 samples of each stay in the cache


@dataclass(frozen=True)
class Reference:
    """Held-out clips, and what is best at each step: the geometric median of the teacher's samples.

    labels.teacher (N, K, T, 4) is what a student is scored on; center (N, T, 2); floor (N, T), the mean distance of
    the best single prediction; kind says how it was found, split how the clips were held out.
    """

    labels: Labels
    scene: Scene
    center: Tensor
    floor: Tensor
    kind: str
    split: str = "fresh"


def build_reference(teacher: SyntheticTeacher | FileTeacher | StoredTeacher, seed: int) -> Reference:
    """The held-out clips of either teacher."""
    if isinstance(teacher, SyntheticTeacher):
        return _synthetic_reference(teacher, seed)
    return _file_reference(teacher.validation, teacher.oracle, teacher.split)


def _synthetic_reference(teacher: SyntheticTeacher, seed: int) -> Reference:
    """Scenes never trained on; the median of 64 fresh drivers is scored on 64 others, and so is the student."""
    labels = teacher.labels(teacher.config.val_scenes, 1, mixed(seed, 2))
    center = torch.cat([geometric_median(c) for c in teacher.fresh(labels, FLOOR_SAMPLES, mixed(seed, 3)).split(CHUNK)])
    labels = labels.with_teacher(teacher.fresh(labels, FLOOR_SAMPLES, mixed(seed, 4)))
    return Reference(
        labels, labels.scene(), center, mean_errors(center, labels), "geometric_median_of_64_fresh_samples"
    )


def _file_reference(labels: Labels, oracle: bool, split: str) -> Reference:
    """The held-out clips of a file; each sample is scored on the median of its clip's others, if there are any."""
    samples = labels.teacher.float()
    k = samples.shape[1]
    scene = labels.scene(oracle).to(torch.float32)
    whole = labels.with_teacher(samples)
    if k == 1:  # one sample says nothing of how its teacher varies
        center = samples[:, 0, :, :2]
        return Reference(whole, scene, center, torch.zeros(center.shape[:2]), "none, one sample", split)
    others = [[j for j in range(k) if j != i] for i in range(k)]
    floor = [distance(geometric_median(samples[:, kept]), samples[:, i]) for i, kept in enumerate(others)]
    center = geometric_median(samples)
    return Reference(whole, scene, center, torch.stack(floor).mean(0), "leave_one_out_median", split)


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
    errors, floor = mean_errors(trajectory, reference.labels), float(reference.floor.mean())
    excess = float(distance(trajectory, reference.center).mean())
    found = {"ade": float(errors.mean()), "fde": float(errors[:, -1].mean())}
    if floor > 0:
        found |= {"ade_over_floor": found["ade"] / floor, "excess_over_floor": excess / floor}
    return found


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
        "split": reference.split,
        "scenario_source": _scenario_source(reference),
        "action_std": {"student": student.action_space.std.tolist(), "labels": ActionSpace.fit(labels).std.tolist()},
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


def _scenario_source(reference: Reference) -> str:
    """file, future (an oracle), or unknown where the student is not told."""
    return "unknown" if bool((reference.scene.scenario < 0).all()) else reference.labels.scenario_source


def origin(scenario: Any, teacher: Any, seed: int) -> dict[str, Any]:
    """What the labels are, for metrics.json."""
    if isinstance(teacher, FileConfig):
        return {
            "scenario": "FILE",
            "teacher": Path(teacher.path).name,
            "teacher_samples": teacher.samples,
            "seed": seed,
        }
    return {
        "scenario": "ALL" if isinstance(scenario, MixtureConfig) else scenario.name,
        "teacher": "synthetic",
        "seed": seed,
    }


def evaluate_checkpoint(config: EvalConfig, output_dir: Path) -> dict[str, Any]:
    """Score a trained student on its own held-out clips, another scenario or another file; writes metrics.json.

    A student that learnt from a file is scored on held-out clips only, whatever file it is given: the split goes by
    clip id. Raises UserError where labels and student do not fit.
    """
    student, trained = load_student(config.checkpoint)
    student.to(choose_device(config.device))
    seed = trained.seed if config.seed is None else config.seed
    labels_from = config.teacher or (trained.teacher if config.scenario is None else SyntheticConfig())
    if isinstance(labels_from, SyntheticConfig):
        labels_from = replace(labels_from, reveal="all" if student.context_names else "none")
    source = replace(trained, scenario=config.scenario or trained.scenario, teacher=labels_from, seed=seed)
    if isinstance(labels_from, FileConfig) and not isinstance(trained.teacher, FileConfig):
        reference = _file_reference(load_labels(labels_from.path, labels_from.format), labels_from.oracle, "none")
    else:
        reference = build_reference(build_teacher(source), seed)
    labels = reference.labels
    mine, theirs = (student.horizon, student.rollout.dt), (labels.horizon, labels.dt)
    if mine != theirs:
        raise UserError(
            f"{config.checkpoint} predicts {mine[0]} steps of {mine[1]} s, the labels have {theirs[0]} of {theirs[1]} s"
        )
    reference = replace(reference, scene=student.known_of(reference.scene, labels))
    metrics = {"command": "eval", **origin(source.scenario, labels_from, seed), **evaluate(student, reference)}
    write_json(output_dir / "metrics.json", metrics)
    if config.plot:
        draw(output_dir / "figures", student, reference)
    return metrics


def roll_out(config: RolloutConfig, output_dir: Path) -> dict[str, Any]:
    """One driver in one scene of a scenario, without training; writes metrics.json and, with plot, two pictures."""
    generator = torch.Generator().manual_seed(config.seed)
    teacher = SyntheticTeacher(config.scenario, SyntheticConfig(), config.horizon, config.dt)
    scenario, scenes = teacher.scenes(1, generator)
    trajectory = teacher.driven(scenes, generator)
    v0 = scenes[:, 0]
    actions = label_actions(trajectory, v0, config.dt, "euler")
    found = describe(actions, trajectory, v0, config.dt, "euler")
    name = Scenario(int(scenario[0])).name
    metrics = {"command": "rollout", **origin(config.scenario, None, config.seed), "drawn": name, **found}
    write_json(output_dir / "metrics.json", metrics)
    if config.plot:
        from alpamayo_toy import figures

        title = [f"{name}, v0 = {float(v0[0]):.1f} m/s"]
        figures.birds_eye(output_dir / "figures" / "birds_eye.png", title, trajectory[:, None], None)
        figures.profiles(
            output_dir / "figures" / "profiles.png", title, trajectory[:, None], v0, None, config.dt, "euler"
        )
    return metrics


def draw(folder: Path, student: Student, reference: Reference) -> list[Path]:
    """birds_eye.png and profiles.png of the same scenes every time, one of each scenario first."""
    from alpamayo_toy import figures

    labels = reference.labels
    firsts = [int((labels.scenario == s).nonzero()[0]) for s in labels.scenario.unique()]
    rest = [i for i in range(len(labels)) if i not in firsts]
    index = torch.tensor((firsts + rest)[:PICTURED])
    _, trajectory = predicted(student, reference.scene.select(index))
    shown = labels.select(index)
    names = [Scenario(int(s)).name if s >= 0 else "unknown" for s in shown.scenario]
    titles = [f"{name}, v0 = {float(v):.1f} m/s" for name, v in zip(names, shown.v0, strict=True)]
    paths = [folder / "birds_eye.png", folder / "profiles.png"]
    figures.birds_eye(paths[0], titles, shown.teacher[:, :DRAWN_SAMPLES], trajectory, reference.center[index])
    few = slice(PROFILED)
    figures.profiles(
        paths[1],
        titles[few],
        shown.teacher[few, : DRAWN_SAMPLES // 2],
        shown.v0[few].float(),
        trajectory[few],
        labels.dt,
        student.rollout.integrator,
    )
    return paths


def table(metrics: dict[str, Any]) -> str:
    """The scores of metrics.json as a few aligned lines for a terminal."""
    floor = {"floor": metrics["floor"]} if metrics["ade_over_floor"] is not None else {}
    rows = {"student": metrics["student"], **floor, **metrics["baselines"]}
    names = list(metrics["student"]["fde"])
    lines = [f"{'metres':<20}{'ADE':>8}" + "".join(f"{'FDE ' + name + ' s':>12}" for name in names)]
    for name, row in rows.items():
        lines.append(f"{name:<20}{row['ade']:>8.3f}" + "".join(f"{row['fde'][n]:>12.3f}" for n in names))
    lines.append(f"floor: {metrics['floor']['kind']}, {metrics['clips']} clips of {metrics['samples']} samples")
    if metrics["ade_over_floor"] is not None:
        lines.append(f"ADE / floor {metrics['ade_over_floor']:.3f}   excess / floor {metrics['excess_over_floor']:.3f}")
    own, theirs = metrics["action_std"]["student"], metrics["action_std"]["labels"]
    if any(not 2 / 3 < mine / other < 3 / 2 for mine, other in zip(own, theirs, strict=True)):
        spreads = [f"{a:.2f} m/s^2 and {kappa:.4f} 1/m" for a, kappa in (own, theirs)]
        lines.append(f"the student keeps its own action statistics: std {spreads[0]}; these labels have {spreads[1]}")
    for name, value in metrics.get("ground_truth", {}).items():
        lines.append(f"against ground truth: {name:<22}{value if isinstance(value, float) else value['ade']:>8.3f}")
    failed = [name for name, passed in metrics["checks"].items() if passed is False]
    lines.append(f"checks: {'failed: ' + ', '.join(failed) if failed else 'passed'}")
    return "\n".join(lines)


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
