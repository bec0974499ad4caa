"""The quick suite, pytest -m quick, leaves out no wing."""

import pytest
from places import QUICK, ROOT


def test_every_wing_has_a_quick_test(request: pytest.FixtureRequest) -> None:
    if [ROOT / argument for argument in request.config.args] != [ROOT / "tests"]:
        pytest.skip("only where all tests are collected")
    wings = {path.parent.name for path in (ROOT / "alpamayo_toy").glob("*/__init__.py")}
    parts = [file.relative_to(ROOT / "tests").parts for file in request.config.stash[QUICK]]
    assert wings - {part[0] for part in parts if len(part) > 1} == set()
