"""The label set on disk: what goes in comes out, in any order, and a broken one is named."""

import json
import resource
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import server
from label_sets import open_with_few_files, same, stored

from alpamayo_toy import Labels, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.stored.convert import convert


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


def test_texts_of_each_sample_stay_with_their_sample(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = np.array([[f"clip {i}, sample {k}" for k in range(3)] for i in range(len(labels))], dtype=object)
    labels = replace(labels, text=told)
    made = stored(tmp_path / "set", labels, monkeypatch)
    same(load_labels(tmp_path / "set"), labels)
    order = torch.tensor([23, 0, 7, 7])
    same(made.select(order.numpy()), labels.select(order))


def test_its_statistics_are_those_of_the_action_space(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alpamayo_toy import ActionSpace

    found = stored(tmp_path / "set", labels, monkeypatch).facts["actions"]
    space = ActionSpace.fit(labels)
    assert [found[name]["mean"] for name in ("a", "kappa")] == pytest.approx(space.mean.tolist(), abs=1e-6)
    assert [found[name]["std"] for name in ("a", "kappa")] == pytest.approx(space.std.tolist(), rel=1e-5)


SUMS = {"a": [0, 0.0, 0.0], "kappa": [0, 0.0, 0.0]}
ELSEWHERE = {"name": "../../x", "clips": 5, "actions": SUMS, "v0_sources": {}, "files": {}}


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
        (lambda f: _edit(f / "labels.json", "shards", [ELSEWHERE]), "is no shard"),
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_beyond_the_hard_limit_of_open_files_there_is_one_line(tmp_path: Path, labels: Labels) -> None:
    write(labels, tmp_path / "in.npz")
    convert([tmp_path / "in.npz"], tmp_path / "set")
    answer, asked = Pipe(duplex=False)
    process = server().Process(target=open_with_few_files, args=(tmp_path / "set", asked))
    process.start()
    said = answer.recv()
    process.join()
    assert said == f"{tmp_path / 'set'} has more files than this process may open; raise the limit: ulimit -n"


@pytest.mark.slow
def test_rows_that_are_not_there_and_another_process(
    tmp_path: Path, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stored(tmp_path / "set", labels, monkeypatch)
    for rows in ([24], [-1, 2]):
        with pytest.raises(IndexError, match="rows must lie in 0 to 23"):
            made.numbers(np.array(rows))
    with ProcessPoolExecutor(1, server()) as pool:
        assert pool.submit(len, made).result() == 24
