"""Groups of clips: where one ends and the next begins, and that no mean of some clips stands beside that of all."""

from dataclasses import replace

import pytest
import torch
from places import DATA

from alpamayo_toy import load_labels
from alpamayo_toy.evaluation.groups import PHASES, Groups, groups_of, phase_of
from alpamayo_toy.metrics.scores import Scores
from alpamayo_toy.teachers.scenarios import CONTEXT


def test_a_speed_on_a_border_is_in_the_group_that_begins_there() -> None:
    speeds = torch.tensor([0.59, 0.6, 4.99, 5.0, 10.0, 14.99, 15.0])
    labels = replace(load_labels(DATA / "labels.npz").select(torch.arange(7)), v0=speeds)
    found = groups_of(labels, labels.teacher[:, 0], speeds)["v0"]
    ends = ["below 0.6 m/s", *["0.6 to 5 m/s"] * 2, "5 to 10 m/s", *["10 to 15 m/s"] * 2, "15 m/s and more"]
    assert [found.of(i) for i in range(7)] == ends


def test_who_lacks_a_clip_has_no_mean_in_its_group() -> None:
    groups = Groups(("near", "far", "nobody's"), torch.tensor([0, 0, 1]))
    some, every = torch.tensor([1.0, torch.nan, 3.0]), torch.tensor([1.0, 2.0, 3.0])
    rows = {who: Scores({"ade": ade}, torch.zeros(1)) for who, ade in (("ridge", some), ("student", every))}
    assert groups.breakdown({**rows, "modes": Scores({"min_ade": every}, torch.zeros(1))}) == {
        "near": {"clips": 2, "ade": {"ridge": None, "student": 1.5}},
        "far": {"clips": 1, "ade": {"ridge": 3.0, "student": 3.0}},
    }


@pytest.mark.parametrize(
    ("v0", "stop_m", "phase"), [(0.05, 1.9, "after"), (0.05, 2.1, "in"), (0.2, 1.9, "in"), (0.05, torch.nan, "in")]
)
def test_who_stands_near_its_stop_is_done(v0: float, stop_m: float, phase: str) -> None:
    left = dict.fromkeys(CONTEXT, 0.0) | {"speed_change_s": 2.0, "stop_m": stop_m}
    found = phase_of(torch.tensor([list(left.values())]), torch.tensor([v0]))
    assert PHASES[int(found)] == phase


LEFT = dict.fromkeys(CONTEXT, 0.0) | {"stop_m": torch.nan}


@pytest.mark.parametrize(
    ("left", "phase"),
    [
        ({"speed_onset_s": 1.0, "steer_onset_s": 1.0, "speed_change_s": 2.0, "turn_angle_deg": 90.0}, "before"),
        ({"speed_onset_s": 1.0, "steer_onset_s": 0.0, "speed_change_s": 2.0, "turn_angle_deg": -90.0}, "in"),
        ({"speed_onset_s": 1.0, "steer_onset_s": 0.0, "speed_change_s": 2.0, "lane_offset_m": -3.5}, "in"),
        ({"speed_onset_s": 1.0, "steer_onset_s": 0.0, "speed_change_s": 2.0}, "before"),  # nothing is to be steered
        ({"speed_onset_s": 0.0, "steer_onset_s": 1.0, "speed_change_s": 2.0, "turn_angle_deg": 90.0}, "in"),
        ({"turn_angle_deg": 90.0}, "in"),
        ({"turn_angle_deg": 2e-3}, "in"),
        ({"turn_angle_deg": 5e-4, "lane_offset_m": 5e-4, "speed_change_s": 5e-4}, "after"),
        ({"lane_offset_m": -2e-3}, "in"),
        ({"speed_change_s": 2e-3}, "in"),
        ({"speed_change_s": 2.0, "stop_m": 1.0, "turn_angle_deg": 30.0}, "in"),  # it stands, and has still to turn
        ({}, "after"),
    ],
)
def test_a_scene_is_before_in_or_after_by_what_is_left_of_it(left: dict[str, float], phase: str) -> None:
    found = phase_of(torch.tensor([list((LEFT | left).values())]), torch.tensor([0.05]))
    assert PHASES[int(found)] == phase


def test_groups_are_named_after_scenarios_what_was_driven_and_phases_that_are_told() -> None:
    labels = load_labels(DATA / "labels.npz").select(torch.arange(3))
    labels = replace(labels, scenario=torch.tensor([-1, 1, 0]), context=None, context_names=())
    straight, v0 = torch.zeros(3, 64, 4), torch.full((3,), 8.0)
    straight[..., 0], straight[..., 3] = 0.8 * torch.arange(1, 65), 8.0
    found = groups_of(labels, straight, v0)
    assert [found["scenario"].of(i) for i in range(3)] == ["UNKNOWN", "LEFT", "STRAIGHT"]
    assert {found["waymo"].of(i) for i in range(3)} == {"STRAIGHT"}
    assert "phase" not in found
    rain = replace(labels, context=torch.zeros(3, 2), context_names=("rain", "night"))
    assert "phase" not in groups_of(rain, straight, v0)
    told = replace(labels, context=torch.tensor([list(LEFT.values())] * 3), context_names=CONTEXT)
    assert groups_of(told, straight, v0)["phase"].of(0) == "after"
