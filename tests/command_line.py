"""A script of scripts/ as on the command line, in a process forked from one that has imported PyTorch already.

What a test sees is the script's own argv, exit code, stdout and stderr; what it does not see is how long imports take.
"""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

from places import ROOT, Command

PRELOADED = ["torch", "torch._dynamo", "hydra", "matplotlib.figure", "torch.utils.tensorboard"]
PRELOADED += ["alpamayo_toy.training.seeds"]
SMOKE = ("trainer=smoke", "trainer.pictures=0", "teacher.scenes=64", "teacher.val_scenes=8")


def server() -> ForkServerContext:
    """Processes of its are forked from one that has imported PyTorch."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def run_script(
    name: str, arguments: tuple[str, ...], folder: Path, timeout: float = 120, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """scripts/<name>.py with arguments in a folder; in its process something else comes before it."""
    out, err = (folder.parent / f".{folder.name}.{stream}" for stream in ("out", "err"))
    script = str(ROOT / "scripts" / f"{name}.py")
    process = server().Process(
        target=_run, args=(script, arguments, str(folder), str(out), str(err), dict(os.environ), before)
    )
    process.start()
    process.join(timeout)
    if process.is_alive():
        process.kill()
        raise subprocess.TimeoutExpired([script, *arguments], timeout)
    code = process.exitcode
    assert code is not None
    return subprocess.CompletedProcess([script, *arguments], code, out.read_text(), err.read_text())


def _run(
    script: str,
    arguments: tuple[str, ...],
    folder: str,
    out: str,
    err: str,
    environment: dict[str, str],
    before: Callable[[], None] | None,
) -> None:
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
