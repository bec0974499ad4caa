"""Fingerprint: the same clips in another container, dtype or order of digits give the same; clips are known again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from composed import scenario_config
from label_sets import odd_clips, stored
from taught import FEW

from alpamayo_toy import Labels
from alpamayo_toy.labels.fingerprint import ALL, CLIP, PATH, WINDOW, Fingerprint, digests
from alpamayo_toy.teachers import files
from alpamayo_toy.teachers.config import FileConfig
from alpamayo_toy.teachers.synthetic import SyntheticTeacher


def clips(count: int = 30) -> Labels:
    return SyntheticTeacher(scenario_config("ALL"), FEW).labels(count, 2, 0)


def test_what_is_worked_out_and_how_numbers_are_stored_does_not_count() -> None:
    labels = clips()
    worked_out = labels.teacher.clone()
    worked_out[..., 2:] += 1e-6
    same = replace(labels, teacher=worked_out, v0=labels.v0 + 1e-6, v0_source=np.full(30, "recovered"))
    wide = replace(same, teacher=same.teacher.double(), v0=same.v0.double(), context=same.context.double())  # type: ignore[union-attr]
    zeros = replace(same, teacher=torch.where(same.teacher == 0, -0.0, same.teacher))
    for other in (wide, zeros):
        assert torch.equal(digests(other), digests(same))


def test_each_column_changes_with_what_it_stands_for() -> None:
    labels = clips()
    moved = labels.teacher.clone()
    moved[:, 1, 5, 0] += 0.01
    unknown = torch.full_like(labels.context, torch.nan)  # type: ignore[arg-type]
    for other, columns in (
        (replace(labels, clip_id=np.array([f"x{i}" for i in range(30)])), {CLIP, WINDOW}),
        (replace(labels, t0_us=labels.t0_us + 1), {WINDOW}),
        (labels.with_teacher(labels.teacher * 1.01), {PATH, ALL}),
        (labels.with_teacher(moved), {ALL}),
        (replace(labels, context=unknown), {ALL}),
        (replace(labels, v0=labels.v0 + 1, v0_source=np.full(30, "file")), {ALL}),
    ):
        differs = (digests(other) != digests(labels)).sum(0)
        assert {column for column in range(4) if differs[column]} == columns
        assert all(differs[column] >= 20 for column in columns)  # but for parked cars, whose path is none


def test_a_parked_car_is_no_clip_that_one_knows() -> None:
    labels = clips(4)
    parked = labels.with_teacher(torch.zeros_like(labels.teacher))
    known = Fingerprint.of(parked, parked.select(torch.arange(0)))
    assert digests(parked)[:, PATH].tolist() == [0] * 4
    other = replace(parked, clip_id=np.array([f"x{i}" for i in range(4)]))
    assert not known.learnt(other).any()
    assert known.learnt(parked).all()


def test_a_set_on_disk_has_the_fingerprint_that_it_has_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path / "set", odd_clips(), monkeypatch)
    config = FileConfig(str(tmp_path / "set"), integrator="euler")
    monkeypatch.setattr(files, "BATCH", 7)
    made = [files.file_teacher(config, 64, 0.1)]
    monkeypatch.setattr(files, "IN_MEMORY", 0)
    made.append(files.file_teacher(config, 64, 0.1))
    assert [type(teacher) for teacher in made] == [files.FileTeacher, files.StoredTeacher]
    first, second = (teacher.fingerprint for teacher in made)
    assert first is not None
    assert second is not None
    assert first.differs(second, in_order=True) == ""
    assert len(first.trained) + len(first.held) == 24
