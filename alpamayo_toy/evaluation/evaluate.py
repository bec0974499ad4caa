"""How good a student is: beside its teacher's floor, baselines and the teacher itself, with intervals."""

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.evaluation.baselines import NO_TRAINING, Anchors, baselines, six_residuals
from alpamayo_toy.evaluation.describe import describe
from alpamayo_toy.evaluation.distribution import CHUNK, distribution, energy_of, noise_for, weighted_draws
from alpamayo_toy.evaluation.groups import groups_of, mean_of
from alpamayo_toy.evaluation.reference import ONE_SAMPLE, Reference, mean_errors
from alpamayo_toy.evaluation.results import Clips, clips_of
from alpamayo_toy.kinematics.action_space import ActionSpace
from alpamayo_toy.kinematics.trajectory import Labels, Prediction, Scene
from alpamayo_toy.metrics.displacement import distance, horizons, min_ade
from alpamayo_toy.metrics.intervals import BLOCK_S, is_decided, over_clips, paired, units_of
from alpamayo_toy.metrics.scores import Scores, of_errors, quality, score
from alpamayo_toy.metrics.sums import Sums
from alpamayo_toy.ranks import ALONE, Ranks
from alpamayo_toy.students.student import Student
from alpamayo_toy.teachers.augment import picked

WORST, TYPICAL = 8, 4  # clips that a page shows
WATCHED = 24  # draws of a student's modes in all, that its energy score is watched by
BATCH = 4096  # clips that a student predicts at once
WITH_INTERVAL = ("ade", "fde", "min_ade", "min_fde")


@dataclass(frozen=True)
class Evaluation:
    """What is found of a student: metrics, as metrics.json has them; clips, a row each; what it predicts of them."""

    metrics: dict[str, Any]
    clips: Clips
    prediction: Prediction


@torch.no_grad()
def predicted(student: Student, scene: Scene) -> Prediction:
    """The modes that a student predicts of N scenes, on its own device and back, in batches."""
    device = student.action_space.mean.device
    batches = torch.arange(len(scene)).split(BATCH)
    return Prediction.joined([student(scene.select(rows).to(device)).to("cpu") for rows in batches])


def scores(student: Student, reference: Reference, ranks: Ranks = ALONE) -> dict[str, float]:
    """The few numbers that are watched during training, the clips shared out among the ranks."""
    sums = Sums()
    for rows in ranks.batches(len(reference.scene), BATCH):
        trajectory = predicted(student, reference.scene.select(rows)).likeliest().trajectories[:, 0]
        errors = mean_errors(trajectory, reference.labels.select(rows))
        sums.add("ade", errors.mean(-1))
        sums.add("fde", errors[:, -1])
        sums.add("excess", distance(trajectory, reference.center[rows]).mean(-1))
    if student.several:
        generator = torch.Generator().manual_seed(0)
        for rows in torch.arange(len(reference.scene)).split(CHUNK):
            noise = noise_for(student, len(rows), WATCHED, generator)  # of all, whoever looks at them
            rows, noise = ranks.share(rows), noise if noise is None else ranks.share(noise)
            if not len(rows):
                continue
            teacher = reference.labels.teacher[rows].float()
            modes, drawn = weighted_draws(student, reference.scene.select(rows), noise)
            sums.add("energy", energy_of(modes, drawn, teacher))
            sums.add("min_ade", min_ade(modes.trajectories.unsqueeze(1), teacher).mean(-1))
    everyones = Sums()
    for part in ranks.gathered(sums):
        everyones.merge(part)
    means, floor = everyones.means(), float(reference.floor.mean())
    found: dict[str, float] = {name: means[name] for name in ("ade", "fde", "energy", "min_ade") if name in means}
    if floor > 0:
        found |= {"ade_over_floor": means["ade"] / floor, "excess_over_floor": means["excess"] / floor}
    return found


def yardsticks(reference: Reference) -> dict[str, float]:
    """ADE [m] of the floor, where there is one, and of the best baseline that has an answer to every clip."""
    labels = replace(reference.labels, v0=reference.scene.v0)
    made = {name: found for name, found in baselines(labels, reference.training).items() if not isinstance(found, str)}
    ade = {name: float(mean_errors(found, labels).mean()) for name, found in made.items()}
    best = min(ade, key=lambda name: ade[name] if ade[name] == ade[name] else math.inf)
    floor = {} if reference.kind == ONE_SAMPLE else {"floor": float(reference.floor.mean())}
    return floor | {best: ade[best]}


