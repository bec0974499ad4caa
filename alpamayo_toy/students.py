"""Student: an encoder of the scene, a head that predicts bounded actions, and the rollout as a layer behind it."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from alpamayo_toy.action_space import ActionSpace
from alpamayo_toy.config import StudentConfig
from alpamayo_toy.rollout import UnicycleRollout
from alpamayo_toy.scenarios import Scenario
from alpamayo_toy.trajectory import DT, UNKNOWN_SCENARIO, Labels, Scene

SCENARIO_WIDTH = 16


class SceneEncoder(nn.Module):
    """The scenario embedding: (scenario, v0, history, context) -> (B, embedding).

    History enters as profiles of speed, relative to t0, and yaw rate; numbers in standard deviations of the training
    labels. What is unknown, or not among the inputs, is a learned vector of its own, never a zero with a meaning.
    """

    def __init__(self, config: StudentConfig, history_steps: int, context_size: int) -> None:
        super().__init__()
        self.inputs = tuple(config.inputs)
        self.scenario = nn.Embedding(len(Scenario) + 1, SCENARIO_WIDTH)  # the last row is 'unknown'
        sizes = {"v0": 1, "history": max(2 * history_steps - 1, 0), "context": context_size}
        for name, size in sizes.items():
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.missing = nn.ParameterDict({name: nn.Parameter(torch.zeros(size)) for name, size in sizes.items()})
        self.mix = nn.Linear(SCENARIO_WIDTH + sum(sizes.values()), config.embedding)

    def forward(self, scene: Scene) -> Tensor:
        known = torch.where(scene.scenario < 0, len(Scenario), scene.scenario)
        index = known if "scenario" in self.inputs else torch.full_like(known, len(Scenario))
        numbers = {"v0": scene.v0.unsqueeze(-1), "history": _profiles(scene.history), "context": scene.context}
        parts = [self._standardised(name, value, len(scene)) for name, value in numbers.items()]
        return nn.functional.silu(self.mix(torch.cat([self.scenario(index), *parts], -1)))

    def fit(self, scene: Scene) -> None:
        """Take means and standard deviations from the training scenes; a constant input keeps its own scale."""
        numbers = {"v0": scene.v0.unsqueeze(-1), "history": _profiles(scene.history), "context": scene.context}
        for name, value in numbers.items():
            if value is None:
                continue
            mean = value.nanmean(0)
            std = (value - mean).square().nanmean(0).sqrt()
            self.get_buffer(f"{name}_mean").copy_(mean.nan_to_num(0.0))
            self.get_buffer(f"{name}_std").copy_(torch.where(std > 1e-4, std, 1.0))

    def _standardised(self, name: str, value: Tensor | None, n: int) -> Tensor:
        missing: Tensor = self.missing[name]
        if value is None or name not in self.inputs:
            return missing.expand(n, -1)
        z = (value - self.get_buffer(f"{name}_mean")) / self.get_buffer(f"{name}_std")
        return torch.where(z.isnan(), missing, z.clamp(-10, 10))


def _profiles(history: Tensor | None) -> Tensor | None:
    """(B, H, 4) -> (B, 2H - 1): speeds less that at t0, then heading changes from pose to pose.

    Absolute speeds differ so much from clip to clip that beside them a network would not see a car brake.
    """
    if history is None:
        return None
    return torch.cat([history[..., 3] - history[..., -1:, 3], history[..., 2].diff(dim=-1)], -1)


class Student(nn.Module):
    """scene -> actions (B, 1, T, 2) and the trajectory (B, 1, T, 4) that they roll out to.

    actions = squash(raw), raw curvature scaled by min(4, 100 / (v0^2 + 25)): the same sideways shift needs less
    curvature at speed. The output layer starts at zero, that is, at the training labels' mean action.
    """

    def __init__(
        self,
        config: StudentConfig,
        horizon: int,
        dt: float = DT,
        integrator: str = "euler",
        history_steps: int = 0,
        context_names: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.horizon = horizon
        self.context_names = context_names
        self.history_steps = history_steps
        self.encoder = SceneEncoder(config, history_steps, len(context_names))
        widths = [config.embedding] + [config.width] * config.layers
        hidden = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.SiLU())]
        output = nn.Linear(widths[-1], horizon * 2)
        nn.init.zeros_(output.weight)
        nn.init.zeros_(output.bias)
        self.head = nn.Sequential(*hidden, output)
        self.action_space = ActionSpace()
        self.rollout = UnicycleRollout(dt, integrator)

    def forward(self, scene: Scene) -> tuple[Tensor, Tensor]:
        actions = self.act(scene)
        return actions, self.rollout(actions, scene.v0.unsqueeze(-1))

    def act(self, scene: Scene) -> Tensor:
        """The actions alone, in float32 or float64 even under autocast: (B, 1, T, 2)."""
        raw = self.head(self.encoder(scene)).to(scene.v0.dtype).unflatten(-1, (1, self.horizon, 2))
        bend = (100 / (scene.v0.square() + 25)).clamp(max=4)
        scale = torch.stack([torch.ones_like(bend), bend], -1)
        return self.action_space.squash(raw * scale[:, None, None])

    def known_of(self, scene: Scene, labels: Labels) -> Scene:
        """The scene of other labels without what this student has no inputs for; those are unknown to it."""
        same_history = scene.history is not None and scene.history.shape[1] == self.history_steps
        same_context = labels.context_names == self.context_names
        return replace(
            scene, history=scene.history if same_history else None, context=scene.context if same_context else None
        )

    @property
    def shape(self) -> dict[str, Any]:
        """What __init__ needs beside the config, in plain types."""
        return {
            "horizon": self.horizon,
            "dt": self.rollout.dt,
            "integrator": self.rollout.integrator,
            "history_steps": self.history_steps,
            "context_names": list(self.context_names),
        }

    @torch.no_grad()
    def predict(self, scenario: str | int | None, v0: float, **context: float) -> tuple[Tensor, Tensor]:
        """Actions (T, 2) and trajectory (T, 4) for a scene of your own; context by name, unknown where not named."""
        unknown = sorted(set(context) - set(self.context_names))
        if unknown:
            known = ", ".join(self.context_names) or "none"
            raise ValueError(f"this student knows no {unknown[0]}; its context: {known}")
        number = (
            UNKNOWN_SCENARIO if scenario is None else int(Scenario[scenario] if isinstance(scenario, str) else scenario)
        )
        values = [context.get(name, float("nan")) for name in self.context_names]
        where = self.action_space.mean
        scene = Scene(
            scenario=torch.tensor([number], device=where.device),
            v0=torch.tensor([v0], dtype=where.dtype, device=where.device),
            context=torch.tensor([values], dtype=where.dtype, device=where.device) if values else None,
        )
        actions, trajectory = self(scene)
        return actions[0, 0], trajectory[0, 0]


def build_student(config: StudentConfig, labels: Labels, scene: Scene, integrator: str, seed: int) -> Student:
    """A student for these training labels: sized, seeded, with their statistics of actions and of inputs."""
    history_steps = 0 if scene.history is None else scene.history.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = Student(config, labels.horizon, labels.dt, integrator, history_steps, labels.context_names)
    student.action_space = ActionSpace.fit(labels)
    student.encoder.fit(scene.to(torch.float32))
    return student
