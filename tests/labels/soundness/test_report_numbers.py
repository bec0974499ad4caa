"""The numbers of a report where one kind ends and the next begins, by hand; and which clips its pictures show."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.soundness.report import report
from alpamayo_toy.views import figures

Report = Callable[[Labels], dict[str, Any]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is drawn, in place of pictures."""
    kept: list[tuple[Any, ...]] = []

    def noted(path: Path, *given: Any, **named: Any) -> None:
        path.write_bytes(b"a picture")
        kept.append((*given, named))

    monkeypatch.setattr(figures, "birds_eye", noted)
    monkeypatch.setattr(figures, "histograms", noted)
    return kept


@pytest.fixture
def reported(tmp_path: Path, drawn: list[tuple[Any, ...]]) -> Report:
    return lambda labels: report(labels, {}, tmp_path, "labels.npz")


def steady(speeds: list[list[float]], dt: float = 0.1) -> Labels:
    """Clips whose samples drive straight on, each at its own speed (N, K), for 64 steps."""
    v = torch.tensor(speeds, dtype=torch.float64)
    teacher = torch.zeros(*v.shape, 64, 4, dtype=torch.float64)
    teacher[..., 0] = v.unsqueeze(-1) * torch.arange(1, 65) * dt
    teacher[..., 3] = v.unsqueeze(-1)
    names = np.array([f"clip-{i}" for i in range(len(v))])
    none = torch.full((len(v),), -1)
    return Labels(names, torch.zeros(len(v)).long(), v[:, 0].clone(), teacher, none, names, names, "file", dt=dt)


def with_y(labels: Labels, y: Tensor) -> Labels:
    teacher = labels.teacher.clone()
    teacher[..., 1] = y
    return labels.with_teacher(teacher)


def test_standing_moving_and_reversing_end_where_they_are_said_to(reported: Report) -> None:
    labels = steady([[0.59, -0.004], [0.61, -0.006], [1.99, 1.99], [2.01, 2.01]])
    found = reported(labels)
    assert found["shares"] == pytest.approx(
        {"steps_below_0.6_mps": 3 / 8, "clips_starting_below_0.6_mps": 1 / 4, "samples_reversing": 1 / 8}
    )
    distributions = found["distributions"]
    assert distributions["curvature"]["count"] == 8 * 64
    assert distributions["curvature_moving"]["count"] == 2 * 64  # above 2 m/s
    assert distributions["curvature_rate_moving"]["count"] == 2 * 63
    late = replace(labels, v0=torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64))
    assert reported(late)["distributions"]["curvature_moving"]["count"] == 2 * 63  # from a start below it


def test_samples_disagree_where_they_are_two_metres_apart_to_either_side_after_three_seconds(reported: Report) -> None:
    pairs = [[-1.9, 1.9], [-2.1, 1.9], [2.1, 2.1], [2.1, -2.1], [-2.1, -2.1], [0.0, 2.0]]
    y = torch.zeros(len(pairs), 2, 64, dtype=torch.float64)
    y[..., 29] = torch.tensor(pairs, dtype=torch.float64)
    assert reported(with_y(steady([[10.0, 10.0]] * len(pairs)), y))["spread"]["disagreeing_share"] == 3 / 6


def test_a_clip_is_missed_beyond_two_metres_and_the_medoid_is_of_the_whole_way(reported: Report) -> None:
    labels = steady([[10.0] * 3] * 2)
    truth = labels.teacher[:, 0].clone()
    y = torch.zeros(2, 3, 64, dtype=torch.float64)
    y[0], y[1] = 1.9, 2.1
    found = reported(replace(with_y(labels, y), ground_truth=truth))
    assert found["scores"]["miss_rate"] == 0.5
    y[0, 0], y[0, 1], y[0, 2] = 0.0, 1.0, 3.0  # the second is in the middle nearly all the way, the first at its end
    y[0, :, -1] = torch.tensor([1.0, 9.0, 1.0])
    scores = reported(replace(with_y(labels, y), ground_truth=truth))["scores"]
    assert scores["medoid_ade"] == pytest.approx(((63 * 1.0 + 9.0) / 64 + 2.1) / 2)


def test_rates_are_over_the_time_of_a_step_and_spreads_are_those_of_all(reported: Report) -> None:
    labels = steady([[10.0]], dt=0.2)
    teacher = labels.teacher.clone()
    t = torch.arange(1, 65, dtype=torch.float64) * 0.2
    teacher[0, 0, :, 0], teacher[0, 0, :, 3] = 10 * t + t**3 / 60, 10 + t**2 / 20  # a grows by 0.1 m/s^2 a second
    found = reported(labels.with_teacher(teacher))["distributions"]
    assert found["jerk"]["p50"] == pytest.approx(0.1, abs=0.01)
    two = reported(steady([[4.0], [6.0]]))["distributions"]["v0"]
    assert (two["mean"], two["std"], two["min"], two["max"], two["count"]) == (5.0, 1.0, 4.0, 6.0, 2)


def test_what_a_set_holds_is_counted_where_it_says_something(reported: Report) -> None:
    labels = steady([[10.0, 10.0]] * 4)
    past = torch.zeros(4, 16, 4)
    past[1, 3, 0], past[2] = torch.nan, torch.nan
    ahead = torch.zeros(4, 20, 2)
    ahead[0], ahead[1, 5:] = torch.nan, torch.nan
    text, drives = np.array(["go", " ", "", "stop"]), np.array(["a", "a", "b", "b"])
    labels = replace(labels, history=past, route=ahead, route_source="file", text=text, source=drives)
    y = torch.zeros(4, 2, 64, dtype=torch.float64)
    y[:, 1] = torch.linspace(0, 60, 64) * 1.0
    found = reported(with_y(labels, y))
    counted = {name: found[name] for name in ("with_history", "with_route", "with_text", "with_ground_truth")}
    assert counted == {"with_history": 2, "with_route": 3, "with_text": 2, "with_ground_truth": 0}
    assert (found["distinct_clip_ids"], found["distinct_sources"]) == (4, 2)
    assert found["buckets"]["waymo"]["STRAIGHT"] == 4  # by the first sample


def test_pictures_show_the_clips_of_their_list_and_twelve_samples_of_each(
    reported: Report, drawn: list[tuple[Any, ...]]
) -> None:
    labels = steady([[10.0] * 14] * 9)
    y = torch.arange(9.0, dtype=torch.float64)[:, None, None] * torch.linspace(0, 1, 14)[None, :, None]
    labels = with_y(labels, y.expand(9, 14, 64))
    found = reported(labels)
    names = [[entry["clip_id"] for entry in found[group]] for group in ("worst", "disagreeing", "random")]
    assert names[1] == [f"clip-{i}" for i in range(8, 0, -1)]
    assert [entry["value"] for entry in found["disagreeing"]] == pytest.approx([i * 5 / 13 for i in range(8, 0, -1)])
    for (titles, teacher, student, named), shown in zip(drawn[:3], names, strict=True):
        rows = torch.tensor([int(name[-1]) for name in shown])
        assert [title.split("\n")[0] for title in titles] == shown
        assert torch.equal(teacher, labels.teacher[rows, :12])
        assert student is None
        assert named == {"ends": True, "ground_truth": None}
