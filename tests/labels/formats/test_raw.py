"""What is derived from a clip's numbers: of which sample, and which positions count as an exact rollout."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from raw_clips import driven

from alpamayo_toy import Scenario, UnicycleRollout
from alpamayo_toy.labels.formats.raw import RawClips, labels_of

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
