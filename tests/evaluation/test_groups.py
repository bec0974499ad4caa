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
