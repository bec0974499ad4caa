"""Sets put together: shares become the whole, other shapes do not, one process writes."""

from pathlib import Path

import pytest
from label_sets import pieces, stored

from alpamayo_toy import Labels, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.stored.building import claimed, merge
from alpamayo_toy.labels.stored.convert import convert


def test_shares_are_merged_into_the_whole_without_copying(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = pieces(tmp_path / "in", labels, 4)
    monkeypatch.setattr("alpamayo_toy.labels.stored.convert.UNIT_FILES", 1)
    parts = [tmp_path / f"part{i}" for i in (1, 2)]
    for i, part in enumerate(parts, 1):
        convert(paths, part, share=(i, 2))
    merge(parts, tmp_path / "all")
    order = {name: i for i, name in enumerate(labels.clip_id)}
    found = load_labels(tmp_path / "all")
    assert sorted(order[name] for name in found.clip_id) == list(range(24))
    linked = next((tmp_path / "all").glob("shards/*/teacher.npy"))
    assert linked.stat().st_nlink == 2
    with pytest.raises(UserError, match="is in another of these sets too"):
        merge([parts[0], parts[0]], tmp_path / "twice")
    assert convert(paths, tmp_path / "none", share=(9, 9)) is None
    assert not (tmp_path / "none").exists()


def test_sets_of_other_shapes_are_not_merged(tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path / "a", labels, monkeypatch)
    stored(tmp_path / "b", labels.with_teacher(labels.teacher[:, :1]), monkeypatch)
    with pytest.raises(UserError, match="K, T, dt"):
        merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")


def test_two_processes_do_not_write_one_set(tmp_path: Path, labels: Labels) -> None:
    write(labels, tmp_path / "in.npz")
    with claimed(tmp_path / "set"), pytest.raises(UserError, match="is being written by another process"):
        convert([tmp_path / "in.npz"], tmp_path / "set")
    assert convert([tmp_path / "in.npz"], tmp_path / "set") is not None
