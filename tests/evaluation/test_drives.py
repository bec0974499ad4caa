"""What is said of drives: when it is looked at, and of whom it says nothing."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from composed import scenario_config
from torch import Tensor

from alpamayo_toy.evaluation import drives
from alpamayo_toy.evaluation.closed_loop import Drives, straight_driver
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.metrics.driving import PATIENCE
from alpamayo_toy.teachers.cars import Cars
from alpamayo_toy.teachers.config import RoadConfig
from alpamayo_toy.teachers.synthetic import SyntheticTeacher


def cars(scenario: Any, n: int = 2) -> Cars:
    return SyntheticTeacher(scenario).cars(n, torch.Generator().manual_seed(0), 30.0, first=True)


def judged(here: Cars, along: Tensor, beside: Tensor, tracker_end: Tensor) -> dict[str, Tensor]:
    """Of cars that stand, along and beside (N, S) m."""
    states, nothing = torch.zeros(*along.shape, 4), torch.zeros(len(along))
    made = Drives(states[..., :2], states, along, beside, 0 * beside, states[..., :2], states[..., :2], nothing)
    return drives._judged(made, here, tracker_end, "euler", 0.1)


def test_how_far_beside_is_looked_at_after_6_s_to_either_side() -> None:
    beside = torch.zeros(2, 70)
    beside[0, 59], beside[1, 59] = 0.5, -1.5
    here, along = cars(RoadConfig()), torch.zeros(2, 70)
    assert judged(here, along, beside, along[:, 0])["lateral_6s"].tolist() == [0.5, 1.5]
    assert bool(judged(here, along[:, :59], beside[:, :59], along[:, 0])["lateral_6s"].isnan().all())


def test_where_one_stops_is_compared_where_one_is_to_stop() -> None:
    here = cars(scenario_config("STOP"))
    line = here.stop_line()
    along, beside = (line + 0.5).unsqueeze(-1).expand(2, 300), torch.zeros(2, 300)
    found = judged(here, along, beside, line + torch.tensor([1.4, 1.6]))
    assert found["stops"].tolist() == [1.0, 1.0]
    assert found["stops_as_tracker"].tolist() == [1.0, 0.0]
    none = judged(cars(RoadConfig()), along, beside, along[:, -1])
    assert bool(none["stops"].isnan().all())
    assert bool(none["stops_as_tracker"].isnan().all())


def test_during_training_one_drives_for_10_s(monkeypatch: pytest.MonkeyPatch) -> None:
    here = cars(RoadConfig(bends=0), 8)
    monkeypatch.setattr(drives, "SHORT_SECONDS", 10.0)  # as users have it
    monkeypatch.setattr(drives, "student_driver", lambda student: straight_driver(2))
    student: Any = SimpleNamespace(rollout=UnicycleRollout(0.1, "euler"))
    found = drives.short_drive(student, here)
    assert found["progress"] == pytest.approx(10 * float(here.v0.mean()), rel=0.01)


def test_a_drive_that_ends_before_one_has_had_time_to_stop_says_nothing_of_stops() -> None:
    here = cars(scenario_config("STOP"))
    assert here.course is not None
    enough = round(float(here.course.done.max() + PATIENCE) * 10) + 1
    line = here.stop_line().unsqueeze(-1)
    for steps, known in ((enough, True), (round(float(here.course.done.min() + PATIENCE) * 10) - 2, False)):
        along = line.expand(2, steps)
        found = judged(here, along, torch.zeros(2, steps), line[:, 0])
        assert found["stops"].isfinite().tolist() == [known] * 2
