"""Predictions that need no network: closed forms, ridge regression, residuals, anchors. They stand beside a student."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.routes import bends, followed, known
from alpamayo_toy.kinematics.action_space import MOVING
from alpamayo_toy.kinematics.inverse import trajectory_to_actions
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.metrics.distribution import medoids

POSES = 5  # the fewest of a history that last_actions takes: the inverse needs 4 steps
PENALTY = 0.3  # of standardised inputs; leave-one-out on KITTI 00-05 prefers 0.1 to 1 for 120 clips or more
SIX = 6  # trajectories, where there are several
MEDOIDS_OF = 2048  # training samples, at most, of which anchors are the middle
NO_TRAINING = "needs training labels, and none are given"
STD_FLOOR = 1e-4  # m/s, rad: an input that varies less is taken as constant and keeps its own scale


def stationary(v0: Tensor, horizon: int, dt: float) -> Tensor:
    """Not moving at all, whatever the speed and dt: v0 (...) -> (..., T, 4)."""
    return v0.new_zeros((*v0.shape, horizon, 4))


def constant_velocity(v0: Tensor, horizon: int, dt: float) -> Tensor:
    """Straight on at the initial speed: m/s (...) -> (..., T, 4)."""
    x = v0.unsqueeze(-1) * _times(v0, horizon, dt)
    nothing = torch.zeros_like(x)
    return torch.stack([x, nothing, nothing, v0.unsqueeze(-1).expand_as(x)], -1)


def constant_acceleration(v0: Tensor, acceleration: Tensor, horizon: int, dt: float) -> Tensor:
    """Straight on, x = v0 t + a t^2 / 2 until braking has stopped the car: m/s (...), m/s^2 (...) -> (..., T, 4)."""
    t = _times(v0, horizon, dt)
    stopped = torch.where(acceleration < 0, (v0 / -acceleration).clamp(min=0), torch.inf).unsqueeze(-1)
    driven, a = torch.minimum(t, stopped), acceleration.unsqueeze(-1)
    x = v0.unsqueeze(-1) * driven + a * driven * driven / 2
    v = torch.where(t < stopped, v0.unsqueeze(-1) + a * t, 0.0)
    nothing = torch.zeros_like(x)
    return torch.stack([x, nothing, nothing, v], -1)


def constant_turn_rate(v0: Tensor, turn_rate: Tensor, horizon: int, dt: float) -> Tensor:
    """A circle at the initial speed: m/s (...), rad/s (...) -> (..., T, 4).

    x = v0 sin(w t) / w, y = v0 (1 - cos(w t)) / w, written with sinc so that w = 0 is the straight line.
    """
    t = _times(v0, horizon, dt)
    s, half = v0.unsqueeze(-1) * t, turn_rate.unsqueeze(-1) * t / 2
    x = s * torch.sinc(2 * half / torch.pi)
    y = s * half * torch.sinc(half / torch.pi) ** 2
    return torch.stack([x, y, 2 * half, v0.unsqueeze(-1).expand_as(x)], -1)


def along_the_route(v0: Tensor, route: Tensor, horizon: int, dt: float) -> Tensor:
    """Along the route at the speed of now: m/s (N,), (N, 20, 2) -> (N, T, 4); v0 < 0 counts as standstill."""
    speed = v0.clamp(min=0).unsqueeze(-1)
    return followed(route, speed * _times(v0, horizon, dt), speed)


def hold(v0: Tensor, last_action: Tensor, horizon: int, dt: float) -> Tensor:
    """The last action held: m/s (...), a0 and kappa0 (..., 2) -> (..., T, 4) by the trapezoid rollout.

    v[t] = max(0, v0 + a0 t): a car that brakes comes to rest at the end of the step in which it stops, at most
    |a0| dt^2 / 8 beyond where it would; v0 < 0 counts as standstill.
    """
    return _driven(v0, last_action, v0.new_ones(horizon), dt)


def decaying_hold(v0: Tensor, last_action: Tensor, horizon: int, dt: float, seconds: float = 1.0) -> Tensor:
    """As hold, with a0 e^(-t / seconds) and kappa0 e^(-t / seconds), each step having their mean over it.

    So v[t] = v0 + a0 seconds (1 - e^(-t / seconds)), exactly, until the car stops.
    """
    t = torch.arange(horizon + 1, dtype=v0.dtype, device=v0.device) * dt
    return _driven(v0, last_action, -torch.exp(-t / seconds).diff() * (seconds / dt), dt)


def last_actions(history: Tensor, dt: float) -> Tensor:
    """a0 and kappa0 at t0, the last action of the history's inverse: (..., H, 4), H >= 5 -> (..., 2).

    m/s^2 and 1/m; NaN where the history holds NaN; kappa0 is 0 below 0.6 m/s. Raises ValueError for other shapes.
    """
    if history.dim() < 2 or history.shape[-1] != 4 or history.shape[-2] < POSES:
        raise ValueError(f"history must have shape (..., H, 4) with H >= {POSES} (got {tuple(history.shape)})")
    known = history.isfinite().all(-1).all(-1)
    past = torch.where(known[..., None, None], history, 0.0)
    moved = past - past[..., :1, :]  # the first pose becomes the origin of the inverse
    cos, sin = past[..., :1, 2].cos(), past[..., :1, 2].sin()
    x, y = cos * moved[..., 0] + sin * moved[..., 1], cos * moved[..., 1] - sin * moved[..., 0]
    actions = trajectory_to_actions(torch.stack([x, y], -1)[..., 1:, :], moved[..., 1:, 2], past[..., 0, 3], dt)
    a, kappa = actions[..., -1, :].unbind(-1)
    kappa = torch.where(past[..., -1, 3].abs() < MOVING, 0.0, kappa)
    return torch.where(known.unsqueeze(-1), torch.stack([a, kappa], -1), torch.nan)


@dataclass(frozen=True)
class Linear:
    """Ridge regression in closed form, inputs (N, I) to outputs (N, O).

    W = (Z^T Z + 0.3 I)^-1 Z^T (Y - mean Y), Z the inputs less their mean, over their standard deviation.
    """

    mean: Tensor  # (I,)
    std: Tensor  # (I,)
    weight: Tensor  # (I, O)
    offset: Tensor  # (O,)

    @classmethod
    def fit(cls, inputs: Tensor, wanted: Tensor) -> Self:
        mean, std, offset = inputs.mean(0), inputs.std(0, correction=0), wanted.mean(0)
        std = torch.where(std > STD_FLOOR, std, 1.0)
        z = (inputs - mean) / std
        penalty = PENALTY * torch.eye(len(mean), dtype=z.dtype, device=z.device)
        weight = torch.linalg.solve(z.mT @ z + penalty, z.mT @ (wanted - offset))
        return cls(mean, std, weight, offset)

    def predict(self, inputs: Tensor) -> Tensor:
        return (inputs - self.mean) / self.std @ self.weight + self.offset


@dataclass(frozen=True)
class Ridge:
    """Linear regression of x, y, yaw and v at every step on the history's speeds and heading changes."""

    linear: Linear
    times: tuple[int, int, float]

    @classmethod
    def fit(cls, labels: Labels) -> Self:
        """On the mean of each clip's K samples: W is that of all samples as rows with K times the penalty.

        Clips without history are left out. Raises UserError where none has one.
        """
        labels = _with_history(labels)
        return cls(Linear.fit(_profiles(labels), labels.teacher.double().mean(1).flatten(1)), _times_of(labels))

    def predict(self, labels: Labels) -> Tensor:
        """(N, T, 4), NaN for clips without history. Raises UserError where none has one, or steps are others."""
        _require_times(self.times, labels)
        predicted = self.linear.predict(_profiles(labels))
        return predicted.view(len(labels), labels.horizon, 4).to(labels.v0.dtype)


