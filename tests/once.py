"""made_once(): what costs many seconds to make is made by the first worker that asks, the others wait for it."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that make() fills; of several workers each gets a copy of its own."""
    own = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" not in os.environ:
        make(own / name)
        return own / name
    shared = own.parent
    folder, partial = shared / name, shared / f"{name}.partial"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            make(partial)
            partial.rename(folder)
    return Path(shutil.copytree(folder, own / name))
