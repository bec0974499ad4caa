"""The floor is a floor."""

import pytest
import torch
from composed import scenario_config
from places import DATA
from taught import FEW

from alpamayo_toy.evaluation.reference import build_reference, mean_errors
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
