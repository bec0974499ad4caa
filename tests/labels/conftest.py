"""Where the tests of Parquet files write theirs."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.parquet"
