"""rollout.py as a user types it: the starter metrics, the pictures, a scenario changed by options."""

import json
from pathlib import Path

import pytest
from places import Command

STARTER = {
    "max_abs_accel",
    "max_abs_curvature",
    "min_speed",
    "final_speed",
    "max_abs_jerk",
    "max_abs_curvature_rate",
}


@pytest.mark.slow
def test_a_copied_scenario_needs_no_python(command: Command, tmp_path: Path) -> None:
    sharp = "scenario.turn_angle_deg=120 scenario.speed_mps=[4,5] scenario.final_speed_mps=4"
    result = command("rollout", "scenario=LEFT", "plot=false", *sharp.split(" "))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "scenario", ["LEFT", *(pytest.param(name, marks=pytest.mark.slow) for name in ("U_TURN", "ALL"))]
)
def test_rollout_writes_the_starter_metrics_without_plotting(scenario: str, command: Command, tmp_path: Path) -> None:
    result = command("rollout", f"scenario={scenario}", "plot=false")
    assert result.returncode == 0, result.stderr
    (run,) = (tmp_path / "outputs" / "rollout" / scenario).iterdir()
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) >= STARTER
    assert set(metrics["summary"]) == STARTER
    for name in STARTER:
        assert isinstance(metrics[name], float)
        summary = metrics["summary"][name]
        assert summary == {"mean": metrics[name], "std": 0, "min": metrics[name], "max": metrics[name], "count": 1}
    assert metrics["format"] == 1
    assert metrics["checks"] == {"finite": True, "speed_non_negative": True, "no_teleport": True}
    assert not (run / "figures").exists()
    again = command("rollout", f"scenario={scenario}", "plot=false", f"hydra.run.dir={tmp_path / 'again'}")
    assert again.returncode == 0
    assert (tmp_path / "again" / "metrics.json").read_text() == (run / "metrics.json").read_text()


@pytest.mark.slow
def test_rollout_draws(command: Command, tmp_path: Path) -> None:
    result = command("rollout", "scenario=RIGHT", "seed=3")
    assert result.returncode == 0, result.stderr
    pictures = sorted(p.name for p in tmp_path.rglob("*.png"))
    assert pictures == ["birds_eye.png", "profiles.png"]
