"""The label set on disk: what goes in comes out, in any order, from several shards, after any interruption."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from composed import train_config
from places import DATA, ROOT

from alpamayo_toy import Labels, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.held_out import split_hash
from alpamayo_toy.labels.stored import building
from alpamayo_toy.labels.stored.building import Builder, claimed, finish, merge
from alpamayo_toy.labels.stored.convert import convert
from alpamayo_toy.labels.stored.label_set import LabelSet
from alpamayo_toy.labels.stored.splitting import ByHash, ByPattern, split_set
from alpamayo_toy.training.loop import fit

LABELS = DATA / "labels.npz"


@pytest.fixture
def labels() -> Labels:
    """24 clips as float32, with odd strings, some history and some context."""
    found = load_labels(LABELS)
    past = torch.zeros(24, 16, 4)
    past[..., 0] = found.v0[:, None].float() * torch.linspace(-1.5, 0, 16)
    past[..., 3] = found.v0[:, None].float()
    past[::3] = torch.nan
    return replace(
        found,
        teacher=found.teacher.float(),
        ground_truth=found.teacher[:, 0].float(),
        history=past,
        context=torch.full((24, 2), 0.5),
        context_names=("rain", "night"),
        text=np.array([["", "größer", "slow down", "停"][i % 4] for i in range(24)]),
        t0_us=torch.arange(24) * 1_000_000,
    )


def stored(folder: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch, rows: int = 5) -> LabelSet:
    """A set in shards of a few rows."""
    monkeypatch.setattr(building, "SHARD_BYTES", rows * labels.teacher[0].numel() * 4)
    with Builder(folder, "0123456789abcdef") as builder:
        for some in torch.arange(len(labels)).split(7):
            builder.add(labels.select(some))
    assert builder.common is not None
    return finish(folder, builder.common, builder.entries, [], {})


def same(one: Labels, other: Labels) -> None:
    for name, value in vars(one).items():
        given = getattr(other, name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(value.double().nan_to_num(7e7), given.double().nan_to_num(7e7)), name
        else:
            assert np.array_equal(value, given), name


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_set_gives_back_what_it_was_given(tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stored(tmp_path / "set", labels, monkeypatch)
    assert [shard.clips for shard in made.shards] == [5, 5, 5, 5, 4]
    same(load_labels(tmp_path / "set"), labels)
    same(load_labels(tmp_path / "set" / "labels.json"), labels)
    order = torch.tensor([23, 0, 7, 7, 12, 4, 5])
    same(made.select(order.numpy()), labels.select(order))
    assert made.damaged() == []
    facts = json.loads((tmp_path / "set" / "labels.json").read_text())
    assert facts["clips"] == 24
    assert facts["actions"]["a"]["std"] > 0


def test_its_statistics_are_those_of_the_action_space(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alpamayo_toy import ActionSpace

    found = stored(tmp_path / "set", labels, monkeypatch).facts["actions"]
    space = ActionSpace.fit(labels)
    assert [found[name]["mean"] for name in ("a", "kappa")] == pytest.approx(space.mean.tolist(), abs=1e-6)
    assert [found[name]["std"] for name in ("a", "kappa")] == pytest.approx(space.std.tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda f: (f / "labels.json").write_text('{"kind": "alpamayo_toy label set", "format": 9}'), "has format 9"),
        (lambda f: (f / "labels.json").write_text('{"kind": "alpamayo_toy label set"'), "no index of a label set"),
        (lambda f: next(f.glob("shards/*-001/teacher.npy")).unlink(), "no whole label set"),
        (lambda f: next(f.glob("shards/*-001/v0.npy")).write_bytes(b"\x93NUMPY"), "label set"),
        (lambda f: _cut(next(f.glob("shards/*-001/teacher.npy"))), "label set"),
        (lambda f: np.save(next(f.glob("shards/*-001/v0.npy")), np.zeros(3)), r"v0\.npy must hold \(5,\) float64"),
        (lambda f: _edit(f / "labels.json", "horizon", 63), r"teacher\.npy must hold \(5, 4, 63, 4\)"),
        (lambda f: _edit(f / "labels.json", "shards", [{"name": "../../x", "clips": 5}]), "is no shard"),
    ],
)
def test_a_broken_set_is_named(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch, harm: object, message: str
) -> None:
    stored(tmp_path / "set", labels, monkeypatch)
    assert callable(harm)
    harm(tmp_path / "set")
    with pytest.raises(UserError, match=message):
        load_labels(tmp_path / "set")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _edit(path: Path, key: str, value: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))


def test_changed_bytes_are_found(tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stored(tmp_path / "set", labels, monkeypatch)
    path = next((tmp_path / "set").glob("shards/*-002/v0.npy"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert made.damaged() == [str(path.relative_to(tmp_path / "set"))]


def pieces(folder: Path, labels: Labels, count: int) -> list[Path]:
    """The clips as several labels.npz."""
    folder.mkdir()
    paths = []
    for i, some in enumerate(torch.arange(len(labels)).chunk(count)):
        paths.append(folder / f"{i}.npz")
        write(labels.select(some), paths[-1])
    return paths


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = pieces(tmp_path / "in", labels, 3)
    monkeypatch.setattr("alpamayo_toy.labels.stored.convert.UNIT_FILES", 1)
    convert(paths, tmp_path / "one")
    convert(paths, tmp_path / "two", workers=2)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    convert(paths, tmp_path / "one")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    same(load_labels(tmp_path / "one"), labels)


def test_a_clip_in_two_files_is_kept_once(tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpamayo_toy.labels.stored.convert.UNIT_FILES", 1)
    first, second = (tmp_path / f"{name}.npz" for name in "ab")
    write(labels.select(torch.arange(16)), first)
    write(labels.select(torch.arange(8, 24)), second)
    made = convert([first, second], tmp_path / "set")
    assert made is not None
    assert made.facts["dropped"] == {"repeated": 8}
    same(load_labels(tmp_path / "set"), labels)


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
    write(labels.select(torch.arange(3)), tmp_path / "in" / "c.npz")
    with pytest.raises(UserError, match="comes twice; convert it first"):
        split_set(tmp_path / "in", tmp_path / "in" / "splits", "auto", ByHash(0.3, 0.2))
    assert len(load_labels(tmp_path / "in" / "splits")) == 24


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


def test_two_processes_do_not_write_one_set(tmp_path: Path, labels: Labels) -> None:
    write(labels, tmp_path / "in.npz")
    with claimed(tmp_path / "set"), pytest.raises(UserError, match="is being written by another process"):
        convert([tmp_path / "in.npz"], tmp_path / "set")
    assert convert([tmp_path / "in.npz"], tmp_path / "set") is not None


def test_more_shards_than_a_process_may_open_files(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path / "set", labels, monkeypatch, rows=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        same(load_labels(tmp_path / "set"), labels)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_beyond_the_hard_limit_of_open_files_there_is_one_line(tmp_path: Path, labels: Labels) -> None:
    write(labels, tmp_path / "in.npz")
    convert([tmp_path / "in.npz"], tmp_path / "set")
    code = "import os, resource, sys; from pathlib import Path\n"
    code += "from alpamayo_toy.labels.stored.label_set import open_set\n"
    code += "free = os.dup(0); resource.setrlimit(resource.RLIMIT_NOFILE, (free + 3, free + 3))\n"
    code += "try:\n    open_set(Path(sys.argv[1]))\nexcept Exception as error:\n    print(error)"
    run = [sys.executable, "-c", code, str(tmp_path / "set")]
    said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    assert said == f"{tmp_path / 'set'} has more files than this process may open; raise the limit: ulimit -n\n"


def test_rows_that_are_not_there_and_another_process(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stored(tmp_path / "set", labels, monkeypatch)
    for rows in ([24], [-1, 2]):
        with pytest.raises(IndexError, match="rows must lie in 0 to 23"):
            made.numbers(np.array(rows))
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(len, made).result() == 24


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


CONVERT = """
import sys, torch
from pathlib import Path
torch.set_num_threads(1)
from alpamayo_toy.labels.stored import convert, building
convert.UNIT_FILES = 1
building.SHARD_BYTES = 30000
print("ready", flush=True)
convert.convert(sorted(Path(sys.argv[1]).iterdir()), Path(sys.argv[2]))
"""


def test_a_killed_convert_goes_on_to_the_same_bytes(tmp_path: Path, labels: Labels) -> None:
    pieces(tmp_path / "in", labels, 8)
    run = [sys.executable, "-c", CONVERT, str(tmp_path / "in")]
    started = time.monotonic()
    with subprocess.Popen([*run, str(tmp_path / "whole")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        ready = time.monotonic()
        assert process.wait(60) == 0
    lasted = time.monotonic() - ready
    assert ready > started
    for moment in np.random.default_rng(0).uniform(0, lasted, 4):
        with subprocess.Popen([*run, str(tmp_path / "cut")], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
        if (tmp_path / "cut" / "labels.json").exists():
            same(load_labels(tmp_path / "cut"), labels)
    subprocess.run([*run, str(tmp_path / "cut")], check=True, stdout=subprocess.DEVNULL)
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")


def test_a_full_disk_leaves_the_old_set_whole(tmp_path: Path, labels: Labels) -> None:
    """A limit on file size stands for the disk."""
    write(labels.select(torch.arange(4)), tmp_path / "labels.npz")
    script = [sys.executable, str(ROOT / "scripts" / "labels.py"), "convert"]
    subprocess.run([*script, "labels.npz", "set"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    few = load_labels(tmp_path / "labels.npz")
    write(replace(labels, clip_id=np.char.add(labels.clip_id, "x")), tmp_path / "labels.npz")
    before = tree(tmp_path / "set")

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    full = subprocess.run(
        [*script, "labels.npz", "set"], cwd=tmp_path, check=False, capture_output=True, text=True, preexec_fn=limited
    )
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


@pytest.mark.parametrize("samples", ["all", "first", "medoid", "mean"])
def test_training_from_disk_is_training_from_memory(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch, samples: str
) -> None:
    plain = replace(labels, context=None, context_names=())
    stored(tmp_path / "set", plain, monkeypatch)
    options = ["teacher=file", f"teacher.path={tmp_path / 'set'}", f"teacher.samples={samples}", "trainer=smoke"]
    config = train_config(*options, "trainer.pictures=0", "teacher.val_fraction=0.3", "student.inputs=[v0,history]")
    kept = fit(config, tmp_path / "memory")
    monkeypatch.setattr("alpamayo_toy.teachers.files.IN_MEMORY", 0)
    read = fit(config, tmp_path / "disk")
    assert read["teacher_samples"] == samples
    assert read["student"]["ade"] == pytest.approx(kept["student"]["ade"], rel=1e-4)
    assert read["floor"] == kept["floor"]
