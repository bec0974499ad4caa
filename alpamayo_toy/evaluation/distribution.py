"""A student's trajectories as a distribution, beside the teacher's own: energy score, calibration, spread."""

from typing import Any

import torch
from torch import Tensor

from alpamayo_toy.evaluation.reference import Reference
from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.kinematics.recovery import label_actions
from alpamayo_toy.kinematics.trajectory import Prediction, Scene
from alpamayo_toy.metrics.comfort import from_actions, passes
from alpamayo_toy.metrics.displacement import distance, horizons, min_ade
from alpamayo_toy.metrics.distribution import (
    calibration_error,
    energy_score,
    manoeuvre_shares,
    medoids,
    nearest_shares,
    off_the_crowd,
    total_variation,
    within_region,
)
from alpamayo_toy.metrics.intervals import over_clips
from alpamayo_toy.metrics.pairs import distances_among
from alpamayo_toy.students.student import Student

SAMPLES = 64  # drawn of a student that gives several trajectories
CHUNK = 64  # clips at once, so that their samples stay in the cache
REGIONS = (0.5, 0.9)  # shares of the samples, whose regions are looked into
SIX = 6  # what people show
MANY = 256  # of the crowd's drivers, of which the six in their middle are the teacher's


@torch.no_grad()
def distribution(student: Student, reference: Reference, units: Tensor) -> tuple[dict[str, Any], Tensor]:
    """What metrics.json says under "distribution", and the energy score (N,) of each clip; units (N,) for intervals."""
    labels, integrator = reference.labels, student.rollout.integrator
    generator = torch.Generator().manual_seed(0)
    rows: list[dict[str, Tensor]] = []
    for index in torch.arange(len(labels)).split(CHUNK):
        scene, teacher = reference.scene.select(index), labels.teacher[index].float()
        v0 = scene.v0.to(teacher)
        modes, drawn = weighted_draws(student, scene, noise_for(student, len(index), SAMPLES, generator))
        samples = equal_draws(student, scene, SAMPLES, generator)
        p, actions = modes.probabilities, samples.actions
        row = {
            "energy": energy_of(modes, drawn, teacher),
            **{f"min_ade_{k}": _of_the_likeliest(modes, teacher, k) for k in range(1, p.shape[1] + 1)},
            **_driving("", actions, samples.trajectories, v0, labels.dt, integrator),
            "spread": _spread(samples.trajectories),
            "manoeuvres": manoeuvre_shares(samples.trajectories, v0),
            "teacher_spread": _spread(teacher),
            "teacher_manoeuvres": manoeuvre_shares(teacher, v0),
            "probabilities": p,
            "shares": nearest_shares(modes.trajectories, teacher),
        }
        taught = label_actions(teacher, v0.unsqueeze(-1).expand(teacher.shape[:2]), labels.dt, integrator)
        row |= _driving("teacher_", taught, teacher, v0, labels.dt, integrator)
        row["total_variation"] = total_variation(row["manoeuvres"], row["teacher_manoeuvres"])
        if student.spread:
            for share in REGIONS:
                row[f"within_{share}"] = within_region(samples.trajectories, teacher, share).float().mean(-1)
        if reference.others is not None:
            others = reference.others[index].float()
            row["teacher_energy"] = energy_score(others, teacher)
            row["teacher_total_variation"] = total_variation(manoeuvre_shares(others, v0), row["teacher_manoeuvres"])
        elif teacher.shape[1] > 1:
            row["teacher_energy"] = leave_one_out(teacher)
        rows.append(row)
    found = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
    said = _summary(found, labels.dt, units) | {
        "modes": student.count,
        "samples": SAMPLES if student.several else 1,
        "crowd": None if reference.crowd is None else _in_the_crowd(student, reference, reference.crowd),
    }
    return said, found["energy"]


def weighted_draws(student: Student, scene: Scene, noise: Tensor | None) -> tuple[Prediction, Prediction]:
    """Its modes, and the draws of each that follow from noise_for(), with their probabilities; on the CPU."""
    modes, drawn = student.each_mode(scene.to(student.action_space.mean.device), noise)
    return modes.to("cpu"), drawn.to("cpu")


