"""How good a student is: beside its teacher's floor, baselines and the teacher itself, with intervals."""

import base64
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.action_space import ActionSpace
from alpamayo_toy.baselines import baselines, six_residuals
from alpamayo_toy.checkpoint import load_student
from alpamayo_toy.config import EvalConfig, FileConfig, MixtureConfig, RolloutConfig, SyntheticConfig, TrainConfig
from alpamayo_toy.device import choose_device
from alpamayo_toy.errors import UserError
from alpamayo_toy.files import replacing, write_json
from alpamayo_toy.groups import groups_of, mean_of
from alpamayo_toy.intervals import BLOCK_S, is_decided, over_clips, paired, units_of
from alpamayo_toy.labels import load_labels
from alpamayo_toy.metrics import Sums, distance, horizons, sanity_checks, starter_metrics
from alpamayo_toy.recovery import label_actions
from alpamayo_toy.reference import ONE_SAMPLE, Reference, build_reference, file_reference, mean_errors
from alpamayo_toy.results import Clips, clips_of, write_clips
from alpamayo_toy.scenarios import Scenario
from alpamayo_toy.scores import Scores, of_errors, quality, score
from alpamayo_toy.students import Student
from alpamayo_toy.teachers import FileTeacher, StoredTeacher, SyntheticTeacher, build_teacher, picked
from alpamayo_toy.trajectory import Labels, Scene

FORMAT = 1  # of metrics.json; README, "metrics.json"
PICTURED = 8  # scenes in a picture from above
PROFILED = 3  # of them with actions over time
DRAWN_SAMPLES = 12  # of the teacher, in a scene from above
EVENTS = ".eval"  # how event files of an evaluation end
WORST = 12  # clips that a page shows
BATCH = 4096  # clips that a student predicts at once
WITH_INTERVAL = ("ade", "fde", "min_ade", "min_fde")


@dataclass(frozen=True)
class Evaluation:
    """What is found of a student: metrics, as metrics.json has them; clips, a row each; its trajectories (N, T, 4)."""

    metrics: dict[str, Any]
    clips: Clips
    trajectory: Tensor


@torch.no_grad()
def predicted(student: Student, scene: Scene) -> tuple[Tensor, Tensor]:
    """Actions (N, T, 2) and trajectories (N, T, 4) of a student, on its own device and back, in batches."""
    device = student.action_space.mean.device
    parts = []
    for rows in torch.arange(len(scene)).split(BATCH):
        actions, trajectory = student(scene.select(rows).to(device))
        parts.append((actions[:, 0].cpu(), trajectory[:, 0].cpu()))
    actions, trajectories = (torch.cat(column) for column in zip(*parts, strict=True))
    return actions, trajectories


def scores(student: Student, reference: Reference) -> dict[str, float]:
    """The few numbers that are watched during training."""
    sums = Sums()
    for rows in torch.arange(len(reference.scene)).split(BATCH):
        _, trajectory = predicted(student, reference.scene.select(rows))
        errors = mean_errors(trajectory, reference.labels.select(rows))
        sums.add("ade", errors.mean(-1))
        sums.add("fde", errors[:, -1])
        sums.add("excess", distance(trajectory, reference.center[rows]).mean(-1))
    means, floor = sums.means(), float(reference.floor.mean())
    found = {"ade": means["ade"], "fde": means["fde"]}
    if floor > 0:
        found |= {"ade_over_floor": means["ade"] / floor, "excess_over_floor": means["excess"] / floor}
    return found


