"""A scenario as a road with a speed profile: what a scene draws, and what of it is still to come further along."""

import math
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from alpamayo_toy.teachers.roads import SPACING, Roads
from alpamayo_toy.teachers.tracker import CREEPING, MAX_CURVATURE, MAX_CURVATURE_RATE

RAMP = 0.3  # share of a turn's length spent winding the curvature up, and again down
SMOOTH = 0.4  # s before and after a moment, over which the speed of a road is averaged there
SOFT = 1.5  # a change of speed ends softly: what is left of it falls with this power of the time left
TABLE = 65  # moments of a change of speed between which time is read linearly from distance

PARAMETERS = (
    "speed_mps",  # before the change
    "final_speed_mps",
    "speed_onset_s",  # when the speed begins to change
    "speed_change_s",  # how long it takes
    "turn_angle_deg",  # heading change of the whole turn, left positive
    "lane_offset_m",  # sideways shift of the whole lane change, left positive
    "steer_onset_s",  # when turn or lane change begin, at the planned speed
    "steer_s",  # how long they take
)
"""What a scene draws, in the order of its vector (..., 8)."""

CONTEXT = (*PARAMETERS, "stop_m")
"""What a student is told: the parameters of what is left of the scene, and metres to where it stops, NaN if nowhere."""


