"""UnicycleRollout: actions -> trajectory, differentiable, batched, without a loop over time."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from alpamayo_toy.kinematics.arguments import require_dt, require_tensor
from alpamayo_toy.kinematics.device import asked_again, plain_gradients, seen_through
from alpamayo_toy.kinematics.native import rollout as native
from alpamayo_toy.kinematics.native.library import serves
from alpamayo_toy.kinematics.running import running_maximum, running_minimum

INTEGRATORS = ("euler", "trapezoid")


class UnicycleRollout(nn.Module):
    """Roll actions out into a trajectory with the unicycle model, from the origin of the ego frame.

    integrator="euler", the project notes' scheme, every right-hand side from the state at t:
        v[t+1]   = max(0, v[t] + a[t] dt)             m/s
        yaw[t+1] = yaw[t] + v[t] kappa[t] dt          rad, counter-clockwise, continuous
        x[t+1]   = x[t] + v[t] cos(yaw[t]) dt         m, y with sin
    integrator="trapezoid", Alpamayo's scheme (NVlabs/alpamayo, unicycle_accel_curvature.py), v may be negative:
        v[t+1]   = v[t] + a[t] dt
        yaw[t+1] = yaw[t] + kappa[t] (v[t] dt + a[t] dt^2 / 2)
        x[t+1]   = x[t] + (v[t] cos(yaw[t]) + v[t+1] cos(yaw[t+1])) dt / 2

    The clamp needs no loop: with S[t] = v0 + sum_{j<t} a[j] dt, v[t] = S[t] - min(0, S[1], ..., S[t]) (a reflected
    walk). Its gradient is the loop's at exact ties too: cut only where v[t] + a[t] dt < 0 strictly, so that a parked
    car can learn to pull away.
    """

    def __init__(self, dt: float = 0.1, integrator: str = "euler") -> None:
        super().__init__()
        require_dt(dt)
        if integrator not in INTEGRATORS:
            raise ValueError(f"integrator must be one of {', '.join(INTEGRATORS)} (got {integrator!r})")
        self.dt = dt
        self.integrator = integrator

    def forward(self, actions: Tensor, v0: Tensor, steps: slice = slice(None)) -> Tensor:
        """actions (..., T, 2) = a [m/s^2], kappa [1/m]; v0 (...) [m/s] -> (..., T, 4) = x, y, yaw, v after each step.

        steps: which of the T states are given, forwards; to a loss that looks at a few, the others would be written and
        read back for nothing. The batch dimensions of actions and v0 broadcast. float32 and float64 are integrated as
        given; bfloat16 and float16 are upcast to float32 with one warning. Raises TypeError for no tensor or
        slice, ValueError for other shapes, dtypes, devices or steps.
        """
        actions, v0 = _checked(actions, v0)
        if not isinstance(steps, slice):
            raise TypeError(f"steps must be a slice (got {type(steps).__name__})")
        if steps.step is not None and steps.step < 1:
            raise ValueError(f"steps must go forwards (got {steps})")
        if torch.is_autocast_enabled(actions.device.type):
            with torch.autocast(actions.device.type, enabled=False):
                return self(actions, v0, steps)  # type: ignore[no-any-return]
        clamp = self.integrator == "euler"
        if seen_through():
            return _at(_composed(actions, v0, self.dt, clamp), steps)
        if torch.is_grad_enabled() and (actions.requires_grad or v0.requires_grad):
            inside = steps if serves(actions, v0) else slice(None)
            states = _HandAdjoint.apply(actions, v0, self.dt, clamp, inside)  # type: ignore[no-untyped-call]
            return _at(states, slice(None) if inside == steps else steps)
        if serves(actions, v0):
            return native.rollout(actions, v0, self.dt, clamp, steps, keep=False)[0]
        return _at(_fast(actions, v0, self.dt, clamp)[0], steps)

    def extra_repr(self) -> str:
        return f"dt={self.dt}, integrator={self.integrator!r}"


def _at(trajectory: Tensor, steps: slice) -> Tensor:
    """Some of its states; itself where that is all, so that nobody who looks on sees a slice."""
    return trajectory if steps == slice(None) else trajectory[..., steps, :]


def _checked(actions: Tensor, v0: Tensor) -> tuple[Tensor, Tensor]:
    """Shapes and dtypes at the boundary: (..., T, 2) and (...) of one float dtype, batch dimensions made equal."""
    require_tensor("actions", actions)
    require_tensor("v0", v0, actions)
    if actions.dim() < 2 or actions.shape[-1] != 2 or actions.shape[-2] < 1:
        raise ValueError(f"actions must have shape (..., T, 2) with T >= 1 (got {tuple(actions.shape)})")
    batch = actions.shape[:-2]
    if v0.shape != batch:
        try:
            batch = torch.broadcast_tensors(actions[..., 0, 0], v0)[0].shape  # broadcast_shapes() imports a compiler
        except RuntimeError:
            raise ValueError(
                f"v0 {tuple(v0.shape)} does not broadcast with the batch dimensions of actions {tuple(actions.shape)}"
            ) from None
        actions, v0 = actions.expand(*batch, *actions.shape[-2:]), v0.expand(batch)
    dtype = torch.promote_types(actions.dtype, v0.dtype)
    if dtype in (torch.bfloat16, torch.float16):
        warnings.warn(f"{dtype} actions are upcast to float32 before integrating", stacklevel=3)
        dtype = torch.float32
    if actions.dtype == v0.dtype == dtype:
        return actions, v0
    return actions.to(dtype), v0.to(dtype)


def _clamped_steps(walk: Tensor) -> tuple[Tensor, Tensor]:
    """min(0, S[1], ..., S[t]) of an unclamped walk S (..., T+1), and the mask of the clamped steps; (..., T) each."""
    lowest = torch.cat([torch.zeros_like(walk[..., :1]), walk[..., 1:]], -1).cummin(-1)[0]
    return lowest[..., 1:], lowest[..., 1:] < lowest[..., :-1]


def _since_cut(values: Tensor, cut: Tensor) -> Tensor:
    """Sum of values over the stretch from each step's latest cut up to the next one, (..., T) -> (..., T)."""
    stretch = cut.cumsum(-1)
    sums = values.new_zeros(*values.shape[:-1], values.shape[-1] + 1).scatter_add(-1, stretch, values)
    return sums.gather(-1, stretch)


