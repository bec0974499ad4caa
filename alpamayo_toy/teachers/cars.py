"""Cars: where N drives begin, each on its own road, and what its driver is told of the way."""

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from alpamayo_toy.kinematics.route import route_ahead
from alpamayo_toy.kinematics.trajectory import Scene
from alpamayo_toy.teachers.roads import Roads
from alpamayo_toy.teachers.scenarios import CONTEXT, Course
from alpamayo_toy.teachers.tracker import CREEPING

ROAD_CONTEXT = ("speed_limit_mps",)


@dataclass(frozen=True)
class Cars:
    """N cars at t0: roads, each in its car's frame; along (N,) m on it; v0 (N,); last action (N, 2); history (N, H, 4).

    wait (N,) s for which a car that stands stays; scenario (N,) int64, -1 on random roads; course: the scenario's, None
    there.
    """

    roads: Roads
    along: Tensor
    v0: Tensor
    last: Tensor
    history: Tensor
    wait: Tensor
    scenario: Tensor
    course: Course | None = None

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """One after the other."""
        columns = zip(*(part._columns() for part in parts), strict=True)
        courses = [part.course for part in parts if part.course is not None]
        roads = Roads.joined([part.roads for part in parts])
        return cls._of(
            roads, tuple(torch.cat(column) for column in columns), Course.joined(courses) if courses else None
        )

    def select(self, index: Tensor) -> Self:
        """The cars at index, in its order."""
        columns = tuple(column.index_select(0, index) for column in self._columns())
        return self._of(self.roads.select(index), columns, self.course and self.course.select(index))

    def to(self, *args: Any) -> Self:
        """To a device and/or dtype, as Tensor.to; the scenario follows the device only."""
        *numbers, scenario = self._columns()
        moved = tuple(column.to(*args) for column in numbers)
        columns = (*moved, scenario.to(moved[0].device))
        return self._of(self.roads.to(*args), columns, self.course and self.course.to(*args))

    def _columns(self) -> tuple[Tensor, ...]:
        return (self.along, self.v0, self.last, self.history, self.wait, self.scenario)

    @classmethod
    def _of(cls, roads: Roads, columns: tuple[Tensor, ...], course: Course | None) -> Self:
        along, v0, last, history, wait, scenario = columns
        return cls(roads, along, v0, last, history, wait, scenario, course)

    @property
    def context_names(self) -> tuple[str, ...]:
        """What a driver is told, of the columns of a scene's context."""
        return ROAD_CONTEXT if self.course is None else CONTEXT

    def beside(self, offset: float) -> Self:
        """The same cars so many metres to the left of where they are; their history has always been there."""
        pose = torch.zeros(len(self.v0), 3, dtype=self.v0.dtype, device=self.v0.device)
        pose[:, 1] = offset
        return replace(self, roads=self.roads.moved(pose)) if offset else self

    def stop_line(self) -> Tensor:
        """(N,) m along their roads, where they are to stop; NaN where nowhere."""
        if self.course is None:
            return torch.full_like(self.v0, torch.nan)
        ends = torch.where(self.course.scene[:, 1] < CREEPING, self.course.distance(self.course.done), torch.nan)
        return self.course.begin + ends

    def scene(self, state: Tensor, along: Tensor, wait: Tensor, history: Tensor | None) -> Scene:
        """What may be known of states (N, 4) in the roads' frame at (N,) m along: route, speed, what is left to do."""
        context = self.roads.limit.unsqueeze(-1).clone() if self.course is None else self.course.left(along, wait)
        route = route_ahead(self.roads.path, state[:, None, :3], along.unsqueeze(-1))[:, 0]
        return Scene(self.scenario, state[:, 3], history, context, route)
