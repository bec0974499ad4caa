"""in_processes(): what map() gives, whatever happens to a process, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from jobs import act
from places import ROOT

from alpamayo_toy import processes
from alpamayo_toy.errors import Interrupted, UserError
from alpamayo_toy.processes import Killed, in_processes, signals

pytestmark = [pytest.mark.usefixtures("server"), pytest.mark.slow]


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


@pytest.mark.parametrize("kinds", [["fork", "spawn", "forkserver"], ["spawn"]])
def test_results_come_in_the_order_of_the_jobs(kinds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "get_all_start_methods", lambda: kinds)
    jobs = [("wait", 0.3), ("wait", 0.0), ("wait", 0.1), ("wait", 0.0)]
    found = list(in_processes(act, jobs, 2))
    assert [(what, value) for what, value, _ in found] == jobs
    used = {process for _, _, process in found}
    assert len(used) == 2
    assert os.getpid() not in used
    assert list(in_processes(act, [], 2)) == []


def test_what_a_job_raises_takes_its_place_with_the_lines_where_it_was_raised() -> None:
    refused, broken, done = in_processes(act, [("refuse", "no such clip"), ("break", "x"), ("wait", 0)], 2)
    assert (type(refused), str(refused)) == (UserError, "no such clip")
    assert (type(broken), broken.args) == (KeyError, ("x",))
    assert "jobs.py" in broken.__notes__[0]
    assert done[0] == "wait"


def test_an_exception_that_cannot_be_pickled_is_said_and_costs_its_own_job() -> None:
    odd, local, done = in_processes(act, [("odd", 1), ("local", 2), ("wait", 0)], 2)
    assert (type(odd), str(odd), type(local), str(local)) == (RuntimeError, "Odd(1)", RuntimeError, "Local(2)")
    assert all("jobs.py" in error.__notes__[0] for error in (odd, local))
    assert done[0] == "wait"


def test_a_process_that_dies_costs_its_own_job() -> None:
    jobs = [("wait", 0.5), ("die",), ("wait", 0.0), ("exit", 3), ("wait", 0.0)]
    found = list(in_processes(act, jobs, 2))
    assert [type(result) for result in found] == [tuple, Killed, tuple, Killed, tuple]
    assert str(found[1]) == "process killed by signal 9, perhaps for want of memory"
    assert str(found[3]) == "process ended with exit code 3"


def test_a_process_that_cannot_be_started_costs_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> Any:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(processes, "_started", refused)
    (found,) = in_processes(act, [("wait", 0)], 2)
    assert isinstance(found, Killed)
    assert str(found) == "process not started ([Errno 11] Resource temporarily unavailable)"


def test_jobs_tell_how_far_they_are() -> None:
    told: list[tuple[int, int]] = []
    list(in_processes(act, [("count", 3), ("count", 5)], 2, lambda number, value: told.append((number, value))))
    assert sorted(told) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (1, 3), (1, 4)]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_every_running_job_save_itself_and_begins_no_other(kind: signal.Signals, tmp_path: Path) -> None:
    running: list[int] = []

    def told(_: int, process: int) -> None:
        running.append(process)
        if len(running) == 2:
            os.kill(os.getpid(), kind)

    before = signal.getsignal(kind)
    with pytest.raises(Interrupted) as stop:
        list(in_processes(act, [("save", str(tmp_path))] * 3, 2, told))
    assert stop.value.exit_code == 128 + kind
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == sorted(running)
    assert not any(map(is_alive, running))
    assert signal.getsignal(kind) is before


def test_a_second_signal_does_not_wait() -> None:
    running: list[int] = []

    def told(_: int, process: int) -> None:
        running.append(process)
        if len(running) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as stop:
        list(in_processes(act, [("never end",)] * 2, 2, told))
    assert stop.value.exit_code == 130
    assert not any(map(is_alive, running))


def test_whoever_wants_no_more_results_leaves_no_process_behind(tmp_path: Path) -> None:
    before = active_children()
    heard: list[tuple[int, int]] = []
    jobs = [("count", 1), *[("save", str(tmp_path))] * 2]
    results = in_processes(act, jobs, 2, lambda number, value: heard.append((number, value)))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert active_children() == before
    assert not any(is_alive(process) for number, process in heard if number > 0)


PARENT = """
import sys
from jobs import act
from alpamayo_toy.processes import in_processes
list(in_processes(act, [(sys.argv[2], sys.argv[1])] * 2, 2, lambda _, process: print(process, flush=True)))
"""
SLOW = """
import os, sys, time
if "forkserver" in sys.orig_argv[-1]:
    print(os.getpid(), flush=True)
    time.sleep(600)
"""


def paths() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}


@pytest.mark.parametrize("job", ["save", "never end"])
def test_no_process_outlives_a_killed_parent(job: str, tmp_path: Path) -> None:
    run = [sys.executable, "-c", PARENT, str(tmp_path), job]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True, env=paths()) as parent:
        assert parent.stdout is not None
        running = [int(parent.stdout.readline()) for _ in range(2)]
        assert all(map(is_alive, running))
        parent.kill()
    assert eventually(lambda: not any(map(is_alive, running)))
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == (sorted(running) if job == "save" else [])


def test_the_fork_server_ends_with_its_parent_before_all_is_imported(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(f"{SLOW}\ndef act(): pass\n")
    asked = "import slow; from alpamayo_toy.processes import *; list(in_processes(slow.act, [()], 1))"
    run = [sys.executable, "-c", asked]
    environment = {**paths(), "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        parent.kill()
    assert eventually(lambda: not is_alive(server))


def test_a_programs_own_handlers_are_back_after_signals_were_taken() -> None:
    def own(*_: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGTERM, own), signal.getsignal(signal.SIGINT)
    try:
        with signals() as received:
            os.kill(os.getpid(), signal.SIGTERM)
            assert eventually(lambda: list(received) == [signal.SIGTERM])
        assert signal.getsignal(signal.SIGTERM) is own
        assert signal.getsignal(signal.SIGINT) is before[1]
    finally:
        signal.signal(signal.SIGTERM, before[0])
