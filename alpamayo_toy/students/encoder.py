"""SceneEncoder: what is known at t0 as one vector, the scenario embedding."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.kinematics.route import straight_ahead
from alpamayo_toy.kinematics.trajectory import Scene
from alpamayo_toy.students.config import StudentConfig

SCENARIO_WIDTH = 16
FARTHEST = 10  # standard deviations, at which inputs are cut off


class SceneEncoder(nn.Module):
    """The scenario embedding: (scenario, v0, history, context, route) -> (B, embedding).

    History enters as profiles of speed, relative to t0, and yaw rate; a route as its points less the straight-ahead
    ones; numbers in standard deviations of the training
    labels. What is unknown, or not among the inputs, is a learned vector of its own, never a zero with a meaning.
    """

    seen: Tensor

    def __init__(self, config: StudentConfig, history_steps: int, context_size: int, route_points: int) -> None:
        super().__init__()
        self.inputs = tuple(config.inputs)
        self.scenario = nn.Embedding(len(Scenario) + 1, SCENARIO_WIDTH)  # the last row is 'unknown'
        self.register_buffer("seen", torch.ones(len(Scenario) + 1, dtype=torch.bool))  # in training
        sizes = {"v0": 1, "history": max(2 * history_steps - 1, 0), "context": context_size}
        sizes |= {"route": 2 * route_points} if route_points else {}
        for name, size in sizes.items():
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.missing = nn.ParameterDict({name: nn.Parameter(torch.zeros(size)) for name, size in sizes.items()})
        self.mix = nn.Linear(SCENARIO_WIDTH + sum(sizes.values()), config.embedding)

    def forward(self, scene: Scene) -> Tensor:
        known = _known(scene.scenario)
        index = known if "scenario" in self.inputs else torch.full_like(known, len(Scenario))
        parts = [self._standardised(name, value, scene.v0.shape[0]) for name, value in self._numbers(scene).items()]
        return nn.functional.silu(self.mix(torch.cat([self.scenario(index), *parts], -1)))

    def fit(self, scene: Scene) -> None:
        """Take means and standard deviations from the training scenes; a constant input keeps its own scale."""
        self.seen.zero_()
        self.seen[_known(scene.scenario)] = True
        for name, value in self._numbers(scene).items():
            if value is None:
                continue
            mean = value.nanmean(0)
            std = (value - mean).square().nanmean(0).sqrt()
            self.get_buffer(f"{name}_mean").copy_(mean.nan_to_num(0.0))
            self.get_buffer(f"{name}_std").copy_(torch.where(std > 1e-4, std, 1.0))

    def foreign(self, scene: Scene, context_names: Sequence[str]) -> dict[str, str]:
        """What of these scenes training never showed, by name, and what to say of it."""
        found = {}
        for number in _known(scene.scenario).unique().tolist() if "scenario" in self.inputs else ():
            if number < len(Scenario) and not self.seen[number]:
                name = Scenario(number).name
                found[f"scenario {name}"] = f"scenario {name}: this student was not trained on it"
        for name, value in self._numbers(scene).items():
            if value is not None and name in self.inputs:
                z = (value - self.get_buffer(f"{name}_mean")) / self.get_buffer(f"{name}_std")
                far = (z.abs() > FARTHEST).any(0)
                names = [context_names[i] for i in far.nonzero().flatten()] if name == "context" else [name]
                said = f"more than {FARTHEST} standard deviations from the training scenes; cut off there"
                found |= {one: f"{one}: {said}" for one in names if bool(far.any())}
        return found

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Students from before `seen` was kept are taken to have seen all."""
        state_dict.setdefault(f"{prefix}seen", torch.ones_like(self.seen))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _numbers(self, scene: Scene) -> dict[str, Tensor | None]:
        """What enters as numbers, by name: (B, ...) each."""
        route = None if scene.route is None else (scene.route - straight_ahead(scene.route)).flatten(-2)
        known = {"v0": scene.v0.unsqueeze(-1), "history": _profiles(scene.history), "context": scene.context}
        return {name: value for name, value in {**known, "route": route}.items() if name in self.missing}

    def _standardised(self, name: str, value: Tensor | None, n: int) -> Tensor:
        missing: Tensor = self.missing[name]
        if value is None or name not in self.inputs:
            return missing.expand(n, -1)
        z = (value - self.get_buffer(f"{name}_mean")) / self.get_buffer(f"{name}_std")
        return torch.where(z.isnan(), missing, z.clamp(-FARTHEST, FARTHEST))


def _known(scenario: Tensor) -> Tensor:
    """The embedding's rows (B,); a name of one's own is as good as none."""
    listed = (scenario >= 0) & (scenario < len(Scenario))
    return torch.where(listed, scenario, len(Scenario))


def _profiles(history: Tensor | None) -> Tensor | None:
    """(B, H, 4) -> (B, 2H - 1): speeds less that at t0, then heading changes from pose to pose.

    Absolute speeds differ so much from clip to clip that beside them a network would not see a car brake.
    """
    if history is None:
        return None
    return torch.cat([history[..., 3] - history[..., -1:, 3], history[..., 1:, 2] - history[..., :-1, 2]], -1)
