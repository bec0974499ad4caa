"""ActionSpace: actions as numbers to learn. Bounds, statistics, tokens."""

from typing import Any, Self

import torch
from torch import Tensor, nn

from alpamayo_toy.kinematics.device import asked_again, seen_through
from alpamayo_toy.kinematics.native import squash as native
from alpamayo_toy.kinematics.native.library import serves
from alpamayo_toy.kinematics.recovery import label_actions
from alpamayo_toy.kinematics.trajectory import Labels

BOUNDS = (9.8, 0.33)  # |a| in m/s^2, |kappa| in 1/m (NVlabs/alpamayo, released configuration)
TOKEN_BINS, TOKEN_RANGE = 3000, 10.0  # bins over +-10 standard deviations (released configuration)
STD_FLOOR = (0.1, 1e-3)  # m/s^2, 1/m: a label set that never steers must not blow steering up
MOVING = 0.6  # m/s, Alpamayo's standstill threshold: below it curvature means nothing


class ActionSpace(nn.Module):
    """Mean, standard deviation and bounds of (a, kappa); a buffer of every student, saved with it.

    z = (action - mean) / std;  squash(raw) = bound tanh(denormalize(raw) / bound), so that raw is z well inside.
    """

    mean: Tensor
    std: Tensor
    bound: Tensor

    def __init__(self, mean: Tensor | None = None, std: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2) if mean is None else mean)
        self.register_buffer("std", torch.ones(2) if std is None else std)
        self.register_buffer("bound", torch.tensor(BOUNDS))

    @classmethod
    def alpamayo(cls) -> Self:
        """The released statistics (NVlabs/alpamayo, released configuration)."""
        return cls(
            torch.tensor([0.02902694707164455, 0.0002692167976330542]),
            torch.tensor([0.6810426736454882, 0.026148280660833106]),
        )

    @classmethod
    def fit(cls, labels: Labels) -> Self:
        """Statistics of a label set, curvature only from steps with |v| > 0.6 m/s at both ends.

        Over all steps, standstill makes the standard deviation of curvature of real labels 26 times too large.
        """
        v0 = labels.v0.unsqueeze(-1).expand(labels.teacher.shape[:-2])
        actions = label_actions(labels.teacher, v0, labels.dt)
        v = torch.cat([v0.unsqueeze(-1), labels.teacher[..., 3]], -1).abs()
        moving = (v[..., 1:] > MOVING) & (v[..., :-1] > MOVING)
        kappa = actions[..., 1][moving].double() if bool(moving.any()) else torch.zeros(2, dtype=torch.float64)
        channels = (actions[..., 0].double().flatten(), kappa)
        std = [max(float(c.std(correction=0)), floor) for c, floor in zip(channels, STD_FLOOR, strict=True)]
        return cls(torch.tensor([float(c.mean()) for c in channels]), torch.tensor(std))

    def normalize(self, actions: Tensor) -> Tensor:
        """(..., 2) m/s^2, 1/m -> (..., 2) standard deviations."""
        mean, std = _rows(self.mean, actions), _rows(self.std, actions)
        return ((_flat(actions) - mean) / std).view(actions.shape)

    def denormalize(self, z: Tensor) -> Tensor:
        """(..., 2) standard deviations -> (..., 2) m/s^2, 1/m."""
        return z * self.std + self.mean

    def squash(self, raw: Tensor, scale: Tensor | None = None) -> Tensor:
        """Any real numbers (..., 2) -> actions inside the bounds, smooth, near denormalize(raw) far from them.

        scale (B, 2): what the raw actions (B, ..., T, 2) of each scene are multiplied by before.
        """
        space = self.mean, self.std, self.bound
        if (
            scale is None
            or seen_through()  # first: a tracer minds what sizes are compared with
            or raw.dim() < 3
            or scale.shape != (raw.shape[0], 2)
            or scale.requires_grad
            or not serves(raw, scale, *space)
        ):
            return _squashed(raw, scale, *space)
        if torch.is_grad_enabled() and raw.requires_grad:
            actions: Tensor = _Squash.apply(raw, scale, *space)  # type: ignore[no-untyped-call]
            return actions
        return native.squash(raw, scale, torch.stack(space))

    def unsquash(self, actions: Tensor) -> Tensor:
        """The inverse of squash, for actions (..., 2) strictly inside the bounds; infinite on them."""
        return self.normalize(self.bound * torch.atanh(actions / self.bound))

    def clamp(self, actions: Tensor) -> Tensor:
        """Actions (..., 2) cut off at the bounds."""
        return torch.minimum(torch.maximum(actions, -self.bound), self.bound)

    def within_bounds(self, actions: Tensor) -> Tensor:
        """(..., T, 2) -> (...) bool: every action of a trajectory inside the bounds."""
        return (actions.abs() <= self.bound).all(-1).all(-1)

    def encode(self, actions: Tensor) -> Tensor:
        """Alpamayo's tokens: (..., T, 2) -> int64 (..., 2 T), a and kappa interleaved.

        round((z + 10) / 20 * 2999), clipped to 0..2999; count_clipped says how often that loses something.
        Raises ValueError for NaN, which has no token, but under functorch, torch.compile and tracers, which see no
        values.
        """
        if not seen_through() and bool(actions.isnan().any()):
            bad = actions.isnan().nonzero()[0].tolist()
            raise ValueError(f"actions hold a NaN at index {tuple(bad)} of {tuple(actions.shape)}: it has no token")
        share = (self.normalize(actions) + TOKEN_RANGE) / (2 * TOKEN_RANGE)
        return (share * (TOKEN_BINS - 1)).round().clamp(0, TOKEN_BINS - 1).long().flatten(-2)

    def decode(self, tokens: Tensor) -> Tensor:
        """The actions (..., T, 2) in the middle of each token's bin, from tokens (..., 2 T)."""
        share = tokens.unflatten(-1, (-1, 2)).to(self.mean.dtype) / (TOKEN_BINS - 1)
        return self.denormalize(share * (2 * TOKEN_RANGE) - TOKEN_RANGE)

    def count_clipped(self, actions: Tensor) -> Tensor:
        """How many of a trajectory's numbers lie beyond the tokens' +-10 standard deviations: (..., T, 2) -> (...)."""
        return (self.normalize(actions).abs() > TOKEN_RANGE).sum((-1, -2))


