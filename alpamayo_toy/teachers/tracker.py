"""The tracker: who follows a road by feedback of position, heading and speed, with a human's variation."""

import torch
from torch import Tensor

from alpamayo_toy.teachers.roads import Roads
from alpamayo_toy.teachers.scenarios import AIM, DRIFT, DRIVER, MAX_CURVATURE, MAX_CURVATURE_RATE, PACE, TIMING

RETURN = 8.0  # m, over which an offset is taken back, critically damped
URGE = 0.8  # 1/s, how fast a driver takes on the road's speed
AHEAD = 0.5  # s, how far ahead the road's speed is read
ACCELERATION = (-2.5, 1.5)  # m/s^2
JERK = 4.0  # m/s^3, along
SWAY = 6.0  # m/s^3, sideways


def track(
    roads: Roads,
    state: Tensor,
    along: Tensor,
    last: Tensor,
    driver: Tensor | None,
    steps: int,
    dt: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Q drivers follow each of N roads: their actions (N, Q, T, 2), states (N, Q, T, 4), distances along (N, Q, T).

    state (N, Q, 4) in the road's frame, along (N, Q) there, last action (N, Q, 2), driver (N, Q, 4) standard normal or
    None for the mean one. Integrated by euler, every action from the state at t:
        kappa = (1 + AIM aim) kappa_road(s + v dt / 2) - (d - d_driver) / 8^2 - 2 sin(heading error) / 8
        a     = 0.8 (1 + TIMING timing) (v_road(s + v / 2) (1 + PACE pace t) - v)
    d_driver = DRIFT drift t^2 / 2, within 1 m. Both within comfort bounds and rates.
    """
    x, y, yaw, v = state.unbind(-1)
    a, kappa = last.unbind(-1)
    person = torch.zeros(*state.shape[:-1], len(DRIVER), dtype=v.dtype, device=v.device) if driver is None else driver
    pace, timing, aim, drift = person.unbind(-1)
    actions, states, places = [], [], []
    for step in range(steps):
        t = step * dt
        along, beside, heading = roads.path.locate(torch.stack([x, y], -1), along)
        target = roads.read(roads.speed, along + AHEAD * v) * (1 + PACE * t * pace)
        wanted = (URGE * (1 + TIMING * timing) * (target - v)).clamp(*ACCELERATION)
        a = torch.minimum(torch.maximum(wanted, a - JERK * dt), a + JERK * dt)
        a = torch.maximum(a, -v / dt)  # nobody drives backwards
        own = (DRIFT * drift * t * t / 2).clamp(-1, 1)
        bend = roads.read(roads.kappa, along + v * dt / 2) * (1 + AIM * aim)
        turned = bend - (beside - own) / RETURN**2 - 2 * torch.sin(yaw - heading) / RETURN
        change = (SWAY / v.square().clamp(min=1.0)).clamp(max=MAX_CURVATURE_RATE) * dt
        kappa = torch.minimum(torch.maximum(turned, kappa - change), kappa + change)
        kappa = kappa.clamp(-MAX_CURVATURE, MAX_CURVATURE)
        x, y = x + v * torch.cos(yaw) * dt, y + v * torch.sin(yaw) * dt
        yaw = yaw + v * kappa * dt
        v = (v + a * dt).clamp(min=0)
        actions.append(torch.stack([a, kappa], -1))
        states.append(torch.stack([x, y, yaw, v], -1))
        places.append(along)
    return torch.stack(actions, -2), torch.stack(states, -2), torch.stack(places, -1)
