"""A command in this process, for the mistakes that it ends at."""

import runpy
import shlex
import sys
from pathlib import Path

import pytest
from command_line import Said
from places import ROOT


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """The exit code of a command in an empty folder and what stands on stderr, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def run(line: str) -> tuple[int, str]:
        verb, *words = shlex.split(line)
        script = str(ROOT / "scripts" / f"{verb}.py")
        monkeypatch.setattr(sys, "argv", [script, *words])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(script, run_name="__main__")
        code = end.value.code
        err = capsys.readouterr().err
        return (1, f"{code}\n") if isinstance(code, str) else (int(code or 0), err)

    return run
