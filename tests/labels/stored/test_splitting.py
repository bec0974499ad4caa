"""Splits: a clip's side is its own, or that of its drive."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from label_sets import stored

from alpamayo_toy import Labels, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.held_out import split_hash
from alpamayo_toy.labels.stored.convert import convert
from alpamayo_toy.labels.stored.splitting import ByHash, ByPattern, split_set


@pytest.mark.slow
def test_the_split_is_the_clips_own(tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path / "set", labels, monkeypatch)
    counts = split_set(tmp_path / "set", tmp_path / "out", "auto", ByHash(0.3, 0.2))
    assert sum(counts.values()) == 24
    assert split_set(tmp_path / "set", tmp_path / "two", "auto", ByHash(0.3, 0.0))["test"] == 0
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == ["train", "val"]
    split_set(tmp_path / "set", tmp_path / "two", "auto", ByHash(0.0, 0.0))
    assert [p.name for p in (tmp_path / "two").iterdir()] == ["train"]
    for side, (low, high) in {"test": (0, 0.2), "val": (0.2, 0.5), "train": (0.5, 1)}.items():
        names = load_labels(tmp_path / "out" / side).clip_id
        assert len(names) == counts[side]
        assert all(low <= split_hash(str(name)) < high for name in names)


@pytest.mark.slow
def test_a_split_by_patterns_puts_each_drive_where_it_is_told(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    drives = replace(labels, clip_id=np.array([f"drive_{i % 4}" for i in range(24)]))
    stored(tmp_path / "set", drives, monkeypatch)
    rule = ByPattern(("drive_2",), ("drive_[3-9]",))
    assert split_set(tmp_path / "set", tmp_path / "out", "auto", rule) == {"train": 12, "val": 6, "test": 6}
    assert set(load_labels(tmp_path / "out" / "train").clip_id) == {"drive_0", "drive_1"}
    with pytest.raises(UserError, match="drive_2 fits a pattern of val and one of test"):
        split_set(tmp_path / "set", tmp_path / "both", "auto", ByPattern(("drive_2",), ("*",)))
    with pytest.raises(UserError, match="no clip fits drive_5"):
        split_set(tmp_path / "set", tmp_path / "typo", "auto", ByPattern(("drive_2", "drive_5"), ()))
    assert not any((tmp_path / name).exists() and any((tmp_path / name).iterdir()) for name in ("both", "typo"))
    assert ByPattern(("drive[2]",), ()).side("drive[2]") == "val"


def test_a_split_leaves_other_sets_alone(tmp_path: Path, labels: Labels) -> None:
    (tmp_path / "in").mkdir()
    write(labels.select(torch.arange(12)), tmp_path / "in" / "a.npz")
    write(labels.select(torch.arange(12, 24)), tmp_path / "in" / "b.npz")
    convert([tmp_path / "in"], tmp_path / "out" / "test")
    with pytest.raises(UserError, match="holds what no split has made"):
        split_set(tmp_path / "in", tmp_path / "out", "auto", ByHash(0.3, 0.0))
    assert len(load_labels(tmp_path / "out" / "test")) == 24
    for _ in range(2):  # its own output is no input
        assert sum(split_set(tmp_path / "in", tmp_path / "in" / "splits", "auto", ByHash(0.3, 0.2)).values()) == 24
    with pytest.raises(UserError, match="lies in"):
        split_set(tmp_path / "in" / "splits" / "train", tmp_path / "in" / "splits", "auto", ByHash(0.3, 0.2))
    write(labels.select(torch.arange(3)), tmp_path / "in" / "c.npz")  # the same clips again count once
    assert sum(split_set(tmp_path / "in", tmp_path / "in" / "splits", "auto", ByHash(0.3, 0.2)).values()) == 24
    other = labels.select(torch.arange(3))
    write(replace(other, teacher=other.teacher + torch.eye(4)[0]), tmp_path / "in" / "c.npz")
    with pytest.raises(UserError, match="comes twice with different trajectories; convert it first"):
        split_set(tmp_path / "in", tmp_path / "in" / "splits", "auto", ByHash(0.3, 0.2))
    assert len(load_labels(tmp_path / "in" / "splits")) == 24
