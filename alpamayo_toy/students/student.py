"""Student: an encoder of the scene, a head that predicts bounded actions, and the rollout as a layer behind it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.action_space import ActionSpace
from alpamayo_toy.kinematics.recovery import label_actions
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.kinematics.trajectory import DT, ROUTE_POINTS, UNKNOWN_SCENARIO, Labels, Prediction, Scene
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.encoder import SceneEncoder
from alpamayo_toy.students.heads.mlp import mlp_head
from alpamayo_toy.students.heads.modes import Mixture, Modes
from alpamayo_toy.students.heads.waypoints import Waypoints
from alpamayo_toy.students.own_scene import Inputs, Names, scene_of, warn_once

INSIDE = 0.999  # of the bounds: labels on them are taken as this far, so that squash can reach them


class Student(nn.Module):
    """scene -> Prediction: the actions (B, K, T, 2) of its K modes, what they roll out to, how likely each is.

    actions = squash(raw), raw curvature scaled by min(4, 100 / (v0^2 + 25)): the same sideways shift needs less
    curvature at speed. A head starts at zero, that is, at the training labels' mean action, several modes around it.
    """

    def __init__(
        self,
        config: Any,
        horizon: int,
        dt: float = DT,
        integrator: str = "euler",
        history_steps: int = 0,
        context_names: tuple[str, ...] = (),
        route_points: int = 0,
        own: type[nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.horizon = horizon
        self.context_names = context_names
        self.history_steps = history_steps
        self.route_points = route_points
        self.action_space = ActionSpace()
        self.rollout = UnicycleRollout(dt, integrator)
        self.own = None if own is None else _own(own, self.shape)
        if self.own is None:
            self.encoder = SceneEncoder(config, history_steps, len(context_names), route_points)
            self.modes = Modes(config, horizon)
            self.waypoints = None if config.output == "actions" else Waypoints(config.output, horizon, dt)
            self.head = build_head(config, self.modes.numbers)
        self._said: set[str] = set()  # of what predict() has warned
        self.count = _count(self.own, self.shape) if self.own is not None else config.modes

    @property
    def spread(self) -> bool:
        """Whether its modes are distributions to draw from."""
        return self.own is None and self.modes.spread

    @property
    def several(self) -> bool:
        """Whether it gives more than one trajectory."""
        return self.count > 1 or self.spread

    @property
    def follows_a_route(self) -> bool:
        """Whether it is shown one."""
        return self.route_points > 0 and (self.own is not None or "route" in self.encoder.inputs)

    def forward(self, scene: Scene, samples: int | None = None, generator: torch.Generator | None = None) -> Prediction:
        """Its modes; or so many samples, drawn from them independently and equally likely, seeded with 0 by default.

        A class of one's own that answers with its modes all the same has its samples drawn from them.
        """
        if samples is not None and samples < 1:
            raise ValueError(f"samples must be >= 1 (got {samples})")
        if self.own is not None:
            answer: Prediction = self.own(scene, samples)
            return answer if samples is None else _as_samples(answer, samples, generator)
        if samples is None:
            mixture = self._mixture(scene)
            return self._rolled(mixture.mean, mixture.log_probabilities, scene)
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        share = torch.rand(len(scene), samples, generator=generator)
        return self.drawn(scene, share, self.modes.noise(len(scene), samples, generator))

    def drawn(self, scene: Scene, share: Tensor, noise: Tensor | None = None) -> Prediction:
        """M samples that follow from their noise: share (B, M) uniform in [0, 1) picks the mode, noise (B, M, 16)
        standard normal what is drawn of it, None where modes have no spread.
        """
        mixture = self._mixture(scene)
        share = share.to(scene.v0)
        which = _mode_at(mixture.log_probabilities, share)
        alike = torch.full_like(share, -math.log(share.shape[1]))
        return self._rolled(self.modes.moved(mixture.select(which), noise), alike, scene)

    def noise(self, scenes: int, draws: int, generator: torch.Generator) -> Tensor | None:
        """What each_mode() takes for so many draws of each mode; None where there is nothing to draw."""
        return self.modes.noise(scenes, self.count * draws, generator) if self.spread else None

    def each_mode(
        self, scene: Scene, noise: Tensor | None, steps: slice = slice(None)
    ) -> tuple[Prediction, Prediction]:
        """Its modes, and draws of each, one after the other, which share its probability: what a loss takes.

        noise (B, K m, 16) standard normal makes m draws of each mode. Where modes have no spread both are the modes.
        Their trajectories hold the given steps alone.
        """
        if self.own is not None:
            modes: Prediction = self(scene)
            modes = modes._replace(trajectories=modes.trajectories[..., steps, :])
            return modes, modes
        mixture = self._mixture(scene)
        modes = self._rolled(mixture.mean, mixture.log_probabilities, scene, steps)
        if noise is None:
            return modes, modes
        alike = mixture.shared(noise.shape[1] // self.count)
        return modes, self._rolled(self.modes.moved(mixture, noise), alike, scene, steps)

    def act(self, scene: Scene) -> Tensor:
        """The actions of the likeliest mode alone, in float32 or float64 even under autocast: (B, 1, T, 2)."""
        if self.own is not None:
            actions: Tensor = self.own(scene, None).likeliest().actions
            return actions
        mixture = self._mixture(scene)
        if self.count > 1:
            mixture = mixture.select(mixture.log_probabilities.argmax(-1, keepdim=True))
        if self.waypoints is not None:
            return self.action_space.clamp(self._rolled(mixture.mean, mixture.log_probabilities, scene).actions)
        return self._squashed(mixture.mean, scene)

    def _mixture(self, scene: Scene) -> Mixture:
        mixture: Mixture = self.modes(self.head(self.encoder(scene)).to(scene.v0.dtype))
        return mixture

    def _squashed(self, raw: Tensor, scene: Scene) -> Tensor:
        return self.action_space.squash(raw, _bend(scene.v0))

    def _rolled(self, raw: Tensor, log_probabilities: Tensor, scene: Scene, steps: slice = slice(None)) -> Prediction:
        if self.waypoints is not None:
            trajectories, start = self.waypoints(raw, scene.v0), scene.v0.unsqueeze(-1).expand(raw.shape[:2])
            read = label_actions(trajectories.detach(), start, self.rollout.dt, self.rollout.integrator)
            return Prediction(read, trajectories[..., steps, :], log_probabilities)
        actions = self._squashed(raw, scene)
        return Prediction(actions, self.rollout(actions, scene.v0.unsqueeze(-1), steps), log_probabilities)

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
    def predict(
        self,
        scenario: Names | Sequence[Names],
        v0: Any = None,
        history: Any = None,
        route: Any = None,
        **context: Any,
    ) -> tuple[Tensor, Tensor]:
        """Actions (T, 2) and trajectory (T, 4) for a scene of your own, (B, T, ...) for several; the likeliest mode's.

        Takes and raises what scene_of() says. Warns once of each scenario and input that training never showed it.
        """
        inputs = Inputs(self.history_steps, self.route_points, self.context_names, self.rollout.dt)
        scene, alone = scene_of(inputs, scenario, v0, history, route, **context)
        scene = scene.to(self.action_space.mean)
        for name, what in ({} if self.own is not None else self.encoder.foreign(scene, self.context_names)).items():
            warn_once(self._said, name, what)
        found = self(scene).likeliest()
        actions, trajectories = found.actions[:, 0], found.trajectories[:, 0]
        return (actions[0], trajectories[0]) if alone else (actions, trajectories)


def _mode_at(log_probabilities: Tensor, share: Tensor) -> Tensor:
    """The mode of (B, K) that each share (B, M), uniform in [0, 1), falls to: int64 (B, M)."""
    below = log_probabilities.exp().cumsum(-1)[:, None, :-1]
    return (below <= share.unsqueeze(-1)).sum(-1)


def _as_samples(answer: Prediction, samples: int, generator: torch.Generator | None) -> Prediction:
    """The answer where it is so many equally likely trajectories; else samples that are drawn from its modes."""
    likely = answer.log_probabilities
    alike = likely.new_full((len(likely), samples), -math.log(samples))
    if likely.shape == alike.shape and torch.allclose(likely, alike, atol=1e-4):
        return answer
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    which = _mode_at(likely, torch.rand(len(likely), samples, generator=generator).to(likely))
    rows = torch.arange(len(likely), device=likely.device).unsqueeze(-1)
    return Prediction(answer.actions[rows, which], answer.trajectories[rows, which], alike)


def _bend(v0: Tensor) -> Tensor:
    """By how much raw (a, kappa) are scaled at v0 (B,): (B, 2)."""
    bend = (100 / (v0.square() + 25)).clamp(max=4)
    return torch.stack([torch.ones_like(bend), bend], -1)


def build_head(config: StudentConfig, outputs: int) -> nn.Module:
    """The head of a config's type, (B, embedding) -> (B, outputs), which Modes reads: of one mode raw actions (B, 2 T).

    One of your own is a case above the last.
    """
    match config:
        case StudentConfig():
            return mlp_head(config, outputs)


def _own(kind: type[nn.Module], shape: dict[str, Any]) -> nn.Module:
    """A student of the user's own. Raises UserError where it cannot be made of what is known."""
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise UserError(f"student.module must name a subclass of torch.nn.Module (got {kind!r})")
    try:
        return kind(**shape)
    except TypeError as error:
        raise UserError(f"{kind.__name__} is made with {', '.join(shape)}: {error}") from None


