"""The floor is a floor, the excess is measured from it, and a student that is shown everything reaches it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from composed import scenario_config, train_config
from places import DATA, LABELS_60, needs_60_clips

from alpamayo_toy import Labels, load_student
from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.checkpoint import evaluate_checkpoint
from alpamayo_toy.evaluation.config import EvalConfig
from alpamayo_toy.evaluation.evaluate import evaluate, predicted, scores
from alpamayo_toy.evaluation.reference import build_reference, mean_errors
from alpamayo_toy.evaluation.results import compare, read_clips, table
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.held_out import split
from alpamayo_toy.labels.loading import joined, load_labels
from alpamayo_toy.metrics.displacement import distance
from alpamayo_toy.teachers.config import FileConfig, SyntheticConfig
from alpamayo_toy.teachers.files import FileTeacher
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.training.loop import fit

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
    student, _ = load_student(students["shown"])
    scene = build_reference(SyntheticTeacher(scenario_config("LEFT"), FEW), 0).scene
    _, whole = predicted(student, scene)
    parts = torch.cat([predicted(student, scene.select(torch.tensor([i])))[1] for i in range(32)])
    assert (whole - parts).abs().max() < 1e-4


def test_evaluation_does_not_depend_on_its_batches(students: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    student, _ = load_student(students["shown"])
    reference = build_reference(SyntheticTeacher(scenario_config("ALL"), FEW), 0)
    whole = evaluate(student, reference).metrics
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


def test_the_same_evaluation_gives_the_same_bytes(students: dict[str, Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        evaluate_checkpoint(EvalConfig(checkpoint=str(students["shown"]), plot=False), tmp_path / name)
    for file in ("metrics.json", "clips.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    trained, again = (json.loads((f / "metrics.json").read_text()) for f in (students["shown"], tmp_path / "one"))
    assert trained["scores"] == again["scores"]
    text = compare([str(students["shown"]), str(students["masked"])], tmp_path / "both")
    assert "128 clips that all runs share, 128 independent units" in text


def driven(drives: list[str], seed: int) -> Labels:
    """Recorded drives of 40 windows, one a second, some without history."""
    teacher = SyntheticTeacher(scenario_config("ALL"), FEW)
    labels = teacher.labels(40 * len(drives), 1, seed)
    ago = torch.linspace(-1.5, 0, 16)
    past = torch.stack([labels.v0[:, None] * ago, 0 * ago.expand(len(labels), 16)], -1)
    speed = labels.v0[:, None, None].expand(-1, 16, 1)
    history = torch.cat([past, torch.zeros(len(labels), 16, 1), speed], -1)
    history[::7] = torch.nan
    return replace(
        labels,
        clip_id=np.repeat(drives, 40),
        t0_us=torch.arange(40).repeat(len(drives)) * 1_000_000,
        history=history,
        context=None,
        context_names=(),
    )


def test_a_student_of_drives_is_scored_on_other_drives(tmp_path: Path) -> None:
    for name, drives in {"train": ["a", "b"], "val": ["c"], "test": ["d", "e"]}.items():
        write(driven(drives, ord(name[0])), tmp_path / f"{name}.npz")
    options = ["teacher=file", f"teacher.path={tmp_path / 'train.npz'}", f"teacher.val_path={tmp_path / 'val.npz'}"]
    found = fit(
        train_config(*options, "teacher.integrator=euler", "trainer=smoke", "trainer.pictures=0"), tmp_path / "run"
    )
    assert found["split"] == "file"
    assert found["clips"] == 40
    assert found["units"] == {"count": 2, "kind": "30 s blocks of drives"}
    assert found["scores"]["teacher"]["student"]["ade"]["low"] is None
    assert found["not_available"] == {}
    assert found["scores"]["teacher"]["ridge"]["ade"]["clips"] == 34
    assert found["scores"]["teacher"]["six_residuals"]["min_ade"]["clips"] == 34
    config = EvalConfig(checkpoint=str(tmp_path / "run"), teacher=FileConfig(str(tmp_path / "test.npz")), plot=False)
    other = evaluate_checkpoint(config, tmp_path / "test")
    assert (other["clips"], other["split"]) == (80, "another file")
    write(joined([driven(["b"], 1), driven(["c", "f"], 2)], tmp_path), tmp_path / "mixed.npz")
    config = replace(config, teacher=FileConfig(str(tmp_path / "mixed.npz")))
    mixed = evaluate_checkpoint(config, tmp_path / "mixed")
    said = "another file, without 40 clips that it was trained on, which chose the checkpoint"
    assert (mixed["clips"], mixed["split"]) == (80, said)
    config = replace(config, teacher=FileConfig(str(tmp_path / "train.npz")))
    with pytest.raises(UserError, match="the student was trained on all of its clips"):
        evaluate_checkpoint(config, tmp_path / "no")
    both = train_config(*options[:2], f"teacher.val_path={tmp_path / 'train.npz'}", "trainer=smoke")
    with pytest.raises(UserError, match=r"2 of its clips are in .*train\.npz too, such as a"):
        fit(both, tmp_path / "no")
    (tmp_path / "train.npz").unlink()
    with pytest.raises(UserError, match=r"was trained on .*train\.npz, without which its clips are not known"):
        evaluate_checkpoint(replace(config, teacher=FileConfig(str(tmp_path / "test.npz"))), tmp_path / "no")


def test_a_student_of_one_drive_is_not_scored_on_it_as_another_file(tmp_path: Path) -> None:
    """By time, its held-out windows share a drive with those that it learnt from."""
    write(driven(["a"], 1), tmp_path / "one.npz")
    options = ["teacher=file", f"teacher.path={tmp_path / 'one.npz'}", "teacher.val_fraction=0.4"]
    found = fit(train_config(*options, "trainer=smoke", "trainer.pictures=0"), tmp_path / "run")
    assert found["split"] == "time"
    config = EvalConfig(checkpoint=str(tmp_path / "run"), plot=False)
    assert evaluate_checkpoint(config, tmp_path / "again")["clips"] == found["clips"]
    with pytest.raises(UserError, match="the student was trained on all of its clips"):
        evaluate_checkpoint(replace(config, teacher=FileConfig(str(tmp_path / "one.npz"))), tmp_path / "no")


@needs_60_clips
def test_the_60_real_clips_against_what_was_driven(students: dict[str, Path], tmp_path: Path) -> None:
    config = EvalConfig(checkpoint=str(students["shown"]), teacher=FileConfig(str(LABELS_60)))
    found = evaluate_checkpoint(config, tmp_path)
    rows = found["scores"]["ground_truth"]
    assert rows["teacher_samples"]["min_ade"]["mean"] == pytest.approx(0.85569, abs=5e-6)
    assert rows["teacher_first_sample"]["ade"]["mean"] == pytest.approx(1.77715, abs=5e-6)
    assert rows["teacher_each_sample"]["ade"]["mean"] == pytest.approx(1.70950, abs=5e-6)
    assert rows["teacher_samples"]["min_ade_3.0"]["mean"] > rows["teacher_samples"]["min_ade_horizon_3.0"]["mean"]
    assert {"stationary", "constant_velocity", "teacher_medoid", "teacher_mean"} <= set(rows)
    assert found["not_available"]["ridge"] == "needs a history, which these labels do not have"
    stored = {clip["clip_id"]: clip["min_ade"] for clip in json.loads(LABELS_60.read_text())}
    clips = read_clips(tmp_path / "clips.csv")
    for name, value in zip(clips["clip_id"], clips["ground_truth.teacher_samples.min_ade"], strict=True):
        assert value == pytest.approx(stored[name], abs=1e-6)
    assert {"report.html", "clips.csv", "metrics.json"} <= {p.name for p in tmp_path.iterdir()}
