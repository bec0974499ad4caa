"""train.py as a user types it: what it writes and says, whatever the labels are."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from command_line import SMOKE, wrong
from places import DATA, LABELS_60, Command, needs_60_clips

from alpamayo_toy.hints import program

pytestmark = pytest.mark.slow  # they train


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not valid JSON"),
        (b"[]", "holds no clips"),
        (b'[{"pred_xyz": [[[1.0, 2.0', "not valid JSON, perhaps cut off"),
        (
            b'[{"clip_id": "c", "pred_xyz": [[[NaN, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]]], "dt": 0.1}]',
            "clip c holds NaN",
        ),
        (
            b'[{"clip_id": "c", "pred_xyz": [[[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]]], "dt": 0.1}]',
            "has trajectories of 4 steps, the run wants horizon=64",
        ),
    ],
)
def test_a_broken_label_file_is_one_line(content: bytes, message: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_bytes(content)
    line = wrong(command, "train", "teacher=file", "teacher.path=labels.json")
    assert "labels.json" in line
    assert message in line


def test_pickles_and_cut_off_archives_are_one_line(command: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "pickled.npz", clip_id=np.array(["a", None], dtype=object), teacher=np.zeros((2, 1, 64, 4)))
    line = wrong(command, "train", "teacher=file", "teacher.path=pickled.npz")
    assert "pickled.npz: clip_id must hold strings (got None)" in line
    (tmp_path / "cut.npz").write_bytes((DATA / "labels.npz").read_bytes()[:5000])
    assert "cut.npz is no valid npz file" in wrong(command, "train", "teacher=file", "teacher.path=cut.npz")
    with zipfile.ZipFile(tmp_path / "strange.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert "strange.npz" in wrong(command, "train", "teacher=file", "teacher.path=strange.npz")


def test_train_ends_with_its_folder_metrics_and_the_tensorboard_command(command: Command, tmp_path: Path) -> None:
    result = command("train", "scenario=STOP", *SMOKE)
    assert result.returncode == 0, result.stderr
    (run,) = (tmp_path / "outputs" / "train" / "STOP").iterdir()
    lines = result.stdout.splitlines()
    assert f"run: {run}" in lines
    assert lines[-1] == f"look: {program('tensorboard')} --logdir {tmp_path / 'outputs' / 'train'}"
    assert any(line.startswith("ADE / floor") for line in lines)
    assert result.stderr == ""  # no progress bar where nobody looks
    assert json.loads((run / "metrics.json").read_text())["scenario"] == "STOP"
    facts = json.loads((run / "run.json").read_text())
    assert set(facts) == {"finished", "seconds", "device", "versions"}


def test_our_own_label_file_trains(command: Command, tmp_path: Path) -> None:
    options = ("teacher=file", f"teacher.path={DATA / 'labels.npz'}", "teacher.integrator=euler")
    result = command("train", *options, "trainer=smoke", "trainer.pictures=0")
    assert result.returncode == 0, result.stderr
    (run,) = (tmp_path / "outputs" / "train" / "FILE").iterdir()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["teacher"] == "labels.npz"
    assert list(metrics["scores"]) == ["teacher"]
    evaluated = command("eval", f"checkpoint={run}", "plot=false")
    assert evaluated.returncode == 0, evaluated.stderr


@needs_60_clips
def test_the_60_real_clips_train(command: Command, tmp_path: Path) -> None:
    result = command("train", "teacher=file", f"teacher.path={LABELS_60}", "trainer=smoke", "trainer.pictures=0")
    assert result.returncode == 0, result.stderr
    (run,) = (tmp_path / "outputs" / "train" / "FILE").iterdir()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["integrator"] == "trapezoid"
    assert metrics["checks"] == {"finite": True, "speed_non_negative": None, "no_teleport": True}
    assert {"student", "constant_velocity", "teacher_samples", "teacher_medoid"} <= set(
        metrics["scores"]["ground_truth"]
    )


def test_latest_names_the_last_run(command: Command, tmp_path: Path) -> None:
    refused = command("eval", "checkpoint=latest")
    assert refused.returncode == 1
    assert refused.stderr == "error: checkpoint=latest: train.py has made no run in outputs/train; name a folder\n"
    for options in (("trainer.resume=latest",), ("teacher=file", "teacher.path=nowhere.json")):
        assert command("train", *options).returncode == 1
        assert list((tmp_path / "outputs").iterdir()) == []
    small = ("trainer=smoke", "trainer.pictures=0", "teacher.scenes=32", "teacher.val_scenes=8", "trainer.steps=4")
    assert command("train", *small).returncode == 0
    assert command("train", "scenario=RIGHT", *small).returncode == 0
    assert command("train", "teacher=file", "teacher.path=nowhere.json").returncode == 1
    (run,) = (tmp_path / "outputs" / "train" / "RIGHT").iterdir()
    assert (tmp_path / "outputs" / "train" / "latest").read_text().splitlines()[-1] == f"RIGHT/{run.name}"
    scored = command("eval", "checkpoint=latest", "plot=false")
    assert scored.returncode == 0, scored.stderr
    assert (run / "eval" / "held_out" / "metrics.json").exists()
    continued = command("train", "trainer.resume=latest", "trainer.steps=6")
    assert continued.returncode == 0, continued.stderr
    assert json.loads((run / "config.json").read_text())["trainer"]["steps"] == 6
