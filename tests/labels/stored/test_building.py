"""Sets put together: shares become the whole, other shapes do not, one process writes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from label_sets import odd_clips, pieces, stored

from alpamayo_toy import Labels, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.stored.building import Builder, at_work, claimed, clip_digests, finish, merge
from alpamayo_toy.labels.stored.convert import convert
from alpamayo_toy.labels.stored.splitting import ByHash, split_set


def test_a_clip_id_may_hold_half_a_character() -> None:
    found = clip_digests(["a\ud800", "a", "a\ud800"], np.array([0, 0, 1]))
    assert len(set(found.tolist())) == 3


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


def test_what_a_killed_run_left_is_gone_on_with(tmp_path: Path, labels: Labels) -> None:
    write(labels, tmp_path / "in.npz")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / ".labels.json.partial").touch()
    made = convert([tmp_path / "in.npz"], tmp_path / "set")
    assert made is not None
    for part in ("merged", "split/train"):
        (tmp_path / part).mkdir(parents=True)
        (tmp_path / part / ".labels.json.partial").touch()
    assert len(merge([tmp_path / "set"], tmp_path / "merged")) == 24
    assert split_set(tmp_path / "set", tmp_path / "split", "auto", ByHash(0, 0))["train"] == 24
    assert not list(tmp_path.glob("*/.labels.json.partial"))


def test_processes_of_a_killed_run_are_waited_for(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alpamayo_toy.labels.stored.building.ORPHANS", 0.1)
    write(labels, tmp_path / "in.npz")
    (tmp_path / "set" / "shards").mkdir(parents=True)
    with at_work(tmp_path / "set"), pytest.raises(UserError, match="is being written by another process"):
        convert([tmp_path / "in.npz"], tmp_path / "set")
    assert convert([tmp_path / "in.npz"], tmp_path / "set") is not None


@pytest.mark.parametrize("first", [0, 1])
def test_texts_of_each_sample_stand_beside_those_of_a_clip(tmp_path: Path, first: int) -> None:
    labels = odd_clips().select(torch.arange(4))
    k = labels.teacher.shape[1]
    own = np.array([[f"{clip}.{sample}" for sample in range(k)] for clip in range(2)])
    parts = [replace(labels.select(torch.arange(2)), text=own), labels.select(torch.arange(2, 4))]
    assert parts[1].text is not None
    wanted = [own.tolist(), [[said] * k for said in parts[1].text.tolist()]]
    with Builder(tmp_path, "0123456789abcdef") as builder:
        for part in (parts[first], parts[1 - first]):
            builder.add(part)
    assert builder.common is not None
    found = finish(tmp_path, builder.common, builder.entries, [], {}).select(np.arange(4)).text
    assert found is not None
    assert found.tolist() == wanted[first] + wanted[1 - first]


def test_routes_of_some_clips_are_kept_and_of_several_sources_refused(tmp_path: Path) -> None:
    first, second, third = (odd_clips().select(torch.arange(start, start + 8)) for start in (0, 8, 16))
    without, driven = replace(second, route=None, route_source=""), replace(third, route_source="recorded")
    (tmp_path / "mixed").mkdir()
    for name, part in (("with", first), ("without", without), ("driven", driven)):
        write(part, tmp_path / f"{name}.npz")
        convert([tmp_path / f"{name}.npz"], tmp_path / name)
        if name != "without":
            write(part, tmp_path / "mixed" / f"{name}.npz")
    index = tmp_path / "without" / "labels.json"
    facts = json.loads(index.read_text())
    assert facts.pop("route_source") == ""
    index.write_text(json.dumps(facts))  # as versions wrote it that knew no routes
    assert load_labels(tmp_path / "without").route is None
    assert merge([tmp_path / "with", tmp_path / "without"], tmp_path / "both").facts["route_source"] == "file"
    found = load_labels(tmp_path / "both")
    assert found.route is not None
    assert first.route is not None
    assert torch.equal(found.route[:8].nan_to_num(7e7), first.route.nan_to_num(7e7))
    assert bool(found.route[8:].isnan().all())
    several = "routes are of several sources, file and recorded"
    with pytest.raises(UserError, match=several):
        merge([tmp_path / "with", tmp_path / "driven"], tmp_path / "all")
    with pytest.raises(UserError, match=several):
        load_labels(tmp_path / "mixed")
    with pytest.raises(UserError, match=several):
        convert([tmp_path / "mixed"], tmp_path / "all")


@pytest.mark.parametrize("first", [0, 1])
def test_scenarios_of_which_some_were_read_off_the_future_are_an_oracles(tmp_path: Path, first: int) -> None:
    labels = odd_clips()
    parts = [labels.select(torch.arange(8)), replace(labels.select(torch.arange(8, 16)), scenario_source="future")]
    with Builder(tmp_path, "0123456789abcdef") as builder:
        for part in (parts[first], parts[1 - first]):
            builder.add(part)
    assert builder.common is not None
    assert finish(tmp_path, builder.common, builder.entries, [], {}).facts["scenario_source"] == "future"
