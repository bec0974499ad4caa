"""Routes moved aside: by as much as was asked, smoothly, the same for a clip wherever it stands."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from label_sets import odd_clips, stored
from places import Command
from torch import Tensor

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.route import ROUTE_SPACING, straight_ahead
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.teachers.config import FileConfig
from alpamayo_toy.teachers.files import FileTeacher, StoredTeacher, file_teacher
from alpamayo_toy.teachers.route_errors import displaced, with_route_errors


def straight(n: int) -> Tensor:
    return straight_ahead(torch.zeros((), dtype=torch.float64)).repeat(n, 1, 1)


def same(one: Tensor | None, other: Tensor | None) -> bool:
    assert one is not None
    assert other is not None
    return torch.equal(one.nan_to_num(7e7), other.nan_to_num(7e7))


@pytest.mark.parametrize("metres", [0.45, 0.9])
def test_the_error_is_sideways_gaussian_and_smooth(metres: float) -> None:
    keys = np.arange(20_000, dtype=np.uint64)  # neighbours must not be alike
    error = displaced(straight(20_000), keys, metres) - straight(20_000)
    assert error[..., 0].abs().max() < 1e-9
    y = error[..., 1] / metres
    assert float(y.mean()) == pytest.approx(0, abs=0.02)
    assert float(y.std()) == pytest.approx(1, abs=0.02)
    assert float((y[:, 0].abs() < 1).double().mean()) == pytest.approx(math.erf(math.sqrt(0.5)), abs=0.01)
    for lag in (1, 5, 10, 19):
        expected = math.exp(-((lag * ROUTE_SPACING / 40) ** 2) / 2)
        assert float((y[:, lag:] * y[:, : 20 - lag]).mean()) == pytest.approx(expected, abs=0.03)
    assert float((y[1:] * y[:-1]).mean()) == pytest.approx(0, abs=0.02)


def test_the_error_is_across_the_route_wherever_it_leads() -> None:
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    keys = np.arange(5, dtype=np.uint64)
    assert torch.allclose(displaced(straight(5) @ turn, keys, 1.0), displaced(straight(5), keys, 1.0) @ turn)
    route = straight(5)
    route[0, 1:], route[1, 7:], route[2] = torch.nan, torch.nan, torch.nan
    found = displaced(route, keys, 1.0)
    assert torch.equal(found.isnan(), route.isnan())
    assert torch.allclose(found[1, :7], displaced(straight(5), keys, 1.0)[1, :7])
    assert displaced(route.float(), keys, 1.0).dtype == torch.float32


def test_a_clip_has_its_error_wherever_it_stands() -> None:
    labels = odd_clips()
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    moved = with_route_errors(labels, 0.45, "set")
    assert same(with_route_errors(labels.select(order), 0.45, "set").route, moved.select(order).route)
    later = with_route_errors(replace(labels, t0_us=labels.t0_us + 1), 0.45, "set")
    assert not same(later.route, moved.route)
    assert with_route_errors(labels, 0.0, "set") is labels
    with pytest.raises(UserError, match=r"set has no routes that teacher\.route_error_m=0\.45 could move"):
        with_route_errors(replace(labels, route=None), 0.45, "set")


def test_training_and_held_out_clips_have_it_in_memory_and_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = replace(odd_clips(), context=None, context_names=())
    stored(tmp_path / "set", plain, monkeypatch)
    config = FileConfig(str(tmp_path / "set"), route_error_m=0.45, mirror=False)
    whole = with_route_errors(plain, 0.45, "")
    places = {str(name): i for i, name in enumerate(plain.clip_id)}
    kept = file_teacher(config, 64, 0.1)
    monkeypatch.setattr("alpamayo_toy.teachers.files.IN_MEMORY", 0)
    read = file_teacher(config, 64, 0.1)
    assert isinstance(kept, FileTeacher)
    assert isinstance(read, StoredTeacher)
    for labels in (kept.train, kept.validation, read.training(0), read.validation):
        rows = torch.tensor([places[str(name)] for name in labels.clip_id])
        assert same(labels.route, whole.select(rows).route)
    scene, _ = read.batch(torch.arange(len(read)))
    assert same(scene.route, kept.train.route)


@pytest.mark.slow
def test_the_commands_move_routes_or_say_why_not(tmp_path: Path, command: Command) -> None:
    write(odd_clips(), tmp_path / "with.npz")
    write(replace(odd_clips(), route=None, route_source=""), tmp_path / "without.npz")
    train = ("train", "trainer=smoke", "teacher=file", "trainer.pictures=0", "hydra.run.dir=run")
    done = command(*train, "teacher.path=with.npz", "teacher.route_error_m=0.45")
    assert done.returncode == 0, done.stderr
    assert '"route_error_m": 0.45' in (tmp_path / "run" / "metrics.json").read_text()
    score = ("eval", "checkpoint=run", "teacher=file", "plot=false", "output=out")
    for name, error in (("with", 0.9), ("without", 0.0)):
        labels = load_labels(tmp_path / f"{name}.npz")
        write(replace(labels, clip_id=np.array([f"new-{i}" for i in range(24)])), tmp_path / f"new_{name}.npz")
        done = command(*score, f"teacher.path=new_{name}.npz", f"teacher.route_error_m={error}")
        assert done.returncode == 0, done.stderr
        assert f'"route_error_m": {error}' in (tmp_path / "out" / "metrics.json").read_text()
    for options, why in (
        (("teacher.path=without.npz", "teacher.route_error_m=0.45"), "without.npz has no routes"),
        (("teacher.path=with.npz", "teacher.route_error_m=-1"), "teacher.route_error_m must be between 0 and 10 m"),
    ):
        wrong = command(*train, *options)
        assert wrong.returncode != 0
        assert why in wrong.stderr
        assert "Traceback" not in wrong.stderr