def evaluate(student: Student, reference: Reference) -> Evaluation:
    """Everything that is said of a student, beside baselines of which two learn from its training labels."""
    labels, v0 = reference.labels, reference.scene.v0
    dt, integrator = labels.dt, student.rollout.integrator
    actions, trajectory = predicted(student, reference.scene)
    predictors, missing = _predictors(trajectory, labels, v0, reference.training)
    units = units_of(labels.clip_id, labels.t0_us)
    truths = {"teacher": labels.teacher}
    if labels.ground_truth is not None:
        truths["ground_truth"] = labels.ground_truth.float().unsqueeze(1)
    scored = {"teacher": {name: score(made, labels.teacher, v0, dt) for name, made in predictors.items()}}
    if reference.kind != ONE_SAMPLE:
        scored["teacher"]["floor"] = of_errors(reference.floor, dt)
    if "ground_truth" in truths:
        rows = predictors | _teachers_own(labels, v0)
        scored["ground_truth"] = {name: score(made, truths["ground_truth"], v0, dt) for name, made in rows.items()}
        each = distance(labels.teacher, truths["ground_truth"]).mean(1)
        scored["ground_truth"]["teacher_each_sample"] = of_errors(each, dt)
    against = list(truths)[-1]
    groups = groups_of(labels, truths[against][:, 0], v0)
    clips = clips_of(labels, v0, groups, scored)
    worst = scored[against]["student"].per_clip["ade"].argsort(descending=True, stable=True)[:WORST]
    student_errors, floor = scored["teacher"]["student"].per_step, float(reference.floor.mean())
    ade, excess = float(student_errors.mean()), float(distance(trajectory, reference.center).mean())
    first = {"teacher_first_sample": labels.teacher[:, 0]}
    if labels.ground_truth is not None:
        first["ground_truth"] = truths["ground_truth"][:, 0]
    metrics: dict[str, Any] = {
        **describe(actions, trajectory, v0, dt, integrator),
        "clips": len(labels),
        "samples": labels.teacher.shape[1],
        "split": reference.split,
        "scenario_source": _scenario_source(reference),
        "v0_sources": dict(sorted(Counter(labels.v0_source.tolist()).items())),
        "action_std": {"student": student.action_space.std.tolist(), "labels": ActionSpace.fit(labels).std.tolist()},
        "student": _entry(student_errors, dt),
        "floor": {"kind": reference.kind, **_entry(reference.floor.double().mean(0), dt)},
        "excess": excess if reference.kind != ONE_SAMPLE else None,
        "ade_over_floor": ade / floor if floor > 0 else None,
        "excess_over_floor": excess / floor if floor > 0 else None,
        "baselines": {
            name: _entry(scored["teacher"][name].per_step, dt)
            for name, made in predictors.items()
            if name != "student" and made.shape[1] == 1 and scored["teacher"][name].is_whole
        },
        "not_available": missing,
        "units": {
            "count": int(units.max()) + 1,
            "kind": "clips" if len(np.unique(labels.clip_id)) == len(labels) else f"{BLOCK_S:g} s blocks of drives",
        },
        "scores": {
            target: {name: _summaries(found.per_clip, units) for name, found in rows.items()}
            for target, rows in scored.items()
        },
        "paired": {target: _paired(rows, units) for target, rows in scored.items()},
        "breakdown_against": against,
        "breakdown": {kind: group.breakdown(scored[against]) for kind, group in groups.items()},
        "quality": {
            "student": quality(trajectory, v0, dt, actions, integrator),
            **{name: quality(driven, v0, dt) for name, driven in first.items()},
        },
        "horizon_errors": {
            "seconds": [round((i + 1) * dt, 6) for i in range(labels.horizon)],
            **{
                target: {name: found.per_step.tolist() for name, found in rows.items() if found.is_whole}
                for target, rows in scored.items()
            },
        },
        "worst": [
            {
                "clip_id": str(labels.clip_id[i]),
                "t0_us": int(labels.t0_us[i]),
                "scenario": groups["scenario"].of(i),
                "v0": float(v0[i]),
                "ade": float(scored[against]["student"].per_clip["ade"][i]),
            }
            for i in worst.tolist()
        ],
    }
    return Evaluation(metrics, clips, trajectory)


