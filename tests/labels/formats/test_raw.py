"""What is derived from a clip's numbers: of which sample, and which positions count as an exact rollout."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from raw_clips import driven, sound, turned

from alpamayo_toy import Scenario, UnicycleRollout
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.raw import RawClips, gathered, history_of, labels_of

PATH = Path("x.json")


def straight(*speeds: float) -> RawClips:
    """One clip whose samples drive straight on, each at its own speed."""
    start = torch.tensor([speeds], dtype=torch.float64)
    states = UnicycleRollout(0.1, "trapezoid")(torch.zeros(1, len(speeds), 64, 2, dtype=torch.float64), start)
    raw = driven(np.zeros((1, len(speeds), 64, 2)), np.array([0.0]))
    return replace(raw, teacher=np.pad(states[..., :2].numpy(), [(0, 0)] * 3 + [(0, 1)]))


def test_the_scenario_is_that_of_the_first_sample() -> None:
    actions = np.zeros((1, 3, 64, 2))
    actions[0, 0, :, 1] = 0.03  # at 8 m/s for 6.4 s: 88 degrees to the left
    assert labels_of(driven(actions, np.array([8.0])), PATH).scenario.tolist() == [Scenario.LEFT]
    assert labels_of(driven(actions[:, ::-1].copy(), np.array([8.0])), PATH).scenario.tolist() == [Scenario.STRAIGHT]


def test_the_speed_at_t0_is_the_median_of_what_the_samples_begin_with() -> None:
    labels = labels_of(straight(8.0, 8.01, 8.006), PATH)  # as near as samples of one exact file are
    assert abs(float(labels.v0) - 8.006) < 1e-9
    assert labels.v0_source.tolist() == ["recovered"]


def test_a_recorded_drive_is_no_exact_rollout_even_where_it_looks_like_one() -> None:
    raw = straight(8.0)
    assert labels_of(raw, PATH).v0_source.tolist() == ["recovered"]
    assert labels_of(replace(raw, recorded=True), PATH).v0_source.tolist() == ["smoothed"]


def test_a_recorded_speed_at_t0_is_the_median_too() -> None:
    labels = labels_of(replace(straight(8.0, 8.5, 8.2), recorded=True), PATH)
    assert labels.v0.tolist() == pytest.approx([8.2], abs=1e-3)  # the smoothed one


def test_half_a_history_is_no_missing_one() -> None:
    raw = sound(2)
    assert raw.history is not None
    history = raw.history.copy()
    history[1, 3] = np.nan
    with pytest.raises(UserError, match="history of clip clip-1 holds NaN"):
        labels_of(replace(raw, history=history), PATH)
    history[1] = np.nan
    past = labels_of(replace(raw, history=history), PATH).history
    assert past is not None
    assert past.isnan().flatten(1).all(1).tolist() == [False, True]


def test_a_history_that_turned_by_more_than_half_a_circle_ends_at_0() -> None:
    """200 degrees in 1.5 s at 5 m/s: the rotation that it begins with is also that of 160 degrees."""
    yaw = np.linspace(-math.radians(200), 0, 16)
    radius = 5 * 1.5 / math.radians(200)
    points = radius * np.stack([np.sin(yaw), 1 - np.cos(yaw), 0 * yaw], -1)
    past = history_of(replace(straight(5.0), history=points[None], history_rotation=turned(yaw)[None]))
    assert past is not None
    assert past[0, :, 2].tolist() == pytest.approx(yaw.tolist(), abs=1e-9)


def test_what_is_gathered_stays_in_order_whatever_its_size() -> None:
    clips = sound(11)
    parts = [clips.select(np.arange(start, stop)) for start, stop in ((0, 3), (3, 10), (10, 11))]
    found = list(gathered(parts, 4))
    assert np.concatenate([part.clip_id for part in found]).tolist() == clips.clip_id.tolist()
    assert [len(part) for part in gathered([clips], 4)] == [4, 4, 3]
    single = [clips.select(np.array([row])) for row in range(11)]
    assert [len(part) for part in gathered(single, 4)] == [4, 4, 3]


def test_three_steps_are_no_trajectory_and_four_are() -> None:
    raw = straight(8.0)
    assert len(labels_of(replace(raw, teacher=raw.teacher[:, :, :4], rotation=None), PATH)) == 1
    with pytest.raises(UserError, match="teacher has 3 steps; at least 4 are needed"):
        labels_of(replace(raw, teacher=raw.teacher[:, :, :3], rotation=None), PATH)


@pytest.mark.parametrize(("rough", "source"), [([2], "recovered"), ([1, 2], "smoothed")])
def test_a_clip_is_an_exact_rollout_where_most_of_its_samples_are(rough: list[int], source: str) -> None:
    raw = straight(8.0, 8.0, 8.0)
    points = raw.teacher.copy()
    points[0, rough, ::2, 0] += 0.02
    assert labels_of(replace(raw, teacher=points, rotation=None), PATH).v0_source.tolist() == [source]


def test_a_speed_that_is_stated_counts_before_that_of_the_history() -> None:
    raw = sound(2)
    past = labels_of(raw, PATH)
    assert past.v0_source.tolist() == ["history"] * 2
    assert past.v0.tolist() == pytest.approx([8.0, 9.0], abs=1e-3)
    stated = labels_of(replace(raw, v0=np.array([8.5, 9.5])), PATH)
    assert (stated.v0_source.tolist(), stated.v0.tolist()) == (["file"] * 2, [8.5, 9.5])


@pytest.mark.parametrize("poses", [3, 4])
def test_a_history_of_three_poses_is_none(poses: int) -> None:
    raw = sound(2)
    assert raw.history is not None
    assert raw.history_rotation is not None
    short = replace(raw, history=raw.history[:, -poses:], history_rotation=raw.history_rotation[:, -poses:])
    assert short.has_history.tolist() == [poses == 4] * 2


def test_headings_of_a_history_without_rotations_are_those_of_its_course() -> None:
    """0.3 rad a second to the left at 8 m/s, so that it came from the right."""
    yaw = 0.3 * 0.1 * np.arange(-15.0, 1)
    points = 8 / 0.3 * np.stack([np.sin(yaw), 1 - np.cos(yaw), 0 * yaw], -1)
    past = history_of(replace(straight(8.0), history=points[None]))
    assert past is not None
    assert past[0, :, 2].tolist() == pytest.approx(yaw.tolist(), abs=0.02)
    assert past[0, :, 3].tolist() == pytest.approx([8.0] * 16, abs=0.1)
