"""The tracker's first action by its formula, term by term: what it wants, and what each bound makes of that."""

import math

import pytest
import torch
from torch import Tensor

from alpamayo_toy.teachers.roads import SPACING, Roads
from alpamayo_toy.teachers.tracker import track


def asked(
    v: float = 10.0,
    road: float = 10.0,
    slope: float = 0.0,
    kappa: float = 0.0,
    growth: float = 0.0,
    beside: float = 0.0,
    yaw: float = 0.0,
    last: tuple[float, float] = (0.0, 0.0),
    wait: float = 0.0,
    free: bool = True,
    steps: int = 1,
) -> Tensor:
    """Actions (steps, 2) at v m/s, 10 m along a straight road, or one whose curvature grows from kappa, 1/m a metre.

    Its speed is `road` there and changes with a slope in m/s^2; one is `beside` to the left and heads off by yaw.
    """
    s = torch.arange(round(200 / SPACING), dtype=torch.float64) * SPACING
    speed = (road**2 + 2 * slope * (s - 10)).clamp(min=0).sqrt()[None]
    roads = Roads.of((kappa + growth * s)[None], speed, torch.tensor([math.nan], dtype=torch.float64))
    at, heading = (t[0, 0] for t in roads.path.at(torch.tensor([[10.0]], dtype=torch.float64)))
    left = torch.stack([-heading.sin(), heading.cos()]) * beside
    state = torch.cat([at + left, (heading + yaw)[None], torch.tensor([v], dtype=torch.float64)])[None, None]
    along, held = torch.full((1, 1), 10.0, dtype=torch.float64), torch.tensor([[last]], dtype=torch.float64)
    waits = torch.full((1, 1), wait, dtype=torch.float64)
    return track(roads, state, along, held, waits, None, steps, 0.1, free)[0][0, 0]


@pytest.mark.parametrize(
    ("given", "a"),
    [
        ({"v": 9.0}, 0.8),  # 0.8 of what is missing
        ({"v": 11.0}, -0.8),
        ({"v": 5.0}, 1.5),  # catching up with 1.5 m/s^2 at most
        ({"v": 15.0}, -2.5),
        ({"slope": -1.0}, -1.0),
        ({"slope": 1.0}, 1.0),
        ({"slope": -6.0}, -4.0),  # in all from -4 to 2.4 m/s^2
        ({"slope": 4.0}, 2.4),
        ({"v": 0.0}, 0.3),  # pulling away with 0.3 + 1.5 v at most
        ({"v": 0.4}, 0.9),
        ({"v": 9.0, "free": False}, 0.4),  # by 4 m/s^3 from the last action of 0
        ({"v": 11.0, "free": False, "last": (0.2, 0.0)}, -0.2),
        ({"v": 9.0, "free": False, "last": (0.7, 0.0)}, 0.8),
        ({"v": 9.0, "road": 3.0, "slope": -0.2}, -2.5 - 4 * 0.2),  # who is 3 times too fast brakes as if 2 times
        ({"v": 6.0, "road": 5.0, "slope": -0.5}, -0.8 - 1.2**2 * 0.5),
        ({"v": 0.3, "road": 0.3}, 0.0),  # so slow a road is still driven
        ({"v": 0.15, "road": 0.15}, -0.4),  # below 0.2 m/s one stops
        ({"v": 0.02, "road": 0.1}, -0.2),  # and not beyond standing
        ({"v": 2.0, "road": 0.1}, -1.6),
    ],
)
def test_what_a_driver_asks_of_the_engine(given: dict[str, float], a: float) -> None:
    assert float(asked(**given)[0, 0]) == pytest.approx(a, abs=1e-3)


@pytest.mark.parametrize(
    ("given", "kappa"),
    [
        ({"v": 5.0, "beside": 0.1}, -0.1 / 8**2),  # back over 8 m
        ({"v": 5.0, "beside": -0.1}, 0.1 / 8**2),
        ({"v": 16.0, "road": 16.0, "beside": 0.1}, -0.1 / 12.8**2),  # from 12 m/s on over 0.2 v^1.5
        ({"v": 5.0, "yaw": 0.02}, -2 * math.sin(0.02) / 8),
        ({"v": 10.0, "growth": 1e-4}, 10.5e-4),  # as the road bends in the middle of the step to come
        ({"v": 10.0, "yaw": 0.5}, -0.006),  # the wheel turned by 6 / v^2 a second, 0.15 1/m at most
        ({"v": 10.0, "yaw": -0.5}, 0.006),
        ({"v": 2.0, "yaw": 0.5}, -0.015),
        ({"v": 0.5, "yaw": 0.5}, -0.015),
        ({"v": 1.0, "yaw": 0.5, "last": (0.0, 0.2)}, 0.185),
        ({"v": 1.0, "yaw": -1.5, "last": (0.0, 0.325), "kappa": 0.3}, 0.33),  # no sharper than 0.33 1/m
        ({"v": 1.0, "yaw": 1.5, "last": (0.0, -0.325), "kappa": -0.3}, -0.33),
    ],
)
def test_what_a_driver_asks_of_the_wheel(given: dict[str, float], kappa: float) -> None:
    assert float(asked(**given)[0, 1]) == pytest.approx(kappa, abs=2e-5)


@pytest.mark.parametrize(("wait", "stays"), [(0.0, 0), (0.04, 0), (0.1, 1), (0.14, 1), (0.2, 2)])
def test_who_waits_stays_for_as_many_steps(wait: float, stays: int) -> None:
    a = asked(v=0.0, wait=wait, steps=4)[:, 0]
    assert a.tolist()[: stays + 1] == pytest.approx([0.0] * stays + [0.3])
