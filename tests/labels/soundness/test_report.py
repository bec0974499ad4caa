"""The report on a label set: closed forms by hand, the page against report.json, and the 60 real clips."""

import base64
import copy
import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jinja2 import UndefinedError
from matplotlib.image import imread
from pages import HOSTILE, Page, numbers
from places import DATA, LABELS_60, needs_60_clips
from torch import Tensor

from alpamayo_toy import load_labels
from alpamayo_toy.evaluation.baselines import baselines as predicted_baselines
from alpamayo_toy.evaluation.baselines import constant_acceleration, constant_turn_rate, last_actions, stationary
from alpamayo_toy.kinematics.manoeuvres import WAYMO, waymo_bucket
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.soundness.report import _distribution, _groups, _some, summary
from alpamayo_toy.labels.soundness.report import report as written_report
from alpamayo_toy.labels.soundness.report_page import page
from alpamayo_toy.views import figures

LABELS = DATA / "labels.npz"
SPEED = 10.0


def report(labels: Labels, folder: Path, name: str, total: int | None = None) -> dict[str, Any]:
    """With the baselines that the command gives it."""
    made = {key: value for key, value in predicted_baselines(labels, None).items() if key != "ridge"}
    return written_report(labels, made, folder, name, total)


def shifted(offsets: list[list[float]], truth: float | None = None, horizon: int = 64) -> Labels:
    """Clips that drive straight on at 10 m/s, their samples shifted sideways by these metres (N, K)."""
    y = torch.tensor(offsets, dtype=torch.float64)
    n, k = y.shape
    teacher = torch.zeros(n, k, horizon, 4, dtype=torch.float64)
    teacher[..., 0] = torch.arange(1, horizon + 1) * (SPEED * 0.1)
    teacher[..., 1], teacher[..., 3] = y.unsqueeze(-1), SPEED
    ground_truth = teacher[:, 0].clone()
    ground_truth[..., 1] = truth or 0.0
    return Labels(
        clip_id=np.array([f"clip-{i}" for i in range(n)]),
        t0_us=torch.arange(n),
        v0=torch.full((n,), SPEED, dtype=torch.float64),
        teacher=teacher,
        scenario=torch.arange(n) - 1,
        source=np.full(n, "drive"),
        v0_source=np.full(n, "file"),
        scenario_source="file",
        ground_truth=None if truth is None else ground_truth,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A report on the project's own labels as a sample of a larger set."""
    folder = tmp_path_factory.mktemp("report")
    return report(load_labels(LABELS), folder, LABELS.name, total=1000), folder


@pytest.mark.slow
def test_the_page_shows_every_number_of_the_json_exactly(written: tuple[dict[str, Any], Path]) -> None:
    found, folder = written
    assert json.loads((folder / "report.json").read_text()) == found
    expected = numbers(found)
    assert expected.pop("format") == "1"
    assert Page((folder / "report.html").read_text()).numbers == expected
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json"]


@pytest.mark.slow
def test_the_page_opens_offline_in_light_and_dark(written: tuple[dict[str, Any], Path]) -> None:
    text = (written[1] / "report.html").read_text()
    page = Page(text)
    assert re.search(r"labels\.npz, reported \d{4}-\d\d-\d\d \d\d:\d\d\n", page.words)
    prefix = "data:image/png;base64,"
    assert len(page.addresses) == 4
    for address in page.addresses:
        assert address.startswith(prefix)
        picture = imread(io.BytesIO(base64.b64decode(address.removeprefix(prefix), validate=True)))
        assert min(picture.shape[:2]) > 200
    assert not page.tags & {"script", "link", "iframe"}
    assert not re.search(r"http|url\(|@import", re.sub(r"base64,[^\"]+", "", text))
    assert "prefers-color-scheme: dark" in text


@pytest.mark.slow
def test_a_sample_is_called_one_everywhere(written: tuple[dict[str, Any], Path]) -> None:
    found, folder = written
    words = "a random sample of 24 of 1000"
    assert words in found["scope"]
    assert words in (folder / "report.html").read_text()
    assert words in summary(found)


@pytest.mark.slow
def test_counts_of_the_projects_own_labels(written: tuple[dict[str, Any], Path]) -> None:
    found, _ = written
    assert (found["clips"], found["total"], found["samples"], found["horizon"]) == (24, 1000, 4, 64)
    assert sum(found["buckets"]["scenario"].values()) == sum(found["buckets"]["waymo"].values()) == 24
    assert found["distributions"]["speed"]["count"] == 24 * 4 * 64
    assert found["distributions"]["jerk"]["count"] == 24 * 4 * 63
    assert found["scores"] is None
    assert found["worst_by"] == "max_abs_curvature"
    values = [entry["value"] for entry in found["worst"]]
    assert len(values) == 8
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(found["distributions"]["curvature_moving"]["max"])


@pytest.mark.slow
def test_spread_and_scores_of_shifted_samples_by_hand(tmp_path: Path) -> None:
    labels = shifted([[5.0, 0.0, 1.0], [5.0, 5.0, 5.0]], truth=0.25)
    found = report(labels, tmp_path, "shifted")
    spread, scores = found["spread"], found["scores"]
    from_mean = ((3 + 2 + 1) / 3 + 0) / 2
    assert spread["from_mean"] == pytest.approx(dict.fromkeys(("1.0", "2.0", "3.0", "4.0", "5.0", "6.4"), from_mean))
    assert spread["pairwise_end_mean"] == pytest.approx((5 + 4 + 1) / 3 / 2)
    assert spread["pairwise_end_max"] == pytest.approx(5)
    assert spread["disagreeing_share"] == 0.5
    least = (0.25 + 4.75) / 2
    by_time = pytest.approx(dict.fromkeys(("1.0", "3.0", "5.0"), least))
    assert scores["min_ade_by_t"] == by_time
    assert scores["min_ade_by_t_horizon"] == by_time
    assert scores["min_ade"] == scores["min_fde"] == pytest.approx(least)
    assert scores["first_sample_ade"] == scores["first_sample_fde"] == pytest.approx(4.75)
    assert scores["mean_over_samples_ade"] == pytest.approx(((4.75 + 0.25 + 0.75) / 3 + 4.75) / 2)
    assert scores["medoid_ade"] == pytest.approx((0.75 + 4.75) / 2)
    assert scores["miss_rate"] == 0.5
    assert scores["baselines"]["constant_velocity"] == pytest.approx({"ade": 0.25, "fde": 0.25, "clips": 2})
    assert scores["baselines"]["stationary"]["fde"] == pytest.approx(math.hypot(64, 0.25))
    computed = {name for name, entry in scores["baselines"].items() if entry["clips"]}
    assert computed == {"stationary", "constant_velocity"}
    assert scores["baselines"]["decaying_hold"] == {"ade": None, "fde": None, "clips": 0}
    assert [entry["clip_id"] for entry in found["worst"]] == ["clip-1", "clip-0"]
    assert [entry["clip_id"] for entry in found["disagreeing"]] == ["clip-0", "clip-1"]
    assert found["buckets"]["scenario"]["UNKNOWN"] == found["buckets"]["scenario"]["STRAIGHT"] == 1
    assert found["buckets"]["waymo"]["STRAIGHT_LEFT"] == 2
    assert found["distributions"]["acceleration"]["max"] == 0


@pytest.mark.slow
def test_a_short_single_sample_has_neither_spread_nor_times(tmp_path: Path) -> None:
    found = report(shifted([[1.0]], truth=0.0, horizon=4), tmp_path, "short")
    assert found["spread"] is None
    assert found["disagreeing"] == []
    assert found["scores"]["min_ade_by_t"] == {}
    assert found["scores"]["min_ade"] == pytest.approx(1.0)
    page = Page((tmp_path / "report.html").read_text())
    assert len(page.addresses) == 3
    assert page.numbers["scores.medoid_ade"] == repr(found["scores"]["medoid_ade"])
    assert "ADE [m]" in summary(found)


@pytest.mark.slow
@pytest.mark.parametrize("offsets", [torch.zeros(0, 2).tolist(), [[0.0, 0.0]]])
def test_what_does_not_exist_is_none(offsets: list[list[float]], tmp_path: Path) -> None:
    labels = shifted([[0.0, 0.0]], truth=0.0)
    standing = replace(labels, teacher=torch.zeros_like(labels.teacher), v0=torch.zeros(1))
    found = report(standing.select(torch.arange(len(offsets))), tmp_path, "standing")
    assert found["distributions"]["curvature_moving"]["mean"] is None
    assert found["shares"]["steps_below_0.6_mps"] == (1.0 if offsets else None)
    assert "none" in Page((tmp_path / "report.html").read_text()).words
    assert "none" in summary(found)


@pytest.mark.slow
def test_ids_and_texts_are_escaped_and_bounded(tmp_path: Path) -> None:
    labels = replace(
        shifted([[0.0, 1.0]]),
        clip_id=np.array(["<script>alert(1)</script> $x_{ 漢\udc80"]),
        text=np.array(["<img src='http://a'>" + "x" * 400]),
    )
    found = report(labels, tmp_path, "<i>name</i>")
    page = Page((tmp_path / "report.html").read_text())
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.words
    assert "<i>name</i>" in page.words
    assert all(address.startswith("data:") for address in page.addresses)
    assert len(found["random"][0]["text"]) == 200


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_shown_as_it_is_and_never_read_as_html_or_as_template(
    text: str, written: tuple[dict[str, Any], Path]
) -> None:
    found, pictures = copy.deepcopy(written[0]), dict.fromkeys(("histograms", "worst", "disagreeing", "random"), "")
    found["random"][0] |= {"text": "told"}
    tags = Page(page(found, pictures)).tags
    found |= {name: f"{name} {text}" for name in ("name", "scope", "actions")}
    found["random"][0] |= {"clip_id": f"clip {text}", "text": f"told {text}"}
    shown = Page(page(found, pictures))
    assert shown.tags == tags
    for named in ("name", "A report on scope", "Actions are actions", "clip", "told"):
        assert f"{named} {text}" in shown.words


@pytest.mark.slow
@pytest.mark.parametrize("place", [("dt",), ("shares", "samples_reversing"), ("random", 0, "t0_us")])
def test_what_the_page_needs_and_does_not_find_stops_it(
    place: tuple[str | int, ...], written: tuple[dict[str, Any], Path]
) -> None:
    found = inner = copy.deepcopy(written[0])
    for part in place[:-1]:
        inner = inner[part]
    del inner[place[-1]]
    with pytest.raises(UndefinedError, match=str(place[-1])):
        page(found, dict.fromkeys(("histograms", "worst", "disagreeing", "random"), ""))


def test_the_clips_shown_depend_on_the_seed_alone() -> None:
    values = torch.arange(30.0)
    drawn = [_groups(values, -values, True, seed)["random"][0].tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 8
    groups = _groups(values, -values, False, 0)
    assert groups["worst"][1].tolist() == list(range(29, 21, -1))
    assert len(groups["disagreeing"][0]) == 0


def history(v0: Tensor, acceleration: float, turn_rate: float) -> Tensor:
    """Sixteen poses (N, 16, 4) of a straight line at constant acceleration, or of a circle at constant speed."""
    t = (torch.arange(16, dtype=torch.float64) - 15) * 0.1
    s = v0[:, None] * t + acceleration * t**2 / 2
    yaw = (turn_rate * t).expand_as(s)
    x, y = s * torch.sinc(yaw / torch.pi), s * yaw / 2 * torch.sinc(yaw / 2 / torch.pi) ** 2
    return torch.stack([x, y, yaw, v0[:, None] + acceleration * t], -1)


@pytest.mark.slow
@pytest.mark.parametrize(("drive", "a", "w"), [(constant_acceleration, -2.0, 0.0), (constant_turn_rate, 0.0, 0.3)])
def test_baselines_from_history_cover_the_clips_that_have_one(
    drive: Callable[..., Tensor], a: float, w: float, tmp_path: Path
) -> None:
    labels = shifted([[0.0], [0.0]], truth=0.0)
    past = history(labels.v0, a, w)
    past[1] = torch.nan
    truth = drive(labels.v0, torch.full_like(labels.v0, a or w), 64, 0.1)
    found = report(replace(labels, history=past, ground_truth=truth), tmp_path, "history")
    assert found["with_history"] == 1
    baselines = found["scores"]["baselines"]
    (acceleration, curvature), v0 = last_actions(past[0], 0.1), labels.v0[:1]
    rate = acceleration if a else curvature * past[0, -1, 3]
    errors = (drive(v0, rate[None], 64, 0.1) - truth[:1])[0, :, :2].norm(dim=-1)
    expected = {"ade": float(errors.mean()), "fde": float(errors[-1]), "clips": 1}
    assert baselines[drive.__name__] == pytest.approx(expected, abs=1e-9)
    assert expected["ade"] < 0.15  # the inverse of the history smooths
    assert baselines["constant_velocity"]["clips"] == 2
    assert baselines["constant_velocity"]["ade"] > 1


def test_baselines_by_hand() -> None:
    v0 = torch.tensor([4.0, 0.0, -0.1], dtype=torch.float64)
    assert stationary(v0, 5, 0.1).abs().max() == 0
    braking = constant_acceleration(v0, torch.full_like(v0, -2.0), 30, 0.1)
    assert braking[0, [9, 19, 29], 0].tolist() == pytest.approx([3.0, 4.0, 4.0])
    assert braking[1:].abs().max() == 0
    assert constant_acceleration(v0, torch.zeros_like(v0), 10, 0.1)[0, -1, :2].tolist() == pytest.approx([4.0, 0.0])
    circle = constant_turn_rate(v0, torch.full_like(v0, math.pi), 10, 0.1)
    assert circle[0, -1, :2].tolist() == pytest.approx([0.0, 2 * 4 / math.pi], abs=1e-12)
    assert constant_turn_rate(v0, torch.zeros_like(v0), 10, 0.1)[0, -1, :2].tolist() == pytest.approx([4.0, 0.0])


@pytest.mark.parametrize(
    ("end", "v0", "bucket"),
    [
        ((2.9, 0.0, 0.0, 1.9), 1.9, "STATIONARY"),
        ((3.1, 0.0, 0.0, 1.9), 1.9, "STRAIGHT"),
        ((2.9, 0.0, 0.0, 1.9), 2.1, "STRAIGHT"),
        ((40.0, 2.4, 0.5, 5.0), 5.0, "STRAIGHT"),
        ((40.0, 2.6, 0.5, 5.0), 5.0, "STRAIGHT_LEFT"),
        ((40.0, -2.6, 0.5, 5.0), 5.0, "STRAIGHT_RIGHT"),
        ((20.0, 9.0, 0.6, 5.0), 5.0, "LEFT_TURN"),
        ((20.0, -9.0, -0.6, 5.0), 5.0, "RIGHT_TURN"),
        ((-1.0, 9.0, 3.0, 5.0), 5.0, "LEFT_U_TURN"),
        ((-1.0, -9.0, -3.0, 5.0), 5.0, "RIGHT_U_TURN"),
    ],
)
def test_waymos_buckets(end: tuple[float, ...], v0: float, bucket: str) -> None:
    assert WAYMO[int(waymo_bucket(torch.tensor([end]), torch.tensor(v0)))] == bucket


def test_percentiles_of_many_values_do_not_follow_the_steps_of_a_trajectory() -> None:
    values = torch.arange(64, dtype=torch.float64).repeat(10**6 // 16)  # four million, 64 steps each
    some = _some(values)
    assert len(some) == 10**6
    found = _distribution(values, some)
    assert found["count"] == 4 * 10**6
    assert found["p50"] == pytest.approx(31.5, abs=1)
    assert found["p99"] == pytest.approx(63, abs=1)


@pytest.mark.slow
def test_pictures_of_ground_truth_and_of_nothing(tmp_path: Path) -> None:
    labels = shifted([[0.0, 1.0]], truth=0.5)
    figures.birds_eye(tmp_path / "a.png", ["$x"], labels.teacher, None, ground_truth=labels.ground_truth, ends=True)
    figures.histograms(tmp_path / "b.png", {"nothing": torch.zeros(0), "one": torch.tensor([1.0, torch.inf])})
    for name in ("a.png", "b.png"):
        assert imread(tmp_path / name).ndim == 3


@pytest.mark.slow
@needs_60_clips
def test_the_60_real_clips(tmp_path: Path) -> None:
    found = report(load_labels(LABELS_60), tmp_path, LABELS_60.name)
    scores = found["scores"]
    assert scores["min_ade"] == pytest.approx(0.85569, abs=5e-6)
    assert scores["first_sample_ade"] == pytest.approx(1.77715, abs=5e-6)
    assert scores["mean_over_samples_ade"] == pytest.approx(1.70950, abs=5e-6)
    assert scores["min_ade_by_t_horizon"]["3.0"] < scores["min_ade_by_t"]["3.0"]
    assert found["worst"][0]["value"] >= found["worst"][-1]["value"] > scores["min_ade"]
    expected = numbers(found)
    del expected["format"]
    assert Page((tmp_path / "report.html").read_text()).numbers == expected
