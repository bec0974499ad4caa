"""scene_of(): a scene of one's own, in names, numbers and arrays, as what a student takes."""

import operator
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import shortened
from alpamayo_toy.kinematics.inverse import estimate_speeds
from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.kinematics.trajectory import ROUTE_POINTS, UNKNOWN_SCENARIO, Scene

AT_T0 = 1e-3  # m and rad: further from 0 the last pose of a history is not the frame's own
Names = str | int | None


@dataclass(frozen=True)
class Inputs:
    """What a student was made for: steps of its history and points of its route, 0 where it has none; context; dt."""

    history_steps: int
    route_points: int
    context_names: tuple[str, ...]
    dt: float


def scene_of(
    inputs: Inputs,
    scenario: Names | Sequence[Names],
    v0: Any = None,
    history: Any = None,
    route: Any = None,
    **context: Any,
) -> tuple[Scene, bool]:
    """A Scene in float64, and whether it is one scene alone; anything may be numpy or torch, or a number for all.

    scenario: a name, or its number, None where unknown, or a list of them. v0 (B,) m/s, estimated from the history
    where it is left out. history (B, H, 3) = x, y, yaw or (B, H, 4) with v, in the ego frame at t0, last row t0; of
    more poses than it takes, the last ones. route (B, 20, 2) as Scene has it. Context by name, (B,); unknown where
    it is not named. Without B it is one scene. Raises ValueError for what the student has no input for, for shapes
    that do not go together, for what is no number, and for numbers that are not finite: NaN stands for what is unknown,
    but not for v0, nor in a part of a history or of a point.
    """
    unknown = sorted(set(context) - set(inputs.context_names))
    if unknown:
        known = ", ".join(inputs.context_names) or "none"
        raise ValueError(f"this student knows no {unknown[0]}; its context: {known}")
    past = None if history is None else _history(inputs, _tensor("history", history))
    if v0 is None and past is None:
        raise ValueError("v0 must be given, in m/s, or a history to estimate it from")
    parts = {
        "v0": past[..., -1, 3] if past is not None and v0 is None else _tensor("v0", v0),
        "history": past,
        "route": None if route is None else _route(inputs, _tensor("route", route)),
        **{name: _tensor(name, value) for name, value in context.items()},
    }
    for name, part in parts.items():
        if name not in ("history", "route") and part is not None and part.dim() > 1:
            raise ValueError(f"{name} must be a number or have shape (B,) (got {tuple(part.shape)})")
    own = {"history": 2, "route": 2}  # dimensions that are a scene's own
    listed = _listed(scenario)
    sizes = {name: len(p) for name, p in parts.items() if p is not None and p.dim() > own.get(name, 0)}
    sizes |= {} if listed is None else {"scenario": len(listed)}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise ValueError(f"all must be of the same number of scenes ({said})")
    n = next(iter(sizes.values()), 1)
    if n == 0:
        raise ValueError("there must be a scene at least (got none)")

    def batched(name: str) -> Tensor | None:
        part = parts.get(name)
        return part if part is None or name in sizes else part.expand(n, *part.shape)

    nothing = torch.full((n,), torch.nan, dtype=torch.float64)
    told = [batched(name) for name in inputs.context_names]
    start = batched("v0")
    assert start is not None  # given, or from the history
    if not bool(start.isfinite().all()):
        raise ValueError(f"v0 must be finite, in m/s (got {start[~start.isfinite()][0]:g})")
    scene = Scene(
        scenario=torch.tensor([_number(scenario)] * n if listed is None else listed, dtype=torch.long),
        v0=start,
        history=batched("history"),
        context=torch.stack([nothing if part is None else part for part in told], -1) if told else None,
        route=batched("route"),
    )
    return scene, not sizes


def warn_once(said: set[str], name: str, what: str) -> None:
    """A warning the first time that a student is asked this."""
    if name not in said:
        said.add(name)
        warnings.warn(what, stacklevel=4)


