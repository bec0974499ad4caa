"""RoadTeacher: scenes anywhere on random roads, beside the lane and off the speed, each driven on by the tracker."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.kinematics.draws import mixed
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.kinematics.route import route_ahead, states_in_frame
from alpamayo_toy.kinematics.trajectory import DT, HORIZON, UNKNOWN_SCENARIO, Labels
from alpamayo_toy.teachers.config import RoadConfig, SyntheticConfig
from alpamayo_toy.teachers.roads import BEHIND, SIGHT, Roads, draw_roads
from alpamayo_toy.teachers.scenarios import DRIVER
from alpamayo_toy.teachers.synthetic import DRIVER_LIMIT
from alpamayo_toy.teachers.tracker import track

HISTORY = 16  # poses, t0 included
START_WITHIN = 120.0  # m of a road's beginning
FASTER = 1.3  # times the limit: no car is expected to be
CONTEXT = ("speed_limit_mps",)
CHUNK = 512  # scenes driven at once, so that intermediate tensors stay in the cache


@dataclass(frozen=True)
class OnRoad:
    """N cars at t0: their roads, each in the car's frame; where along (N,), v0 (N,), last action (N, 2), history."""

    roads: Roads
    along: Tensor
    v0: Tensor
    last: Tensor
    history: Tensor  # (N, 16, 4)

    def select(self, index: Tensor) -> "OnRoad":
        """The cars at index, in its order."""
        rest = (self.along, self.v0, self.last, self.history)
        return OnRoad(self.roads.select(index), *(t.index_select(0, index) for t in rest))

    def to(self, *args: Any) -> "OnRoad":
        """To a device and/or dtype, as Tensor.to."""
        rest = (self.along, self.v0, self.last, self.history)
        return OnRoad(self.roads.to(*args), *(t.to(*args) for t in rest))


