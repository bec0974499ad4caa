"""One student in two processes: the weights of one, whatever happens to a process, and one line in the end."""

import os
import signal
import socket
import threading
import time
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from command_line import ended, nobody_is_left, start_script
from composed import train_config
from places import DATA, Command

from alpamayo_toy.errors import Interrupted, UserError
from alpamayo_toy.hints import command_line
from alpamayo_toy.students import checkpoint
from alpamayo_toy.training.config import TrainConfig
from alpamayo_toy.training.loop import fit
from alpamayo_toy.training.together import fit_together

pytestmark = [pytest.mark.usefixtures("server"), pytest.mark.slow]

SMALL = ("trainer=smoke", "trainer.pictures=0", "student.width=32", "student.embedding=16", "scenario=ALL")
SMALL += ("teacher.scenes=128", "teacher.val_scenes=15")  # which do not part in two
STEPS = 100
SPREAD = ("student.modes=3", "student.spread=true", "student.hide=0.3", "teacher.history=true")
SPREAD += (
    f"trainer.steps={STEPS}",
    "optimizer.lr=1e-3",
)  # at higher rates rounding alone parts two runs of one process
TWO = "trainer.processes=2"
LONG = "trainer.steps=100000"  # of a run that does not end by itself


def config(*options: str) -> TrainConfig:
    return train_config(*SMALL, *options)


def apart(one: Path, other: Path) -> float:
    """The largest difference between the weights, and their averages, of two runs."""
    states = [checkpoint.load(str(run), "last") for run in (one, other)]
    pairs = [(states[0]["weights"], states[1]["weights"])]
    pairs.append((states[0]["training"]["student"], states[1]["training"]["student"]))
    return max(float((a[k].double() - b[k].double()).abs().max()) for a, b in pairs for k in a if a[k].numel())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run of one process, and its metrics."""
    folder = tmp_path_factory.mktemp("alone")
    return folder, fit(config(*SPREAD), folder)


def test_two_processes_reach_the_weights_of_one(alone: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, metrics = alone
    found = fit_together(config(*SPREAD, TWO), tmp_path)
    assert apart(folder, tmp_path) < 1e-5
    assert found["student"]["ade"] == pytest.approx(metrics["student"]["ade"], abs=1e-4)
    files = [{p.name.split(".1")[0] for p in run.rglob("*") if p.is_file()} for run in (folder, tmp_path)]
    assert files[0] == files[1]


def test_a_run_goes_on_with_another_number_of_processes(alone: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    def stop(step: int) -> None:
        if step == 20:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        fit(config(*SPREAD), tmp_path, told=stop)
    resumed = f"trainer.resume={tmp_path}"
    fit_together(config(*SPREAD, TWO, resumed, "trainer.steps=45"), tmp_path)
    assert checkpoint.load(str(tmp_path), "last")["step"] == 45
    fit(config(*SPREAD, resumed), tmp_path)
    assert apart(alone[0], tmp_path) < 1e-5


def test_every_process_reads_its_own_rows_of_a_file(tmp_path: Path) -> None:
    options = ("teacher=file", f"teacher.path={DATA / 'labels.npz'}", "trainer.batch_size=16")
    for name, more in (("one", ()), ("two", (TWO,))):
        made = train_config(*SMALL[:4], *options, *more)
        (fit_together if more else fit)(made, tmp_path / name)
    assert apart(tmp_path / "one", tmp_path / "two") < 1e-5


@pytest.mark.parametrize("which", [0, 1])
def test_a_process_that_dies_ends_all_in_one_line(which: int, tmp_path: Path) -> None:
    def kill() -> None:
        while not (tmp_path / "checkpoints" / "last.pt").exists():
            time.sleep(0.002)
        ranks = sorted(active_children(), key=lambda child: child.pid or 0)
        os.kill(ranks[which].pid or 0, signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(UserError) as error:
        fit_together(config(TWO, LONG), tmp_path)
    last, how = tmp_path / "checkpoints" / "last.pt", command_line("train", trainer__resume=tmp_path)
    killed = f"process {which} of 2 was killed by signal 9"
    assert str(error.value) == f"{killed}; the last checkpoint is {last}; continue: {how}"
    assert active_children() == []
    assert checkpoint.load(str(tmp_path), "last")["step"] > 0


def test_a_mistake_is_said_once(command: Command) -> None:
    result = command("train", TWO, "teacher=file", "teacher.path=nowhere.json")
    assert (result.returncode, result.stderr) == (1, "error: there is no label file nowhere.json\n")
    result = command("train", *SMALL, "trainer.processes=3")
    assert result.stderr == "error: trainer.batch_size must be a multiple of the 3 processes, which share it (got 32)\n"


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_processes_in_one_line(kind: signal.Signals, tmp_path: Path) -> None:
    run = tmp_path / "run"
    script = start_script("train", (*SMALL, TWO, LONG, f"hydra.run.dir={run}"), tmp_path)
    assert script.pid is not None
    while not (run / "checkpoints" / "last.pt").exists():
        assert script.is_alive()
        time.sleep(0.002)
    os.killpg(script.pid, kind) if kind == signal.SIGINT else os.kill(script.pid, kind)  # a terminal tells all
    result = ended(script, tmp_path, timeout=60)
    assert result.returncode == 128 + kind
    last, how = run / "checkpoints" / "last.pt", command_line("train", trainer__resume=run)
    assert result.stderr == f"stopped; the last checkpoint is {last}; continue: {how}\n"
    assert nobody_is_left(script.pid)


def test_under_torchrun_the_first_process_writes_and_says_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "none"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)

    def both(command: str, *words: str) -> list[tuple[int, str, str]]:
        started = []
        for rank in ("0", "1"):
            monkeypatch.setenv("RANK", rank)
            monkeypatch.setenv("LOCAL_RANK", rank)
            (tmp_path / rank).mkdir(exist_ok=True)
            started.append(start_script(command, words, tmp_path / rank))
        found = [ended(script, tmp_path / str(rank), timeout=120) for rank, script in enumerate(started)]
        return [(one.returncode, one.stdout, one.stderr) for one in found]

    first, second = both("train", *SMALL, *SPREAD[:4], "trainer.steps=40")
    assert (first[0], second) == (0, (0, "", "")), first[2]
    assert "the student is" in first[1]
    assert list((tmp_path / "0" / "outputs" / "train" / "ALL").iterdir())
    assert not list((tmp_path / "1").iterdir())
    once = "error: torchrun is for one run of train.py; start {}.py without it\n"
    assert both("train", "-m", "scenario=LEFT,RIGHT") == [(1, "", once.format("train")), (1, "", "")]
    assert both("eval", "checkpoint=x") == [(1, "", once.format("eval")), (1, "", "")]
    assert both("train", "optimizer.lr=-1") == [(1, "", "error: optimizer.lr must be > 0 (got -1.0)\n"), (1, "", "")]