def _composed(actions: Tensor, v0: Tensor, dt: float, clamp: bool) -> Tensor:
    """The rollout in plain operations: any number of derivatives, any transform, any batch once it is exported."""
    start = v0.unsqueeze(-1) + torch.zeros_like(actions[..., :1, 0])
    v = torch.cat([start, start + actions[..., 0].cumsum(-1) * dt], -1)
    if clamp:
        # S[t] - S[latest cut] is S[t] - min(0, S[1], ..., S[t]), with the loop's gradient at ties
        walk = torch.cat([torch.zeros_like(start), v[..., 1:]], -1)
        lowest = running_minimum(walk.detach())
        cut = lowest[..., 1:] < lowest[..., :-1]
        latest = running_maximum(cut * torch.arange(1, walk.shape[-1], device=walk.device))  # 0 before the first
        v = torch.cat([start, v[..., 1:] - walk.gather(-1, latest)], -1)
    step = v[..., :-1] * dt if clamp else (v[..., :-1] + v[..., 1:]) * (dt / 2)
    yaw = torch.cat([torch.zeros_like(v[..., :1]), (actions[..., 1] * step).cumsum(-1)], -1)
    if clamp:
        dx, dy = yaw[..., :-1].cos() * step, yaw[..., :-1].sin() * step
    else:
        vx, vy = yaw.cos() * v, yaw.sin() * v
        dx, dy = (vx[..., :-1] + vx[..., 1:]) * (dt / 2), (vy[..., :-1] + vy[..., 1:]) * (dt / 2)
    return torch.stack([dx.cumsum(-1), dy.cumsum(-1), yaw[..., 1:], v[..., 1:]], -1)


def _fast(actions: Tensor, v0: Tensor, dt: float, clamp: bool) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """Actions (..., T, 2), v0 (...) -> the same numbers (..., T, 4), and what the adjoint needs of the B rows of the
    batch: v, cos, sin (B, T+1), the rows that stop somewhere and their clamped steps.

    A stack along the last axis would cost as much as everything else; cumsum(out=...) into a strided view is free.
    """
    whole = actions.new_empty(*actions.shape[:-1], 4)  # no view, so that it may be written on
    actions, v0 = actions.reshape(-1, *actions.shape[-2:]), v0.reshape(-1)
    batch, horizon, _ = actions.shape
    out = whole.view(batch, horizon, 4)
    v, yaw = actions.new_empty(2, batch, horizon + 1)
    v[:, 0] = v0
    torch.cumsum(actions[..., 0], -1, out=v[:, 1:])
    v[:, 1:].mul_(dt).add_(v0[:, None])
    rows = cut = None
    if clamp:
        rows = _stopping(v)
        if rows is not None:
            lowest, cut = _clamped_steps(v[rows])
            v[:, 1:].index_add_(0, rows, lowest, alpha=-1)
    step = v[:, :-1] * dt if clamp else (v[:, :-1] + v[:, 1:]).mul_(dt / 2)
    yaw[:, 0] = 0
    torch.mul(actions[..., 1], step, out=yaw[:, 1:]).cumsum_(-1)
    cos, sin = yaw.cos(), yaw.sin()
    out[..., 2] = yaw[:, 1:]
    out[..., 3] = v[:, 1:]
    for state, place in ((cos, out[..., 0]), (sin, out[..., 1])):
        if clamp:
            moved = torch.mul(state[:, :-1], step, out=yaw[:, 1:])  # yaw has done its work: its memory serves again
        else:
            half = torch.mul(state, v, out=yaw).mul_(dt / 2)
            moved = torch.add(half[:, :-1], half[:, 1:], out=step)
        torch.cumsum(moved, -1, out=place)
    return whole, (v, cos, sin, rows, cut)


