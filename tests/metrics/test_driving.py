"""What a drive is judged by, by hand on its borders."""

import math

import pytest
import torch
from torch import Tensor

from alpamayo_toy.metrics.driving import along_a_path, from_rest, plan_jump, stopping


def test_a_drive_that_is_too_short_says_nothing_of_getting_going() -> None:
    v0, speed = torch.tensor([0.0, 0.09, 0.11]), torch.ones(3, 50)
    slow = from_rest(v0, speed * torch.tensor([1.9, 0.51, 9.0])[:, None], 0.1)
    assert slow["under_way"].tolist()[:2] == [0.0, 0.0]
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


def test_a_drive_that_wanders_by_hand() -> None:
    """To the side by 0, -1, ... -19 and 3 m: once beyond the corridor is beyond it."""
    beside = torch.cat([-torch.arange(20.0), torch.tensor([3.0])])[None]
    along = torch.linspace(5, 25, 21)[None]
    found = along_a_path(torch.tensor([4.0]), along, beside, torch.full((1, 21), -0.1), corridor=18.5)
    squares = sum(i * i for i in range(20)) + 9
    expected = {"left_corridor": 1.0, "lateral_rms": math.sqrt(squares / 21), "lateral_p95": 18.0, "lateral_end": 3.0}
    expected |= {"heading_end": 0.1, "on_heading": 1.0, "progress": 21.0}
    assert {name: value.item() for name, value in found.items()} == pytest.approx(expected)
    inside = along_a_path(torch.tensor([4.0]), along, beside, beside, corridor=19.5)
    assert inside["left_corridor"].item() == 0.0


def test_what_one_did_before_the_end_is_no_way_of_standing_there() -> None:
    v0 = torch.zeros(2)
    speed = torch.cat([torch.linspace(0, 3, 30), torch.linspace(5, 0.2, 20), torch.full((10,), 9.0)])
    found = from_rest(v0, torch.stack([speed, speed.clamp(max=0.4)]), 0.1)
    assert found["pulls_away"].tolist() == [1.0, 0.0]
    assert found["under_way"].tolist() == [0.0, 0.0]  # it was at 5 m/s, and will be at 9: not after 5 s
    line = torch.tensor([10.0, 10.0])
    stopped = stopping(line, torch.tensor([[2.0, 9.5], [2.0, 10.25]]), torch.tensor([[5.0, 0.0], [0.0, 5.0]]))
    assert stopped["stop_error"].tolist() == [0.5, 0.25]
    assert stopped["stops"].tolist() == [1.0, 0.0]
    assert stopped["overshoot"].tolist() == [0.0, 0.25]


def test_plans_are_compared_where_they_speak_of_the_same_moments() -> None:
    """x = t^2 at steps 1 .. 6, and the same drive seen two steps later, 0.3 m further left."""
    time = torch.arange(1.0, 9.0)
    drive = torch.stack([time**2, 0 * time], -1)
    before, after = drive[:6], drive[2:] + torch.tensor([0.0, 0.3])
    assert plan_jump(before, after, 2).item() == pytest.approx(0.3)
    assert plan_jump(before.expand(3, 6, 2), after.expand(3, 6, 2), 5).tolist() == pytest.approx(
        [math.hypot(27, 0.3)] * 3
    )
    assert plan_jump(before, after, 6).isnan().item()
