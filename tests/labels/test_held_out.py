"""The held-out clips stay the same when others are added."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from places import DATA

from alpamayo_toy import load_labels
from alpamayo_toy.labels import held_out
from alpamayo_toy.labels.held_out import fits, is_held, split, split_by_time, split_hash


def test_the_split_stays_when_clips_are_added() -> None:
    labels = load_labels(DATA / "labels.npz")
    _, before = split(labels.select(torch.arange(12)), 0.3)
    _, after = split(labels, 0.3)
    assert set(before.clip_id) <= set(after.clip_id)
    assert set(after.clip_id) - set(before.clip_id) <= set(labels.clip_id[12:])
    assert 0.28 < np.mean([split_hash(f"clip-{i}") < 0.3 for i in range(5000)]) < 0.32


def test_folds_hold_every_clip_out_once() -> None:
    labels = load_labels(DATA / "labels.npz")
    sides = [split(labels, 0.2, fold) for fold in range(5)]
    held = np.concatenate([side.clip_id for _, side in sides])
    assert sorted(held) == sorted(labels.clip_id)
    for train, side in sides:
        assert len(train) + len(side) == len(labels)
        assert not set(train.clip_id) & set(side.clip_id)
    assert list(sides[0][1].clip_id) == list(split(labels, 0.2)[1].clip_id)


def test_a_hash_on_a_border_is_in_the_fold_that_begins_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out, "split_hash", float)
    places = np.array(["0.0", "0.25", "0.4375", "0.5"])
    assert is_held(places, 0.25, 0).tolist() == [True, False, False, False]
    assert is_held(places, 0.25, 1).tolist() == [False, True, True, False]


def test_a_window_on_the_border_of_time_is_not_held_out() -> None:
    labels = load_labels(DATA / "labels.npz").select(torch.arange(21))
    seconds = torch.arange(21)
    drive = replace(labels, clip_id=np.full(21, "a"), t0_us=seconds * 1_000_000)
    train, held = split_by_time(drive, 0.25)  # the border is at 15 s; those before it reach 6.4 + 1.5 s on
    assert drive.horizon * drive.dt == 6.4
    assert held.t0_us.tolist() == [second * 1_000_000 for second in range(16, 21)]
    assert train.t0_us.tolist() == [second * 1_000_000 for second in range(8)]


def test_what_a_longer_history_shows_is_not_trained_on() -> None:
    """16 poses every 0.2 s: 3 s before t0, and 12.8 s after it."""
    labels = load_labels(DATA / "labels.npz").select(torch.arange(24))
    drive = replace(labels, clip_id=np.full(24, "a"), t0_us=torch.arange(24) * 1_000_000, dt=0.2)
    train, held = split_by_time(replace(drive, history=torch.zeros(24, 16, 4)), 0.25)
    assert held.t0_us.min() == 18_000_000  # the border is at 17.25 s
    assert train.t0_us.tolist() == [0, 1_000_000]  # 17.25 - 15.8
    assert split_by_time(drive, 0.25)[0].t0_us.tolist() == [0, 1_000_000, 2_000_000]  # without one 1.5 s


def test_the_place_of_a_clip_is_that_of_its_digest() -> None:
    """SHA-256 of "a" begins with ca978112ca1bbdca."""
    assert split_hash("a") == 0xCA978112CA1BBDCA / 2**64
    assert 0.791 < split_hash("a") < 0.792


def test_each_drive_holds_out_its_own_end_whenever_it_was_driven() -> None:
    labels = load_labels(DATA / "labels.npz").select(torch.arange(24))
    seconds = torch.cat([torch.arange(12) * 2, 1000 + torch.arange(12) * 2])
    drives = replace(labels, clip_id=np.repeat(["a", "b"], 12), t0_us=seconds * 1_000_000)
    train, held = split_by_time(drives, 0.25)  # borders at 16.5 and 1016.5 s, 7.9 s before them is the last to train on
    assert (held.t0_us // 1_000_000).tolist() == [18, 20, 22, 1018, 1020, 1022]
    assert (train.t0_us // 1_000_000).tolist() == [0, 2, 4, 6, 8, 1000, 1002, 1004, 1006, 1008]


@pytest.mark.parametrize(
    ("pattern", "fitting"),
    [
        ("drive_*", ["drive_1", "drive_[2]"]),
        ("drive_[12]", ["drive_1"]),
        ("drive_[2]", ["drive_[2]"]),  # the id itself
        ("DRIVE_1", ["DRIVE_1"]),
        ("rive", []),
    ],
)
def test_a_pattern_fits_whole_ids_as_they_are_written(pattern: str, fitting: list[str]) -> None:
    assert [name for name in ("drive_1", "drive_[2]", "DRIVE_1") if fits(name, pattern)] == fitting