def _stopping(walk: Tensor) -> Tensor | None:
    """The rows of an unclamped walk that fall below 0, None if none do; all on a GPU, where asking would stall it."""
    if walk.device.type != "cpu":
        return torch.arange(len(walk), device=walk.device)
    if walk.numel() == 0 or bool(walk.min() >= 0):
        return None
    return (walk.amin(-1) < 0).nonzero()[:, 0]


def _reverse_cumsum(tensor: Tensor) -> Tensor:
    return tensor.flip(-1).cumsum(-1).flip(-1)


def _later_sums(grad: Tensor, dt: float) -> Tensor:
    """dt sum_{s > t} grad[s] for t = 0..T: (..., T) at t = 1..T -> (..., T+1). How much a state's velocity moves."""
    sums = grad.new_empty(*grad.shape[:-1], grad.shape[-1] + 1)
    sums[..., 0] = 0
    torch.cumsum(grad.flip(-1), -1, out=sums[..., 1:])
    return sums.mul_(dt).flip(-1)


def _later_means(grad: Tensor, dt: float) -> Tensor:
    """The same for the trapezoid rule: a state's velocity counts half in the step before and half in the next."""
    sums = _later_sums(grad, dt / 2)
    return torch.cat([sums[..., :1], sums[..., :-1] + sums[..., 1:]], -1)


class _HandAdjoint(torch.autograd.Function):
    """The rollout with its adjoint written out: in C where that serves, or as reverse cumulative sums with cuts."""

    @staticmethod
    def forward(ctx: Any, actions: Tensor, v0: Tensor, dt: float, clamp: bool, steps: slice) -> Tensor:
        ctx.native = serves(actions, v0)
        if ctx.native:
            out, kept = native.rollout(actions, v0, dt, clamp, steps, keep=True)
            states: tuple[Tensor | None, ...] = (kept,)
        else:
            out, states = _fast(actions, v0, dt, clamp)
        ctx.save_for_backward(actions, v0, *states)
        ctx.dt, ctx.clamp, ctx.steps = dt, clamp, steps
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        actions, v0, *states = ctx.saved_tensors
        dt, clamp = ctx.dt, ctx.clamp
        if asked_again(grad):  # which no operation with out= takes

            def composed(actions: Tensor, v0: Tensor) -> Tensor:
                return _at(_composed(actions, v0, dt, clamp), ctx.steps)

            return *plain_gradients(composed, (actions, v0), ctx.needs_input_grad[:2], grad), None, None, None
        if ctx.native:
            return (*native.adjoint(actions, states[0], grad, dt, clamp, ctx.steps), None, None, None)
        v, cos, sin, rows, cut = states
        grad = grad.reshape(-1, *grad.shape[-2:])
        grad_actions = actions.new_empty(actions.shape)
        ga, gk = grad_actions.view(-1, *actions.shape[-2:]).unbind(-1)
        weights = _later_sums if clamp else _later_means
        gx, gy = (
            weights(grad[..., 0], dt),
            weights(grad[..., 1], dt),
        )  # d loss / d (v cos yaw), (v sin yaw) at the states
        push = torch.mul(cos, gx).addcmul_(sin, gy)  # d loss / d v at the states, but for its way through v itself
        turn = gy.mul_(cos).sub_(gx.mul_(sin)).mul_(v)  # d loss / d yaw at the states, likewise
        gyaw = _reverse_cumsum(turn[:, 1:].add_(grad[..., 2]))
        step = v[:, :-1] * dt if clamp else (v[:, :-1] + v[:, 1:]).mul_(dt / 2)
        torch.mul(gyaw, step, out=gk)
        bend = gyaw.mul_(actions[..., 1].reshape(gyaw.shape))
        if clamp:
            push[:, :-1].add_(bend, alpha=dt)
        else:
            push[:, :-1].add_(bend, alpha=dt / 2)
            push[:, 1:].add_(bend, alpha=dt / 2)
        gv = push[:, 1:].add_(grad[..., 3])
        if cut is not None:  # S[cut] was taken away from every speed until the next cut
            gv.index_add_(0, rows, _since_cut(gv[rows], cut) * cut, alpha=-1)
        gv = _reverse_cumsum(gv)
        torch.mul(gv, dt, out=ga)
        return grad_actions, (push[:, 0] + gv[:, 0]).view(v0.shape), None, None, None
