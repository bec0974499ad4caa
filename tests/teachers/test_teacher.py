"""The synthetic teacher: comfort, scale of the variation, what manoeuvres promise; the file teacher's split."""

from pathlib import Path

import pytest
import torch
from composed import scenario_config
from places import DATA
from torch import Tensor

from alpamayo_toy import Labels, Scenario, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.manoeuvres import classify
from alpamayo_toy.labels.held_out import split
from alpamayo_toy.teachers.config import FileConfig, MixtureConfig, ScenarioConfig, SyntheticConfig
from alpamayo_toy.teachers.scenarios import MAX_CURVATURE_RATE, PARAMETERS, drive
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.teachers.teacher import build_teacher
from alpamayo_toy.training.config import TrainConfig

NAMES = [s.name for s in Scenario]


def made(name: str, n: int = 1000) -> Labels:
    return SyntheticTeacher(scenario_config(name)).labels(n, 6, 0)


def states(labels: Labels) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """v and yaw with t0 in front, a, kappa in float64, (N, K, T + 1) and (N, K, T)."""
    trajectory, v0 = labels.teacher.double(), labels.v0.double()
    v = torch.cat([v0[:, None, None].expand(*trajectory.shape[:2], 1), trajectory[..., 3]], -1)
    yaw = torch.cat([torch.zeros_like(v[..., :1]), trajectory[..., 2]], -1)
    kappa = torch.where(v[..., :-1] > 1e-2, yaw.diff(dim=-1) / (v[..., :-1] * 0.1), 0.0)
    return v, yaw, v.diff(dim=-1) / 0.1, kappa


@pytest.mark.parametrize("name", NAMES)
def test_drivers_are_comfortable(name: str) -> None:
    v, yaw, a, kappa = states(made(name))
    rate = yaw.diff(dim=-1) / 0.1
    lateral = v[..., :-1] ** 2 * kappa
    jerk = torch.hypot(a.diff(dim=-1), lateral.diff(dim=-1)) / 0.1
    passed = (
        ((a >= -4.05) & (a <= 2.40)).all(-1)
        & (lateral.abs() <= 4.89).all(-1)
        & (jerk <= 8.37).all(-1)
        & (a.diff(dim=-1).abs() / 0.1 <= 4.13).all(-1)
        & (rate.abs() <= 0.95).all(-1)
        & (rate.diff(dim=-1).abs() / 0.1 <= 1.93).all(-1)
    )
    assert passed.double().mean() >= 0.95


@pytest.mark.parametrize("name", NAMES)
def test_nobody_turns_the_wheel_faster_than_allowed(name: str) -> None:
    teacher = SyntheticTeacher(scenario_config(name))
    generator = torch.Generator().manual_seed(1)
    _, scenes = teacher.scenes(2000, generator)
    kappa = drive(scenes.double(), torch.randn(2000, 4, dtype=torch.float64, generator=generator))[..., 1]
    assert kappa.diff(dim=-1).abs().max() / 0.1 <= MAX_CURVATURE_RATE + 1e-9
    assert kappa.abs().max() <= 0.33


def test_variation_is_of_the_real_teachers_scale() -> None:
    xy = made("ALL", 4000).teacher[..., :2]
    spread = (xy - xy.mean(1, keepdim=True)).norm(dim=-1).mean((0, 1))
    for seconds, expected in ((1.0, 0.07), (3.0, 0.6), (6.4, 2.9)):
        assert 0.75 * expected <= float(spread[round(seconds * 10) - 1]) <= 1.25 * expected


@pytest.mark.parametrize("name", NAMES)
def test_classify_recovers_the_teachers_own_scenario(name: str) -> None:
    labels = made(name)
    found = classify(labels.teacher, labels.v0[:, None].expand(-1, 6))
    assert (found == labels.scenario[:, None]).double().mean() >= 0.95


def test_manoeuvres_do_what_their_names_say() -> None:
    assert (made("U_TURN").teacher[..., -1, 2] >= torch.deg2rad(torch.tensor(150.0))).double().mean() >= 0.95
    stop = made("STOP")
    assert stop.teacher[:, :, -1, 3].max() < 1e-4  # what float32 leaves of a sum of 64 steps
    assert bool((stop.v0 >= 4).all())
    start = made("START")
    assert bool((start.v0 == 0).all())
    assert bool((start.teacher[:, :, -1, 3] > 2).double().mean() > 0.95)
    assert bool((made("LEFT").teacher[..., -1, 1] > 0).all())
    assert bool((made("RIGHT").teacher[..., -1, 1] < 0).all())
    assert bool((made("ALL").teacher[..., 3] >= 0).all())


