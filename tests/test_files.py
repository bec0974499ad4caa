"""Files that are written: JSON that every reader takes."""

import json
from math import inf, nan
from pathlib import Path

from alpamayo_toy.files import write_json


def test_what_is_not_finite_is_null_in_json(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": nan, "b": [1.5, inf, {"c": (-inf, 2)}], "d": "NaN", "e": True})
    found = json.loads((tmp_path / "x.json").read_text())
    assert found == {"a": None, "b": [1.5, None, {"c": [None, 2]}], "d": "NaN", "e": True}
