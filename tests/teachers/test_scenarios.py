"""How scenarios are driven: comfort, what manoeuvres promise, the scale of the variation."""

import pytest
import torch
from composed import scenario_config
from taught import NAMES, made
from torch import Tensor

from alpamayo_toy import Labels
from alpamayo_toy.teachers.scenarios import MAX_CURVATURE_RATE, drive
from alpamayo_toy.teachers.synthetic import SyntheticTeacher


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
