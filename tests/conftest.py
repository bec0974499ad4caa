"""What all tests share: one thread, the same examples, quick or slow, the commands as a user runs them."""

import gc
import os
import subprocess
from pathlib import Path

import pytest
import shorter  # noqa: F401
import torch
from command_line import run_script, server
from hypothesis import settings
from places import QUICK, Command

torch.set_num_threads(1)
os.fsync = lambda descriptor: None  # no test pulls the plug: what is written is there, flushed to the disk or not
settings.register_profile("fixed", derandomize=True, deadline=None)  # the same examples, on a busy machine too
settings.load_profile("fixed")


def pytest_collection_finish() -> None:
    """What is imported by now stays: the collector need not look at it again and again."""
    gc.freeze()


@pytest.fixture(scope="session", name="server")
def forked() -> None:
    """There is one server that processes are forked from: with this, the one that knows what scripts need as well."""
    server()


@pytest.hookimpl(tryfirst=True)  # before -m selects by them
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every test is quick that is not marked slow."""
    for item in items:
        if item.get_closest_marker("slow") is None:
            item.add_marker("quick")
    config.stash[QUICK] = {item.path for item in items if item.get_closest_marker("quick")}


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run scripts/<name>.py with arguments in an empty folder."""

    def run(name: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return run_script(name, arguments, tmp_path, timeout)

    return run
