"""What metrics.json says of any run: means and spreads by hand, where the labels are from, no path of a machine."""

from types import SimpleNamespace

import pytest
import torch
from composed import scenario_config

from alpamayo_toy.evaluation.describe import describe, origin, routes_said
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.teachers.config import FileConfig


def test_numbers_of_several_trajectories_are_summed_up_and_those_of_one_stand_by_themselves() -> None:
    """Two that accelerate with 1 and 3 m/s^2 for 0.5 s."""
    actions = torch.zeros(2, 5, 2)
    actions[0, :, 0], actions[1, :, 0] = 1.0, 3.0
    v0 = torch.tensor([4.0, 4.0])
    trajectory = UnicycleRollout(0.1, "euler")(actions, v0)
    found = describe(actions, trajectory, v0, 0.1, "euler")
    expected = {"mean": 5.0, "std": 0.5, "min": 4.5, "max": 5.5, "count": 2}
    assert found["summary"]["final_speed"] == pytest.approx(expected, rel=1e-5)
    assert "final_speed" not in found
    assert (found["horizon"], found["dt"], found["integrator"]) == (5, 0.1, "euler")
    alone = describe(actions[1:], trajectory[1:], v0[1:], 0.1, "euler")
    assert alone["final_speed"] == pytest.approx(5.5)


def test_where_labels_are_from_is_said_without_the_folders_of_a_machine() -> None:
    found = origin(None, FileConfig("/home/somebody/labels.json", samples="mean", route_error_m=0.5), 3)
    said = {"teacher": "labels.json", "teacher_samples": "mean", "route_error_m": 0.5, "seed": 3}
    assert found == {"scenario": "FILE", **said}
    assert origin(scenario_config("ALL"), None, 1) == {"scenario": "ALL", "teacher": "synthetic", "seed": 1}
    assert origin(SimpleNamespace(name="LEFT"), None, 1)["scenario"] == "LEFT"


def test_routes_that_were_moved_aside_are_said_to_be() -> None:
    metrics = {"teacher": "labels.json", "route_source": "recorded", "route_error_m": 0.45}
    said = "recorded: cut from what was driven, an oracle of where"
    assert routes_said(metrics) == f"{said}; moved aside by 0.45 m (rms)"
    assert routes_said(metrics | {"route_error_m": 0.0}) == said
    assert routes_said(metrics | {"route_source": None}) is None