@dataclass(frozen=True)
class RoadTeacher:
    """Draws roads and cars on them, and drives each on for K drivers with a human's variation.

    A driver knows what its route shows, 80 m of road, and the speed limit, which is the context. All that decides how
    it drives is shown but its last action, which limits the next one and which a history would tell. Everything is a
    function of (configuration, seed); trajectories are float32.
    """

    scenario: RoadConfig
    config: SyntheticConfig = field(default_factory=SyntheticConfig)
    horizon: int = HORIZON
    dt: float = DT
    oracle: bool = False  # there is no scenario to tell

    def training(self, seed: int) -> Labels:
        """The labels that a student learns from."""
        return self.labels(self.config.scenes, self.config.samples, mixed(seed, 1))

    def labels(self, n: int, samples: int, seed: int) -> Labels:
        """n clips with K samples each."""
        generator = torch.Generator().manual_seed(seed)
        cars = self.cars(n, generator)
        return self._labels(cars, self._driven(cars, samples, generator), seed)

    def held_out(self, samples: int, seed: int) -> tuple[Labels, Tensor]:
        """Clips never trained on with K samples each, and as many others (N, K, T, 4) of the same scenes."""
        generator = torch.Generator().manual_seed(mixed(seed, 2))
        cars = self.cars(self.config.val_scenes, generator)
        labels = self._labels(cars, self._driven(cars, samples, generator), mixed(seed, 2))
        return labels, self._driven(cars, samples, torch.Generator().manual_seed(mixed(seed, 3)))

    def cars(self, n: int, generator: torch.Generator, seconds: float = 0.0) -> OnRoad:
        """n cars, each on its own road, which goes on for so many seconds and the sight beyond, whatever the speed.

        Set down somewhere near it, they have driven for 1.5 s.
        """
        driven = self.scenario.range("speed_limit_mps")[1] * FASTER * (HISTORY * self.dt + seconds)
        length = START_WITHIN + driven + SIGHT + BEHIND
        made = [self._cars(len(rows), length, generator) for rows in torch.arange(n).split(CHUNK)]
        roads = [cars.roads for cars in made]
        joined = [torch.cat([getattr(cars, name) for cars in made]) for name in ("along", "v0", "last", "history")]
        return OnRoad(Roads.joined(roads), *joined)

    def _cars(self, n: int, length: float, generator: torch.Generator) -> OnRoad:
        config = self.scenario
        roads = draw_roads(config, n, length, generator)
        along = START_WITHIN * torch.rand(n, 1, generator=generator)
        normal = torch.randn(2, n, 1, generator=generator)
        offset, turned = config.start_offset_m * normal[0], config.start_heading_rad * normal[1]
        at, heading = roads.path.at(along)
        share = 0.3 + 0.8 * torch.rand(n, 1, generator=generator)
        moving = torch.rand(n, 1, generator=generator) >= config.from_rest
        v = roads.read(roads.speed, along) * share * moving
        x, y = at[..., 0] - offset * heading.sin(), at[..., 1] + offset * heading.cos()
        first = torch.stack([x, y, heading + turned, v], -1)
        last = torch.stack([torch.zeros_like(v), roads.read(roads.kappa, along)], -1)
        until_t0 = replace(roads, speed=roads.speed * moving)  # who stands at first, stands at t0
        actions, states, places = track(until_t0, first, along, last, None, HISTORY - 1, self.dt)
        past = torch.cat([first.unsqueeze(-2), states], -2)[:, 0]
        now = past[:, -1]
        roads = roads.moved(now)
        here = roads.path.locate(torch.zeros(n, 1, 2), places[..., -1])[0]
        return OnRoad(roads, here[:, 0], now[:, 3], actions[:, 0, -1], states_in_frame(past, now))

    def _driven(self, cars: OnRoad, samples: int, generator: torch.Generator) -> Tensor:
        """samples drivers for each car: (N, K, T, 4)."""
        n = len(cars.v0)
        driver = torch.randn(n, samples, len(DRIVER), generator=generator).clamp(-DRIVER_LIMIT, DRIVER_LIMIT)
        made = torch.empty(n, samples, self.horizon, 4)
        for rows in torch.arange(n).split(max(1, CHUNK * 6 // samples)):
            made[rows] = self.plans(cars.select(rows), driver[rows])
        return made

    def plans(self, cars: OnRoad, driver: Tensor) -> Tensor:
        """Where drivers (N, K, 4) go next, zeros being the mean one: trajectories (N, K, T, 4) in the car's frame."""
        seen = cars.roads.seen(cars.along)
        many = driver.shape[1]
        state = torch.zeros(len(driver), many, 4, dtype=driver.dtype, device=driver.device)
        state[..., 3] = cars.v0.unsqueeze(-1)
        along, last = cars.along.unsqueeze(-1).expand(-1, many), cars.last.unsqueeze(1).expand(-1, many, -1)
        actions, _, _ = track(seen, state, along, last, driver, self.horizon, self.dt)
        trajectory: Tensor = UnicycleRollout(self.dt, "euler")(actions, state[..., 3])
        return trajectory

    def _labels(self, cars: OnRoad, teacher: Tensor, seed: int) -> Labels:
        n = len(cars.v0)
        pose = torch.zeros(n, 1, 3)
        return Labels(
            clip_id=np.array([f"road-{seed}-{i}" for i in range(n)]),
            t0_us=torch.zeros(n, dtype=torch.int64),
            v0=cars.v0.clone(),
            teacher=teacher,
            scenario=torch.full((n,), UNKNOWN_SCENARIO),
            source=np.full(n, "synthetic"),
            v0_source=np.full(n, "file"),
            scenario_source="file",
            history=cars.history if self.scenario.history else None,
            context=cars.roads.limit.unsqueeze(-1).clone(),
            context_names=CONTEXT,
            route=route_ahead(cars.roads.path, pose, cars.along.unsqueeze(-1))[:, 0],
            route_source="file",
            dt=self.dt,
        )
