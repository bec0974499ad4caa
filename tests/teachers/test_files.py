"""Label files as teachers: split by clip, read from disk as from memory, named where they do not fit."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from composed import train_config
from label_sets import odd_clips, stored
from places import DATA
from written import results_json

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.held_out import split
from alpamayo_toy.teachers import files
from alpamayo_toy.teachers.config import FileConfig
from alpamayo_toy.teachers.teacher import build_teacher
from alpamayo_toy.training.config import TrainConfig
from alpamayo_toy.training.loop import fit


@pytest.mark.slow
@pytest.mark.parametrize("samples", ["all", "first", "medoid", "mean"])
def test_training_from_disk_is_training_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: str
) -> None:
    plain = replace(odd_clips(), context=None, context_names=())
    stored(tmp_path / "set", plain, monkeypatch)
    options = ["teacher=file", f"teacher.path={tmp_path / 'set'}", f"teacher.samples={samples}", "trainer=smoke"]
    config = train_config(*options, "trainer.pictures=0", "teacher.val_fraction=0.3", "student.inputs=[v0,history]")
    kept = fit(config, tmp_path / "memory")
    monkeypatch.setattr("alpamayo_toy.teachers.files.IN_MEMORY", 0)
    read = fit(config, tmp_path / "disk")
    assert read["teacher_samples"] == samples
    assert read["student"]["ade"] == pytest.approx(kept["student"]["ade"], rel=1e-4)
    assert read["floor"] == kept["floor"]


@pytest.mark.parametrize("samples", ["all", "first", "medoid", "mean"])
def test_every_row_from_disk_is_that_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: str) -> None:
    """Clips, then their mirror images, whatever is drawn together."""
    stored(tmp_path / "set", replace(odd_clips(), context=None, context_names=()), monkeypatch)
    config = FileConfig(str(tmp_path / "set"), samples=samples, mirror=True, route_error_m=1.0, integrator="euler")
    kept = build_teacher(TrainConfig(teacher=config)).training(0)
    monkeypatch.setattr("alpamayo_toy.teachers.files.IN_MEMORY", 0)
    disk = build_teacher(TrainConfig(teacher=config))
    assert isinstance(disk, files.StoredTeacher)
    assert len(disk) == len(kept)
    order = torch.arange(len(disk)).flip(0)
    scene, teacher = disk.batch(order)
    wanted = kept.select(order)
    pairs = [(teacher, wanted.teacher), (scene.history, wanted.history), (scene.route, wanted.route)]
    for found, known in (*pairs, (scene.scenario, wanted.scene().scenario), (scene.v0, wanted.v0)):
        assert found is not None
        assert known is not None
        torch.testing.assert_close(found.double(), known.double(), rtol=0, atol=1e-5, equal_nan=True)


def test_a_file_is_split_by_clip_and_mirrored() -> None:
    config = TrainConfig(teacher=FileConfig(str(DATA / "labels.npz"), integrator="euler", mirror=True))
    teacher = build_teacher(config)
    train, validation = split(load_labels(DATA / "labels.npz"), 0.2)
    assert set(train.clip_id).isdisjoint(validation.clip_id)
    assert len(train) + len(validation) == 24
    assert list(teacher.validation.clip_id) == list(validation.clip_id)
    assert len(teacher.training(0)) == len(train)  # it has a context, whose mirror image is unknown


def test_one_drive_is_left_out_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(DATA / "labels.npz")
    labels = load_labels(path)
    some = str(labels.clip_id[3])
    for pattern, held in ((some, {some}), ("*[13]", {c for c in labels.clip_id.tolist() if c[-1] in "13"})):
        teacher = build_teacher(TrainConfig(teacher=FileConfig(path, val_clips=pattern, integrator="euler")))
        assert set(teacher.validation.clip_id) == held
        assert set(teacher.clip_ids()) == set(labels.clip_id) - held
    with pytest.raises(
        UserError, match=f"no clip fits teacher.val_clips=drive_7; one of its ids is {labels.clip_id[0]}"
    ):
        build_teacher(TrainConfig(teacher=FileConfig(path, val_clips="drive_7")))
    with pytest.raises(
        UserError, match=r"0 to train on and 24 held out; change teacher.val_fraction or teacher.val_clips"
    ):
        build_teacher(TrainConfig(teacher=FileConfig(path, val_clips="*")))
    with pytest.raises(UserError, match=r"teacher.val_clips must be left out beside teacher.val_path"):
        FileConfig(path, val_clips="a", val_path="b")
    stored(tmp_path / "set", labels, monkeypatch)
    monkeypatch.setattr("alpamayo_toy.teachers.files.IN_MEMORY", 0)
    teacher = build_teacher(TrainConfig(teacher=FileConfig(str(tmp_path / "set"), val_clips=some, integrator="euler")))
    assert set(teacher.validation.clip_id) == {some}
    assert set(teacher.clip_ids()) == set(labels.clip_id) - {some}
    with pytest.raises(UserError, match="no clip is left to train on, or none held out"):
        build_teacher(TrainConfig(teacher=FileConfig(str(tmp_path / "set"), val_clips="*")))


def test_names_by_hand(tmp_path: Path) -> None:
    path = results_json(tmp_path)
    path.write_text(path.read_text().replace("pred_xyz", "my_key"))
    options = ["teacher=file", f"teacher.path={path}", "teacher.val_fraction=0.3"]
    with pytest.raises(UserError, match=r"teacher\.map=teacher=my_key"):
        build_teacher(train_config(*options))
    with pytest.raises(UserError, match=r"teacher\.map=teacher=my_key"):
        build_teacher(TrainConfig(teacher=FileConfig(str(DATA / "labels.npz"), val_path=str(path))))
    mapped = train_config(*options, 'teacher.map="teacher=my_key,dt=0.2"', "dt=0.2")
    teacher = build_teacher(mapped)
    assert teacher.validation.dt == 0.2
    assert teacher.validation.teacher.shape[1] == 3


def test_a_file_that_does_not_fit_is_named() -> None:
    path = str(DATA / "labels.npz")
    with pytest.raises(UserError, match="64 steps, the run wants horizon=32"):
        build_teacher(TrainConfig(teacher=FileConfig(path), horizon=32))
    with pytest.raises(UserError, match=r"steps of 0\.1 s, the run wants dt=0\.2"):
        build_teacher(TrainConfig(teacher=FileConfig(path), dt=0.2))
    with pytest.raises(UserError, match="24 to train on and 0 held out"):
        build_teacher(TrainConfig(teacher=FileConfig(path, val_fraction=1e-6)))


def test_the_clips_that_are_looked_at_are_those_of_the_lowest_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "VALIDATION", 3)
    names, rows = [f"clip-{i}" for i in range(20)], np.arange(5, 20)
    by_hash = sorted(rows, key=lambda row: hashlib.sha256(names[row].encode()).digest())
    assert files._lowest(names, rows).tolist() == sorted(by_hash[:3])