def _squashed(raw: Tensor, scale: Tensor | None, mean: Tensor, std: Tensor, bound: Tensor) -> Tensor:
    """ActionSpace.squash() in PyTorch's operations."""
    flat, (mean, std, bound) = _flat(raw), (_rows(constant, raw) for constant in (mean, std, bound))
    if scale is None:
        wide = flat * std
    else:  # in place from here on: what is as large as a set of trajectories leaves the cache
        wide = (flat * scale.repeat(1, raw.shape[-2]).view(raw.shape[0], *[1] * (flat.dim() - 2), -1)).mul_(std)
    return (bound * wide.add_(mean).div_(bound).tanh_()).view(raw.shape)


class _Squash(torch.autograd.Function):
    """The same in C, in one pass there and one back, which takes the actions alone."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor, scale: Tensor, *space: Tensor) -> Tensor:
        ctx.space = torch.stack(space)
        actions = native.squash(raw, scale, ctx.space)
        ctx.save_for_backward(scale, actions)
        return actions

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scale, actions = ctx.saved_tensors
        if asked_again(grad):
            _, std, bound = ctx.space
            times = (scale * std).view(len(scale), *[1] * (actions.dim() - 2), 2)
            return grad * times * (1 - (actions / bound).square()), None, None, None, None
        return native.adjoint(actions, scale, grad, ctx.space), None, None, None, None


def _flat(actions: Tensor) -> Tensor:
    """(..., T, 2) as rows (..., 2 T): operations along an axis of two take five times as long."""
    return actions.flatten(-2) if actions.dim() > 1 else actions


def _rows(constant: Tensor, actions: Tensor) -> Tensor:
    """A constant (2,) beside such rows."""
    return constant.repeat(actions.shape[-2]) if actions.dim() > 1 else constant