def test_a_mixture_draws_every_part() -> None:
    counts = torch.bincount(made("ALL", 4000).scenario, minlength=len(Scenario))
    assert len(counts) == len(Scenario)
    assert counts.min() > 400
    weighted = MixtureConfig({"a": ScenarioConfig("STOP", weight=3.0), "b": ScenarioConfig("START")})
    labels = SyntheticTeacher(weighted).labels(4000, 1, 0)
    assert 0.7 < (labels.scenario == Scenario.STOP).double().mean() < 0.8


def test_the_same_seed_makes_the_same_labels() -> None:
    teacher = SyntheticTeacher(scenario_config("ALL"))
    assert torch.equal(teacher.labels(50, 2, 7).teacher, teacher.labels(50, 2, 7).teacher)
    assert not torch.equal(teacher.labels(50, 2, 7).teacher, teacher.labels(50, 2, 8).teacher)


def test_fresh_drivers_share_the_scene_and_hidden_scenes_are_drawn_again() -> None:
    shown = SyntheticTeacher(scenario_config("LEFT"))
    hidden = SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(reveal="none"))
    spreads = []
    for teacher in (shown, hidden):
        labels = teacher.labels(100, 1, 0)
        fresh = teacher.fresh(labels, 64, 1)
        assert fresh.shape == (100, 64, 64, 4)
        assert not torch.equal(fresh[:, 0], fresh[:, 1])
        spreads.append((fresh[..., -1, :2] - fresh[..., -1, :2].mean(1, keepdim=True)).norm(dim=-1).mean())
    assert hidden.labels(3, 1, 0).context is None
    assert shown.labels(3, 1, 0).context_names == PARAMETERS[1:]
    assert spreads[1] > 2 * spreads[0]


def test_redrawn_scenes_keep_scenario_and_initial_speed() -> None:
    teacher = SyntheticTeacher(scenario_config("ALL"))
    generator = torch.Generator().manual_seed(0)
    scenario, scenes = teacher.scenes(500, generator)
    again = teacher.redrawn(scenario, scenes[:, 0], generator)
    assert torch.equal(again[:, 0], scenes[:, 0])
    turning = (scenario == Scenario.LEFT) | (scenario == Scenario.U_TURN)
    assert bool((again[turning, 4] > 0).all())
    assert bool((again[scenario == Scenario.STOP, 1] == 0).all())


def test_a_file_is_split_by_clip_and_mirrored() -> None:
    config = TrainConfig(teacher=FileConfig(str(DATA / "labels.npz"), integrator="euler", mirror=True))
    teacher = build_teacher(config)
    train, validation = split(load_labels(DATA / "labels.npz"), 0.2)
    assert set(train.clip_id).isdisjoint(validation.clip_id)
    assert len(train) + len(validation) == 24
    assert list(teacher.validation.clip_id) == list(validation.clip_id)
    assert len(teacher.training(0)) == len(train)  # it has a context, whose mirror image is unknown


def test_mirror_images_swap_left_and_right(tmp_path: Path) -> None:
    from dataclasses import replace

    from alpamayo_toy.labels.formats.labels_npz import write

    labels = replace(SyntheticTeacher(scenario_config("LEFT")).labels(20, 2, 0), context=None, context_names=())
    write(labels, tmp_path / "left.npz")
    train = build_teacher(TrainConfig(teacher=FileConfig(str(tmp_path / "left.npz")))).training(0)
    half = len(train) // 2
    assert torch.equal(train.teacher[:half, ..., 1], -train.teacher[half:, ..., 1])
    assert torch.equal(train.teacher[:half, ..., 3], train.teacher[half:, ..., 3])
    assert set(train.scenario[half:].tolist()) == {int(Scenario.RIGHT)}


def test_a_file_that_does_not_fit_is_named() -> None:
    path = str(DATA / "labels.npz")
    with pytest.raises(UserError, match="64 steps, the run wants horizon=32"):
        build_teacher(TrainConfig(teacher=FileConfig(path), horizon=32))
    with pytest.raises(UserError, match=r"steps of 0\.1 s, the run wants dt=0\.2"):
        build_teacher(TrainConfig(teacher=FileConfig(path), dt=0.2))
    with pytest.raises(UserError, match="24 to train on and 0 held out"):
        build_teacher(TrainConfig(teacher=FileConfig(path, val_fraction=1e-9)))