def _listed(scenario: Any) -> list[int] | None:
    """The numbers of several scenarios, None of one alone."""
    several = isinstance(scenario, Sequence | np.ndarray | Tensor) and not isinstance(scenario, str | bytes)
    return [_number(name) for name in scenario] if several and getattr(scenario, "ndim", 1) > 0 else None


def _number(name: Any) -> int:
    if name is None:
        return UNKNOWN_SCENARIO
    if isinstance(name, str):
        if name not in Scenario.__members__:
            close = get_close_matches(name.upper(), Scenario.__members__, n=1)
            hint = f"did you mean {close[0]}?" if close else f"only {', '.join(Scenario.__members__)}, None if unknown"
            raise ValueError(f"students know no scenario {name}; {hint}")
        return int(Scenario[name])
    try:
        number = operator.index(name)
    except TypeError:
        number = None
    if number is None or isinstance(name, bool):
        known = "scenario must be a name or its number, None if unknown, or a list of them"
        raise ValueError(f"{known} (got {shortened(name)})")
    if not UNKNOWN_SCENARIO <= number < len(Scenario):
        raise ValueError(f"a scenario's number must be between {UNKNOWN_SCENARIO} and {len(Scenario) - 1} (got {name})")
    return number


def _tensor(name: str, value: Any) -> Tensor:
    """Real numbers in float64, none of them infinite in float32, NaN where they are masked."""
    if not isinstance(value, Tensor):
        value = _array(name, value)
    elif value.is_complex() or value.is_quantized or value.layout is not torch.strided or value.is_meta:
        raise ValueError(f"{name} must be numbers (got {value.dtype}, {value.layout}, on {value.device})")
    found: Tensor = torch.as_tensor(value).double()
    endless = found.float().isinf()
    if bool(endless.any()):
        raise ValueError(f"{name} must be finite{', in m/s' if name == 'v0' else ''} (got {found[endless][0]:g})")
    return found


def _array(name: str, value: Any) -> np.ndarray:
    try:
        array = np.ma.asanyarray(value)
    except ValueError as error:  # of lists of several lengths
        raise ValueError(f"{name} must be numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        got = array.dtype if isinstance(value, np.ndarray) else shortened(value)
        raise ValueError(f"{name} must be numbers (got {got})")
    return np.array(array.astype(np.float64).filled(np.nan))


def _history(inputs: Inputs, poses: Tensor) -> Tensor:
    """(..., H, 4) of the student's H, speeds estimated where they are not given."""
    steps = inputs.history_steps
    if steps == 0:
        raise ValueError("this student takes no history")
    if poses.dim() not in (2, 3) or poses.shape[-1] not in (3, 4) or poses.shape[-2] < max(steps, 4):
        raise ValueError(f"history must have shape (B, H, 3 or 4) with H >= {max(steps, 4)} (got {tuple(poses.shape)})")
    unknown = poses.isnan().flatten(-2)
    if bool((unknown.any(-1) & ~unknown.all(-1)).any()):
        raise ValueError("history must be finite, or NaN as a whole where it is unknown")
    if bool((poses[..., -1, :3].abs() > AT_T0).any()):
        raise ValueError(
            f"the last pose of a history must be the ego frame's own, 0 (got {poses[..., -1, :3].tolist()})"
        )
    if poses.shape[-1] == 3:
        known = poses.nan_to_num(0.0)
        speeds = estimate_speeds(known[..., :2], known[..., 2], inputs.dt).unsqueeze(-1)
        poses = torch.cat([poses, speeds.where(~poses[..., :1].isnan(), torch.nan)], -1)
    return poses[..., -steps:, :]


def _route(inputs: Inputs, points: Tensor) -> Tensor:
    if inputs.route_points == 0:
        raise ValueError("this student takes no route")
    if points.dim() not in (2, 3) or points.shape[-2:] != (ROUTE_POINTS, 2):
        raise ValueError(
            f"route must have shape (B, {ROUTE_POINTS}, 2), as route_ahead() makes it (got {tuple(points.shape)})"
        )
    unknown = points.isnan()
    if bool((unknown.any(-1) & ~unknown.all(-1)).any()):
        raise ValueError("route must be finite, or NaN in both x and y where the path has ended")
    return points
