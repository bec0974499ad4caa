"""A script of scripts/ as on the command line, in a process forked from one that has trained and evaluated already.

What a test sees is the script's own argv, exit code, stdout and stderr; what it does not see is how long imports take.
"""

import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from places import ROOT, Command

PRELOADED = ["torch._dynamo", "torch.profiler", "shorter", "warm"]
Said = Callable[[str], tuple[int, str]]
SMOKE = ("trainer=smoke", "trainer.steps=8", "trainer.val_every=8", "trainer.pictures=0")
SMOKE += ("teacher.scenes=64", "teacher.val_scenes=8")


def server() -> ForkServerContext:
    """Processes of its are forked from one that has trained and evaluated; there is one such in a run of the tests."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)  # it starts with no path of pytest's
        forkserver.ensure_running()
    return context


def start_script(
    name: str, arguments: tuple[str, ...], folder: Path, before: Callable[[], None] | None = None
) -> BaseProcess:
    """scripts/<name>.py with arguments in a folder, as the leader of a process group; before() comes first there."""
    script = str(ROOT / "scripts" / f"{name}.py")
    given = (script, arguments, str(folder), *map(str, _streams(folder)), dict(os.environ), before)
    process = server().Process(target=_run, args=given)
    process.start()
    return process


def ended(process: BaseProcess, folder: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    """What became of a script that was started in a folder."""
    process.join(timeout)
    if process.is_alive():
        process.kill()
        raise subprocess.TimeoutExpired(process.name, timeout)
    code = process.exitcode
    assert code is not None
    return subprocess.CompletedProcess(process.name, code, *(path.read_text() for path in _streams(folder)))


def run_script(
    name: str, arguments: tuple[str, ...], folder: Path, timeout: float = 120, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """scripts/<name>.py with arguments in a folder."""
    return ended(start_script(name, arguments, folder, before), folder, timeout)


def nobody_is_left(group: int) -> bool:
    """Within some seconds no process of the group is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def _streams(folder: Path) -> list[Path]:
    """Where a script's stdout and stderr go."""
    return [folder.parent / f".{folder.name}.{stream}" for stream in ("out", "err")]


def _run(
    script: str,
    arguments: tuple[str, ...],
    folder: str,
    out: str,
    err: str,
    environment: dict[str, str],
    before: Callable[[], None] | None,
) -> None:
    os.setpgrp()
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update({**environment, "COLUMNS": "120"})
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    if before is not None:
        before()
    runpy.run_path(script, run_name="__main__")


def wrong(command: Command, name: str, *arguments: str) -> str:
    """The one line on stderr of a command that must fail, without leaving anything behind."""
    result = command(name, *arguments)
    assert result.returncode in (1, 2), result.stdout
    assert "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert result.stdout == ""
    return lines[0]
