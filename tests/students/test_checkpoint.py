"""Checkpoints: written and read back, refused in one line where they do not fit, and those of format 1."""

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from altered_checkpoints import parts, small, whole
from composed import train_config
from places import DATA, Command

from alpamayo_toy import Scene, load_student
from alpamayo_toy.errors import UserError
from alpamayo_toy.students import checkpoint
from alpamayo_toy.students import config as students
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.student import Student
from alpamayo_toy.training.config import TrainConfig, from_dict, to_dict

FORMAT_1 = DATA / "format_1"  # runs of 20 steps, saved before format 2


def tiny() -> TrainConfig:
    return train_config("student.width=32", "student.embedding=16")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The checkpoint of a student that has learnt nothing."""
    config = tiny()
    checkpoint.save(tmp_path / "whole.pt", config, 0, Student(config.student, 64))
    return tmp_path / "whole.pt"


def test_a_checkpoint_of_another_shape_is_named(saved: Path, tmp_path: Path) -> None:
    content = checkpoint.load(saved)
    content["config"]["student"]["width"] = 64
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other\.pt: the weights do not fit .* size mismatch for head"):
        load_student(tmp_path / "other.pt")


def test_a_broken_checkpoint_is_named(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut\.pt cannot be read, perhaps it was cut off"):
        load_student(tmp_path / "cut.pt")
    torch.save({"weights": Path("x")}, tmp_path / "code.pt")
    with pytest.raises(UserError, match=r"code\.pt is no checkpoint: it holds something other than tensors"):
        load_student(tmp_path / "code.pt")
    torch.save({"a": 1}, tmp_path / "bare.pt")
    with pytest.raises(UserError, match=r"bare\.pt is no checkpoint of format 1 or 2"):
        load_student(tmp_path / "bare.pt")
    with pytest.raises(UserError, match=r"there is no .*nowhere\.pt"):
        load_student(tmp_path / "nowhere.pt")
    with pytest.raises(UserError, match=r"there is no .*baer\.pt; did you mean .*bare\.pt\?$"):
        load_student(tmp_path / "baer.pt")
    with pytest.raises(UserError, match=r"is no run's folder: it has no checkpoints/best\.pt$"):
        load_student(tmp_path)
    (tmp_path / "labels.json").write_text("[]")
    with pytest.raises(UserError, match=r"labels\.json is no checkpoint, which is what training wrote"):
        load_student(tmp_path / "labels.json")
    torch.save({"format": 1, "step": 0}, tmp_path / "half.pt")
    with pytest.raises(UserError, match=r"half\.pt is no checkpoint of format 1 or 2"):
        load_student(tmp_path / "half.pt")


def test_a_folder_of_runs_names_its_last_one(tmp_path: Path) -> None:
    for i, name in enumerate(("LEFT/b", "LEFT/a")):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "checkpoints" / "best.pt").touch()
        os.utime(tmp_path / name / "checkpoints" / "best.pt", (i, i))
    for given in (tmp_path / "LEFT", tmp_path, tmp_path / "LEFT" / "..."):
        folder = given.parent if given.name == "..." else given
        with pytest.raises(UserError, match=rf"; the last run in {folder} is {tmp_path / 'LEFT' / 'a'}$"):
            load_student(given)


def test_a_config_with_options_of_another_version_is_named(saved: Path, tmp_path: Path) -> None:
    for group, option in (("student", "wings"), ("teacher", "wings"), (None, "wings")):
        content = checkpoint.load(saved)
        (content["config"] if group is None else content["config"][group])[option] = 2
        torch.save(content, tmp_path / "newer.pt")
        with pytest.raises(UserError, match=r"newer\.pt: its config is not of this version: .*wings"):
            load_student(tmp_path / "newer.pt")


def test_a_group_that_was_never_filled_is_named(saved: Path, tmp_path: Path) -> None:
    for group in ("scenario", "teacher", "student", "loss", "optimizer", "trainer"):
        content = {**checkpoint.load(saved), "format": 1}
        content["config"][group] = "???"
        torch.save(content, tmp_path / "open.pt")
        with pytest.raises(UserError, match=rf"open\.pt: its config is not of this version: {group} must be "):
            load_student(tmp_path / "open.pt")


def test_a_student_of_ones_own_that_was_no_text_is_named(saved: Path, tmp_path: Path) -> None:
    content = checkpoint.load(saved)
    content["config"]["student"] = {"module": 5}
    torch.save(content, tmp_path / "number.pt")
    with pytest.raises(UserError, match=r"number\.pt: its config is not .*: student\.module must be a text \(got 5\)"):
        load_student(tmp_path / "number.pt")


@pytest.mark.slow
def test_config_survives_the_checkpoint() -> None:
    for config in (tiny(), train_config("scenario=ALL"), train_config("teacher=file", "teacher.path=x.json")):
        assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


@dataclass
class Twin(StudentConfig):
    """Another student without options of its own."""


def test_a_student_that_its_options_do_not_tell_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(students.SCHEMAS, "student/twin", Twin)
    for student in (StudentConfig(width=8), Twin(width=8)):
        config = replace(tiny(), student=student)
        assert from_dict(json.loads(json.dumps(to_dict(config)))) == config
        assert type(from_dict(to_dict(config)).student) is type(student)
    assert "schema" not in to_dict(tiny())["student"]


def braking(a: float) -> Scene:
    """6 m/s at t0, after half a second of acceleration a."""
    t = torch.arange(-5, 1) * 0.1
    nothing = torch.zeros_like(t)
    history = torch.stack([6 * t + a * t * t / 2, nothing, nothing, 6 + a * t], -1)
    return Scene(torch.tensor([1]), torch.tensor([6.0]), history[None], torch.full((1, 7), torch.nan))


def test_a_student_of_format_1_predicts_what_it_did() -> None:
    student, config = load_student(FORMAT_1 / "history")
    assert config.student.width == 8
    with torch.no_grad():
        ends = [student(braking(a)).trajectories[0, 0, -1].tolist() for a in (-2.0, 2.0)]
    assert ends[0] == pytest.approx([35.641777, 12.001780, 0.659941, 5.968081], abs=2e-5)
    assert ends[1] == pytest.approx([35.640980, 12.005496, 0.660147, 5.968367], abs=2e-5)


@pytest.mark.slow
def test_a_run_of_format_1_goes_on_and_is_scored(tmp_path: Path, command: Command) -> None:
    shutil.copytree(FORMAT_1 / "synthetic", tmp_path / "run")
    before = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert command("eval", "checkpoint=run", "plot=false").returncode == 0
    scored = json.loads((tmp_path / "run" / "eval" / "held_out" / "metrics.json").read_text())
    assert scored["student"]["ade"] == pytest.approx(before["student"]["ade"], rel=0.2)  # of a teacher that is another
    assert load_student(tmp_path / "run")[1].teacher.reveal == "scene"  # all that it was shown
    assert command("train", "trainer.resume=run", "trainer.steps=40").returncode == 0
    after = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert after["last_ade"] == pytest.approx(before["last_ade"], rel=0.2)
    assert checkpoint.load(tmp_path / "run", "last")["format"] == checkpoint.FORMAT


@pytest.mark.slow
def test_a_student_of_absolute_speeds_is_refused(tmp_path: Path, command: Command) -> None:
    shutil.copytree(FORMAT_1 / "absolute_history", tmp_path / "run")
    found = command("eval", "checkpoint=run")
    assert found.returncode == 1
    assert found.stderr.startswith("error: run/checkpoints/best.pt has format 1 and a student that takes the absolute")
    assert found.stderr.count("\n") == 1


def test_a_run_goes_on_from_its_own_step_with_its_best_validation_and_its_rounds(tmp_path: Path) -> None:
    content = whole(tmp_path)
    content["training"] |= {"best": 0.75, "ends": [2, 9]}
    for name, tensor in content["training"]["averaged"].items():
        if name == "module.head.0.bias":
            tensor.fill_(3.0)
    torch.save(content, tmp_path / "last.pt")
    _, student = small()
    averaged, optimizer = parts(student)
    found = checkpoint.continue_with(student, averaged, optimizer, str(tmp_path / "last.pt"))
    assert found == (2, 0.75, [2, 9])
    state = content["training"]
    for name, tensor in student.state_dict().items():
        assert torch.equal(tensor, state["student"][name])
    assert averaged.module.head[0].bias.tolist() == [3.0] * 4
    for number, moments in optimizer.state_dict()["state"].items():
        assert all(torch.equal(tensor, state["optimizer"]["state"][number][name]) for name, tensor in moments.items())
