"""Mirror images: left becomes right, and nothing else changes."""

from pathlib import Path

import pytest
import torch
from composed import scenario_config

from alpamayo_toy import Scenario
from alpamayo_toy.errors import UserError
from alpamayo_toy.teachers.augment import mirrored, picked, with_mirror_images
from alpamayo_toy.teachers.config import FileConfig
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.teachers.teacher import build_teacher
from alpamayo_toy.training.config import TrainConfig


def test_mirror_images_swap_left_and_right(tmp_path: Path) -> None:
    from dataclasses import replace

    from alpamayo_toy.labels.formats.labels_npz import write

    labels = replace(SyntheticTeacher(scenario_config("LEFT")).labels(20, 2, 0), context=None, context_names=())
    write(labels, tmp_path / "left.npz")
    assert with_mirror_images(replace(labels, ground_truth=labels.teacher[:, 0])).ground_truth is None
    train = build_teacher(TrainConfig(teacher=FileConfig(str(tmp_path / "left.npz")))).training(0)
    write(replace(labels, dt=0.101), tmp_path / "slower.npz")
    with pytest.raises(UserError, match=r"slower\.npz has steps of 0\.101 s, the run wants dt=0\.1"):
        build_teacher(TrainConfig(teacher=FileConfig(str(tmp_path / "slower.npz"))))
    half = len(train) // 2
    assert torch.equal(train.teacher[:half, ..., 1], -train.teacher[half:, ..., 1])
    assert torch.equal(train.teacher[:half, ..., 3], train.teacher[half:, ..., 3])
    assert set(train.scenario[half:].tolist()) == {int(Scenario.RIGHT)}


def test_every_scenario_becomes_its_mirror_image_and_nothing_of_what_is_not_asked_for() -> None:
    names = [*Scenario.__members__]
    scenario = torch.tensor([*range(len(names)), -1])
    n = len(scenario)
    numbers = torch.arange(1.0, n * 3 * 4 + 1).reshape(n, 3, 4)
    history, teacher, route = numbers, numbers.unsqueeze(1).double(), numbers[..., :2]
    every = torch.ones(n, dtype=torch.bool)
    found, past, ahead, driven = mirrored(scenario, history, route, teacher, every)
    opposite = {"LEFT": "RIGHT", "LANE_CHANGE_LEFT": "LANE_CHANGE_RIGHT"}
    opposite |= {right: left for left, right in opposite.items()}
    assert [names[number] for number in found[:-1]] == [opposite.get(name, name) for name in names]
    assert found[-1] == -1
    assert past is not None
    assert ahead is not None
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0])
    assert torch.equal(past, history * signs)
    assert torch.equal(ahead, route * signs[:2])
    assert torch.equal(driven, teacher * signs)
    assert driven.dtype == torch.float64
    some = torch.arange(n) == 2
    found, past, ahead, driven = mirrored(scenario, history, route, teacher, some)
    assert past is not None
    assert (found != scenario).tolist() == some.tolist()
    assert torch.equal((past != history).any(1).any(-1), some)
    assert torch.equal((driven != teacher).flatten(1).any(-1), some)


def test_one_of_the_samples_is_the_first_the_middle_or_their_mean() -> None:
    """Straight on with 4, 5 and 12 m/s, 0, 1 and 5 m to the left; the file's own speeds and headings are nonsense."""
    teacher = torch.full((1, 3, 20, 4), 99.0)
    t = torch.arange(1, 21) * 0.1
    for k, (v, y) in enumerate(((4.0, 0.0), (5.0, 1.0), (12.0, 5.0))):
        teacher[0, k, :, 0], teacher[0, k, :, 1], teacher[0, k, :, 2] = v * t, y, 0.0
    v0 = torch.tensor([7.0])
    assert torch.equal(picked(teacher, v0, "all", 0.1), teacher)
    assert torch.equal(picked(teacher, v0, "first", 0.1), teacher[:, :1])
    assert torch.equal(picked(teacher, v0, "medoid", 0.1), teacher[:, 1:2])
    mean = picked(teacher, v0, "mean", 0.1)
    assert mean.shape == (1, 1, 20, 4)
    torch.testing.assert_close(mean[0, 0, :, 0], 7 * t)
    torch.testing.assert_close(mean[0, 0, :, 1], torch.full((20,), 2.0))
    torch.testing.assert_close(mean[0, 0, :, 3], torch.full((20,), 7.0), rtol=0, atol=0.05)  # anew, not their 99 m/s
    assert torch.equal(picked(teacher[:, 2:], v0, "mean", 0.1), teacher[:, 2:])  # of one there is none
