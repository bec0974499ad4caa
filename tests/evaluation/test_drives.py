"""What is said of drives: when it is looked at, and of whom it says nothing."""

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from composed import scenario_config
from taught import stirred
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation import drives
from alpamayo_toy.evaluation.closed_loop import Drives, drive, straight_driver
from alpamayo_toy.evaluation.config import DriveConfig, DriveOptions
from alpamayo_toy.kinematics.draws import mixed
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.metrics.displacement import distance
from alpamayo_toy.metrics.driving import PATIENCE
from alpamayo_toy.metrics.intervals import of_share
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.student import build_student
from alpamayo_toy.teachers.cars import Cars
from alpamayo_toy.teachers.config import FileConfig, RoadConfig
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.training.config import TrainConfig


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


Asked = list[tuple[Cars, DriveOptions, str, int, Drives]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A student of roads that has learnt nothing, as every checkpoint; and every drive that is driven."""
    labels = SyntheticTeacher(RoadConfig()).labels(8, 2, 0)
    student = stirred(build_student(StudentConfig(), labels, labels.scene(), "euler", 0))
    trained = TrainConfig(teacher=FileConfig("gone.json"), seed=3)
    monkeypatch.setattr(drives, "load_student", lambda *_: (student, trained))
    kept: Asked = []

    def noted(driver: Any, cars: Cars, options: DriveOptions, integrator: str, dt: float, seed: int) -> Drives:
        kept.append((cars, options, integrator, seed, drive(driver, cars, options, integrator, dt, seed)))
        return kept[-1][-1]

    monkeypatch.setattr(drives, "drive", noted)
    return kept


def test_a_student_of_a_file_drives_on_roads_that_no_training_draws(asked: Asked, tmp_path: Path) -> None:
    options = DriveOptions(scenes=24, seconds=1.0, offset_m=0.5)
    content = drives.drive_checkpoint(DriveConfig(checkpoint="x", drive=options, plot=False, device="cpu"), tmp_path)
    assert (content["scenario"], content["seed"]) == ("ROAD", 3)
    generator = torch.Generator().manual_seed(mixed(3, 5))
    here = SyntheticTeacher(RoadConfig()).cars(24, generator, 1.0, first=True).beside(0.5)
    assert [(seed, integrator) for _, _, integrator, seed, _ in asked] == [(3, "euler")] * 4
    for found, *_ in asked:
        assert torch.equal(found.v0, here.v0)
        assert torch.equal(found.roads.path.points, here.roads.path.points)
    student, tracker, *_ = (made for *_, made in asked)
    planned = SyntheticTeacher(RoadConfig()).plans(here, torch.zeros(24, 1, 4))[:, 0]
    said = content["summary"]["student"]
    assert said["plan_ade"]["mean"] == pytest.approx(float(distance(student.plan, planned).mean()), rel=1e-5)
    assert said["plan_jump"]["mean"] == pytest.approx(float(student.jump.mean()), rel=1e-5)
    shares = drives._judged(student, here, tracker.along[:, -1], "euler", 0.1)
    assert said["comfort"] == of_share(shares["comfort"]).as_dict()
    assert said["left_corridor"]["high"] > said["left_corridor"]["mean"]  # none of 24 says at most 14 %


def test_the_world_the_seed_and_the_longest_wait_may_be_others(asked: Asked, tmp_path: Path) -> None:
    options = DriveOptions(scenes=2, seconds=1.0, every=64, integrator="trapezoid")
    config = DriveConfig(checkpoint="x", drive=options, seed=7, plot=False, device="cpu")
    content = drives.drive_checkpoint(config, tmp_path)
    assert {(seed, integrator) for _, _, integrator, seed, _ in asked} == {(7, "trapezoid")}
    assert (content["seed"], content["drive"]["integrator"]) == (7, "trapezoid")
    with pytest.raises(UserError, match=r"drive\.every must be at most 64, the steps of a plan \(got 65\)"):
        drives.drive_checkpoint(replace(config, drive=replace(options, every=65)), tmp_path)


def test_where_the_tracker_came_to_is_what_a_stop_is_compared_with(asked: Asked, tmp_path: Path) -> None:
    """12 s are enough for the tracker; whoever goes on straight at its speed stands nowhere."""
    options = DriveOptions(scenes=4, seconds=12.0, every=4)
    config = DriveConfig(checkpoint="x", scenario=scenario_config("STOP"), drive=options, plot=False, device="cpu")
    summary = drives.drive_checkpoint(config, tmp_path)["summary"]
    assert summary["tracker"]["stops_as_tracker"]["mean"] == 1
    assert summary["straight_on"]["stops_as_tracker"]["mean"] == 0


def test_what_is_hidden_is_missing_and_nothing_else(asked: Asked) -> None:
    here, seen = cars(RoadConfig()), []

    def looks(scene: Any, now: Any) -> Tensor:
        seen.append(scene)
        return torch.zeros(2, 4, 2)

    for hide in ([], ["route", "context"]):
        drive(drives.hidden_from(looks, hide), here, DriveOptions(seconds=0.2, every=2), "euler", 0.1)
    whole, blind = seen
    assert bool(blind.route.isnan().all())
    assert bool(blind.context.isnan().all())
    assert torch.equal(blind.history, whole.history)
    assert bool(whole.route.isfinite().any())
    assert torch.equal(blind.v0, whole.v0)


def test_during_training_one_is_asked_every_second_step(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drives, "student_driver", lambda student: straight_driver(2))
    kept: list[DriveOptions] = []

    def noted(driver: Any, cars: Cars, options: DriveOptions, integrator: str, dt: float) -> Drives:
        kept.append(options)
        return drive(driver, cars, options, integrator, dt)

    monkeypatch.setattr(drives, "drive", noted)
    student: Any = SimpleNamespace(rollout=UnicycleRollout(0.1, "euler"))
    drives.short_drive(student, cars(RoadConfig(bends=0), 2))
    assert [options.every for options in kept] == [2]


def test_users_have_64_roads_of_10_s_during_training() -> None:
    """The tests themselves drive less, so it is read where it stands."""
    fresh = runpy.run_path(str(drives.__file__))
    assert (fresh["SHORT_ROADS"], fresh["SHORT_SECONDS"], fresh["LATER"]) == (64, 10.0, 6.0)
