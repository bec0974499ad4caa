"""A batch that the tests of seeds compare theirs with."""

from pathlib import Path

import pytest
from batches import batch_config
from once import made_once

from alpamayo_toy.training.seeds import run_batch


@pytest.fixture(scope="session")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds, one after the other, that nothing interrupted."""
    return made_once(tmp_path_factory, "one_by_one", lambda folder: run_batch(batch_config("seeds=3"), folder))
