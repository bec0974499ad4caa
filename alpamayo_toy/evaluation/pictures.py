"""The pictures of a student in held-out scenes, the same scenes every time."""

from pathlib import Path

import torch

from alpamayo_toy.evaluation.evaluate import predicted
from alpamayo_toy.evaluation.reference import Reference
from alpamayo_toy.students.student import Student

PICTURED = 8  # scenes in a picture from above
PROFILED = 2  # of them with actions over time
DRAWN_SAMPLES = 12  # of the teacher, in a scene from above


def draw(folder: Path, student: Student, reference: Reference) -> list[Path]:
    """birds_eye.png and profiles.png of the same scenes every time, one of each scenario first."""
    from alpamayo_toy.views import figures

    labels = reference.labels
    firsts = [int((labels.scenario == s).nonzero()[0]) for s in labels.scenario.unique()]
    rest = [i for i in range(len(labels)) if i not in firsts]
    index = torch.tensor((firsts + rest)[:PICTURED])
    found = predicted(student, reference.scene.select(index))
    shown = labels.select(index)
    names = [labels.scenario_names[int(s)] if s >= 0 else "unknown" for s in shown.scenario]
    titles = [f"{name}, v0 = {float(v):.1f} m/s" for name, v in zip(names, shown.v0, strict=True)]
    paths = [folder / "birds_eye.png", folder / "profiles.png"]
    center, drivers = None if student.several else reference.center[index], shown.teacher[:, :DRAWN_SAMPLES]
    odds = found.probabilities
    driven = shown.ground_truth
    figures.birds_eye(paths[0], titles, drivers, found.trajectories, center, driven, odds=odds, columns=2, dt=labels.dt)
    few = slice(PROFILED)
    figures.profiles(
        paths[1],
        titles[few],
        shown.teacher[few, : DRAWN_SAMPLES // 2],
        shown.v0[few].float(),
        found.likeliest().trajectories[few, 0],
        labels.dt,
        student.rollout.integrator,
        None if shown.ground_truth is None else shown.ground_truth[few].float(),
    )
    return paths
