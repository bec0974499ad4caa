"""SyntheticTeacher: sets cars down on the roads of a scenario and drives each on with a human's variation."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.kinematics.draws import mixed
from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.kinematics.route import states_in_frame
from alpamayo_toy.kinematics.trajectory import DT, HORIZON, UNKNOWN_SCENARIO, Labels
from alpamayo_toy.teachers.cars import Cars
from alpamayo_toy.teachers.config import MixtureConfig, RoadConfig, ScenarioConfig, SyntheticConfig
from alpamayo_toy.teachers.roads import BEHIND, SIGHT, Roads, draw_roads
from alpamayo_toy.teachers.scenarios import PARAMETERS, Course
from alpamayo_toy.teachers.tracker import DRIVER, DRIVER_LIMIT, NEARBY, track

HISTORY = 16  # poses, t0 included
START_WITHIN = 120.0  # m of a random road's beginning
FASTER = 1.3  # times the fastest speed: no car is expected to be
FIRST = 0.3  # share of a scenario's windows that are its very beginning, as planned
AFTER = 1.5  # s after its end until which the others are cut
OFF_SPEED = 0.3  # standard deviation of the speed 1.5 s before t0, as a share of the course's
MISJUDGED = 4.0  # times as far as drivers differ, they misjudge before t0 how far it is to another speed
HIDING = ("none", "speed")  # what of teacher.reveal shows a student no parameter of its scene
CHUNK = 512  # cars set down at once, so that intermediate tensors stay in the cache
DRIVES = 24576  # at once: of fewer the calls take longer than the numbers


@dataclass(frozen=True)
class SyntheticTeacher:
    """Draws roads and cars on them, before, in and after a manoeuvre, and drives each on for K drivers.

    All that decides how a driver drives is shown, but the last curvature, which limits the next one and which a history
    tells; what reveal=none hides is drawn again for each driver. Everything is a function of (configuration, seed);
    trajectories are float32, rolled out by euler.
    """

    scenario: ScenarioConfig | MixtureConfig | RoadConfig
    config: SyntheticConfig = field(default_factory=SyntheticConfig)
    horizon: int = HORIZON
    dt: float = DT
    oracle: bool = False  # the scenario is its own to tell

    def training(self, seed: int) -> Labels:
        """The labels that a student learns from."""
        return self.labels(self.config.scenes, self.config.samples, mixed(seed, 1))

    def labels(self, n: int, samples: int, seed: int) -> Labels:
        """n clips with K samples each."""
        generator = torch.Generator().manual_seed(seed)
        cars = self.cars(n, generator)
        return self._labels(cars, self._driven(cars, self._drivers(n, samples, generator)), seed)

    def held_out(self, samples: int, seed: int) -> tuple[Labels, Tensor]:
        """Clips never trained on with K samples each, and as many others (N, K, T, 4) of the same scenes."""
        number = mixed(seed, 2)
        cars = self.cars(self.config.val_scenes, torch.Generator().manual_seed(number))
        generators = [torch.Generator().manual_seed(mixed(seed, other)) for other in (4, 3)]
        if self.hides:
            scored, others = (self._fresh(cars, samples, generator) for generator in generators)
        else:  # both in one drive, which takes as long as one of them
            drivers = [self._drivers(len(cars.v0), samples, generator) for generator in generators]
            scored, others = self._driven(cars, torch.cat(drivers, 1)).split(samples, 1)
        return self._labels(cars, scored, number), others

    def crowd(self, clips: int, drivers: int, seed: int) -> Tensor:
        """Many more samples of the first of the held-out clips: (clips, drivers, T, 4)."""
        cars = self.cars(self.config.val_scenes, torch.Generator().manual_seed(mixed(seed, 2)))
        some = cars.select(torch.arange(min(clips, self.config.val_scenes)))
        return self._fresh(some, drivers, torch.Generator().manual_seed(mixed(seed, 7)))

    @property
    def hides(self) -> bool:
        """Whether a student is shown no parameter of its scene."""
        return self.config.reveal in HIDING

    def cars(self, n: int, generator: torch.Generator, seconds: float = 0.0, first: bool = False) -> Cars:
        """n cars, each on its own road, which goes on for so many seconds and the sight beyond, whatever the speed.

        Set down somewhere near it, they have driven for 1.5 s. first: all at the very beginning of their scenes.
        """
        first = first or self.config.reveal != "all"
        made = []
        for rows in torch.arange(n).split(CHUNK):
            if isinstance(self.scenario, RoadConfig):
                made.append(self._on_a_road(self.scenario, len(rows), seconds, generator))
            else:
                part, scene = self._drawn(len(rows), generator)
                made.append(self._in_a_scene(part, scene, seconds, first, generator))
        return Cars.joined(made)

    def plans(self, cars: Cars, driver: Tensor) -> Tensor:
        """Where drivers (N, K, 4) go next, zeros being the mean one: trajectories (N, K, T, 4) in the car's frame."""
        seen = cars.roads.seen(cars.along)
        many = driver.shape[1]
        state = torch.zeros(len(driver), many, 4, dtype=driver.dtype, device=driver.device)
        state[..., 3] = cars.v0.unsqueeze(-1)
        along, wait = (t.unsqueeze(-1).expand(-1, many) for t in (cars.along, cars.wait))
        last = cars.last.unsqueeze(1).expand(-1, many, -1)
        actions, _, _ = track(seen, state, along, last, wait, driver, self.horizon, self.dt, free=True)
        trajectory: Tensor = UnicycleRollout(self.dt, "euler")(actions, state[..., 3])
        return trajectory

    @property
    def parts(self) -> list[ScenarioConfig]:
        """The scenarios that are mixed."""
        if isinstance(self.scenario, MixtureConfig):
            return list(self.scenario.parts.values())
        return [self.scenario] if isinstance(self.scenario, ScenarioConfig) else []

    @property
    def own_scenarios(self) -> tuple[str, ...]:
        """The names of its scenarios that are none of Scenario."""
        return tuple(dict.fromkeys(part.name for part in self.parts if part.name not in Scenario.__members__))

    @staticmethod
    def _drivers(n: int, samples: int, generator: torch.Generator) -> Tensor:
        """Drivers (n, K, 4) by their odds, as track() takes them."""
        return torch.randn(n, samples, len(DRIVER), generator=generator).clamp(-DRIVER_LIMIT, DRIVER_LIMIT)

    def _driven(self, cars: Cars, drivers: Tensor) -> Tensor:
        """Where drivers (N, K, 4) of the cars go: (N, K, T, 4)."""
        made = torch.empty(*drivers.shape[:2], self.horizon, 4)
        for rows in torch.arange(len(drivers)).split(max(1, DRIVES // drivers.shape[1])):
            made[rows] = self.plans(cars.select(rows), drivers[rows])
        return made

    def _fresh(self, cars: Cars, samples: int, generator: torch.Generator) -> Tensor:
        """New drivers (N, K, T, 4) of cars; what is not revealed is each one's own, in a scene that looks the same."""
        if not self.hides:
            return self._driven(cars, self._drivers(len(cars.v0), samples, generator))
        made = []
        scenario, v0 = (t.repeat_interleave(samples) for t in (cars.scenario, cars.v0))
        for rows in torch.arange(len(v0)).split(CHUNK):
            part, scene = self._redrawn(scenario[rows], v0[rows], generator)
            fresh = self._in_a_scene(part, scene, 0.0, True, generator)
            made.append(self._driven(fresh, self._drivers(len(rows), 1, generator)))
        return torch.cat(made).reshape(len(cars.v0), samples, self.horizon, 4)

    def _drawn(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n scenes: which part they are of (n,), and their parameters (n, 8)."""
        weights = torch.tensor([part.weight for part in self.parts])
        part = torch.multinomial(weights, n, replacement=True, generator=generator)
        return part, self._parameters(part, generator)

    def _redrawn(self, scenario: Tensor, v0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Other scenes, as _drawn, that go with the same v0 (n,), and scenario (n,) unless speed alone is revealed, by
        the teacher's own odds.
        """
        low, high = self._ranges()
        density = torch.tensor([part.weight for part in self.parts]) / (high[:, 0] - low[:, 0]).clamp(min=1e-6)
        fits = (v0[:, None] >= low[:, 0] - 1e-6) & (v0[:, None] <= high[:, 0] + 1e-6)
        if self.config.reveal != "speed":
            fits &= scenario[:, None] == self._names()
        part = torch.multinomial(density * fits, 1, generator=generator)[:, 0]
        scenes = self._parameters(part, generator)
        scenes[:, 0] = v0
        return part, scenes

    def _names(self) -> Tensor:
        names = (*Scenario.__members__, *self.own_scenarios)
        return torch.tensor([names.index(part.name) for part in self.parts])

    def _ranges(self) -> tuple[Tensor, Tensor]:
        pairs = torch.tensor([[part.range(name) for name in PARAMETERS] for part in self.parts])
        return pairs[..., 0], pairs[..., 1]

    def _parameters(self, part: Tensor, generator: torch.Generator) -> Tensor:
        low, high = (side[part] for side in self._ranges())
        return low + (high - low) * torch.rand(len(part), len(PARAMETERS), generator=generator)

    def _on_a_road(self, config: RoadConfig, n: int, seconds: float, generator: torch.Generator) -> Cars:
        """n cars anywhere on random roads; some stand."""
        driven = config.fastest * FASTER * (HISTORY * self.dt + seconds)
        roads = draw_roads(config, n, START_WITHIN + driven + SIGHT + BEHIND, generator)
        along = START_WITHIN * torch.rand(n, generator=generator)
        aside = self._aside(n, generator)
        share = 0.3 + 0.8 * torch.rand(n, generator=generator)
        moving = torch.rand(n, generator=generator) >= config.from_rest
        v = roads.read(roads.speed, along.unsqueeze(-1))[:, 0] * share * moving
        wait = torch.where(moving, 0.0, (HISTORY - 1) * self.dt)  # who stands at first, stands at t0
        return self._driven_until_t0(
            roads, along, v, aside, wait, self._misjudged(n, generator), torch.full((n,), UNKNOWN_SCENARIO), None
        )

    def _in_a_scene(self, part: Tensor, scene: Tensor, seconds: float, first: bool, generator: torch.Generator) -> Cars:
        """Cars at the very beginning of scenes (n, 8) as planned, or for a share of them anywhere in and after it."""
        n, past = len(part), (HISTORY - 1) * self.dt
        high = self._ranges()[1]
        top = self.scenario.fastest * FASTER
        course = Course.of(scene, BEHIND + top * past)
        longest = float(torch.maximum(high[:, 2] + high[:, 3], high[:, 6] + high[:, 7]).max())
        roads = course.roads(BEHIND + top * (2 * past + longest + AFTER + seconds) + SIGHT + BEHIND)
        aside, faster = self._aside(n, generator), OFF_SPEED * torch.randn(n, generator=generator)
        planned = torch.rand(n, generator=generator) < FIRST
        t = (course.end + AFTER) * torch.rand(n, generator=generator)
        if first:
            planned = torch.ones_like(planned)
        begin = torch.where(planned, 0.0, t) - past
        v0, onset = scene[:, 0], scene[:, 2]
        place = course.distance(torch.where((v0 == 0) & (begin < onset), onset, begin))
        wait = torch.where(v0 == 0, (onset - begin).clamp(min=0), 0.0)
        v = course.speed(begin) * (1 + torch.where(planned, 0.0, faster)).clamp(min=0)
        aside = torch.where(planned, 0.0, aside)
        misjudged = torch.where(planned, 0.0, self._misjudged(n, generator))
        cars = self._driven_until_t0(
            roads, course.begin + place, v, aside, wait, misjudged, self._names()[part], course
        )
        # who keeps to the course has not begun anything yet
        x = v0.unsqueeze(-1) * torch.arange(1 - HISTORY, 1) * self.dt
        straight = torch.stack([x, *torch.zeros(2, *x.shape), v0.unsqueeze(-1).expand_as(x)], -1)
        return replace(
            cars,
            v0=torch.where(planned, v0, cars.v0),
            history=torch.where(planned[:, None, None], straight, cars.history),
            last=cars.last.masked_fill(planned.unsqueeze(-1), 0.0),
        )

    def _aside(self, n: int, generator: torch.Generator) -> Tensor:
        """How far (m) beside the lane, and at what angle (rad) to it, cars are set down: (2, n)."""
        scale = torch.tensor([[self.config.start_offset_m], [self.config.start_heading_rad]])
        return scale * torch.randn(2, n, generator=generator)

    @staticmethod
    def _misjudged(n: int, generator: torch.Generator) -> Tensor:
        """How far off (n,) drivers are who come to t0 too fast or too slow for what is ahead, as DRIVER's timing."""
        return (MISJUDGED * torch.randn(n, generator=generator)).clamp(-2 * MISJUDGED, 2 * MISJUDGED)

    def _driven_until_t0(
        self,
        roads: Roads,
        along: Tensor,
        v: Tensor,
        aside: Tensor,
        wait: Tensor,
        misjudged: Tensor,
        scenario: Tensor,
        course: Course | None,
    ) -> Cars:
        """Cars that were set down at along (n,) with speeds v (n,), after they have driven for 15 steps."""
        n, past = len(v), HISTORY - 1
        at, heading = (t[:, 0] for t in roads.path.at(along.unsqueeze(-1)))
        offset, turned = aside
        x, y = at[:, 0] - offset * heading.sin(), at[:, 1] + offset * heading.cos()
        first = torch.stack([x, y, heading + turned, v], -1).unsqueeze(1)
        last = torch.stack([torch.zeros_like(v), roads.read(roads.kappa, along.unsqueeze(-1))[:, 0]], -1).unsqueeze(1)
        waits = wait.unsqueeze(-1)
        driver = torch.zeros(n, 1, len(DRIVER))
        driver[:, 0, DRIVER.index("timing")] = misjudged
        actions, states, places = track(roads, first, along.unsqueeze(-1), last, waits, driver, past, self.dt)
        before = torch.cat([first.unsqueeze(-2), states], -2)[:, 0]
        now = before[:, -1]
        roads = roads.moved(now)
        near = places[..., -1] + before[:, -2, 3:] * self.dt  # places are those before each step
        here = roads.path.locate(torch.zeros(n, 1, 2), near, NEARBY)[0]
        left = (wait - past * self.dt).clamp(min=0)
        history = states_in_frame(before, now)
        return Cars(roads, here[:, 0], now[:, 3], actions[:, 0, -1], history, left, scenario, course)

    def _labels(self, cars: Cars, teacher: Tensor, seed: int) -> Labels:
        n = len(cars.v0)
        state = torch.cat([torch.zeros(n, 3), cars.v0.unsqueeze(-1)], -1)
        scene = cars.scene(state, cars.along, cars.wait, cars.history if self.config.history else None)
        context, names = scene.context, cars.context_names
        if self.config.reveal == "scene" and cars.course is not None:
            context, names = cars.course.scene[:, 1:].clone(), PARAMETERS[1:]
        told, follows = not self.hides, self.config.reveal == "all"
        kind = "road" if isinstance(self.scenario, RoadConfig) else "synthetic"
        return Labels(
            clip_id=np.array([f"{kind}-{seed}-{i}" for i in range(n)]),
            t0_us=torch.zeros(n, dtype=torch.int64),
            v0=cars.v0.clone(),
            teacher=teacher,
            scenario=cars.scenario,
            source=np.full(n, "synthetic"),
            v0_source=np.full(n, "file"),
            own_scenarios=self.own_scenarios,
            scenario_source="future" if self.config.reveal == "speed" else "file",
            history=scene.history,
            context=context if told else None,
            context_names=names if told else (),
            route=scene.route if follows else None,
            route_source="file" if follows else "",
            dt=self.dt,
        )
