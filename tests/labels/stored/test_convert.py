"""Files become a set: the same bytes every time, after any interruption, and nothing else is overwritten."""

import json
import os
import time
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import run_script, server
from label_sets import convert_in_small_steps, full_disk, pieces, same, tree

from alpamayo_toy import Labels, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.formats.reading import Source
from alpamayo_toy.labels.stored.building import merge
from alpamayo_toy.labels.stored.convert import Unit, convert, write_one_file
from alpamayo_toy.processes import Killed


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = pieces(tmp_path / "in", labels, 3)
    monkeypatch.setattr("alpamayo_toy.labels.stored.convert.UNIT_FILES", 1)
    convert(paths, tmp_path / "one")
    convert(paths, tmp_path / "two", workers=2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    convert(paths, tmp_path / "one")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    same(load_labels(tmp_path / "one"), labels)


def test_a_killed_process_is_one_line(tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpamayo_toy.labels.stored.convert.UNIT_FILES", 1)
    monkeypatch.setattr("alpamayo_toy.labels.stored.convert.in_processes", lambda *_: iter([Killed("process killed")]))
    with pytest.raises(UserError, match=r"/set: process killed; the same command with fewer --workers goes on$"):
        convert(pieces(tmp_path / "in", labels, 2), tmp_path / "set", workers=2)


def test_a_clip_in_two_files_is_kept_once(tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpamayo_toy.labels.stored.convert.UNIT_FILES", 1)
    first, second = (tmp_path / f"{name}.npz" for name in "ab")
    write(labels.select(torch.arange(16)), first)
    write(labels.select(torch.arange(8, 24)), second)
    made = convert([first, second], tmp_path / "set")
    assert made is not None
    assert made.facts["dropped"] == {"repeated": 8}
    same(load_labels(tmp_path / "set"), labels)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, labels: Labels) -> None:
    (tmp_path / "mine").mkdir()
    write(labels, tmp_path / "mine" / "labels.npz")
    (tmp_path / "mine" / "labels.json").write_text("[]")
    for out in ("mine", "mine/labels.npz"):
        with pytest.raises((UserError, FileExistsError, NotADirectoryError)):
            convert([tmp_path / "mine" / "labels.npz"], tmp_path / out)
    assert (tmp_path / "mine" / "labels.json").read_text() == "[]"
    (tmp_path / "other" / "shards" / "of glass").mkdir(parents=True)
    with pytest.raises(UserError, match="holds of glass and is no label set"):
        convert([tmp_path / "mine" / "labels.npz"], tmp_path / "other")


def test_convert_replaces_no_set_of_other_files(tmp_path: Path, labels: Labels) -> None:
    write(labels.select(torch.arange(12)), tmp_path / "a.npz")
    write(labels.select(torch.arange(12, 24)), tmp_path / "b.npz")
    convert([tmp_path / "a.npz"], tmp_path / "set")
    with pytest.raises(UserError, match=r"is a set of a\.npz too, which is none of these files"):
        convert([tmp_path / "b.npz"], tmp_path / "set")
    made = convert([tmp_path / "a.npz", tmp_path / "b.npz", tmp_path / "b.npz"], tmp_path / "set", workers=2)
    assert made is not None
    assert (len(made), made.facts["dropped"]) == (24, {})


def test_shares_agree_wherever_their_parts_lie(tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = pieces(tmp_path / "in", labels, 4)
    monkeypatch.setattr("alpamayo_toy.labels.stored.convert.UNIT_FILES", 1)
    out = paths[0].parent / "0out"
    for i in (1, 2):
        convert([paths[0].parent], out / f"part-{i}", share=(i, 2), whole=out)
    assert len(merge([out / "part-1", out / "part-2"], tmp_path / "all")) == 24


def test_what_was_read_before_a_fault_is_kept(tmp_path: Path, labels: Labels) -> None:
    (tmp_path / "in").mkdir()
    write(labels, tmp_path / "in" / "good.npz")
    clips = [{"pred_xyz": labels.teacher[i, :, :, :2].clone(), "clip_id": f"pt-{i}"} for i in range(2)]
    torch.save([*clips, "junk"], tmp_path / "in" / "half.pt")
    made = convert([tmp_path / "in"], tmp_path / "set")
    assert made is not None
    assert made.facts["dropped"] == {"unreadable": 1}
    assert (len(made), made.facts["sources"][1]["clips"]) == (26, 3)


def test_clips_without_history_or_text_keep_theirs_beside_others(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alpamayo_toy.labels.stored.convert.UNIT_FILES", 1)
    full, bare = labels.select(torch.arange(10)), labels.select(torch.arange(10, 24))
    bare = replace(bare, history=None, text=None, context=None, context_names=(), ground_truth=None)
    (tmp_path / "in").mkdir()
    write(full, tmp_path / "in" / "full.npz")
    write(bare, tmp_path / "in" / "bare.npz")
    convert([tmp_path / "in"], tmp_path / "set")
    with pytest.warns(UserWarning, match="ground_truth is left out, not all clips have it"):
        memory = load_labels(tmp_path / "in")
    same(load_labels(tmp_path / "set"), memory)
    assert memory.history is not None
    assert full.history is not None
    assert memory.history[:14].isnan().all()
    assert torch.equal(memory.history[14:].nan_to_num(7e7), full.history.nan_to_num(7e7))
    assert memory.text is not None
    assert full.text is not None
    assert list(memory.text) == [""] * 14 + list(full.text)
    facts = json.loads((tmp_path / "set" / "labels.json").read_text())
    assert facts["left_out"] == ["ground_truth"]


def test_one_clip_with_two_trajectories_is_no_repetition(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alpamayo_toy.labels.stored.convert.UNIT_FILES", 1)
    other = labels.select(torch.tensor([3, 4]))
    (tmp_path / "in").mkdir()
    write(labels, tmp_path / "in" / "a.npz")
    changed = other.teacher.clone()
    changed[1] *= 1.01
    write(other.with_teacher(changed), tmp_path / "in" / "b.npz")
    made = convert([tmp_path / "in"], tmp_path / "set")
    assert made is not None
    assert made.facts["dropped"] == {"duplicate": 1, "repeated": 1}
    with pytest.raises(UserError, match="came before with the same id"):
        convert([tmp_path / "in"], tmp_path / "strict", strict=True)


def test_a_folder_of_sets_is_their_clips_and_the_output_is_no_input(tmp_path: Path, labels: Labels) -> None:
    write(labels.select(torch.arange(10)), tmp_path / "a.npz")
    write(labels.select(torch.arange(10, 24)), tmp_path / "b.npz")
    for name in "ab":
        convert([tmp_path / f"{name}.npz"], tmp_path / "sets" / name)
    same(load_labels(tmp_path / "sets"), labels)
    (tmp_path / "sets" / "link").symlink_to(tmp_path / "sets")
    for _ in range(2):
        made = convert([tmp_path / "sets"], tmp_path / "sets" / "all")
        assert made is not None
        assert (len(made), made.facts["dropped"]) == (24, {})


@pytest.mark.slow
def test_a_killed_convert_goes_on_to_the_same_bytes(tmp_path: Path, labels: Labels) -> None:
    pieces(tmp_path / "in", labels, 8)

    def started(out: str) -> BaseProcess:
        """A convert that has just begun."""
        ready, begun = Pipe(duplex=False)
        process = server().Process(target=convert_in_small_steps, args=(tmp_path / "in", tmp_path / out, begun))
        process.start()
        ready.recv()
        return process

    def ended(process: BaseProcess) -> bool:
        process.join(60)
        return process.exitcode == 0

    whole, at = started("whole"), time.monotonic()
    assert ended(whole)
    lasted = time.monotonic() - at
    for moment in np.random.default_rng(0).uniform(0, lasted, 4):
        process = started("cut")
        time.sleep(moment)
        process.kill()
        process.join()
        if (tmp_path / "cut" / "labels.json").exists():
            same(load_labels(tmp_path / "cut"), labels)
    assert ended(started("cut"))
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_set_whole(tmp_path: Path, labels: Labels) -> None:
    write(labels.select(torch.arange(4)), tmp_path / "labels.npz")
    convert([tmp_path / "labels.npz"], tmp_path / "set")
    few = load_labels(tmp_path / "labels.npz")
    write(replace(labels, clip_id=np.char.add(labels.clip_id, "x")), tmp_path / "labels.npz")
    before = tree(tmp_path / "set")
    full = run_script("labels", ("convert", "labels.npz", "set"), tmp_path, before=full_disk)
    assert full.returncode == 2
    assert full.stderr.startswith("error: ")
    assert len(full.stderr.splitlines()) == 1
    assert {name: data for name, data in tree(tmp_path / "set").items() if name in before} == before
    same(load_labels(tmp_path / "set"), few)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes into read-only folders")
def test_a_read_only_folder_is_an_error(tmp_path: Path, labels: Labels) -> None:
    write(labels, tmp_path / "labels.npz")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        convert([tmp_path / "labels.npz"], tmp_path / "locked" / "set")


def test_one_file_after_a_run_that_was_killed_at_its_end(tmp_path: Path, labels: Labels) -> None:
    given, out = tmp_path / "in.npz", tmp_path / "out.npz"
    write(labels, given)
    convert([given], tmp_path / ".out.npz.set")
    write_one_file([given], out, "auto", False, 1)
    first = out.read_bytes()
    convert([given], tmp_path / ".out.npz.set")  # the file has its name, and the set is not removed yet
    assert write_one_file([given], out, "auto", False, 1)["clips"] == 24
    assert out.read_bytes() == first
    convert([given], tmp_path / ".out.npz.set")
    (tmp_path / ".out.npz.set" / "shards").rename(tmp_path / ".out.npz.set" / ".shards")  # the set is removed in part
    assert write_one_file([given], out, "auto", False, 1)["clips"] == 24
    assert out.read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npz", "out.npz"]
    with pytest.raises(UserError, match="is there already"):
        write_one_file([given], out, "auto", False, 1)


def test_a_unit_is_another_one_when_its_content_or_what_was_asked_changes(tmp_path: Path) -> None:
    first, second = tmp_path / "a.bin", tmp_path / "b.bin"
    first.write_text("one")
    second.write_text("two")
    unit = Unit((Source(first, (second,)),), ("a",), "auto", 2, 64, 0.1, False, True, "")
    asked = {
        "told": "clips",
        "samples": 3,
        "horizon": 32,
        "dt": 0.2,
        "strict": True,
        "names": ("b",),
        "routes": "future",
    }
    keys = [unit.key, *(replace(unit, **{name: value}).key for name, value in asked.items())]
    second.write_text("TWO")
    keys.append(replace(unit).key)
    assert len(set(keys)) == len(keys)