@dataclass(frozen=True)
class RidgeRoute:
    """Along the route, at speeds that are linear in the history's profiles and the route's |curvature|, also times v0.

    So it knows where, and learns how fast: before a bend, a fast car brakes.
    """

    linear: Linear
    times: tuple[int, int, float]

    @classmethod
    def fit(cls, labels: Labels) -> Self:
        """Clips without history or route are left out. Raises UserError where none has both."""
        labels = _with_history(_with_route(labels))
        return cls(Linear.fit(cls._inputs(labels), labels.teacher[..., 3].double().mean(1)), _times_of(labels))

    def predict(self, labels: Labels) -> Tensor:
        """(N, T, 4), NaN for clips without history or route. Raises UserError as Ridge does."""
        _require_times(self.times, labels)
        v = self.linear.predict(self._inputs(labels)).clamp(min=0)
        before = torch.cat([labels.v0.double().unsqueeze(1), v[:, :-1]], 1)
        driven = ((before + v) / 2 * labels.dt).cumsum(-1)
        return followed(_route(labels), driven, v).to(labels.v0.dtype)

    @staticmethod
    def _inputs(labels: Labels) -> Tensor:
        bent = bends(_route(labels).double())
        return torch.cat([_profiles(labels), bent, bent * labels.v0.double().unsqueeze(1)], 1)