def noise_for(student: Student, scenes: int, many: int, generator: torch.Generator) -> Tensor | None:
    """What weighted_draws() takes for about so many draws of each scene, as many of each mode."""
    return student.noise(scenes, max(2, many // student.count), generator)


def equal_draws(student: Student, scene: Scene, many: int, generator: torch.Generator) -> Prediction:
    """So many samples of it, equally likely; its one trajectory where it has no more. On the CPU."""
    here = scene.to(student.action_space.mean.device)
    drawn: Prediction = student(here, many if student.several else None, generator)
    return drawn.to("cpu")


def energy_of(modes: Prediction, drawn: Prediction, teacher: Tensor) -> Tensor:
    """The energy score (N,) of what weighted_draws() gives, against a teacher's samples (N, Y, T, 4)."""
    draws = drawn.actions.shape[1] // modes.actions.shape[1]
    return energy_score(drawn.trajectories, teacher, drawn.probabilities, draws)


def leave_one_out(teacher: Tensor) -> Tensor:
    """The energy score (N,) of a clip's other samples against each one: half the mean distance of two of them."""
    k = teacher.shape[1]
    return distances_among(teacher).sum((-2, -1)) / (2 * k * (k - 1))


def _of_the_likeliest(modes: Prediction, teacher: Tensor, k: int) -> Tensor:
    """minADE (N,) of the k likeliest modes, mean over the teacher's samples."""
    best = modes.log_probabilities.topk(k, -1).indices
    chosen = modes.trajectories[torch.arange(len(best)).unsqueeze(-1), best]
    return min_ade(chosen.unsqueeze(1), teacher).mean(-1)


def _driving(prefix: str, actions: Tensor, trajectories: Tensor, v0: Tensor, dt: float, integrator: str) -> Any:
    """Of samples (N, M, T, 2 and 4): the share that is comfortable, and the p95 of |jerk| over samples and steps."""
    start = v0.unsqueeze(-1).expand(actions.shape[:2])
    passed = passes(from_actions(actions, trajectories, start, dt, integrator))["all"]
    jerk = (actions[..., 0].diff(dim=-1) / dt).abs().flatten(1)
    return {f"{prefix}comfort": passed.float().mean(-1), f"{prefix}jerk_p95": jerk.quantile(0.95, -1)}


def _spread(samples: Tensor) -> Tensor:
    """Mean distance of samples (N, M, T, 4) to their mean: (N, T)."""
    return distance(samples, samples.mean(1, keepdim=True)).mean(1)


def _summary(found: dict[str, Tensor], dt: float, units: Tensor) -> dict[str, Any]:
    energy, own = found["energy"], found.get("teacher_energy")
    names = [scenario.name for scenario in Scenario]
    k = found["probabilities"].shape[1]

    def mean(name: str) -> float | None:
        return float(found[name].double().mean()) if name in found else None

    def shares(name: str) -> dict[str, float]:
        return dict(zip(names, found[name].double().mean(0).tolist(), strict=True))

    return {
        "energy": {
            "student": over_clips(energy, units).as_dict(),
            "teacher": None if own is None else over_clips(own, units).as_dict(),
        },
        "min_ade_of_likeliest": {str(i): mean(f"min_ade_{i}") for i in range(1, k + 1)},
        "manoeuvres": {
            "student": shares("manoeuvres"),
            "teacher": shares("teacher_manoeuvres"),
            "total_variation": mean("total_variation"),
            "teacher_total_variation": mean("teacher_total_variation"),
        },
        "calibration_error": float(calibration_error(found["probabilities"], found["shares"])) if k > 1 else None,
        "regions": {str(share): mean(f"within_{share}") for share in REGIONS} if "within_0.5" in found else None,
        "comfort": {"student": mean("comfort"), "teacher": mean("teacher_comfort")},
        "jerk_p95": {"student": mean("jerk_p95"), "teacher": mean("teacher_jerk_p95")},
        "spread": {
            "student": horizons(found["spread"].double().mean(0), dt),
            "teacher": horizons(found["teacher_spread"].double().mean(0), dt),
        },
    }


def _in_the_crowd(student: Student, reference: Reference, crowd: Tensor) -> dict[str, Any]:
    """Of the first C clips, whose teacher was asked 512 times, crowd (C, 512, T, 4): who drives where nobody does, and
    how good six of the student's are beside the six in the middle of the teacher's.
    """
    generator = torch.Generator().manual_seed(0)
    rows: list[dict[str, Tensor]] = []
    for index in torch.arange(len(crowd)).split(CHUNK // 8):
        many, teacher = crowd[index].float(), reference.labels.teacher[index].float()
        scene = reference.scene.select(index)
        modes = student(scene.to(student.action_space.mean.device)).to("cpu")
        samples = equal_draws(student, scene, SAMPLES, generator)
        middle, _ = medoids(many[:, :MANY], SIX)
        six = many[torch.arange(len(index)).unsqueeze(-1), middle]
        p = modes.probabilities
        rows.append(
            {
                "nobody": off_the_crowd(samples.trajectories, many).float().mean(-1),
                "modes_nobody": (off_the_crowd(modes.trajectories, many) * p).sum(-1),
                "teacher_nobody": off_the_crowd(teacher, many).float().mean(-1),
                "min_ade": min_ade(modes.trajectories.unsqueeze(1), teacher).mean(-1),
                "teacher_min_ade": min_ade(six.unsqueeze(1), teacher).mean(-1),
            }
        )
    means = {name: float(torch.cat([row[name] for row in rows]).double().mean()) for name in rows[0]}
    return {
        "clips": len(crowd),
        "drivers": crowd.shape[1],
        "nobody_drives_there": {
            "samples": means["nobody"],
            "modes": means["modes_nobody"],
            "teacher": means["teacher_nobody"],
        },
        "min_ade": {"modes": means["min_ade"], "six_medoids_of_the_teacher": means["teacher_min_ade"]},
    }
