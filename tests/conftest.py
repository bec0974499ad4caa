"""Helpers that several tests share: one thread, the commands as a user runs them, the neighbouring material."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_line import run_script
from hypothesis import settings

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
LABELS_60 = SHARED / "labels" / "alpamayo1_5_results_60clips.json"
Command = Callable[..., subprocess.CompletedProcess[str]]

torch.set_num_threads(1)
settings.register_profile("fixed", derandomize=True)  # the same examples every time
settings.load_profile("fixed")

needs_60_clips = pytest.mark.skipif(not LABELS_60.exists(), reason="the 60 real clips are not on this machine")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run scripts/<name>.py with arguments in an empty folder."""

    def run(name: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return run_script(name, arguments, tmp_path, timeout)

    return run