def _count(own: nn.Module, shape: dict[str, Any]) -> int:
    """How many trajectories it answers with, asked for two scenes. Raises UserError where that is no Prediction."""
    scene = Scene(
        scenario=torch.full((2,), UNKNOWN_SCENARIO),
        v0=torch.tensor([0.0, 8.0]),
        history=torch.zeros(2, shape["history_steps"], 4) if shape["history_steps"] else None,
        context=torch.zeros(2, len(shape["context_names"])) if shape["context_names"] else None,
        route=torch.zeros(2, shape["route_points"], 2) if shape["route_points"] else None,
    )
    name, horizon = type(own).__name__, shape["horizon"]
    with torch.no_grad():
        found = own(scene, None)
    if not isinstance(found, Prediction):
        raise UserError(f"{name}.forward(scene, samples) must return a Prediction (got {type(found).__name__})")
    m = found.actions.shape[1] if found.actions.dim() == 4 else 1
    wanted = {"actions": (2, m, horizon, 2), "trajectories": (2, m, horizon, 4), "log_probabilities": (2, m)}
    for part, shape_wanted in wanted.items():
        got = tuple(getattr(found, part).shape)
        if got != shape_wanted:
            raise UserError(f"{name} must predict {part} of shape {shape_wanted} for two scenes (got {got})")
    if not torch.allclose(found.probabilities.sum(-1), torch.ones(2), atol=1e-4):
        raise UserError(f"{name}: the probabilities of a scene's trajectories must sum to 1")
    return m


