"""Event files stand behind those that are there, whatever the clock says, and hold what was added at once."""

import os
import time
from pathlib import Path

import pytest
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
