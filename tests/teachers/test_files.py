"""Label files as teachers: split by clip, read from disk as from memory, named where they do not fit."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from composed import train_config
from label_sets import odd_clips, same, stored
from places import DATA
from written import results_json

from alpamayo_toy import Labels, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.fingerprint import digests
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.held_out import is_held, split
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


def plain() -> Labels:
    return replace(odd_clips(), context=None, context_names=())


def built(path: Path, **options: object) -> files.FileTeacher | files.StoredTeacher:
    made = build_teacher(TrainConfig(teacher=FileConfig(str(path), **options)))  # type: ignore[arg-type]
    assert isinstance(made, files.FileTeacher | files.StoredTeacher)
    return made


@pytest.mark.parametrize("on_disk", [False, True])
def test_held_out_labels_of_their_own_share_no_clip_with_those_to_train_on(
    on_disk: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = plain()
    stored(tmp_path / "train", labels.select(torch.arange(12)), monkeypatch)
    for name, rows in (("val", torch.arange(12, 20)), ("known", torch.arange(11, 20))):
        write(labels.select(rows), tmp_path / f"{name}.npz")
    if on_disk:
        monkeypatch.setattr(files, "IN_MEMORY", 0)
    teacher = built(tmp_path / "train", val_path=str(tmp_path / "val.npz"), oracle=True, mirror=False)
    assert isinstance(teacher, files.StoredTeacher) is on_disk
    assert (teacher.split, teacher.oracle) == ("file", True)
    assert teacher.validation.clip_id.tolist() == labels.clip_id[12:20].tolist()
    assert teacher.clip_ids().tolist() == labels.clip_id[:12].tolist()
    with pytest.raises(
        UserError, match=rf"known\.npz: 1 of its clips are in .*train too, such as {labels.clip_id[11]}"
    ):
        built(tmp_path / "train", val_path=str(tmp_path / "known.npz"))
    short = replace(labels.select(torch.arange(12, 20)), ground_truth=None)
    write(short.with_teacher(short.teacher[:, :, :32]), tmp_path / "short.npz")
    with pytest.raises(UserError, match=r"short\.npz has trajectories of 32 steps, the run wants horizon=64"):
        built(tmp_path / "train", val_path=str(tmp_path / "short.npz"))
    moved = built(tmp_path / "train", val_path=str(tmp_path / "val.npz"), route_error_m=1.0)
    route, other = teacher.validation.route, moved.validation.route
    assert route is not None
    assert other is not None
    assert not torch.equal(route.nan_to_num(7e7), other.nan_to_num(7e7))


def test_names_by_hand_hold_for_held_out_labels_too(tmp_path: Path) -> None:
    labels = plain()
    write(labels.select(torch.arange(12)), tmp_path / "train.npz")
    path = results_json(tmp_path)
    path.write_text(path.read_text().replace("pred_xyz", "my_key"))
    (tmp_path / "train").mkdir()
    other = tmp_path / "train" / "train.json"
    other.write_text(path.read_text().replace("clip-", "own-"))
    teacher = built(other, val_path=str(path), map="teacher=my_key")
    assert teacher.split == "file"
    assert len(teacher.validation) == 4


@pytest.mark.parametrize("oracle", [False, True])
def test_on_disk_a_scenario_read_off_the_future_is_an_oracles(
    oracle: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = replace(plain(), scenario_source="future")
    stored(tmp_path / "set", labels, monkeypatch)
    monkeypatch.setattr(files, "IN_MEMORY", 0)
    teacher = built(tmp_path / "set", oracle=oracle, mirror=False)
    assert isinstance(teacher, files.StoredTeacher)
    rows = torch.from_numpy(teacher.rows)
    expected = labels.scenario[rows] if oracle else torch.full((len(rows),), -1)
    assert torch.equal(teacher.batch(torch.arange(len(rows)))[0].scenario, expected)


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_fold_holds_out_its_share_and_context_has_no_mirror_image(
    on_disk: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = odd_clips()
    stored(tmp_path / "set", labels, monkeypatch)
    if on_disk:
        monkeypatch.setattr(files, "IN_MEMORY", 0)
    teacher = built(tmp_path / "set", val_fraction=0.5, fold=1, samples="first")
    held = is_held(labels.clip_id, 0.5, 1)
    assert teacher.validation.clip_id.tolist() == labels.clip_id[held].tolist()
    train = teacher.training(0)
    assert sorted(train.clip_id) == sorted(labels.clip_id[~held])  # each once: a context of one's own has no left
    assert train.teacher.shape[1] == 1
    assert teacher.validation.teacher.shape[1] == labels.teacher.shape[1]  # scored on all samples
    kept = labels.select(torch.from_numpy(np.flatnonzero(~held)))
    assert teacher.fingerprint is not None
    assert torch.equal(teacher.fingerprint.trained, digests(kept))  # of all samples as well
    if isinstance(teacher, files.StoredTeacher):
        scene, _ = teacher.batch(torch.arange(len(kept)))
        assert kept.context is not None
        assert scene.context is not None
        assert torch.equal(scene.context, kept.context.float())


def test_statistics_of_a_large_set_are_of_some_of_its_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (files.IN_MEMORY, files.STATISTICS, files.VALIDATION) == (512 * 2**20, 32_768, 8192)
    stored(tmp_path / "set", plain(), monkeypatch)
    monkeypatch.setattr(files, "IN_MEMORY", 0)
    monkeypatch.setattr(files, "STATISTICS", 5)
    monkeypatch.setattr(files, "VALIDATION", 2)
    teacher = built(tmp_path / "set", val_fraction=0.4)
    first, again, other = (teacher.training(seed) for seed in (0, 0, 1))
    assert len(first) == 10  # with their mirror images
    assert len(set(first.clip_id)) == 5
    assert set(first.clip_id) <= set(teacher.clip_ids())
    same(first, again)
    assert set(first.clip_id) != set(other.clip_id)
    assert len(teacher.validation) == 2
    stored(tmp_path / "other", replace(plain(), clip_id=np.array([f"x{i}" for i in range(24)])), monkeypatch)
    beside = built(tmp_path / "set", val_path=str(tmp_path / "other"))
    names = [f"x{i}" for i in range(24)]
    lowest = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[:2]
    assert set(beside.validation.clip_id) == set(lowest)


def test_a_set_that_fits_into_memory_is_held_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stored(tmp_path / "set", plain(), monkeypatch)
    monkeypatch.setattr(files, "IN_MEMORY", made.nbytes)
    assert isinstance(built(tmp_path / "set"), files.FileTeacher)
    monkeypatch.setattr(files, "IN_MEMORY", made.nbytes - 1)
    assert isinstance(built(tmp_path / "set"), files.StoredTeacher)
    for horizon, dt, said in ((32, 0.1, "64 steps, the run wants horizon=32"), (64, 0.101, "the run wants dt=0.101")):
        with pytest.raises(UserError, match=said):
            build_teacher(TrainConfig(teacher=FileConfig(str(tmp_path / "set")), horizon=horizon, dt=dt))


def test_a_drive_is_parted_by_time_unless_that_leaves_a_side_empty(tmp_path: Path) -> None:
    one = replace(plain(), clip_id=np.full(24, "drive"))
    write(one, tmp_path / "drive.npz")
    assert built(tmp_path / "drive.npz", val_fraction=0.4).split == "time"
    write(replace(one.select(torch.arange(4)), t0_us=torch.arange(4) * 1_000_000), tmp_path / "short.npz")
    with pytest.raises(UserError, match="4 clips split into"):
        built(tmp_path / "short.npz", val_fraction=0.4)
    with pytest.raises(UserError, match="24 clips split into 0 to train on and 24 held out"):
        built(tmp_path / "drive.npz", val_clips="drive")  # who names a drive wants it whole