@dataclass(frozen=True)
class Course:
    """N scenes (N, 8), as driven by a clock from where they begin: speed, distance, curvature in closed form.

    v(t) = v1 + (v0 - v1) (1 - u)^1.5, u the share of the change that has passed: what is left of such a change is one
    of the same kind. begin (N,): metres along the road where t is 0.
    """

    scene: Tensor
    begin: Tensor

    @classmethod
    def of(cls, scene: Tensor, before: float) -> Self:
        """Scenes that begin about `before` metres along, so that one that stops does so at a point of its road.

        Turn and lane change go less far where they would break |kappa| <= 0.33 1/m or |d kappa / d t| <= 0.15 1/m/s.
        """
        course = cls(scene, torch.zeros_like(scene[:, 0]))
        angle, offset, length = torch.deg2rad(scene[:, 4]).abs(), scene[:, 5].abs(), course._length()
        bend, swing = angle / length / (1 - RAMP), 2 * math.pi * offset / length**2
        winding = (bend / RAMP + 2 * math.pi * swing) / length * scene[:, :2].amax(-1)
        over = torch.maximum((bend + swing) / MAX_CURVATURE, winding / MAX_CURVATURE_RATE)
        less = scene[:, 4:6] / over.clamp(min=1).unsqueeze(-1)
        stop = course.distance(course.done)
        return cls(torch.cat([scene[:, :4], less, scene[:, 6:]], -1), before + (-stop).remainder(SPACING))

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """One after the other."""
        return cls(torch.cat([part.scene for part in parts]), torch.cat([part.begin for part in parts]))

    def select(self, index: Tensor) -> Self:
        """The courses at index, in its order."""
        return type(self)(self.scene.index_select(0, index), self.begin.index_select(0, index))

    def to(self, *args: Any) -> Self:
        """To a device and/or dtype, as Tensor.to."""
        return type(self)(self.scene.to(*args), self.begin.to(*args))

    @property
    def done(self) -> Tensor:
        """(N,) s: when its speed has changed."""
        return self.scene[:, 2] + self.scene[:, 3]

    @property
    def end(self) -> Tensor:
        """(N,) s: when everything has been done."""
        _, _, _, _, angle, offset, steer_onset, steer = self.scene.unbind(-1)
        return torch.where((angle != 0) | (offset != 0), torch.maximum(self.done, steer_onset + steer), self.done)

    def speed(self, t: Tensor) -> Tensor:
        """m/s at moments (N, ...) in s."""
        v0, v1 = (_like(self.scene[:, k], t) for k in (0, 1))
        return v1 + (v0 - v1) * (1 - self._share(t)) ** SOFT

    def smooth_speed(self, t: Tensor) -> Tensor:
        """m/s, the mean over 0.8 s around moments (N, ...) in s: what it asks of a driver never jumps."""
        return (self.distance(t + SMOOTH) - self.distance(t - SMOOTH)) / (2 * SMOOTH)

    def distance(self, t: Tensor) -> Tensor:
        """m since t = 0, by moments (N, ...) in s."""
        v0, v1, onset, change = (_like(self.scene[:, k], t) for k in range(4))
        gained = (1 - (1 - self._share(t)) ** (SOFT + 1)) * change / (SOFT + 1)
        return v0 * torch.minimum(t, onset) + v1 * (t - onset).clamp(min=0) + (v0 - v1) * gained

    def time_at(self, distance: Tensor) -> Tensor:
        """The moment (N, Q) in s at distances (N, Q) in m; where a course stands, the last one before it moves on."""
        v0, v1, onset, change = (column.unsqueeze(-1) for column in self.scene[:, :4].unbind(-1))
        times = onset + change * torch.linspace(0, 1, TABLE, dtype=v0.dtype, device=v0.device)
        places = self.distance(times)
        first, last = places[:, :1], places[:, -1:]
        right = torch.searchsorted(places, distance.contiguous()).clamp(1, TABLE - 1)
        (low, high), (before, after) = (
            (column.gather(-1, right - 1), column.gather(-1, right)) for column in (places, times)
        )
        within = before + (after - before) * ((distance - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
        moving = onset - (first - distance).clamp(min=0) / v0.clamp(min=1e-6)
        beyond = times[:, -1:] + (distance - last).clamp(min=0) / v1.clamp(min=1e-6)
        early = torch.where(v0 > 0, moving, onset)
        late = torch.where(v1 > 0, beyond, times[:, -1:])
        return torch.where(distance < first, early, torch.where(distance > last, late, within))

    def left(self, along: Tensor, wait: Tensor) -> Tensor:
        """CONTEXT (N, 9) of cars that are (N,) metres along their roads and stand for (N,) s more."""
        v0, v1, onset, change, angle, offset, steer_onset, steer = self.scene.unbind(-1)
        s = along - self.begin
        t = self.time_at(s.unsqueeze(-1)).squeeze(-1)
        now = torch.where((v0 == 0) & (t <= onset), onset - wait, t)  # who waits is told so by the clock alone
        u = self._steered(s.unsqueeze(-1)).squeeze(-1)
        stop = torch.where(v1 < CREEPING, self.distance(self.done) - s, torch.nan)
        left = (
            self.smooth_speed(t),
            v1,
            (onset - now).clamp(min=0),
            torch.minimum(change, self.done - t).clamp(min=0),
            angle * (1 - _turned(u)),
            offset * (1 - u + torch.sin(2 * math.pi * u) / (2 * math.pi)),
            (steer_onset - now).clamp(min=0),
            torch.minimum(steer, steer_onset + steer - now).clamp(min=0),
            stop,
        )
        return torch.stack(left, -1)

    def roads(self, length: float) -> Roads:
        """Its roads, of so many metres: curvature as a function of the distance driven, and its speed there.

        A turn winds up, holds and unwinds (a trapezoid); a lane change is one period of a sine.
        """
        scene = self.scene
        s = torch.arange(round(length / SPACING) + 1, dtype=scene.dtype) * SPACING - self.begin.unsqueeze(-1)
        speed = self.smooth_speed(self.time_at(s))
        return Roads.of(self.curvature(s), speed, scene.new_full(scene.shape[:1], torch.nan))

    def curvature(self, distance: Tensor) -> Tensor:
        """1/m at distances (N, Q) in m."""
        angle, offset = self.scene[:, 4:6].unsqueeze(-1).unbind(1)
        length, u = self._length().unsqueeze(-1), self._steered(distance)
        turn = torch.minimum(u, 1 - u).div(RAMP).clamp(max=1) / (1 - RAMP)  # mean 1 over u in [0, 1]
        swing = torch.sin(2 * math.pi * u) * (2 * math.pi)  # twice integrated over [0, 1]: 1
        return torch.deg2rad(angle) / length * turn + offset / length**2 * swing

    def _share(self, t: Tensor) -> Tensor:
        onset, change = (_like(self.scene[:, k], t) for k in (2, 3))
        return ((t - onset) / change).clamp(0, 1)

    def _length(self) -> Tensor:
        """(N,) m that turn or lane change take."""
        onset, steer = self.scene[:, 6:8].unbind(-1)
        return (self.distance(onset + steer) - self.distance(onset)).clamp(min=1.0)

    def _steered(self, distance: Tensor) -> Tensor:
        """The share (N, Q) of turn or lane change that lies behind, by distances (N, Q)."""
        start = self.distance(self.scene[:, 6]).unsqueeze(-1)
        return ((distance - start) / self._length().unsqueeze(-1)).clamp(0, 1)


def _turned(u: Tensor) -> Tensor:
    """The share of a turn's angle that a share u of its length has brought."""
    near = torch.minimum(u, 1 - u)
    ramp = near.clamp(max=RAMP)
    brought = (ramp * ramp / (2 * RAMP) + (near - ramp)) / (1 - RAMP)
    return torch.where(u <= 0.5, brought, 1 - brought)


def _like(column: Tensor, t: Tensor) -> Tensor:
    """A column (N,) beside moments (N, ...)."""
    return column.reshape(-1, *[1] * (t.dim() - 1))
