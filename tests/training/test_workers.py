"""run_batch() in several processes: the bytes of one, whatever happens to a process, and nothing left behind."""

import io
import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from batches import RESUMED, SMALL, apart, batch_config, read, weights_apart
from command_line import ended, nobody_is_left, start_script
from places import DATA
from tqdm import tqdm

from alpamayo_toy.hints import command_line
from alpamayo_toy.training.seeds import continued, run_batch
from alpamayo_toy.views import progress

pytestmark = pytest.mark.slow  # for the batches that they train

FILE = ("teacher=file", f"teacher.path={DATA / 'labels.npz'}", "teacher.integrator=euler", *SMALL[:2], *SMALL[4:])


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, server: None) -> Path:
    """The same three, two at a time."""
    folder = tmp_path_factory.mktemp("together")
    run_batch(batch_config("seeds=3", "workers=2"), folder)
    return folder


def test_processes_write_what_one_writes_after_the_other(one_by_one: Path, together: Path) -> None:
    assert apart(together, one_by_one) == ["config.json"]
    assert read(together / "config.json") == {**read(one_by_one / "config.json"), "workers": 2}


def test_processes_write_the_same_from_a_label_file(tmp_path: Path, server: None) -> None:
    for workers in (1, 2):
        run_batch(batch_config("seeds=2", f"workers={workers}", options=FILE), tmp_path / str(workers))
    assert apart(tmp_path / "1", tmp_path / "2") == ["config.json"]


def test_processes_write_the_same_rollouts(tmp_path: Path, server: None) -> None:
    for workers in (1, 2):
        options = ("train=false", "seeds=4", "scenario=ALL", f"workers={workers}")
        run_batch(batch_config(*options, options=()), tmp_path / str(workers))
    assert apart(tmp_path / "1", tmp_path / "2") == ["config.json"]


def test_seeds_that_fail_in_their_processes_are_named_and_the_others_go_on(
    one_by_one: Path, together: Path, tmp_path: Path
) -> None:
    (tmp_path / "seed-0").write_text("a file where a folder should be")
    shutil.copytree(one_by_one / "seed-2", tmp_path / "seed-2")
    (tmp_path / "seed-2" / "metrics.json").unlink()
    (tmp_path / "seed-2" / "checkpoints" / "last.pt").write_text("cut off")
    summary = run_batch(batch_config("seeds=4", "workers=2"), tmp_path)
    last = tmp_path / "seed-2" / "checkpoints" / "last.pt"
    assert list(summary["failed"]) == ["0", "2"]
    assert summary["failed"]["0"] == f"{tmp_path / 'seed-0'}: File exists"
    assert summary["failed"]["2"].startswith(f"{last} ")
    assert weights_apart(tmp_path, one_by_one, (1,)) == 0
    assert (tmp_path / "seed-3" / "metrics.json").exists()


def test_a_killed_process_costs_its_own_seed_which_goes_on_later(
    one_by_one: Path, together: Path, tmp_path: Path
) -> None:
    def kill() -> None:
        while not (events := list(tmp_path.glob("seed-1/events.*"))):
            time.sleep(0.002)
        os.kill(int(events[0].name.split(".")[-2]), signal.SIGKILL)  # the name holds the process that writes it

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    failed = run_batch(batch_config("seeds=3", "workers=2"), tmp_path)["failed"]
    how = f"continue: {command_line('batch', resume=tmp_path)}"
    assert failed == {"1": f"process killed by signal 9, perhaps for want of memory; {how}"}
    assert weights_apart(tmp_path, one_by_one, (0, 2)) == 0
    before = (tmp_path / "seed-0" / "checkpoints" / "last.pt").stat().st_mtime_ns
    run_batch(continued(batch_config(f"resume={tmp_path}", options=()), [f"resume={tmp_path}"]), tmp_path)
    assert (tmp_path / "seed-0" / "checkpoints" / "last.pt").stat().st_mtime_ns == before
    assert apart(tmp_path, one_by_one, besides=RESUMED) == []
    assert weights_apart(tmp_path, one_by_one) == 0


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_on_the_command_line_a_signal_ends_all_processes_in_one_line(
    kind: signal.Signals, one_by_one: Path, together: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    script = start_script("batch", (*SMALL, "seeds=3", "workers=2", f"hydra.run.dir={run}"), tmp_path)
    assert script.pid is not None
    while not list(run.glob("seed-*/checkpoints/last.pt")):
        assert script.is_alive()
        time.sleep(0.002)
    if kind == signal.SIGINT:
        os.killpg(script.pid, kind)  # a terminal sends it to all
    else:
        os.kill(script.pid, kind)
    result = ended(script, tmp_path, timeout=600)
    assert result.returncode == 128 + kind
    assert result.stderr == f"stopped; continue: {command_line('batch', resume=run)}\n"
    assert all(line.endswith(" left") for line in result.stdout.splitlines())  # of a machine that takes 10 s and more
    assert not (run / "summary.json").exists()
    assert nobody_is_left(script.pid)
    overrides = [f"resume={run}", "workers=3"]
    run_batch(continued(batch_config(*overrides, options=()), overrides), run)
    assert apart(run, one_by_one, besides=RESUMED) == []
    assert weights_apart(run, one_by_one) == 0


def test_processes_share_one_progress_line(together: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(progress, "tqdm", lambda **options: tqdm(**{**options, "disable": False}, file=terminal))
    run_batch(batch_config("seeds=2", "workers=2"), tmp_path)
    drawn = terminal.getvalue()
    assert drawn.count("\n") == 1  # at its end
    assert re.search(r"\r2 seeds: 100%.* 80/80 \[", drawn)
