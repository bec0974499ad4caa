"""Helpers that several tests share: one thread, the commands as a user runs them."""

import subprocess
from pathlib import Path

import pytest
import torch
from command_line import run_script, start_server
from hypothesis import settings
from places import Command

torch.set_num_threads(1)
settings.register_profile("fixed", derandomize=True)  # the same examples every time
settings.load_profile("fixed")


@pytest.fixture(scope="session")
def server() -> None:
    """There is one server that processes are forked from: with this, the one that knows what scripts need as well."""
    start_server()


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run scripts/<name>.py with arguments in an empty folder."""

    def run(name: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return run_script(name, arguments, tmp_path, timeout)

    return run
