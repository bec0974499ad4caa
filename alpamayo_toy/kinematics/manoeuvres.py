"""Scenario: the manoeuvres a student can be asked for, and which of them a trajectory is."""

from enum import IntEnum

import torch
from torch import Tensor

STANDSTILL = 0.6  # m/s, below it Alpamayo's own guard calls a car standing


class Scenario(IntEnum):
    """The manoeuvres a student can be asked for."""

    STRAIGHT = 0
    LEFT = 1
    RIGHT = 2
    STOP = 3
    START = 4
    LANE_CHANGE_LEFT = 5
    LANE_CHANGE_RIGHT = 6
    U_TURN = 7


def classify(trajectory: Tensor, v0: Tensor) -> Tensor:
    """The Scenario that a trajectory (..., T, 4) from v0 (...) looks like, as int64 (...). Reads the future: an oracle.

    Never above 0.6 m/s, or from above 2 m/s to below 0.6: STOP. From below 0.6 to above 2: START. Otherwise by heading
    change: 150 deg U_TURN, 30 deg LEFT or RIGHT; below 10 deg with 2.5 m sideways at the end LANE_CHANGE; else
    STRAIGHT. Recovers the synthetic teacher's own scenario on 95 % of its samples.
    """
    y, yaw, v = trajectory[..., -1, 1], trajectory[..., -1, 2], trajectory[..., 3]
    end = v[..., -1]
    heading = torch.rad2deg(yaw)
    stands = (v.amax(-1) <= STANDSTILL) & (v0 <= STANDSTILL)
    left = torch.where(y > 0, int(Scenario.LANE_CHANGE_LEFT), int(Scenario.LANE_CHANGE_RIGHT))
    shifted = (heading.abs() < 10) & (y.abs() >= 2.5)
    found = torch.where(shifted, left, int(Scenario.STRAIGHT))
    turned = torch.where(heading > 0, int(Scenario.LEFT), int(Scenario.RIGHT))
    found = torch.where(heading.abs() >= 30, turned, found)
    found = torch.where(heading.abs() >= 150, int(Scenario.U_TURN), found)
    found = torch.where((v0 < STANDSTILL) & (end > 2), int(Scenario.START), found)
    return torch.where(stands | ((v0 > 2) & (end < STANDSTILL)), int(Scenario.STOP), found)


WAYMO = (
    "STATIONARY",
    "STRAIGHT",
    "STRAIGHT_LEFT",
    "STRAIGHT_RIGHT",
    "LEFT_TURN",
    "RIGHT_TURN",
    "LEFT_U_TURN",
    "RIGHT_U_TURN",
)
"""The buckets of waymo_bucket(), in the order of its numbers."""


def waymo_bucket(trajectory: Tensor, v0: Tensor) -> Tensor:
    """The trajectory bucket of Waymo's motion metrics as an index into WAYMO: (..., T, 4), (...) -> int64 (...).

    Slower than 2 m/s at both ends and moved by less than 3 m: stationary. Heading change below 30 deg: straight, to the
    left or right from 2.5 m sideways on. Otherwise a turn, and a U-turn where it ends behind the start.
    """
    x, y, yaw, v = trajectory[..., -1, :].unbind(-1)
    still = (torch.maximum(v0.abs(), v.abs()) < 2) & (torch.hypot(x, y) < 3)
    straight = torch.where(y.abs() < 2.5, 1, torch.where(y > 0, 2, 3))
    turn = torch.where(yaw > 0, 4, 5) + 2 * (x < 0)
    return torch.where(still, 0, torch.where(torch.rad2deg(yaw).abs() < 30, straight, turn))
