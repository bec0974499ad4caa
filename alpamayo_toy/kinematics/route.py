"""A path to follow: where one is along it, how far beside it, and the route, the path ahead as 20 points.

A route is (20, 2) points in the ego frame, 80/19 m apart along the path, the first where the car is beside it; NaN
beyond the path's end. AlpaSim hands its drivers such a route. It says where, not how fast.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from alpamayo_toy.kinematics.trajectory import ROUTE_POINTS

ROUTE_SPACING = 80 / 19  # m
TINY = 1e-9  # m, a shorter segment has no direction


@dataclass(frozen=True)
class Path:
    """Polylines (..., P, 2), the distance along them (..., P) and their heading (..., P) at every point.

    Padding: NaN points at the end. heading is continuous; at a point it is the mean of its two segments'.
    """

    points: Tensor
    distance: Tensor
    heading: Tensor

    @classmethod
    def of(cls, points: Tensor) -> Self:
        """The path through points (..., P, 2), P >= 2. Raises ValueError for other shapes."""
        if points.dim() < 2 or points.shape[-1] != 2 or points.shape[-2] < 2:
            raise ValueError(f"points must have shape (..., P, 2) with P >= 2 (got {tuple(points.shape)})")
        step = points.diff(dim=-2)
        length = step.square().sum(-1).clamp(min=TINY**2).sqrt()
        direction = torch.atan2(step[..., 1], step[..., 0])
        turn = wrapped(direction.diff(dim=-1))
        known = turn.nan_to_num(0.0)
        first = direction[..., :1]
        behind = torch.cat([first, first, first + known.cumsum(-1)], -1)  # of the segment that ends at each point
        half = torch.nn.functional.pad(known / 2, (1, 1))  # (..., P): half the turn at each inner point
        heading = torch.where(points.isnan().any(-1), torch.nan, behind + half)
        zero = torch.zeros_like(length[..., :1])
        return cls(points, torch.cat([zero, length.cumsum(-1)], -1), heading)

    def at(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Points (..., Q, 2) and headings (..., Q) at distances (..., Q) along, in metres; NaN off either end."""
        left, share = self._segment(distance)
        columns = [_between(column, left, share) for column in (*self.points.unbind(-1), self.heading)]
        inside = (share >= 0) & (share <= 1)
        x, y, heading = (torch.where(inside, column, torch.nan) for column in columns)
        return torch.stack([x, y], -1), heading

    def locate(
        self, position: Tensor, near: Tensor | None = None, reach: tuple[float, float] = (2.0, 4.0)
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Distance along, offset beside (left positive, m) and the path's heading, (..., Q) each, of Q positions.

        position (..., Q, 2). The nearest segment is taken, of the whole path or of the stretch near - reach[0] ..
        near + reach[1] with near (..., Q): so a road that crosses itself is followed in order. The two outermost
        segments reach on straight.
        """
        if near is None:
            first, width = torch.zeros_like(position[..., 0], dtype=torch.int64), self.points.shape[-2] - 1
        else:
            first, end = self._left(torch.cat([near - reach[0], near + reach[1]], -1)).chunk(2, -1)
            width = int((end - first).max()) + 1
        final = (self._segments - 1).unsqueeze(-1)
        window = first.unsqueeze(-1) + torch.arange(width, device=position.device)
        index = torch.minimum(window, final.unsqueeze(-1)).flatten(-2)
        x0, y0, x1, y1 = (
            self._taken(column, index + k).unflatten(-1, window.shape[-2:])
            for k in (0, 1)
            for column in self.points.unbind(-1)
        )
        dx, dy = x1 - x0, y1 - y0
        px, py = position[..., :1] - x0, position[..., 1:] - y0
        square = (dx * dx + dy * dy).clamp(min=TINY**2)
        share = (px * dx + py * dy) / square
        inner = share.clamp(0, 1)
        away = (px - inner * dx).square() + (py - inner * dy).square()
        best = away.detach().argmin(-1, keepdim=True)
        columns = (index.unflatten(-1, window.shape[-2:]), share, px, py, dx, dy, square)
        chosen, share, px, py, dx, dy, square = (t.gather(-1, best).squeeze(-1) for t in columns)
        low = torch.where(chosen == 0, -torch.inf, 0.0)
        high = torch.where(chosen == final, torch.inf, 1.0)
        kept = torch.minimum(torch.maximum(share, low), high)
        cross, length = dx * py - dy * px, square.sqrt()
        corner = ((px - kept * dx).square() + (py - kept * dy).square()).clamp(min=TINY**2).sqrt() * cross.sign()
        offset = torch.where(kept == share, cross / length, corner)
        heading = _between(self.heading, chosen, kept.clamp(0, 1))
        return self._taken(self.distance, chosen) + kept * length, offset, heading

    def _segment(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        """The segment (..., Q) that distances (..., Q) fall into, and the share of it that lies behind them."""
        left = self._left(distance)
        low, high = self._taken(self.distance, left), self._taken(self.distance, left + 1)
        return left, (distance - low) / (high - low).clamp(min=TINY)

    def _left(self, distance: Tensor) -> Tensor:
        """The segment (..., Q) that distances (..., Q) fall into."""
        right = torch.searchsorted(self._sorted, distance.detach().contiguous(), right=True)
        return torch.minimum((right - 1).clamp(min=0), self._segments.unsqueeze(-1) - 1)

    @cached_property
    def _sorted(self) -> Tensor:
        """The distances (..., P), padding beyond all of them."""
        return self.distance.detach().nan_to_num(torch.inf).contiguous()

    @cached_property
    def _segments(self) -> Tensor:
        """How many segments each path has, padding not counted."""
        return (self.distance.isfinite().sum(-1) - 1).clamp(min=1)

    @staticmethod
    def _taken(column: Tensor, index: Tensor) -> Tensor:
        """column (..., P) at index (..., Q)."""
        return column.gather(-1, index)


def _between(column: Tensor, left: Tensor, share: Tensor) -> Tensor:
    low, high = (Path._taken(column, left + k) for k in (0, 1))
    return low + share * (high - low)


def wrapped(angle: Tensor) -> Tensor:
    """The same angle (...) in radians within -pi .. pi."""
    return torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi


def in_frame(points: Tensor, pose: Tensor) -> Tensor:
    """Points (..., P, 2) in the frame of a pose (..., 3 or more) = x, y, yaw."""
    x, y = (points[..., k] - pose[..., k : k + 1] for k in (0, 1))
    cos, sin = pose[..., 2:3].cos(), pose[..., 2:3].sin()
    return torch.stack([cos * x + sin * y, cos * y - sin * x], -1)


def states_in_frame(states: Tensor, pose: Tensor) -> Tensor:
    """States (..., H, 4) = x, y, yaw, v in the frame of a pose (..., 3 or more)."""
    turned = states[..., 2:3] - pose[..., None, 2:3]
    return torch.cat([in_frame(states[..., :2], pose), turned, states[..., 3:]], -1)


def route_ahead(path: Path, pose: Tensor, along: Tensor) -> Tensor:
    """Routes (..., Q, 20, 2) in the frames of poses (..., Q, 3 or more) that are beside the path at along (..., Q)."""
    steps = torch.arange(ROUTE_POINTS, dtype=along.dtype, device=along.device) * ROUTE_SPACING
    points, _ = path.at((along.unsqueeze(-1) + steps).flatten(-2))
    return in_frame(points.unflatten(-2, (along.shape[-1], ROUTE_POINTS)), pose)


def straight_ahead(like: Tensor) -> Tensor:
    """The route (20, 2) of a car on a straight road, in the dtype and on the device of a tensor."""
    x = torch.arange(ROUTE_POINTS, dtype=like.dtype, device=like.device) * ROUTE_SPACING
    return torch.stack([x, torch.zeros_like(x)], -1)


def curvature_of(points: Tensor) -> Tensor:
    """Curvature (..., P - 2) in 1/m at the inner points (..., P, 2), of the circle through each and its neighbours."""
    a, b = points[..., :-2, :], points[..., 2:, :]
    middle = points[..., 1:-1, :]
    u, w, whole = middle - a, b - middle, b - a
    cross = u[..., 0] * w[..., 1] - u[..., 1] * w[..., 0]
    sides = (u.square().sum(-1) * w.square().sum(-1) * whole.square().sum(-1)).clamp(min=TINY).sqrt()
    return 2 * cross / sides
