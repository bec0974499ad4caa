"""Files are the old one or the new one, a full disk names them, a lock belongs to a living process, JSON is finite."""

import json
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from math import inf, nan
from pathlib import Path

import pytest
import torch

from alpamayo_toy.errors import UserError
from alpamayo_toy.files import locked, partial_of, remove_folder, replacing, write_json


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file grows beyond that, as on a disk that is full: the write of what is more is an OSError."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("saved", [bytes(2_000_000), torch.zeros(1_000_000), {"few": bytes(20_000)}], ids=type)
def test_a_full_disk_names_the_file_and_leaves_the_old_one(saved: object, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    path.write_text("old")
    with pytest.raises(OSError, match="File too large") as full, largest_file(10_000), replacing(path) as file:
        file.write(saved) if isinstance(saved, bytes) else torch.save(saved, file)  # torch says RuntimeError
    assert full.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_else_goes_wrong_in_the_block_stays_what_it_was(tmp_path: Path) -> None:
    for error in (KeyError("x"), FileNotFoundError(2, "No such file", "elsewhere"), OSError("no number")):
        with pytest.raises(type(error)) as found, replacing(tmp_path / "a.json"):
            raise error
        assert found.value is error
    assert list(tmp_path.iterdir()) == []


def test_of_two_who_write_one_file_the_second_waits_and_then_writes_its_own(tmp_path: Path) -> None:
    """Two evaluations of one checkpoint at once, say: what is there is always one of both, and neither fails."""
    path = tmp_path / "metrics.json"

    def second() -> bytes:
        with replacing(path) as file:
            before = path.read_bytes()
            file.write(b"second")
        return before

    with ThreadPoolExecutor(1) as pool:
        with replacing(path) as file:
            file.write(b"fir")
            file.flush()
            waiting = pool.submit(second)
            assert not wait([waiting], timeout=0.2).done
            file.write(b"st")
        assert waiting.result() == b"first"
    assert path.read_bytes() == b"second"
    assert [found.name for found in tmp_path.iterdir()] == ["metrics.json"]
    partial_of(path).write_bytes(b"what a killed run left, longer than what comes")
    with pytest.raises(ZeroDivisionError), replacing(path):
        raise ZeroDivisionError
    second()
    assert path.read_bytes() == b"second"
    assert [found.name for found in tmp_path.iterdir()] == ["metrics.json"]


def test_a_lock_is_waited_for_and_shared_ones_go_together(tmp_path: Path) -> None:
    held, released = threading.Event(), threading.Event()

    def orphan() -> None:
        with locked(tmp_path, shared=True), locked(tmp_path, shared=True):
            held.set()
            released.wait(20)

    thread = threading.Thread(target=orphan)
    thread.start()
    assert held.wait(20)
    with pytest.raises(UserError, match="is being written by another process"), locked(tmp_path):
        pass
    threading.Timer(0.2, released.set).start()
    with locked(tmp_path, seconds=600):
        assert released.is_set()
    thread.join()


def test_a_folder_that_was_half_removed_is_hidden_and_goes_with_the_next(tmp_path: Path) -> None:
    (tmp_path / ".shard.removed").mkdir()
    (tmp_path / ".shard.removed" / "rest").touch()
    (tmp_path / "shard" / "in").mkdir(parents=True)
    remove_folder(tmp_path / "shard")
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_finite_is_null_in_json(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "x.json", {"a": nan, "b": [1.5, inf, {"c": (-inf, 2)}], "d": "NaN", "e": True})
    found = json.loads((tmp_path / "new" / "x.json").read_text())
    assert found == {"a": None, "b": [1.5, None, {"c": [None, 2]}], "d": "NaN", "e": True}


def test_a_folder_that_is_being_removed_is_gone_by_its_own_name_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shard").mkdir()
    (tmp_path / "shard" / "in").touch()

    def killed(folder: Path, **rest: object) -> None:
        if folder.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr("alpamayo_toy.files.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(tmp_path / "shard")
    assert [path.name for path in tmp_path.iterdir()] == [".shard.removed"]
