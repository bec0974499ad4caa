"""Along a route: where a car is that has driven so far on it, and what of a route says how fast one drives there."""

import torch
from torch import Tensor

from alpamayo_toy.kinematics.route import ROUTE_SPACING, TINY, Path, curvature_of
from alpamayo_toy.kinematics.trajectory import ROUTE_POINTS

RETURN = 6.0  # m: an offset e becomes e (1 + s / 6) e^(-s / 6), a seventh after 20 m
BEHIND = 1.0  # m: a route that begins further ahead is reached straight from the car
FAR = 1e4  # m, further than any car comes


def followed(route: Tensor, distance: Tensor, speed: Tensor) -> Tensor:
    """Cars that have driven distances (N, T) in metres at speeds (N, T) along routes (N, 20, 2): (N, T, 4).

    A car beside its route returns to it; beyond the end it goes straight on. NaN where nothing of a route is known.
    """
    road = _continued(route.to(distance.dtype))
    along, offset, _ = road.locate(torch.zeros_like(road.points[:, :1]))
    points, heading = road.at((along + distance).clamp(min=0))
    share = distance / RETURN
    left = offset * (1 + share) * torch.exp(-share)
    yaw = heading + torch.atan(-offset * share / RETURN * torch.exp(-share))
    x = points[..., 0] - left * heading.sin()
    y = points[..., 1] + left * heading.cos()
    return torch.stack([x, y, yaw, torch.where(x.isnan(), torch.nan, speed)], -1)


def bends(route: Tensor) -> Tensor:
    """|curvature| (N, 18) in 1/m at the inner points of routes (N, 20, 2), 0 where they are unknown."""
    return curvature_of(route).abs().nan_to_num(0.0)


def known(route: Tensor) -> Tensor:
    """(N,) bool: something of the route (N, 20, 2) is known."""
    return route[:, 0].isfinite().all(-1)


def _continued(route: Tensor) -> Path:
    """Routes (N, 20, 2) with a metre in front, or the way from the car to their start, and straight on at their end."""
    count = route.isfinite().all(-1).sum(-1)
    last = _row(route, count - 1)
    end = last - _row(route, count - 2)
    first = route[:, 1] - route[:, 0]
    ahead = torch.tensor([1.0, 0.0], dtype=route.dtype, device=route.device)
    lengths = [step.square().sum(-1, keepdim=True).sqrt() for step in (end, first)]
    stands = [(length < TINY) | (count < 2)[:, None] for length in lengths]  # a point that is repeated has no direction
    end, first = (
        torch.where(still, ahead, step / length.clamp(min=TINY))
        for step, length, still in zip((end, first), lengths, stands, strict=True)
    )
    beyond = torch.arange(ROUTE_POINTS, device=route.device) - (count - 1)[:, None]
    straight = last[:, None] + beyond.unsqueeze(-1) * ROUTE_SPACING * end[:, None]
    points = torch.where((beyond > 0).unsqueeze(-1), straight, route)
    gap = (points[:, 0] * first).sum(-1, keepdim=True)  # m along the route from beside the car to its start
    front = torch.where(gap > BEHIND, 0.0, points[:, 0] - BEHIND * first)
    return Path.of(torch.cat([front[:, None], points, (points[:, -1] + FAR * end)[:, None]], 1))


def _row(route: Tensor, index: Tensor) -> Tensor:
    """Points (N, 2) of routes (N, 20, 2) at an index (N,)."""
    return route[torch.arange(len(route), device=route.device), index.clamp(min=0)]
