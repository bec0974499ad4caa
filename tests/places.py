"""Where things lie: the project, its test data, and the neighbouring material that not every machine has."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
SHARED = ROOT.parent / "shared"
LABELS_60 = SHARED / "labels" / "alpamayo1_5_results_60clips.json"
QUICK = pytest.StashKey[set[Path]]()  # the files that have a quick test
Command = Callable[..., subprocess.CompletedProcess[str]]

needs_60_clips = pytest.mark.skipif(not LABELS_60.exists(), reason="the 60 real clips are not on this machine")


def assert_scored_alike(found: Any, expected: Any, where: str = "") -> None:
    """The same numbers to the last bit; on a GPU, whose sums take any order, to a few millionths."""
    if not torch.cuda.is_available():
        assert found == expected
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            assert_scored_alike(found[name], expected[name], f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, pair in enumerate(zip(found, expected, strict=True)):
            assert_scored_alike(*pair, f"{where}[{number}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6), where
    else:
        assert found == expected, where