def evaluate(student: Student, reference: Reference) -> Evaluation:
    """Everything that is said of a student, beside baselines of which two learn from its training labels."""
    labels, v0 = reference.labels, reference.scene.v0
    dt, integrator = labels.dt, student.rollout.integrator
    prediction = predicted(student, reference.scene)
    single = prediction.likeliest()
    actions, trajectory = single.actions[:, 0], single.trajectories[:, 0]
    predictors, missing = _predictors(prediction, labels, v0, reference.training)
    units = units_of(labels.clip_id, labels.t0_us)
    several, energy = distribution(student, reference, units)
    truths = {"teacher": labels.teacher}
    if labels.ground_truth is not None:
        truths["ground_truth"] = labels.ground_truth.float().unsqueeze(1)
    likely = {"student_modes": prediction.probabilities}
    if student.several and reference.training is not None:
        anchors = Anchors.fit(reference.training)
        predictors["six_anchors"] = anchors.predict(replace(labels, v0=v0))
        likely["six_anchors"] = anchors.probabilities.to(v0).expand(len(labels), -1)
    elif student.several:
        missing["six_anchors"] = NO_TRAINING
    scored = {
        "teacher": {name: score(made, labels.teacher, v0, dt, likely.get(name)) for name, made in predictors.items()}
    }
    scored["teacher"]["student"].per_clip["energy_score"] = energy
    if reference.kind != ONE_SAMPLE:
        scored["teacher"]["floor"] = of_errors(reference.floor, dt)
    if "ground_truth" in truths:
        rows = predictors | _teachers_own(labels, v0)
        scored["ground_truth"] = {
            name: score(made, truths["ground_truth"], v0, dt, likely.get(name)) for name, made in rows.items()
        }
        each = distance(labels.teacher, truths["ground_truth"]).mean(1)
        scored["ground_truth"]["teacher_each_sample"] = of_errors(each, dt)
    against = list(truths)[-1]
    groups = groups_of(labels, truths[against][:, 0], v0)
    clips = clips_of(labels, v0, groups, scored)
    own = scored["teacher"]["student"].per_clip["ade"] - reference.floor.mean(-1)  # what could have been done better
    ranked = own.argsort(descending=True, stable=True)
    worst = min(WORST, -(-len(ranked) // 3))  # of a few clips a third, so that the typical ones are others
    middle = max(worst, (len(ranked) - TYPICAL) // 2)
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
        "route_source": None if labels.route is None else labels.route_source,
        "v0_sources": dict(sorted(Counter(labels.v0_source.tolist()).items())),
        "action_std": {"student": student.action_space.std.tolist(), "labels": ActionSpace.fit(labels).std.tolist()},
        "student": _entry(student_errors, dt),
        "floor": {"kind": reference.kind, **_entry(reference.floor.double().mean(0), dt)},
        "excess": excess if reference.kind != ONE_SAMPLE else None,
        "ade_over_floor": ade / floor if floor > 0 else None,
        "excess_over_floor": excess / floor if floor > 0 else None,
        "energy_over_teacher": _ratio(several["energy"]),
        "distribution": several,
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
        **{
            name: [
                {
                    "clip_id": str(labels.clip_id[i]),
                    "t0_us": int(labels.t0_us[i]),
                    "scenario": groups["scenario"].of(i),
                    "v0": float(v0[i]),
                    "ade": float(scored[against]["student"].per_clip["ade"][i]),
                    "above_floor": float(own[i]) if reference.kind != ONE_SAMPLE else None,
                }
                for i in chosen.tolist()
            ]
            for name, chosen in (("worst", ranked[:worst]), ("typical", ranked[middle : middle + TYPICAL]))
        },
    }
    return Evaluation(metrics, clips, prediction)


def _predictors(
    prediction: Prediction, labels: Labels, v0: Tensor, training: Labels | None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Who predicts, (N, K, T, 4) each, and why the others do not."""
    labels = replace(labels, v0=v0)
    made: dict[str, Tensor | str] = {**baselines(labels, training), "six_residuals": six_residuals(labels, training)}
    found = {"student": prediction.likeliest().trajectories}
    if prediction.trajectories.shape[1] > 1:
        found["student_modes"] = prediction.trajectories
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


def _ratio(energy: dict[str, Any]) -> float | None:
    """The student's energy score in units of the teacher's own, None where that is not known."""
    own = energy["teacher"]
    return None if own is None or not own["mean"] else float(energy["student"]["mean"] / own["mean"])


def _scenario_source(reference: Reference) -> str:
    """file, future (an oracle), or unknown where the student is not told."""
    return "unknown" if bool((reference.scene.scenario < 0).all()) else reference.labels.scenario_source


def _entry(per_step: Tensor, dt: float) -> dict[str, Any]:
    """ADE and FDE by horizon from mean errors per step (T,)."""
    return {"ade": float(per_step.mean()), "fde": horizons(per_step, dt)}