def _predictors(
    trajectory: Tensor, labels: Labels, v0: Tensor, training: Labels | None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Who predicts, (N, K, T, 4) each, and why the others do not."""
    labels = replace(labels, v0=v0)
    made: dict[str, Tensor | str] = {**baselines(labels, training), "six_residuals": six_residuals(labels, training)}
    found = {"student": trajectory.unsqueeze(1)}
    for name, result in made.items():
        if not isinstance(result, str):
            found[name] = (result if result.dim() == 4 else result.unsqueeze(1)).to(v0.dtype)
    return found, {name: result for name, result in made.items() if isinstance(result, str)}


def _teachers_own(labels: Labels, v0: Tensor) -> dict[str, Tensor]:
    """The teacher's samples as predictions of what was driven: (N, K, T, 4) each."""
    if labels.teacher.shape[1] == 1:
        return {"teacher_first_sample": labels.teacher}
    chosen = {which: picked(labels.teacher, v0, which, labels.dt) for which in ("medoid", "mean")}
    return {
        "teacher_first_sample": labels.teacher[:, :1],
        "teacher_medoid": chosen["medoid"],
        "teacher_mean": chosen["mean"],
        "teacher_samples": labels.teacher,
    }


def _summaries(per_clip: dict[str, Tensor], units: Tensor) -> dict[str, dict[str, float | int | None]]:
    """Means over clips; of the errors that are compared, with their interval."""
    return {
        name: over_clips(values, units).as_dict() if name in WITH_INTERVAL else mean_of(values)
        for name, values in per_clip.items()
    }


def _paired(rows: dict[str, Scores], units: Tensor) -> dict[str, dict[str, Any]]:
    """ADE of the student minus that of each other predictor, clip by clip."""
    found = {}
    for name, other in rows.items():
        if name != "student" and "ade" in other.per_clip:
            interval = paired(rows["student"].per_clip["ade"], other.per_clip["ade"], units)
            found[name] = {**interval.as_dict(), "decided": is_decided(interval)}
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
    """Score a trained student on its own held-out clips, another scenario or another file.

    Writes metrics.json, clips.csv, TensorBoard's events and, with plot, figures and report.html. Of a file only those
    clips count whose drive or clip the student was not trained on. Raises UserError where labels and student do not
    fit, and where its own labels are gone, without which nobody can tell.
    """
    student, trained = load_student(config.checkpoint)
    student.to(choose_device(config.device))
    torch.set_num_threads(trained.trainer.threads)
    seed = trained.seed if config.seed is None else config.seed
    labels_from = config.teacher or (trained.teacher if config.scenario is None else SyntheticConfig())
    if isinstance(labels_from, SyntheticConfig):
        labels_from = replace(labels_from, reveal="all" if student.context_names else "none")
    source = replace(trained, scenario=config.scenario or trained.scenario, teacher=labels_from, seed=seed)
    if isinstance(config.teacher, FileConfig):
        reference = _other_file(config, config.teacher, trained)
    else:
        reference = build_reference(build_teacher(source), seed)
    labels = reference.labels
    mine, theirs = (student.horizon, student.rollout.dt), (labels.horizon, labels.dt)
    if mine != theirs:
        raise UserError(
            f"{config.checkpoint} predicts {mine[0]} steps of {mine[1]} s, the labels have {theirs[0]} of {theirs[1]} s"
        )
    reference = replace(reference, scene=student.known_of(reference.scene, labels))
    found = evaluate(student, reference)
    metrics = {"command": "eval", **origin(source.scenario, labels_from, seed), **found.metrics}
    metrics.pop("teacher_samples", None)
    if isinstance(trained.teacher, FileConfig):
        metrics["teacher_samples"] = trained.teacher.samples
    write_json(output_dir / "metrics.json", metrics)
    write_clips(output_dir / "clips.csv", found.clips)
    (output_dir / "report.html").unlink(missing_ok=True)  # of an earlier evaluation
    pictures = _report(output_dir, metrics, student, reference, found.trajectory) if config.plot else {}
    _log(output_dir, metrics, pictures)
    return metrics


def _other_file(config: EvalConfig, given: FileConfig, trained: TrainConfig) -> Reference:
    """What a file holds beside the clips or drives that the student has learnt from."""
    labels, training, split = load_labels(given.path, given.format), None, "another file"
    if isinstance(trained.teacher, FileConfig):
        try:
            teacher = build_teacher(trained)
        except UserError as error:
            reason = f"{config.checkpoint} was trained on {trained.teacher.path}, without which its clips are not known"
            raise UserError(f"{reason}: {error}") from None
        assert isinstance(teacher, FileTeacher | StoredTeacher)
        training = teacher.training(trained.seed)
        new = ~np.isin(labels.clip_id, teacher.clip_ids())
        if not new.any():
            raise UserError(f"{given.path}: the student was trained on all of its clips")
        labels = labels.select(torch.from_numpy(np.flatnonzero(new)))
        split += "" if new.all() else f", without {int((~new).sum())} clips that it was trained on"
        chose = np.isin(labels.clip_id, teacher.validation.clip_id).any()
        split += ", which chose the checkpoint" if chose else ""
    return file_reference(labels, given.oracle, split, training)


def _log(output_dir: Path, metrics: dict[str, Any], pictures: dict[str, Path]) -> None:
    """The scores for TensorBoard, beside those of training."""
    from alpamayo_toy.logger import Logger
    from alpamayo_toy.results import table

    for old in output_dir.glob(f"events.out.tfevents.*{EVENTS}"):
        old.unlink()
    log = Logger(output_dir, suffix=EVENTS)
    for target, rows in metrics["scores"].items():
        means = {f"eval/{target}/{metric}": entry["mean"] for metric, entry in rows["student"].items()}
        log.scalars({name: mean for name, mean in means.items() if mean is not None}, 0)
    log.text("eval/table", table(metrics))
    for name, picture in pictures.items():
        log.picture(f"eval/{name}", picture, 0)
    log.close()


def _report(
    output_dir: Path, metrics: dict[str, Any], student: Student, reference: Reference, trajectory: Tensor
) -> dict[str, Path]:
    """report.html and the pictures on it."""
    from alpamayo_toy import figures
    from alpamayo_toy.evaluation_page import page

    folder, labels = output_dir / "figures", reference.labels
    pictures = {path.stem: path for path in draw(folder, student, reference)}
    pictures["horizon"], pictures["worst"] = folder / "horizon.png", folder / "worst.png"
    errors = dict(metrics["horizon_errors"])
    figures.over_horizon(pictures["horizon"], errors.pop("seconds"), errors)
    places = {key: i for i, key in enumerate(zip(labels.clip_id.tolist(), labels.t0_us.tolist(), strict=True))}
    index = torch.tensor([places[entry["clip_id"], entry["t0_us"]] for entry in metrics["worst"]])
    shown = labels.select(index)
    figures.birds_eye(
        pictures["worst"],
        [f"{i + 1}: ADE {entry['ade']:.2f} m" for i, entry in enumerate(metrics["worst"])],
        shown.teacher[:, :DRAWN_SAMPLES],
        trajectory[index],
        ground_truth=shown.ground_truth,
    )
    encoded = {name: base64.b64encode(path.read_bytes()).decode() for name, path in pictures.items()}
    with replacing(output_dir / "report.html") as file:
        file.write(page(metrics, encoded).encode(errors="replace"))
    return pictures


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
        None if shown.ground_truth is None else shown.ground_truth[few].float(),
    )
    return paths


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


def _entry(per_step: Tensor, dt: float) -> dict[str, Any]:
    """ADE and FDE by horizon from mean errors per step (T,)."""
    return {"ade": float(per_step.mean()), "fde": horizons(per_step, dt)}
