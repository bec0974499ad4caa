"""The tracker: who follows a road by feedback of position, heading and speed, with a human's variation."""

import torch
from torch import Tensor

from alpamayo_toy.teachers.roads import Roads

RETURN = 8.0  # m, over which an offset is taken back, critically damped
GENTLE = 0.2  # s^1.5 / m^0.5; from 12 m/s on over GENTLE v^1.5, since one may steer the less, the faster one drives
URGE = 0.8  # 1/s, how fast a driver takes on the road's speed
CATCHING_UP = (-2.5, 1.5)  # m/s^2, for that
ACCELERATION = (-4.0, 2.4)  # m/s^2, in all
PULLING_AWAY = (0.3, 1.5)  # m/s^2 and 1/s: who starts, starts softly, with at most 0.3 + 1.5 v
JERK = 4.0  # m/s^3, along
SWAY = 6.0  # m/s^3, sideways
NEARBY = (1.0, 1.0)  # m, behind and before where one expects to be, in which one looks for where one is
CREEPING = 0.2  # m/s; where the road's speed falls below it, one stops
MAX_CURVATURE = 0.33  # 1/m, Alpamayo's bound
MAX_CURVATURE_RATE = 0.15  # 1/m/s, how fast a driver turns the wheel

DRIVER = ("pace", "timing", "aim", "drift")
"""What a driver varies, in the order of the standard normal vector (..., 4) that track() takes."""
DRIVER_LIMIT = 2.5  # standard deviations: nobody drives further off

# Standard deviations of the driver's variation, tuned to the spread of six Alpamayo-1.5 samples (README.md).
PACE = 0.031  # 1/s, share of the road's speed by which a driver grows faster or slower, per second
TIMING = 0.06  # share by which the way to another speed, or to a stop, is taken as longer than it is
AIM = 0.04  # share by which a bend is steered further
DRIFT = 0.03  # m/s^2, at which the line that one follows leaves the middle of the lane
ASIDE = 1.0  # m, at most


def track(
    roads: Roads,
    state: Tensor,
    along: Tensor,
    last: Tensor,
    wait: Tensor,
    driver: Tensor | None,
    steps: int,
    dt: float,
    free: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Q drivers follow each of N roads: their actions (N, Q, T, 2), states (N, Q, T, 4) after each step, distances
    along (N, Q, T) before it.

    state (N, Q, 4) in the road's frame, along (N, Q) there, last action (N, Q, 2), wait (N, Q) s for which they stay
    where they stand, driver (N, Q, 4) standard normal or None for the mean one. Integrated by euler, every action from
    the state at t, g = 1 + PACE pace t, h = 1 + TIMING timing, s' = s_0 + (s - s_0) / h:
        kappa = (1 + AIM aim) kappa_road(s + v dt / 2) - (d - d_driver) / r^2 - 2 sin(heading error) / r
        a     = g^2 a_road(s') / h + PACE pace v_road(s') + 0.8 (g v_road(s') - v), at most 0.3 + 1.5 v
    r = max(8 m, 0.2 v^1.5), d_driver = DRIFT drift t^2 / 2, within 1 m. Both within comfort bounds and rates; where
    v_road falls below 0.2 m/s, a is what ends in a stop. free: the first a may be any, whatever the last one was.
    """
    x, y, yaw, v = state.unbind(-1)
    a, kappa = last.unbind(-1)
    person = torch.zeros(*state.shape[:-1], len(DRIVER), dtype=v.dtype, device=v.device) if driver is None else driver
    pace, timing, aim, drift = person.unbind(-1)
    slope, start, near, stretch = roads.slope(), along, along, 1 + TIMING * timing
    actions, states, places = [], [], []
    for step in range(steps):
        t = step * dt
        along, beside, heading = roads.path.locate(torch.stack([x, y], -1), near, NEARBY)
        own, place = 1 + PACE * t * pace, start + (along - start) / stretch
        speed, rise = roads.read(roads.speed, place), roads.read(slope, place)
        wanted = (URGE * (own * speed - v)).clamp(*CATCHING_UP)
        ratio = torch.where(rise < 0, (v / speed.clamp(min=CREEPING)).clamp(max=2.0), own)
        wanted = wanted + ratio.square() * rise / stretch + PACE * pace * speed
        stands = (wait > t + dt / 2) | ((speed < CREEPING) & (rise <= 0))
        wanted = torch.where(stands, -(URGE * v).clamp(min=JERK * dt), wanted).clamp(*ACCELERATION)
        wanted = torch.minimum(wanted, PULLING_AWAY[0] + PULLING_AWAY[1] * v)
        a = wanted if free and step == 0 else torch.minimum(torch.maximum(wanted, a - JERK * dt), a + JERK * dt)
        a = torch.maximum(a, -v / dt)  # nobody drives backwards
        line = (DRIFT * drift * t * t / 2).clamp(-ASIDE, ASIDE)
        bend = roads.read(roads.kappa, along + v * dt / 2) * (1 + AIM * aim)
        reach = (GENTLE * v**1.5).clamp(min=RETURN)
        turned = bend - (beside - line) / reach.square() - 2 * torch.sin(yaw - heading) / reach
        change = (SWAY / v.square().clamp(min=1.0)).clamp(max=MAX_CURVATURE_RATE) * dt
        kappa = torch.minimum(torch.maximum(turned, kappa - change), kappa + change)
        kappa = kappa.clamp(-MAX_CURVATURE, MAX_CURVATURE)
        ahead = v * torch.cos(yaw - heading) * dt
        x, y = x + v * torch.cos(yaw) * dt, y + v * torch.sin(yaw) * dt
        yaw = yaw + v * kappa * dt
        v = (v + a * dt).clamp(min=0)
        actions.append(torch.stack([a, kappa], -1))
        states.append(torch.stack([x, y, yaw, v], -1))
        places.append(along)
        near = along + ahead
    return torch.stack(actions, -2), torch.stack(states, -2), torch.stack(places, -1)
