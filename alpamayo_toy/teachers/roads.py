"""Roads: random bends between straights, as dense paths with a curvature and a speed at every point."""

import math
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from alpamayo_toy.kinematics.route import Path, in_frame
from alpamayo_toy.teachers.config import RoadConfig

SPACING = 0.5  # m, between points of a road
SIGHT = 80.0  # m, what is known of a road ahead: what a route shows
BEHIND = 6.0  # m of road that is kept behind a car
SIDEWAYS = 2.0  # m/s^2, lateral acceleration that a bend is driven with at most
BRAKING = 1.5  # m/s^2, deceleration that bends are approached with
WINDING = 0.15  # 1/m/s, how fast curvature may change at the speed of a bend
LATITUDE = 1.5  # ramps of a bend are that much longer than that
SWAY = 4.0  # m/s^3, lateral jerk on a ramp


@dataclass(frozen=True)
class Roads:
    """N roads: path of points (N, P, 2); kappa (N, P) 1/m; speed (N, P) m/s, what limit and bends ahead allow.

    limit (N,) m/s; NaN where the speed is a scenario's, which no bend changes.
    """

    path: Path
    kappa: Tensor
    speed: Tensor
    limit: Tensor

    @classmethod
    def of(cls, kappa: Tensor, speed: Tensor, limit: Tensor) -> Self:
        """Roads from the origin along x with curvatures and speeds (N, P) at points SPACING apart."""
        turn = (kappa[:, :-1] + kappa[:, 1:]) / 2 * SPACING
        zero = torch.zeros_like(kappa[:, :1])
        heading = torch.cat([zero, turn.cumsum(-1)], -1)
        middle = heading[:, :-1] + turn / 2
        chord = SPACING * torch.sinc(turn / (2 * math.pi))
        x, y = (torch.cat([zero, (chord * side(middle)).cumsum(-1)], -1) for side in (torch.cos, torch.sin))
        distance = (torch.arange(kappa.shape[1], dtype=kappa.dtype) * SPACING).expand_as(kappa).contiguous()
        path = Path(torch.stack([x, y], -1), distance, heading)
        return cls(path, kappa, speed, limit)

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """One after the other."""
        columns = zip(*(part._columns() for part in parts), strict=True)
        return cls._of(tuple(torch.cat(column) for column in columns))

    def _columns(self) -> tuple[Tensor, ...]:
        return (self.path.points, self.path.distance, self.path.heading, self.kappa, self.speed, self.limit)

    @classmethod
    def _of(cls, columns: tuple[Tensor, ...]) -> Self:
        return cls(Path(*columns[:3]), *columns[3:])

    def select(self, index: Tensor) -> Self:
        """The roads at index, in its order."""
        return self._of(tuple(column.index_select(0, index) for column in self._columns()))

    def seen(self, along: Tensor) -> Self:
        """What a driver at `along` (N,) knows of them: SIGHT ahead, straight on beyond, at the limit or last speed."""
        count = round((SIGHT + BEHIND) / SPACING) + 1
        first = ((along - BEHIND) / SPACING).long().clamp(0, self.kappa.shape[1] - count)
        index = first.unsqueeze(-1) + torch.arange(count, device=along.device)
        columns = (*self.path.points.unbind(-1), self.path.distance, self.path.heading, self.kappa, self.speed)
        x, y, distance, heading, kappa, speed = (column.gather(-1, index) for column in columns)
        path = Path(torch.stack([x, y], -1), distance, heading)
        kappa[:, -1] = 0
        speed = torch.where(self.limit.isnan().unsqueeze(-1), speed, allowed_speed(kappa, self.limit))
        return type(self)(path, kappa, speed, self.limit)

    def moved(self, pose: Tensor) -> Self:
        """The same roads in the frames of poses (N, 3 or more)."""
        path = Path(in_frame(self.path.points, pose), self.path.distance, self.path.heading - pose[:, 2:3])
        return type(self)(path, self.kappa, self.speed, self.limit)

    def to(self, *args: Any) -> Self:
        """To a device and/or dtype, as Tensor.to."""
        return self._of(tuple(column.to(*args) for column in self._columns()))

    def slope(self) -> Tensor:
        """The acceleration (N, P) in m/s^2 that keeps the speed, d(v^2) / 2 ds; a limit asks for none to be reached."""
        rise = self.speed.square().diff(dim=-1) / (2 * SPACING)
        rise = torch.cat([rise, torch.zeros_like(rise[:, :1])], -1)
        return torch.where(self.limit.isnan().unsqueeze(-1), rise, rise.clamp(max=0))

    def read(self, column: Tensor, along: Tensor) -> Tensor:
        """A column (N, P) at distances along (N, Q), linearly, held beyond the ends."""
        place = ((along - self.path.distance[:, :1]) / SPACING).clamp(0, column.shape[-1] - 1)
        left = place.long().clamp(max=column.shape[-1] - 2)
        low, high = column.gather(-1, left), column.gather(-1, left + 1)
        return low + (place - left) * (high - low)


def allowed_speed(kappa: Tensor, limit: Tensor) -> Tensor:
    """Speeds (N, P) that limits (N,) and bends allow, bends approached with b = BRAKING.

    v(s)^2 = min over s' >= s of u(s')^2 + 2 b (s' - s), u = min(limit, sqrt(SIDEWAYS / |kappa|)).
    """
    u = torch.minimum(limit.unsqueeze(-1), (SIDEWAYS / kappa.abs().clamp(min=1e-6)).sqrt())
    ramp = 2 * BRAKING * SPACING * torch.arange(kappa.shape[1], dtype=kappa.dtype, device=kappa.device)
    least = (u.square() + ramp).flip(-1).cummin(-1).values.flip(-1)
    return (least - ramp).clamp(min=0).sqrt()


def draw_roads(config: RoadConfig, n: int, length: float, generator: torch.Generator) -> Roads:
    """n roads of so many metres by a config's odds, each with its own speed limit; straight on after the last bend."""
    limit = _uniform(config.range("speed_limit_mps"), (n,), generator)
    shape = (n, config.bends)
    radius, angle, straight = (
        _uniform(config.range(name), shape, generator) for name in ("radius_m", "turn_deg", "straight_m")
    )
    side = torch.where(torch.rand(shape, generator=generator) < 0.5, 1.0, -1.0)
    peak = 1 / radius
    speed = torch.minimum(limit.unsqueeze(-1), (SIDEWAYS / peak).sqrt())
    held = torch.deg2rad(angle) / peak
    rate = torch.minimum(speed.new_tensor(WINDING / LATITUDE), SWAY / speed.square())
    ramp = torch.minimum(peak * speed / rate, held)
    whole = held + ramp
    start = (straight + whole).cumsum(-1) - whole
    s = torch.arange(round(length / SPACING) + 1) * SPACING
    kappa = torch.zeros(n, len(s))
    for bend in range(config.bends):
        first, extent, wound, bent = (t[:, bend, None] for t in (start, whole, ramp, side * peak))
        u = s - first
        kappa += bent * (torch.minimum(u, extent - u) / wound).clamp(0, 1)
    return Roads.of(kappa, allowed_speed(kappa, limit), limit)


def _uniform(between: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    low, high = between
    return low + (high - low) * torch.rand(shape, generator=generator)
