"""Which manoeuvre a trajectory is: the one that its driver was told."""

import math

import pytest
import torch
from taught import NAMES, made

from alpamayo_toy.kinematics.manoeuvres import WAYMO, Scenario, classify, waymo_bucket


@pytest.mark.parametrize("name", NAMES)
def test_classify_recovers_the_teachers_own_scenario(name: str) -> None:
    labels = made(name)
    found = classify(labels.teacher, labels.v0[:, None].expand(-1, 6))
    assert (found == labels.scenario[:, None]).double().mean() >= 0.95


def ends(x: float, y: float, degrees: float, v: float) -> torch.Tensor:
    """A trajectory of one state."""
    return torch.tensor([[x, y, math.radians(degrees), v]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("y", "degrees", "v0", "v", "name"),
    [
        (2.5, 9.9, 5.0, 5.0, "LANE_CHANGE_LEFT"),
        (-2.5, -9.9, 5.0, 5.0, "LANE_CHANGE_RIGHT"),
        (2.4, 9.9, 5.0, 5.0, "STRAIGHT"),
        (2.5, 10.1, 5.0, 5.0, "STRAIGHT"),
        (9.0, 29.9, 5.0, 5.0, "STRAIGHT"),
        (9.0, 30.1, 5.0, 5.0, "LEFT"),
        (-9.0, -30.1, 5.0, 5.0, "RIGHT"),
        (9.0, 149.9, 5.0, 5.0, "LEFT"),
        (9.0, 150.1, 5.0, 5.0, "U_TURN"),
        (-9.0, -150.1, 5.0, 5.0, "U_TURN"),
        (0.0, 0.0, 0.59, 2.1, "START"),
        (0.0, 0.0, 0.59, 1.9, "STRAIGHT"),
        (0.0, 0.0, 0.61, 2.1, "STRAIGHT"),
        (0.0, 0.0, 2.1, 0.59, "STOP"),
        (0.0, 0.0, 1.9, 0.59, "STRAIGHT"),
        (0.0, 0.0, 2.1, 0.61, "STRAIGHT"),
        (0.0, 0.0, 0.6, 0.6, "STOP"),
    ],
)
def test_where_one_manoeuvre_ends_and_the_next_begins(y: float, degrees: float, v0: float, v: float, name: str) -> None:
    assert Scenario(int(classify(ends(9.0, y, degrees, v), torch.tensor(v0, dtype=torch.float64)))).name == name


@pytest.mark.parametrize(
    ("x", "y", "degrees", "v0", "v", "name"),
    [
        (2.9, 0.0, 0.0, 1.9, 1.9, "STATIONARY"),
        (0.0, 2.9, 90.0, 1.9, 1.9, "STATIONARY"),
        (3.1, 0.0, 0.0, 1.9, 1.9, "STRAIGHT"),
        (2.5, 2.0, 0.0, 1.9, 1.9, "STRAIGHT"),  # 3.2 m away
        (2.9, 0.0, 0.0, -2.1, 0.0, "STRAIGHT"),
        (2.9, 0.0, 0.0, 0.0, -2.1, "STRAIGHT"),
        (2.9, 0.0, 0.0, 2.1, 0.0, "STRAIGHT"),
        (2.9, 0.0, 0.0, 0.0, 2.1, "STRAIGHT"),
        (9.0, 2.4, 29.0, 5.0, 5.0, "STRAIGHT"),
        (9.0, 2.6, 29.0, 5.0, 5.0, "STRAIGHT_LEFT"),
        (9.0, -2.6, -29.0, 5.0, 5.0, "STRAIGHT_RIGHT"),
        (9.0, 2.4, 31.0, 5.0, 5.0, "LEFT_TURN"),
        (9.0, 2.4, -31.0, 5.0, 5.0, "RIGHT_TURN"),
        (-0.1, 9.0, 179.0, 5.0, 5.0, "LEFT_U_TURN"),
        (0.1, 9.0, 179.0, 5.0, 5.0, "LEFT_TURN"),
        (-0.1, -9.0, -179.0, 5.0, 5.0, "RIGHT_U_TURN"),
    ],
)
def test_waymos_buckets_by_hand(x: float, y: float, degrees: float, v0: float, v: float, name: str) -> None:
    assert WAYMO[int(waymo_bucket(ends(x, y, degrees, v), torch.tensor(v0, dtype=torch.float64)))] == name
