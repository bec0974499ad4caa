"""A script of scripts/ as on the command line, in a process forked from one that has imported PyTorch already.

What a test sees is the script's own argv, exit code, stdout and stderr; what it does not see is how long imports take.
"""

import os
import runpy
import subprocess
import sys
from multiprocessing import forkserver, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRELOADED = ["torch", "hydra", "matplotlib.figure", "torch.utils.tensorboard", "alpamayo_toy.training.seeds"]
PRELOADED += ["torch._dynamo"]  # what an optimizer imports at its first step


def start_server() -> None:
    """Start the process that scripts are forked from, where it does not run yet."""
    get_context("forkserver").set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()


def start_script(name: str, arguments: tuple[str, ...], folder: Path) -> BaseProcess:
    """scripts/<name>.py with arguments in a folder, as the leader of a process group."""
    start_server()
    script = str(ROOT / "scripts" / f"{name}.py")
    given = (script, arguments, str(folder), *map(str, _streams(folder)), dict(os.environ))
    process = get_context("forkserver").Process(target=_run, args=given)
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


def run_script(name: str, arguments: tuple[str, ...], folder: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    """scripts/<name>.py with arguments in a folder."""
    return ended(start_script(name, arguments, folder), folder, timeout)


def _streams(folder: Path) -> list[Path]:
    """Where a script's stdout and stderr go."""
    return [folder.parent / f".{folder.name}.{stream}" for stream in ("out", "err")]


def _run(script: str, arguments: tuple[str, ...], folder: str, out: str, err: str, environment: dict[str, str]) -> None:
    os.setpgrp()
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update({**environment, "COLUMNS": "120"})
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent)
    runpy.run_path(script, run_name="__main__")
