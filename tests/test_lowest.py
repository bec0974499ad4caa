"""Every dependency has a lower end, which .ci/run --lowest tries."""

import re
import subprocess
import sys

import pytest
from places import ROOT


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="only in a checkout")
def test_every_dependency_has_a_lower_end() -> None:
    script = [sys.executable, str(ROOT / ".ci" / "lowest.py")]
    lines = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) > 8
    assert [line for line in lines if not re.fullmatch(r"[\w-]+==\d+(\.\d+)*", line)] == []
