"""Event files stand behind those that are there, whatever the clock says, and hold what was added at once."""

import os
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from alpamayo_toy.views.events import EventFile
from alpamayo_toy.views.tensorboard import Logger


def points(folder: Path) -> list[tuple[int, float]]:
    return [(point.step, point.wall_time) for point in EventAccumulator(str(folder)).Reload().Scalars("val/ade")]


@pytest.mark.parametrize("back", [0, 1, 3600, 10**9], ids=str)
def test_a_clock_set_back_leaves_a_curve_in_its_order(
    back: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of steps 1 to 4 that goes on after step 2: 1, 2, 3, ..., each later than the one before."""
    log = Logger(tmp_path)
    for step in (1, 2, 3, 4):
        log.scalars({"val/ade": 1.0}, step)
    log.close()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - back)
    for first in (2, 5):
        log = Logger(tmp_path, first)
        for step in range(first + 1, first + 4):
            log.scalars({"val/ade": 1.0}, step)
        log.close()
    found = points(tmp_path)
    assert [step for step, _ in found] == list(range(1, 9))
    assert [wall for _, wall in found] == sorted(wall for _, wall in found)


def test_files_by_the_name_that_are_not_ours_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("events.out.tfevents.x", "events.out.tfevents.123.a", "events.out.tfevents.99999999999999.a.1"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.5)
    events = EventFile(tmp_path)
    assert events.path.name.startswith("events.out.tfevents.1800000000.")
    events.close()


def test_an_event_is_in_its_file_when_it_was_added(tmp_path: Path) -> None:
    """So that kill -9 takes no point along that a checkpoint behind it knows."""
    log = Logger(tmp_path)
    log.scalars({"val/ade": 2.5}, 7)
    assert [step for step, _ in points(tmp_path)] == [7]
    log.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode: real(Path("/dev/full"), mode))
    with pytest.raises(OSError, match="No space left on device") as caught:
        EventFile(tmp_path)
    assert "events.out.tfevents." in str(caught.value.filename)


@pytest.mark.parametrize(("begun", "written", "first"), [(50, 10, 51), (10, 50, 51), (10, 20, 30)])
def test_a_file_stands_behind_the_last_moment_that_an_earlier_one_tells(
    begun: int, written: int, first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name as well as by when it was written, whichever is later; here at 30 s past a round moment."""
    start = 1_800_000_000
    earlier = tmp_path / f"events.out.tfevents.{start + begun}.host.1.0"
    earlier.touch()
    os.utime(earlier, (start + written, start + written))
    monkeypatch.setattr(time, "time", lambda: start + 30.0)
    events = EventFile(tmp_path)
    events.close()
    assert events.path.name.startswith(f"events.out.tfevents.{start + first}.")


def test_what_a_validation_is_looked_at_beside_is_a_line_of_the_same_chart(tmp_path: Path) -> None:
    """In a folder of its own each, which closes with the log."""
    log = Logger(tmp_path)
    for step in (1, 2):
        log.lines("val/ade", {"floor": 0.5, "ridge": 0.25 * step}, step)
    log.close()
    for line, values in (("floor", [0.5, 0.5]), ("ridge", [0.25, 0.5])):
        read = EventAccumulator(str(tmp_path / "beside" / line)).Reload()
        assert [(point.step, point.value) for point in read.Scalars("val/ade")] == list(enumerate(values, 1))
    assert all(events._file.closed for events in (log.events, *log.beside.values()))


def test_a_histogram_tells_small_numbers_apart_on_either_side_of_zero(tmp_path: Path) -> None:
    log = Logger(tmp_path)
    log.histogram("weights", torch.tensor([-1e-6, -1e-9, 1e-9, 1e-6, 1e3]), 1)
    log.close()
    (found,) = EventAccumulator(str(tmp_path)).Reload().Histograms("weights")
    counts = [count for count in found.histogram_value.bucket if count]
    assert counts == [1.0] * 5
