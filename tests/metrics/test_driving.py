"""What a drive is judged by, by hand on its borders."""

import math

import pytest
import torch
from torch import Tensor

from alpamayo_toy.metrics.driving import along_a_path, from_rest, stopping


def test_a_drive_that_is_too_short_says_nothing_of_getting_going() -> None:
    v0, speed = torch.tensor([0.0, 0.09, 0.11]), torch.ones(3, 50)
    whole = from_rest(v0, speed * torch.tensor([0.51, 2.1, 9.0])[:, None], 0.1)
    assert whole["pulls_away"].tolist()[:2] == [1.0, 1.0]
    assert whole["under_way"].tolist()[:2] == [0.0, 1.0]
    assert whole["pulls_away"].isnan().tolist() == whole["under_way"].isnan().tolist() == [False, False, True]
    three = from_rest(v0, speed[:, :30] * 0.49, 0.1)
    assert three["pulls_away"].tolist()[:2] == [0.0, 0.0]
    assert bool(three["under_way"].isnan().all())
    assert bool(from_rest(v0, speed[:, :29], 0.1)["pulls_away"].isnan().all())


@pytest.mark.parametrize(
    ("end", "speed", "stops"), [(10.99, 0.09, 1.0), (9.01, 0.09, 1.0), (11.01, 0.0, 0.0), (10.0, 0.11, 0.0)]
)
def test_one_stops_within_a_metre(end: float, speed: float, stops: float) -> None:
    line, along = torch.tensor([10.0, math.nan]), torch.tensor([[9.0, 12.0, end]]).expand(2, 3)
    found = stopping(line, along, torch.full((2, 3), speed))
    assert found["stops"][0].item() == stops
    assert found["overshoot"][0].item() == 2.0
    assert [bool(values[1].isnan()) for values in found.values()] == [True] * 3


@pytest.mark.parametrize(("beside", "degrees", "left", "on"), [(2.0, 9.9, 0.0, 1.0), (-2.01, 10.1, 1.0, 0.0)])
def test_corridor_and_heading_end_where_they_say(beside: float, degrees: float, left: float, on: float) -> None:
    def row(value: float) -> Tensor:
        return torch.full((1, 4), value)

    turned = row(math.radians(degrees - 360))  # a whole turn is none
    found = along_a_path(torch.tensor([3.0]), row(8.0), row(beside), turned)
    assert (found["left_corridor"].item(), found["on_heading"].item(), found["progress"].item()) == (left, on, 5.0)
    assert found["lateral_rms"].item() == pytest.approx(abs(beside))
