"""Conventions, and the records that everything passes around: Scene (what is known at t0), Prediction and Labels.

Ego frame at t0: origin at the rear axle, x forward, y left; metres, radians counter-clockwise, m/s. A trajectory is
(..., T, 4) = x, y, yaw, v at t0 + dt .. t0 + T dt; t0 itself is not in it. History is (..., H, 4), its last row t0.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.kinematics.manoeuvres import Scenario

DT = 0.1  # s, Alpamayo's step
HORIZON = 64  # steps, 6.4 s
UNKNOWN_SCENARIO = -1
ROUTE_POINTS = 20
ROUTE_SOURCES = ("", "file", "recorded", "future")


@dataclass(frozen=True)
class Scene:
    """What a student may know at t0, for a batch of B scenes. Unknown: scenario -1; the optional ones NaN or None.

    scenario (B,) int64; v0 (B,) m/s; history (B, H, 4) or None; context (B, E) or None; route (B, 20, 2) or None,
    the path ahead (route.py), NaN beyond its end.
    """

    scenario: Tensor
    v0: Tensor
    history: Tensor | None = None
    context: Tensor | None = None
    route: Tensor | None = None

    def to(self, *args: Any) -> Self:
        """Floating-point fields to a device and/or dtype, as Tensor.to; the scenario follows the device only."""
        moved: dict[str, Any] = {name: tensor.to(*args) for name, tensor in self._given().items() if name != "scenario"}
        return replace(self, **moved, scenario=self.scenario.to(moved["v0"].device))

    def select(self, index: Tensor) -> Self:
        """The scenes at index, in its order."""
        chosen: dict[str, Any] = {name: tensor.index_select(0, index) for name, tensor in self._given().items()}
        return replace(self, **chosen)

    def _given(self) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in vars(self).items() if tensor is not None}

    def __len__(self) -> int:
        return len(self.v0)


class Prediction(NamedTuple):
    """What a student answers to B scenes: M trajectories of each, and the actions that they are rolled out from.

    actions (B, M, T, 2); trajectories (B, M, T, 4); log_probabilities (B, M), whose exponentials sum to 1.
    """

    actions: Tensor
    trajectories: Tensor
    log_probabilities: Tensor

    @classmethod
    def joined(cls, parts: list["Prediction"]) -> "Prediction":
        """One after the other."""
        return cls(*(torch.cat(column) for column in zip(*parts, strict=True)))

    @property
    def probabilities(self) -> Tensor:
        """(B, M)"""
        return self.log_probabilities.exp()

    def likeliest(self) -> "Prediction":
        """The likeliest alone, M = 1, taken as certain."""
        best = self.log_probabilities.argmax(-1)
        rows = torch.arange(best.shape[0], device=best.device)
        sure = torch.zeros_like(self.log_probabilities[:, :1])
        return Prediction(
            actions=self.actions[rows, best].unsqueeze(1),
            trajectories=self.trajectories[rows, best].unsqueeze(1),
            log_probabilities=sure,
        )

    def to(self, *args: Any) -> "Prediction":
        """To a device and/or dtype, as Tensor.to."""
        return Prediction(*(tensor.to(*args) for tensor in self))


@dataclass(frozen=True)
class Labels:
    """A set of N clips, each with K trajectories of one teacher. Raises ValueError where shapes or values do not fit.

    clip_id (N,) str; t0_us (N,) int64; source (N,) str, the drive or file a clip was cut from; v0 (N,) m/s;
    teacher (N, K, T, 4); ground_truth (N, T, 4) or None, its yaw and v derived from positions; history (N, H, 4) or
    None and context (N, E) or None, NaN where unknown, context_names; route (N, 20, 2) or None, NaN beyond its end;
    scenario (N,) int64, -1 where unknown, own_scenarios counted on from Scenario's; text (N,) str, (N, K) where each
    sample has its own, or None.
    v0_source (N,): history | recovered | smoothed | file. scenario_source: file | future, the latter an oracle. dt in
    seconds. route_source: "" without routes | file | recorded, cut from what was driven, an oracle of where | future,
    cut from the clip's own future.
    """

    clip_id: np.ndarray
    t0_us: Tensor
    v0: Tensor
    teacher: Tensor
    scenario: Tensor
    source: np.ndarray
    v0_source: np.ndarray
    scenario_source: str
    ground_truth: Tensor | None = None
    history: Tensor | None = None
    context: Tensor | None = None
    context_names: tuple[str, ...] = ()
    route: Tensor | None = None
    route_source: str = ""
    own_scenarios: tuple[str, ...] = ()
    text: np.ndarray | None = None
    dt: float = DT

    def __post_init__(self) -> None:
        if self.teacher.dim() != 4 or self.teacher.shape[-1] != 4 or 0 in self.teacher.shape[1:]:
            raise ValueError(f"teacher must have shape (N, K, T, 4), K and T >= 1 (got {tuple(self.teacher.shape)})")
        n, _, horizon, _ = self.teacher.shape
        e = len(self.context_names)
        shapes: dict[str, tuple[int | None, ...]] = {
            **dict.fromkeys(("clip_id", "t0_us", "v0", "scenario", "source", "v0_source"), (n,)),
            "text": (n,) if self.text is None or self.text.ndim == 1 else (n, None),
            "ground_truth": (n, horizon, 4),
            "history": (n, None, 4),
            "context": (n, e),
            "route": (n, ROUTE_POINTS, 2),
        }
        for name, wanted in shapes.items():
            value = getattr(self, name)
            if value is None:
                continue
            shape = tuple(value.shape)
            if len(shape) != len(wanted) or any(w not in (None, s) for s, w in zip(shape, wanted, strict=True)):
                raise ValueError(f"{name} must have shape {wanted} beside teacher {(n, horizon)} (got {shape})")
        for name in ("v0", "teacher", "ground_truth"):
            value = getattr(self, name)
            if value is not None and not bool(torch.isfinite(value).all()):
                row = int(
                    (~torch.isfinite(value.flatten(1) if value.dim() > 1 else value[:, None])).any(1).nonzero()[0]
                )
                raise ValueError(f"{name} of clip {self.clip_id[row]} holds NaN or infinite values")
        if self.scenario_source not in ("file", "future"):
            raise ValueError(f"scenario_source must be file or future (got {self.scenario_source!r})")
        if self.route_source not in ROUTE_SOURCES:
            raise ValueError(f"route_source must be file, recorded or future (got {self.route_source!r})")

    def __len__(self) -> int:
        return len(self.v0)

    @property
    def scenario_names(self) -> tuple[str, ...]:
        """By their numbers."""
        return (*Scenario.__members__, *self.own_scenarios)

    def listed(self) -> Self:
        """The same with own_scenarios as unknown ones: what a file has room for."""
        own = self.scenario >= len(Scenario)
        return replace(self, scenario=self.scenario.masked_fill(own, UNKNOWN_SCENARIO), own_scenarios=())

    @property
    def horizon(self) -> int:
        """Steps T of every trajectory."""
        return self.teacher.shape[2]

    def with_teacher(self, teacher: Tensor) -> Self:
        """The same clips with other trajectories (N, K, T, 4)."""
        return replace(self, teacher=teacher)

    def scene(self, oracle: bool = False) -> Scene:
        """What a student may know of these clips; a scenario read off the future only with oracle."""
        hidden = self.scenario_source == "future" and not oracle
        scenario = torch.full_like(self.scenario, UNKNOWN_SCENARIO) if hidden else self.scenario
        return Scene(scenario, self.v0, self.history, self.context, self.route)

    def select(self, index: Tensor) -> Self:
        """The clips at index (int64), in its order."""
        rows: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                rows[field.name] = value[index]
            elif isinstance(value, np.ndarray):
                rows[field.name] = value[index.numpy()]
        return replace(self, **rows)