def build_student(
    config: Any, labels: Labels, scene: Scene, integrator: str, seed: int, own: type[nn.Module] | None = None
) -> Student:
    """A student for these training labels: sized, seeded, with their statistics of actions and of inputs.

    own: the user's class, in place of encoder and head; its fit(labels, scene) is called where it has one.
    """
    history_steps = 0 if scene.history is None else scene.history.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        points = 0 if scene.route is None else ROUTE_POINTS
        names = labels.context_names
        student = Student(config, labels.horizon, labels.dt, integrator, history_steps, names, points, own)
    student.action_space = ActionSpace.fit(labels)
    if student.own is not None:
        fit: Any = getattr(student.own, "fit", None)
        if fit is not None:
            fit(labels, scene.to(torch.float32))
        return student
    student.encoder.fit(scene.to(torch.float32))
    if student.waypoints is not None:
        student.waypoints.fit(labels)
    if student.spread:
        student.modes.fit(_raw_of(labels, student.action_space, integrator))
    return student


def _raw_of(labels: Labels, space: ActionSpace, integrator: str) -> Tensor:
    """The raw actions (N K, T, 2) that would give the labels' own."""
    speeds = labels.v0.unsqueeze(-1).expand(labels.teacher.shape[:2])
    actions = label_actions(labels.teacher, speeds, labels.dt, integrator).float()
    inside = torch.minimum(torch.maximum(actions, -INSIDE * space.bound), INSIDE * space.bound)
    return (space.unsquash(inside) / _bend(labels.v0.float())[:, None, None]).flatten(0, 1)
