"""Where things lie: the project, its test data, and the neighbouring material that not every machine has."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"
SHARED = ROOT.parent / "shared"
LABELS_60 = SHARED / "labels" / "alpamayo1_5_results_60clips.json"
QUICK = pytest.StashKey[set[Path]]()  # the files that have a quick test
Command = Callable[..., subprocess.CompletedProcess[str]]

needs_60_clips = pytest.mark.skipif(not LABELS_60.exists(), reason="the 60 real clips are not on this machine")
