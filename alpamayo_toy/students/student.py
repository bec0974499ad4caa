"""Student: an encoder of the scene, a head that predicts bounded actions, and the rollout as a layer behind it."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from alpamayo_toy.kinematics.action_space import ActionSpace
from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.kinematics.trajectory import DT, ROUTE_POINTS, UNKNOWN_SCENARIO, Labels, Scene
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.encoder import SceneEncoder
from alpamayo_toy.students.heads.mlp import mlp_head


class Student(nn.Module):
    """scene -> actions (B, 1, T, 2) and the trajectory (B, 1, T, 4) that they roll out to.

    actions = squash(raw), raw curvature scaled by min(4, 100 / (v0^2 + 25)): the same sideways shift needs less
    curvature at speed. A head starts at zero, that is, at the training labels' mean action.
    """

    def __init__(
        self,
        config: StudentConfig,
        horizon: int,
        dt: float = DT,
        integrator: str = "euler",
        history_steps: int = 0,
        context_names: tuple[str, ...] = (),
        route_points: int = 0,
    ) -> None:
        super().__init__()
        self.horizon = horizon
        self.context_names = context_names
        self.history_steps = history_steps
        self.route_points = route_points
        self.encoder = SceneEncoder(config, history_steps, len(context_names), route_points)
        self.head = build_head(config, horizon)
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

    def known_of(self, scene: Scene, context_names: tuple[str, ...]) -> Scene:
        """A scene without what this student has no inputs for; its context by name, NaN where one is not there."""
        same_history = scene.history is not None and scene.history.shape[1] == self.history_steps
        context = scene.context if self.context_names else None
        if context is not None and context_names != self.context_names:
            nothing = torch.full_like(scene.v0, torch.nan)
            told = dict(zip(context_names, context.unbind(-1), strict=True))
            context = torch.stack([told.get(name, nothing) for name in self.context_names], -1)
        return replace(
            scene,
            history=scene.history if same_history else None,
            context=context,
            route=scene.route if self.route_points else None,
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
            "route_points": self.route_points,
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


def build_head(config: StudentConfig, horizon: int) -> nn.Module:
    """The head of a config's type, (B, embedding) -> raw actions (B, 2 T). One of your own is a case above the last."""
    match config:
        case StudentConfig():
            return mlp_head(config, horizon)


def build_student(config: StudentConfig, labels: Labels, scene: Scene, integrator: str, seed: int) -> Student:
    """A student for these training labels: sized, seeded, with their statistics of actions and of inputs."""
    history_steps = 0 if scene.history is None else scene.history.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        points = 0 if scene.route is None else ROUTE_POINTS
        student = Student(config, labels.horizon, labels.dt, integrator, history_steps, labels.context_names, points)
    student.action_space = ActionSpace.fit(labels)
    student.encoder.fit(scene.to(torch.float32))
    return student
