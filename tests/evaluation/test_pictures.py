"""Which scenes are drawn: one of each scenario first, and of them what their titles say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from places import DATA
from taught import built, stirred

from alpamayo_toy import load_labels
from alpamayo_toy.evaluation.pictures import draw
from alpamayo_toy.evaluation.reference import Reference, file_reference
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.views import figures


@pytest.fixture
def reference() -> Reference:
    """12 clips, 14 samples each, whose speeds are 0, 1, 2, ... and whose end is what was driven."""
    labels = load_labels(DATA / "labels.npz").select(torch.arange(12))
    scenario = torch.tensor([3, 3, 1, 3, -1, 1, 0, 0, 1, 3, 3, 3])
    many = labels.teacher.repeat(1, 4, 1, 1)[:, :14] + torch.arange(14.0)[:, None, None]
    labels = replace(labels.with_teacher(many), scenario=scenario, v0=torch.arange(12.0), ground_truth=many[:, 1])
    return file_reference(labels, True, "clip", None)


@pytest.mark.parametrize("modes", [1, 3])
def test_each_scenario_is_drawn_first_and_then_the_rest(
    modes: int, reference: Reference, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn: dict[str, tuple[Any, ...]] = {}
    monkeypatch.setattr(figures, "birds_eye", lambda *given, **named: drawn.update(above=(*given, named)))
    monkeypatch.setattr(figures, "profiles", lambda *given: drawn.update(profiles=given))
    student = stirred(built(StudentConfig(modes=modes), reference.labels))
    with torch.no_grad():
        draw(tmp_path, student, reference)
        rows = torch.tensor([4, 6, 2, 0, 1, 3, 5, 7])  # -1, 0, 1 and 3 first
        expected = student(reference.scene.select(rows))
    path, titles, teacher, predicted, center, driven, named = drawn["above"]
    assert (path, named["columns"], named["dt"]) == (tmp_path / "birds_eye.png", 2, 0.1)
    names = ["unknown", "STRAIGHT", "LEFT", "STOP", "STOP", "STOP", "LEFT", "STRAIGHT"]
    assert titles == [f"{name}, v0 = {row}.0 m/s" for name, row in zip(names, rows.tolist(), strict=True)]
    assert torch.equal(teacher, reference.labels.teacher[rows, :12])
    assert torch.equal(predicted, expected.trajectories)
    assert torch.equal(named["odds"], expected.probabilities)
    assert center is None if modes > 1 else torch.equal(center, reference.center[rows])
    path, titles, teacher, v0, one, dt, integrator, truth = drawn["profiles"]
    assert (path, titles, dt, integrator) == (tmp_path / "profiles.png", drawn["above"][1][:2], 0.1, "euler")
    assert torch.equal(teacher, reference.labels.teacher[rows[:2], :6])
    assert v0.tolist() == [4.0, 6.0]
    assert torch.equal(one, expected.likeliest().trajectories[:2, 0])
    assert reference.labels.ground_truth is not None
    assert torch.equal(driven, reference.labels.ground_truth[rows])
    assert torch.equal(truth, reference.labels.ground_truth[rows[:2]].float())
