"""The floor is a floor."""

import runpy
from dataclasses import replace

import pytest
import torch
from composed import scenario_config
from places import DATA
from taught import FEW

from alpamayo_toy.evaluation import reference as built
from alpamayo_toy.evaluation.reference import ONE_SAMPLE, build_reference, file_reference, mean_errors
from alpamayo_toy.labels.held_out import split
from alpamayo_toy.labels.loading import load_labels
from alpamayo_toy.metrics.displacement import distance
from alpamayo_toy.teachers.config import SyntheticConfig
from alpamayo_toy.teachers.files import FileTeacher
from alpamayo_toy.teachers.synthetic import SyntheticTeacher


def test_no_single_prediction_beats_the_floor_by_more_than_its_samples_allow() -> None:
    teacher = SyntheticTeacher(scenario_config("ALL"), FEW)
    reference = build_reference(teacher, 0)
    floor = reference.floor.mean()
    assert reference.labels.teacher.shape == (32, 64, 64, 4)
    again = build_reference(teacher, 0)
    assert torch.equal(reference.floor, again.floor)
    own_median = mean_errors(reference.labels.teacher[:, 0], reference.labels).mean()
    assert own_median > 1.2 * floor  # one driver as the prediction for the others
    shifted = mean_errors(reference.center + torch.tensor([0.5, 0.0]), reference.labels).mean()
    assert shifted > floor


@pytest.mark.slow
def test_hiding_the_scene_raises_the_floor() -> None:
    shown, hidden = (
        build_reference(SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(val_scenes=8, reveal=reveal)), 0)
        for reveal in ("all", "none")
    )
    assert hidden.floor.mean() > 2 * shown.floor.mean()
    assert hidden.scene.context is None


def test_a_files_floor_leaves_one_out() -> None:
    labels = load_labels(DATA / "labels.npz")
    train, validation = split(labels, 0.5)
    reference = build_reference(FileTeacher(train, validation), 0)
    assert reference.kind == "leave_one_out_median"
    inside = distance(reference.center.unsqueeze(1), validation.teacher).mean()
    assert reference.floor.mean() > inside  # the median of all has seen the sample that it is scored on


def test_a_files_floor_by_hand() -> None:
    """Three samples straight on and one 4 m aside: who is left out alone is 4 m off, the others are where two are."""
    labels = load_labels(DATA / "labels.npz").select(torch.arange(2))
    samples = torch.zeros(2, 4, 64, 4)
    samples[:, 2, :, 1] = 4.0
    found = file_reference(labels.with_teacher(samples), False, "clip", None)
    torch.testing.assert_close(found.floor, torch.ones(2, 64), rtol=0, atol=1e-3)
    torch.testing.assert_close(found.center, torch.zeros(2, 64, 2), rtol=0, atol=1e-3)
    single = file_reference(labels.with_teacher(samples[:, 2:3]), False, "clip", None)
    assert (single.kind, single.split) == (ONE_SAMPLE, "clip")
    assert torch.equal(single.center, samples[:, 2, :, :2])
    assert not single.floor.any()


@pytest.mark.parametrize("oracle", [False, True])
def test_a_scenario_that_was_read_off_the_future_is_shown_to_an_oracle_alone(oracle: bool) -> None:
    labels = replace(load_labels(DATA / "labels.npz"), scenario_source="future")
    train, validation = split(labels, 0.5)
    found = build_reference(FileTeacher(train, validation, oracle, "time"), 0)
    hidden = torch.full_like(validation.scenario, -1)
    assert torch.equal(found.scene.scenario, validation.scenario if oracle else hidden)
    assert found.training is train  # of which baselines learn
    assert found.split == "time"
    assert found.scene.v0.dtype == torch.float32


@pytest.mark.parametrize(("reveal", "asked"), [("speed", 64), ("scene", None)])
def test_of_a_teacher_that_hides_its_intentions_64_clips_are_asked(
    reveal: str, asked: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built, "FLOOR_SAMPLES", 2)
    monkeypatch.setattr(built, "DRIVERS", 2)
    teacher = SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(reveal=reveal, val_scenes=70), horizon=4)
    found = build_reference(teacher, 0)
    assert (None if found.crowd is None else found.crowd.shape[:2]) == (None if asked is None else (asked, 2))
    assert found.training is None  # without a history there is nothing that learns
    assert found.others is not None
    assert build_reference(teacher, 0, crowd=0).crowd is None


def test_users_have_512_drivers_in_the_crowd() -> None:
    """The tests themselves ask fewer, so it is read where it stands."""
    fresh = runpy.run_path(str(built.__file__))
    assert (fresh["FLOOR_SAMPLES"], fresh["CROWD"], fresh["DRIVERS"]) == (64, 64, 512)
