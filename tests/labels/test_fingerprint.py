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


def test_what_the_file_gives_counts_and_what_was_read_off_the_future_does_not() -> None:
    labels = odd_clips()
    assert labels.history is not None
    assert labels.route is not None
    future = replace(labels, scenario_source="future")
    named = replace(labels, scenario=(labels.scenario + 1) % 8)
    moved = replace(labels, history=labels.history + 1, route=labels.route)
    for one, other, differs in (
        (labels, named, True),
        (future, replace(named, scenario_source="future"), False),
        (labels, moved, True),
        (labels, replace(labels, route=labels.route + 1), True),
        (labels, replace(labels, history=torch.cat([labels.history[..., :2], 0 * labels.history[..., 2:]], -1)), False),
    ):
        found, known = digests(one), digests(other)
        assert torch.equal(found[:, :ALL], known[:, :ALL])
        assert (not torch.equal(found[:, ALL], known[:, ALL])) is differs


@pytest.mark.parametrize(("metres", "parked"), [(0.0, True), (0.9e-3, True), (1.1e-3, False), (0.05, False)])
def test_parked_is_who_comes_no_further_than_a_millimetre_at_any_time(metres: float, parked: bool) -> None:
    labels = clips(2)
    teacher = torch.zeros_like(labels.teacher)
    teacher[:, 0, 5, 1] = -metres  # and back again
    teacher[:, 1] = 7.0  # of another sample it does not matter
    assert (digests(labels.with_teacher(teacher))[:, PATH] == 0).tolist() == [parked] * 2


def test_a_clip_is_known_again_by_its_first_sample() -> None:
    labels = clips(4)
    known = Fingerprint.of(labels, labels.select(torch.arange(0)))
    renamed = replace(labels, clip_id=np.array([f"x{i}" for i in range(4)]))
    one = renamed.with_teacher(labels.teacher[:, :1])
    moves = labels.teacher[:, 0, :, :2].abs().amax((1, 2)) > 1e-3
    assert known.learnt(one).tolist() == moves.tolist()
    assert known.learnt(renamed.with_teacher(labels.teacher.flip(1))).tolist() == [False] * 4
    assert known.learnt(labels.with_teacher(labels.teacher.flip(1)), names=False).tolist() == [False] * 4


def test_what_is_different_is_counted() -> None:
    labels = clips(10)
    rows = torch.arange(10)
    before = Fingerprint.of(labels.select(rows[:6]), labels.select(rows[6:]))

    def differs(train: list[int], held: list[int], in_order: bool = False, of: Labels = labels) -> str:
        sides = (of.select(torch.tensor(side)) for side in (train, held))
        return before.differs(Fingerprint.of(*sides), in_order)

    assert differs([0, 1, 2, 3, 4, 5], [6, 7, 8, 9]) == ""
    assert differs([1, 2, 3, 4, 5], [6, 7, 8, 9]) == "10 clips then, 1 gone"
    slower = labels.with_teacher(torch.cat([labels.teacher[:3] * 0.5 + 1, labels.teacher[3:]]))
    assert differs([0, 1, 2, 3, 4, 5], [6, 7, 8, 9], of=slower) == "10 clips then, 3 with other numbers"
    assert differs([0, 1, 2, 3, 4, 6], [5, 7, 8, 9]) == "other clips of it are held out"
    assert differs([0, 1, 2, 3, 4], [5, 6, 7, 8, 9]) == "other clips of it are held out"
    turned = [5, 4, 3, 2, 1, 0], [6, 7, 8, 9]
    assert differs(*turned) == ""
    assert differs(*turned, in_order=True) == "its clips stand in another order"
    assert differs([0, 1, 2, 3, 4, 5], [9, 8, 7, 6], in_order=True) == ""
