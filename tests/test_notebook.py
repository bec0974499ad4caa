"""scripts/learn.ipynb: its cells run from top to bottom without Jupyter, with little to learn from."""

import json
import re
from typing import Any

import matplotlib
import pytest
from places import ROOT

NOTEBOOK = json.loads((ROOT / "scripts" / "learn.ipynb").read_text())
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:More than 20 figures")
def test_its_cells_run(capsys: pytest.CaptureFixture[str]) -> None:
    matplotlib.use("Agg")
    names: dict[str, Any] = {"__name__": "notebook"}
    for code in CODE:
        code = re.sub(r"STEPS, SCENES, HELD_OUT = \d+, \d+, \d+", "STEPS, SCENES, HELD_OUT = 4, 32, 4", code)
        exec(compile(code, "learn.ipynb", "exec"), names)
    out = capsys.readouterr().out
    assert names["missed"] < 0.5
    needed, off, parked = (float(re.search(pattern, out)[1]) for pattern in ACCELERATION)  # type: ignore[index]
    assert needed > 20
    assert off < 2
    assert parked > 4
    assert "0.0 m, however hard it brakes and steers" in out
    assert out.count("times the floor") == 2
    assert json.loads((names["blind"] / "config.json").read_text())["student"]["inputs"] == ["v0"]
    assert "turn_angle_deg" in out
    names["plt"].close("all")


ACCELERATION = (r"accelerate by (\d+) m/s²", r"end (\d+\.\d+) m elsewhere", r"points drive (\d+\.\d+) m")


def test_it_holds_no_output_and_its_links_lead_somewhere() -> None:
    assert all(cell["outputs"] == [] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")
    for cell in NOTEBOOK["cells"]:
        for target in re.findall(r"\]\(([^)#\s]+)", "".join(cell["source"]) if cell["cell_type"] == "markdown" else ""):
            assert (ROOT / "scripts" / target).exists(), target