@dataclass(frozen=True)
class Residuals:
    """The decaying hold plus what it missed on training clips picked at random: what several modes must beat."""

    residuals: Tensor  # (R, T, 4), one of every sample of every training clip
    times: tuple[int, int, float]

    @classmethod
    def fit(cls, labels: Labels) -> Self:
        """Clips without history are left out. Raises UserError where none has one."""
        labels = _with_history(labels)
        return cls((labels.teacher - _decaying(labels).unsqueeze(1)).flatten(0, 1), _times_of(labels))

    def predict(self, labels: Labels, samples: int = SIX, seed: int = 0) -> Tensor:
        """(N, K, T, 4), K residuals for each clip, NaN for clips without history. Raises UserError as Ridge does."""
        _require_times(self.times, labels)
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(len(self.residuals), (len(labels), samples), generator=generator)
        return (_decaying(labels).unsqueeze(1) + self.residuals[drawn]).to(labels.v0.dtype)


@dataclass(frozen=True)
class Anchors:
    """Constant velocity plus six typical residuals, medoids of the training samples', and how many each stands for."""

    residuals: Tensor  # (6, T, 4)
    probabilities: Tensor  # (6,)

    @classmethod
    def fit(cls, labels: Labels, seed: int = 0) -> Self:
        """On at most 2048 samples picked at random."""
        straight = constant_velocity(labels.v0, labels.horizon, labels.dt).unsqueeze(1)
        every = len(labels) * labels.teacher.shape[1]
        some = torch.randperm(every, generator=torch.Generator().manual_seed(seed))[:MEDOIDS_OF]
        residuals = (labels.teacher - straight).flatten(0, 1)[some].double()
        index, shares = medoids(residuals, min(SIX, len(residuals)))
        return cls(residuals[index], shares)

    def predict(self, labels: Labels) -> Tensor:
        """(N, 6, T, 4)"""
        straight = constant_velocity(labels.v0, labels.horizon, labels.dt)
        return (straight.unsqueeze(1) + self.residuals).to(labels.v0.dtype)


def baselines(labels: Labels, training: Labels | None) -> dict[str, Tensor | str]:
    """Every single-trajectory baseline by name, (N, T, 4), NaN rows for clips that lack what it needs.

    Or, in one short sentence, why there is none for these labels. Only ridge and ridge_route learn from the training
    labels; the baselines of a route are there where a clip has one.
    """
    v0, horizon, dt = labels.v0, labels.horizon, labels.dt
    found: dict[str, Tensor | str] = {
        "stationary": stationary(v0, horizon, dt),
        "constant_velocity": constant_velocity(v0, horizon, dt),
    }
    learning: dict[str, type[Ridge | RidgeRoute]] = {"ridge": Ridge}
    if labels.route is not None and bool(known(labels.route).any()):
        found["along_the_route"] = along_the_route(v0, labels.route, horizon, dt)
        learning["ridge_route"] = RidgeRoute
    try:
        history = _history(labels)
    except UserError as error:
        names = ("constant_turn_rate", "constant_acceleration", "hold_last_action", "decaying_hold", *learning)
        return found | dict.fromkeys(names, str(error))
    actions = last_actions(history, dt).to(v0.dtype)
    a, kappa = actions.unbind(-1)
    turn_rate = kappa * history[:, -1, 3].to(v0.dtype)
    from_actions = {
        "constant_turn_rate": constant_turn_rate(v0, turn_rate, horizon, dt),
        "constant_acceleration": constant_acceleration(v0, a, horizon, dt),
        "hold_last_action": hold(v0, actions, horizon, dt),
        "decaying_hold": decaying_hold(v0, actions, horizon, dt),
    }
    for name, trajectory in from_actions.items():
        found[name] = torch.where(a.isnan()[:, None, None], torch.nan, trajectory)
    return found | {name: _learnt(kind, labels, training) for name, kind in learning.items()}


