"""SyntheticTeacher: draws scenes of a scenario and drives each with a human's variation."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.kinematics.draws import mixed
from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.kinematics.trajectory import DT, HORIZON, Labels
from alpamayo_toy.teachers.config import MixtureConfig, ScenarioConfig, SyntheticConfig
from alpamayo_toy.teachers.scenarios import DRIVER, PARAMETERS, drive

DRIVER_LIMIT = 2.5  # standard deviations: nobody drives further off
CHUNK = 4096  # trajectories made at once, so that intermediate tensors stay in the cache


@dataclass(frozen=True)
class SyntheticTeacher:
    """Draws scenes of a scenario (or a mixture) and drives each with a human's variation.

    Everything is a function of (configuration, seed); trajectories are float32, rolled out by euler.
    """

    scenario: ScenarioConfig | MixtureConfig
    config: SyntheticConfig = field(default_factory=SyntheticConfig)
    horizon: int = HORIZON
    dt: float = DT
    oracle: bool = False  # the scenario is its own to tell

    def training(self, seed: int) -> Labels:
        """The labels that a student learns from."""
        return self.labels(self.config.scenes, self.config.samples, mixed(seed, 1))

    @property
    def parts(self) -> list[ScenarioConfig]:
        return [self.scenario] if isinstance(self.scenario, ScenarioConfig) else list(self.scenario.parts.values())

    def scenes(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n scenes: their scenario (n,) and their parameters (n, 8)."""
        weights = torch.tensor([part.weight for part in self.parts])
        return self._drawn(torch.multinomial(weights, n, replacement=True, generator=generator), generator)

    def redrawn(self, scenario: Tensor, v0: Tensor, generator: torch.Generator) -> Tensor:
        """Other parameters (n, 8) that go with the same scenario (n,) and v0 (n,), by the teacher's own odds."""
        low, high = self._ranges()
        names = torch.tensor([Scenario[part.name] for part in self.parts])
        density = torch.tensor([part.weight for part in self.parts]) / (high[:, 0] - low[:, 0]).clamp(min=1e-6)
        fits = (v0[:, None] >= low[:, 0] - 1e-6) & (v0[:, None] <= high[:, 0] + 1e-6) & (scenario[:, None] == names)
        part = torch.multinomial(density * fits, 1, generator=generator)[:, 0]
        scenes = self._drawn(part, generator)[1]
        scenes[:, 0] = v0
        return scenes

    def driven(self, scenes: Tensor, generator: torch.Generator) -> Tensor:
        """One driver each: scenes (..., 8) -> trajectories (..., T, 4)."""
        rollout = UnicycleRollout(self.dt, "euler")
        driver = torch.randn(*scenes.shape[:-1], len(DRIVER), generator=generator).clamp(-DRIVER_LIMIT, DRIVER_LIMIT)
        made = torch.empty(*scenes.shape[:-1], self.horizon, 4)
        chunks = (t.flatten(0, -2).split(CHUNK) for t in (scenes, driver))
        for out, scene, person in zip(made.flatten(0, -3).split(CHUNK), *chunks, strict=True):
            out.copy_(rollout(drive(scene, person, self.horizon, self.dt), scene[:, 0]))
        return made

    def labels(self, n: int, samples: int, seed: int) -> Labels:
        """n clips with K samples each; with reveal=all the parameters, without v0, are the context."""
        reveal = self.config.reveal == "all"
        generator = torch.Generator().manual_seed(seed)
        scenario, scenes = self.scenes(n, generator)
        teacher = self.driven(scenes.unsqueeze(1).expand(-1, samples, -1), generator)
        return Labels(
            clip_id=np.array([f"synthetic-{seed}-{i}" for i in range(n)]),
            t0_us=torch.zeros(n, dtype=torch.int64),
            v0=scenes[:, 0].clone(),
            teacher=teacher,
            scenario=scenario,
            source=np.full(n, "synthetic"),
            v0_source=np.full(n, "file"),
            scenario_source="file",
            context=scenes[:, 1:].clone() if reveal else None,
            context_names=PARAMETERS[1:] if reveal else (),
            dt=self.dt,
        )

    def held_out(self, samples: int, seed: int) -> tuple[Labels, Tensor]:
        """Clips never trained on with K samples each, and as many others (N, K, T, 4) of the same scenes."""
        labels = self.labels(self.config.val_scenes, 1, mixed(seed, 2))
        scored, others = (self.fresh(labels, samples, mixed(seed, number)) for number in (4, 3))
        return labels.with_teacher(scored), others

    def fresh(self, labels: Labels, samples: int, seed: int) -> Tensor:
        """New drivers (N, samples, T, 4) for its own labels' scenes; what is not revealed is drawn again for each."""
        generator = torch.Generator().manual_seed(seed)
        if labels.context is not None:
            scenes = torch.cat([labels.v0.unsqueeze(-1), labels.context], -1).unsqueeze(1).expand(-1, samples, -1)
        else:
            many = [t.repeat_interleave(samples) for t in (labels.scenario, labels.v0)]
            scenes = self.redrawn(many[0], many[1], generator).unflatten(0, (len(labels), samples))
        return self.driven(scenes, generator)

    def _ranges(self) -> tuple[Tensor, Tensor]:
        pairs = torch.tensor([[part.range(name) for name in PARAMETERS] for part in self.parts])
        return pairs[..., 0], pairs[..., 1]

    def _drawn(self, part: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        low, high = (side[part] for side in self._ranges())
        names = torch.tensor([int(Scenario[p.name]) for p in self.parts])
        return names[part], low + (high - low) * torch.rand(len(part), len(PARAMETERS), generator=generator)
