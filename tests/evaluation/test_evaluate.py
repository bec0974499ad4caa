"""A student that is shown everything reaches the floor, a masked one does not, whatever the batches."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from composed import scenario_config
from taught import FEW

from alpamayo_toy import load_student
from alpamayo_toy.evaluation.evaluate import evaluate, predicted, scores
from alpamayo_toy.evaluation.reference import build_reference
from alpamayo_toy.teachers.synthetic import SyntheticTeacher

pytestmark = pytest.mark.slow  # for their two students
SHOWN = replace(FEW, reveal="scene")  # what these students are told


def test_a_student_that_sees_the_scene_reaches_the_floor_and_a_masked_one_does_not(students: dict[str, Path]) -> None:
    shown, masked = (json.loads((students[name] / "metrics.json").read_text()) for name in ("shown", "masked"))
    assert shown["ade_over_floor"] <= 1.05
    assert shown["excess_over_floor"] <= 0.25
    assert masked["ade_over_floor"] > 2
    assert masked["excess_over_floor"] > 2
    assert shown["baselines"]["constant_velocity"]["ade"] > 5 * shown["floor"]["ade"]


def test_evaluation_does_not_depend_on_how_clips_are_grouped(students: dict[str, Path]) -> None:
    student, _ = load_student(students["shown"])
    scene = build_reference(SyntheticTeacher(scenario_config("LEFT"), SHOWN), 0).scene
    whole = predicted(student, scene).trajectories
    parts = torch.cat([predicted(student, scene.select(torch.tensor([i]))).trajectories for i in range(32)])
    assert (whole - parts).abs().max() < 1e-4


def test_evaluation_does_not_depend_on_its_batches(students: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    student, _ = load_student(students["shown"])
    reference = build_reference(SyntheticTeacher(scenario_config("ALL"), SHOWN), 0)
    whole = evaluate(student, reference).metrics
    unavoidable = dict(zip(reference.labels.clip_id.tolist(), reference.floor.mean(-1).tolist(), strict=True))
    for clip in (*whole["worst"], *whole["typical"]):
        assert clip["above_floor"] == pytest.approx(clip["ade"] - unavoidable[clip["clip_id"]], abs=1e-5)
    assert [clip["above_floor"] for clip in whole["worst"]] == sorted(
        (clip["above_floor"] for clip in whole["worst"]), reverse=True
    )
    energy = whole["distribution"]["energy"]
    assert whole["energy_over_teacher"] == pytest.approx(energy["student"]["mean"] / energy["teacher"]["mean"])
    watched = scores(student, reference)
    monkeypatch.setattr("alpamayo_toy.evaluation.evaluate.BATCH", 5)
    monkeypatch.setattr("alpamayo_toy.metrics.scores.AT_ONCE", 3 * 64 * 64)
    parts = evaluate(student, reference).metrics
    assert scores(student, reference) == pytest.approx(watched, rel=1e-6)
    assert numbers(parts) == pytest.approx(numbers(whole), rel=1e-5, abs=1e-6)


def numbers(content: Any, prefix: str = "") -> dict[str, float]:
    """Every number by its place."""
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        return {k: v for name, value in items for k, v in numbers(value, f"{prefix}.{name}").items()}
    return {prefix: float(content)} if isinstance(content, int | float) else {}
