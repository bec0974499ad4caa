"""Mirror images: left becomes right, and nothing else changes."""

from pathlib import Path

import pytest
import torch
from composed import scenario_config

from alpamayo_toy import Scenario
from alpamayo_toy.errors import UserError
from alpamayo_toy.teachers.augment import with_mirror_images
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
