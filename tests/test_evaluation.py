"""The floor is a floor, the excess is measured from it, and a student that is shown everything reaches it."""

import json
from pathlib import Path

import pytest
import torch
from composed import scenario_config, train_config

from alpamayo_toy.config import SyntheticConfig
from alpamayo_toy.evaluation import build_reference, mean_errors, table
from alpamayo_toy.labels import load_labels, split
from alpamayo_toy.metrics import distance
from alpamayo_toy.teachers import FileTeacher, SyntheticTeacher
from alpamayo_toy.training import fit

DATA = Path(__file__).parent / "data"
FEW = SyntheticConfig(val_scenes=32)


def test_no_single_prediction_beats_the_floor_by_more_than_its_samples_allow() -> None:
    teacher = SyntheticTeacher(scenario_config("ALL"), FEW)
    reference = build_reference(teacher, 0)
    floor = reference.floor.mean()
    assert reference.labels.teacher.shape == (32, 64, 64, 4)
    again = build_reference(teacher, 0)
    assert torch.equal(reference.floor, again.floor)
    own_median = mean_errors(reference.labels.teacher[:, 0], reference.labels).mean()
    assert own_median > 1.2 * floor  # one driver as the prediction for the others
    shifted = mean_errors(reference.center + torch.tensor([0.5, 0.0]), reference.labels).mean()
    assert shifted > floor


def test_hiding_the_scene_raises_the_floor() -> None:
    shown = build_reference(SyntheticTeacher(scenario_config("LEFT"), FEW), 0)
    hidden = build_reference(
        SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(val_scenes=32, reveal="none")), 0
    )
    assert hidden.floor.mean() > 2 * shown.floor.mean()
    assert hidden.scene.context is None


def test_a_files_floor_leaves_one_out() -> None:
    labels = load_labels(DATA / "labels.npz")
    train, validation = split(labels, 0.5)
    reference = build_reference(FileTeacher(train, validation), 0)
    assert reference.kind == "leave_one_out_median"
    inside = distance(reference.center.unsqueeze(1), validation.teacher).mean()
    assert reference.floor.mean() > inside  # the median of all has seen the sample that it is scored on


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A student that is shown everything and one that sees its speed only, both briefly trained on LEFT."""
    short = ("trainer.steps=800", "trainer.val_every=400", "trainer.pictures=0", "teacher.val_scenes=128")
    folders = {}
    for name, inputs in (("shown", "[scenario,v0,history,context]"), ("masked", "[v0]")):
        folders[name] = tmp_path_factory.mktemp(name)
        fit(train_config("scenario=LEFT", *short, f"student.inputs={inputs}"), folders[name])
    return folders


def test_a_student_that_sees_the_scene_reaches_the_floor_and_a_masked_one_does_not(students: dict[str, Path]) -> None:
    shown, masked = (json.loads((students[name] / "metrics.json").read_text()) for name in ("shown", "masked"))
    assert shown["ade_over_floor"] <= 1.05
    assert shown["excess_over_floor"] <= 0.25
    assert masked["ade_over_floor"] > 2
    assert masked["excess_over_floor"] > 2
    assert shown["baselines"]["constant_velocity"]["ade"] > 5 * shown["floor"]["ade"]


def test_the_table_says_what_the_file_says(students: dict[str, Path]) -> None:
    metrics = json.loads((students["shown"] / "metrics.json").read_text())
    text = table(metrics)
    assert f"ADE / floor {metrics['ade_over_floor']:.3f}" in text
    assert f"{metrics['student']['fde']['3.0']:.3f}" in text
    assert text.endswith("checks: passed")
    broken = {**metrics, "checks": {**metrics["checks"], "finite": False}}
    assert table(broken).endswith("checks: failed: finite")


def test_evaluation_does_not_depend_on_how_clips_are_grouped(students: dict[str, Path]) -> None:
    from alpamayo_toy import load_student
    from alpamayo_toy.evaluation import predicted

    student, _ = load_student(students["shown"])
    scene = build_reference(SyntheticTeacher(scenario_config("LEFT"), FEW), 0).scene
    _, whole = predicted(student, scene)
    parts = torch.cat([predicted(student, scene.select(torch.tensor([i])))[1] for i in range(32)])
    assert (whole - parts).abs().max() < 1e-4
