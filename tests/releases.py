"""A student of six modes that was trained for a moment and released, on the command line, once for all tests."""

from pathlib import Path

import pytest
from command_line import SMOKE, run_script
from composed import train_config
from once import made_once

from alpamayo_toy.training.loop import fit

MADE: list[Path] = []  # by this worker
INPUTS = ("scenario=LEFT", "teacher.history=true", "teacher.reveal=all", "student.modes=6")


def released(factory: pytest.TempPathFactory) -> Path:
    """A folder with run/, the run's; student/, what export.py made of it; said, what it said: not to be changed.

    Skips without ONNX.
    """
    for name in ("onnxscript", "onnxruntime", "safetensors"):
        pytest.importorskip(name)
    if not MADE:
        MADE.append(made_once(factory, "released", _release))
    return MADE[0]


def _release(folder: Path) -> None:
    folder.mkdir()
    fit(train_config(*INPUTS, *SMOKE), folder / "run")
    result = run_script("export", ("checkpoint=run", "output=student"), folder, timeout=600)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    (folder / "said").write_text(result.stdout)
