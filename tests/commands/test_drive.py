"""drive.py as a user types it: numbers of every driver, a picture, a film, a page, and who will not drive."""

import csv
import json
import re
from pathlib import Path

import pytest
from command_line import SMOKE, run_script, wrong
from places import Command

pytestmark = pytest.mark.slow  # they train, then drive
FEW = ("drive.scenes=24", "drive.seconds=3")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps on ROAD."""
    run = tmp_path_factory.mktemp("trained") / "run"
    run_script("train", ("scenario=ROAD", *SMOKE, f"hydra.run.dir={run}"), run.parent).check_returncode()
    return run


def test_drive_ends_with_its_numbers_and_pictures(trained: Path, command: Command) -> None:
    result = command("drive", f"checkpoint={trained}", *FEW)
    assert result.returncode == 0, result.stderr
    folder = trained / "eval" / "drive_scenes=24_seconds=3"
    assert f"look: {folder / 'drive.html'}" in result.stdout
    found = json.loads((folder / "drive.json").read_text())
    assert list(found["summary"]) == ["student", "tracker", "along_the_route", "straight_on"]
    with (folder / "drives.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    for who, summary in found["summary"].items():
        for name, entry in summary.items():
            values = [float(row[f"{who}.{name}"]) for row in rows if row[f"{who}.{name}"]]
            assert entry["clips"] == len(values)
            if values:
                assert entry["mean"] == pytest.approx(sum(values) / len(values), rel=1e-5)
    assert found["summary"]["tracker"]["left_corridor"]["mean"] == 0
    assert f"{100 * found['summary']['student']['left_corridor']['mean']:.1f} %" in result.stdout
    assert (folder / "figures" / "roads.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "figures" / "drive.gif").read_bytes().startswith(b"GIF89a")
    page = (folder / "drive.html").read_text()
    exact = found["summary"]["student"]["lateral_rms"]["mean"]
    assert f'data-key="summary.student.lateral_rms.mean" data-value="{exact!r}"' in page
    assert re.search(rf"<p>{re.escape(str(trained))}, driven \d{{4}}-\d\d-\d\d \d\d:\d\d</p>", page)
    assert '<a href="#part-1">How it drives</a>' in page
    assert list(folder.glob("events*.drive"))


def test_faults_and_what_is_hidden_are_said(trained: Path, command: Command, tmp_path: Path) -> None:
    faults = ("drive.every=5", "drive.delay=2", "drive.noise=0.1", "drive.integrator=trapezoid")
    result = command(
        "drive", f"checkpoint={trained}", *FEW, *faults, "hide=[route]", "plot=false", f"output={tmp_path}/out"
    )
    assert result.returncode == 0, result.stderr
    assert "asked every 5 steps, delay 2, noise 0.1, trapezoid, hidden: route" in result.stdout
    found = json.loads((tmp_path / "out" / "drive.json").read_text())
    assert found["hidden"] == ["route"]
    assert found["drive"]["integrator"] == "trapezoid"
    assert not (tmp_path / "out" / "drive.html").exists()


def test_mistakes_are_one_line(trained: Path, command: Command, tmp_path: Path) -> None:
    here = f"checkpoint={trained}"
    assert "checkpoint must be a run's folder" in wrong(command, "drive")
    assert "drive.every must be at most 64" in wrong(command, "drive", here, "drive.every=65")
    assert "seed must be between 0 and 2^31 - 1" in wrong(command, "drive", here, "seed=-1")
    line = wrong(command, "drive", here, "scenario.bends=0")
    assert "there is no option scenario.bends where scenario is not chosen" in line
    fast = wrong(command, "drive", here, "scenario=ROAD", "scenario.speed_limit_mps=[10,35]")
    assert "scenario must be of at most 30 m/s with dt=0.1 (got '35 m/s')" in fast
    assert "dt must be <= 0.2 s with a synthetic teacher" in wrong(command, "train", "scenario=ROAD", "dt=0.5")
    assert "drive.scenes must be >= 1" in wrong(command, "drive", here, "drive.scenes=0")
    assert "hide must be among history, context, route" in wrong(command, "drive", here, "hide=[v0]")
    assert "did you mean drive.delay" in wrong(command, "drive", here, "drive.dely=1")
    run = tmp_path / "left"
    run_script("train", ("scenario=LEFT", *SMOKE, "teacher.reveal=scene", f"hydra.run.dir={run}"), tmp_path)
    line = wrong(command, "drive", f"checkpoint={run}")
    assert "knows no route: asked again it cannot tell where it is, and will not drive" in line
    asked = command("drive", f"checkpoint={run}", "blind=true", *FEW, "plot=false")
    assert "ADE of its first plan" in asked.stdout
    anywhere = command("eval", f"checkpoint={run}", "scenario=ROAD", "plot=false")
    assert anywhere.returncode == 0, anywhere.stderr
    masked = tmp_path / "masked"
    run_script("train", ("scenario=ROAD", *SMOKE, "student.inputs=[v0]", f"hydra.run.dir={masked}"), tmp_path)
    assert "knows no route" in wrong(command, "drive", f"checkpoint={masked}")


def test_manoeuvres_are_driven_too(tmp_path: Path, command: Command) -> None:
    run = tmp_path / "run"
    few = ("teacher.scenes=64", "teacher.val_scenes=8")
    run_script("train", ("scenario=ALL", *SMOKE, *few, f"hydra.run.dir={run}"), tmp_path).check_returncode()
    options = (f"checkpoint={run}", "drive.scenes=8", "drive.seconds=12", "plot=false")
    result = command("drive", *options, "scenario=STOP", f"output={tmp_path}/stop")
    assert result.returncode == 0, result.stderr
    tracker = json.loads((tmp_path / "stop" / "drive.json").read_text())["summary"]["tracker"]
    assert tracker["stops"]["mean"] == tracker["stops_as_tracker"]["mean"] == 1
    assert tracker["overshoot"]["mean"] < 0.3
    assert tracker["under_way"]["mean"] is None
    assert "stands within 1 m of where the tracker does" in result.stdout
    short = command("drive", *options[:2], "drive.seconds=2", "plot=false", "scenario=STOP", f"output={tmp_path}/short")
    assert "stands within 1 m" not in short.stdout  # there was no time to
    result = command("drive", *options, "scenario=START", "drive.offset_m=0.5", f"output={tmp_path}/start")
    tracker = json.loads((tmp_path / "start" / "drive.json").read_text())["summary"]["tracker"]
    assert tracker["pulls_away"]["mean"] == tracker["under_way"]["mean"] == tracker["on_heading"]["mean"] == 1
    assert tracker["lateral_p95"]["mean"] > 0.3  # it began beside its lane
    assert tracker["stops"]["mean"] is None
    result = command("drive", *options[:2], "drive.seconds=2", "plot=false", f"output={tmp_path}/all")
    assert result.stdout.startswith("ALL: 8 roads of 2 s")