def six_residuals(labels: Labels, training: Labels | None) -> Tensor | str:
    """Six random training residuals around the decaying hold, (N, 6, T, 4), or why there are none."""
    try:
        _history(labels)
        return NO_TRAINING if training is None else Residuals.fit(training).predict(labels)
    except UserError as error:
        return str(error)


def _learnt(kind: type[Ridge | RidgeRoute], labels: Labels, training: Labels | None) -> Tensor | str:
    if training is None:
        return NO_TRAINING
    try:
        return kind.fit(training).predict(labels)
    except UserError as error:
        return str(error)


def _times(v0: Tensor, horizon: int, dt: float) -> Tensor:
    """dt .. T dt, (T,) in seconds."""
    return torch.arange(1, horizon + 1, dtype=v0.dtype, device=v0.device) * dt


def _driven(v0: Tensor, action: Tensor, share: Tensor, dt: float) -> Tensor:
    """A share (T,) of the same action (..., 2) at each step, no speed below zero: (..., T, 4)."""
    a, kappa = (action.unsqueeze(-2) * share.unsqueeze(-1)).unbind(-1)
    start = v0.unsqueeze(-1)
    v = torch.cat([start, start + a.cumsum(-1) * dt], -1).clamp(min=0)
    trajectory: Tensor = UnicycleRollout(dt, "trapezoid")(torch.stack([v.diff(dim=-1) / dt, kappa], -1), v[..., 0])
    return trajectory


def _decaying(labels: Labels) -> Tensor:
    """(N, T, 4), NaN for clips without history."""
    return decaying_hold(labels.v0, last_actions(_history(labels), labels.dt), labels.horizon, labels.dt)


def _history(labels: Labels, whose: str = "these labels") -> Tensor:
    """(N, H, 4) where at least one clip has it, otherwise UserError."""
    if labels.history is None or not bool(_known(labels.history).any()):
        raise UserError(f"needs a history, which {whose} do not have")
    if labels.history.shape[1] < POSES:
        raise UserError(f"needs a history of {POSES} poses or more; {whose} have {labels.history.shape[1]}")
    return labels.history


def _known(history: Tensor) -> Tensor:
    """(N,) bool: nothing of a clip's history is NaN."""
    return history.isfinite().flatten(1).all(1)


def _with_history(training: Labels) -> Labels:
    """The clips that can be learnt from."""
    return training.select(_known(_history(training, "the training labels")).nonzero()[:, 0])


def _route(labels: Labels, whose: str = "these labels") -> Tensor:
    """(N, 20, 2) where at least one clip has it, otherwise UserError."""
    if labels.route is None or not bool(known(labels.route).any()):
        raise UserError(f"needs a route, which {whose} do not have")
    return labels.route


def _with_route(training: Labels) -> Labels:
    """The clips that can be learnt from along their routes."""
    return training.select(known(_route(training, "the training labels")).nonzero()[:, 0])


def _profiles(labels: Labels) -> Tensor:
    """(N, 2H - 1) in float64: the speeds, then the heading changes from pose to pose."""
    history = _history(labels).double()
    return torch.cat([history[..., 3], history[..., 2].diff(dim=-1)], -1)


def _times_of(labels: Labels) -> tuple[int, int, float]:
    """What training labels and others must share: poses of history, steps, and seconds a step."""
    return _history(labels).shape[1], labels.horizon, round(labels.dt, 9)


def _require_times(fitted: tuple[int, int, float], labels: Labels) -> None:
    times = _times_of(labels)
    if times != fitted:
        raise UserError(
            "was fitted to {} poses of history and {} steps of {} s;".format(*fitted)
            + " these labels have {}, {} and {}".format(*times)
        )
