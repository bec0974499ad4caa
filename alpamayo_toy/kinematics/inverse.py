"""Alpamayo's inverse: from trajectories to actions by regularised least squares, and speeds at t0 from the past."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from alpamayo_toy.kinematics.action_space import BOUNDS, MOVING
from alpamayo_toy.kinematics.arguments import common_dtype, require_dt, require_tensor
from alpamayo_toy.kinematics.banded import solve_banded
from alpamayo_toy.kinematics.device import asked_again, kept, plain_gradients, seen_through
from alpamayo_toy.kinematics.native import inverse as native
from alpamayo_toy.kinematics.native.library import serves
from alpamayo_toy.kinematics.trajectory import DT

CHUNK = 1640  # tracks at once on a CPU: more fall out of its cache, fewer cost more calls
LONG = 256  # steps on a CPU, beyond which systems that do not hang on the data are solved banded: T x T takes longer
GUARDS = ("none", "guard", "ridge")


class InverseWeights(NamedTuple):
    """(smoothing, ridge) of the four systems of the inverse; Alpamayo's defaults.

    Smoothing weighs squared differences of third order (heading, speed) or second (acceleration, curvature), divided by
    dt^(2 order); ridge weighs the squared values themselves.
    """

    heading: tuple[float, float] = (1e-6, 1e-8)
    speed: tuple[float, float] = (1e-6, 1e-4)
    acceleration: tuple[float, float] = (1e-4, 1e-4)
    curvature: tuple[float, float] = (1e-4, 1e-4)


DEFAULT_WEIGHTS = InverseWeights()


def trajectory_to_actions(
    waypoints: Tensor,
    yaw: Tensor,
    v0: Tensor,
    dt: float = DT,
    *,
    guard: str = "ridge",
    weights: InverseWeights = DEFAULT_WEIGHTS,
    check: bool = True,
) -> Tensor:
    """Alpamayo's inverse of the trapezoid rollout: (..., T, 2), (..., T), (...) -> actions (..., T, 2), T >= 4.

    Four regularised least-squares systems (NVlabs/alpamayo, unicycle_accel_curvature.py), each smoothed by weights:
        heading    theta ~ yaw, theta[0] = 0
        speed      v[t] u[t] + v[t+1] u[t+1] ~ 2 (p[t+1] - p[t]) / dt, u = (cos, sin) theta, v[0] = v0
        a          a[t] ~ (v[t+1] - v[t]) / dt
        curvature  kappa[t] s[t] ~ theta[t+1] - theta[t], s = v dt + a dt^2 / 2
    Solved in float64 whatever the input, since curvature's system has a condition number of 1e5 at standstill, and
    returned in the input's dtype. Banded, so that memory grows with B x T; differentiable in all three arguments. In C
    from end to end where that serves (native/inverse.c).

    guard, what is done where the car hardly moves and curvature is noise:
        "none"   nothing: upstream before August 2026. A parked car with 2 cm position and 50 mrad heading noise gets
                 |kappa| up to 2.2 1/m. 360 real teacher trajectories come back to 1.3 mm, the worst to 0.04 m.
        "guard"  upstream since: kappa clamped to 0.33, and 0 where |v| < 0.6 m/s at either end of the step. Parked: 0.
                 Steering below walking pace is lost: 2.1 mm, the worst 0.26 m.
        "ridge"  curvature's ridge grows where steps are short, 1e-3 (0.06 / (|s| + 0.02))^2, s in metres: no threshold,
                 no jump. Parked: up to 0.45, 0.06 at the 99th percentile. 1.6 mm, the worst 0.18 m. The default: it
                 costs nothing on recorded drives, and a car that parks at 1 m/s keeps 98 % of its steering.

    Raises TypeError for what is no tensor, ValueError for wrong shapes, dtypes, devices and, with check, for NaN or
    infinite values, naming argument and batch index; bfloat16 and float16 are upcast with one warning. Value checks
    step aside under functorch and torch.compile.
    """
    require_dt(dt)
    for name, tensor in (("waypoints", waypoints), ("yaw", yaw), ("v0", v0)):
        require_tensor(name, tensor, waypoints if name != "waypoints" else None)
    if guard not in GUARDS:
        raise ValueError(f"guard must be one of {', '.join(GUARDS)} (got {guard!r})")
    if waypoints.dim() < 2 or waypoints.shape[-1] != 2 or waypoints.shape[-2] < 4:
        raise ValueError(f"waypoints must have shape (..., T, 2) with T >= 4 (got {tuple(waypoints.shape)})")
    batch, horizon = waypoints.shape[:-2], waypoints.shape[-2]
    _require_shapes(batch, {"yaw": (yaw, (*batch, horizon)), "v0": (v0, batch)})
    dtype = common_dtype({"waypoints": waypoints, "yaw": yaw, "v0": v0}, check)
    if waypoints.numel() == 0:  # PyTorch 2.6 pads no empty batch
        return waypoints.to(dtype)
    tracks = (waypoints.reshape(-1, horizon, 2).to(dtype), yaw.reshape(-1, horizon).to(dtype), v0.reshape(-1).to(dtype))
    if seen_through() or not serves(*tracks):
        found = _in_pytorch(*tracks, dt, guard, weights)
    elif torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tracks):
        found = _HandAdjoint.apply(*tracks, dt, guard, weights)  # type: ignore[no-untyped-call]
    else:
        found = native.inverse(*tracks, _systems(horizon, dt, guard, weights))
    return found.view(*batch, horizon, 2)


class _HandAdjoint(torch.autograd.Function):
    """The inverse in C with its adjoint, which keeps the tracks alone."""

    @staticmethod
    def forward(
        ctx: Any, waypoints: Tensor, yaw: Tensor, v0: Tensor, dt: float, guard: str, weights: InverseWeights
    ) -> Tensor:
        ctx.save_for_backward(waypoints, yaw, v0)
        ctx.told = dt, guard, weights
        return native.inverse(waypoints, yaw, v0, _systems(yaw.shape[1], dt, guard, weights))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        waypoints, yaw, v0 = tracks = ctx.saved_tensors
        if asked_again(grad):

            def composed(waypoints: Tensor, yaw: Tensor, v0: Tensor) -> Tensor:
                return _in_pytorch(waypoints, yaw, v0, *ctx.told)

            return *plain_gradients(composed, tracks, ctx.needs_input_grad[:3], grad), None, None, None
        systems = _systems(yaw.shape[1], *ctx.told)
        return (*native.adjoint(waypoints, yaw, v0, grad, systems), None, None, None)


def _in_pytorch(waypoints: Tensor, yaw: Tensor, v0: Tensor, dt: float, guard: str, weights: InverseWeights) -> Tensor:
    """(B, T, 2), (B, T), (B,) -> (B, T, 2)"""
    tracks = waypoints, yaw, v0
    rows = CHUNK if waypoints.device.type == "cpu" else len(v0)
    chunks = [tracks] if len(v0) <= rows else zip(*(tensor.split(rows) for tensor in tracks), strict=True)
    parts = (_inverted(p, turns, start, dt, guard, weights) for p, turns, start in chunks)
    tracked = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tracks)
    if tracked or seen_through():
        return torch.cat([torch.stack(part).permute(2, 1, 0).to(waypoints.dtype) for part in parts])
    found = waypoints.new_empty(waypoints.shape)  # in place: half the memory of a cat
    for out, part in zip(found.split(rows), parts, strict=True):
        for axis, actions in zip(out.unbind(-1), part, strict=True):
            axis.copy_(actions.mT)
    return found


def _inverted(
    waypoints: Tensor, yaw: Tensor, v0: Tensor, dt: float, guard: str, weights: InverseWeights
) -> tuple[Tensor, Tensor]:
    """(B, T, 2), (B, T), (B,) -> a, kappa (T, B) each in float64."""
    theta = _heading(_time_first(yaw), dt, weights.heading)
    start = v0.to(torch.float64).unsqueeze(0)
    v = _speeds(_time_first(waypoints), theta, start, dt, weights.speed)
    before = torch.cat([start, v[:-1]])
    a = _smoothed((v - before) / dt, dt, weights.acceleration)
    s = (before + a * (dt / 2)) * dt
    kappa = _curvature(theta - _before(theta), s, dt, weights.curvature, guard == "ridge")
    if guard == "guard":
        moving = (v.detach().abs() >= MOVING) & (before.detach().abs() >= MOVING)
        kappa = kappa.clamp(-BOUNDS[1], BOUNDS[1]) * moving.double()
    return a, kappa


def estimate_v0(history_waypoints: Tensor, history_yaw: Tensor, dt: float = DT) -> Tensor:
    """Speed at t0 from the past, Alpamayo's estimator: (..., H, 2), (..., H) -> (...): the last of estimate_speeds."""
    return estimate_speeds(history_waypoints, history_yaw, dt)[..., -1]


def estimate_speeds(history_waypoints: Tensor, history_yaw: Tensor, dt: float = DT) -> Tensor:
    """Speeds along the past: (..., H, 2), (..., H) -> (..., H), H >= 4, the last pose at t0.

    The speed system of trajectory_to_actions with no end held, headings as they are. Raises ValueError as
    trajectory_to_actions does.
    """
    require_dt(dt)
    require_tensor("history_waypoints", history_waypoints)
    require_tensor("history_yaw", history_yaw, history_waypoints)
    if history_waypoints.dim() < 2 or history_waypoints.shape[-1] != 2 or history_waypoints.shape[-2] < 4:
        shape = tuple(history_waypoints.shape)
        raise ValueError(f"history_waypoints must have shape (..., H, 2) with H >= 4 (got {shape})")
    batch, poses = history_waypoints.shape[:-2], history_waypoints.shape[-2]
    _require_shapes(batch, {"history_yaw": (history_yaw, (*batch, poses))})
    dtype = common_dtype({"history_waypoints": history_waypoints, "history_yaw": history_yaw}, True)
    speeds = _free_speeds(history_waypoints.reshape(-1, poses, 2), history_yaw.reshape(-1, poses), dt)
    return speeds.mT.reshape(*batch, poses).to(dtype, copy=True)  # an own one: the solution is kept for backward


def regularised_states(
    waypoints: Tensor, yaw: Tensor, v0: Tensor | None = None, dt: float = DT
) -> tuple[Tensor, Tensor]:
    """Speeds and headings of a recorded track, which no unicycle drove: -> v0 (...), trajectory (..., T, 4), float64.

    waypoints (..., T, 2), yaw (..., T), v0 (...): the heading and speed systems of trajectory_to_actions, x and y as
    they came. Without v0 the speeds at t0 .. t0 + T dt are found with no end held, as in estimate_v0.
    """
    batch, horizon = yaw.shape[:-1], yaw.shape[-1]
    if yaw.numel() == 0:  # PyTorch 2.6 pads no empty batch
        return waypoints.new_empty(batch, dtype=torch.float64), waypoints.new_empty(*yaw.shape, 4, dtype=torch.float64)
    flat = waypoints.reshape(-1, horizon, 2)
    theta = _heading(_time_first(yaw.reshape(-1, horizon)), dt, DEFAULT_WEIGHTS.heading)
    if v0 is None:
        start, v = _free_speeds(pad(flat, (0, 0, 1, 0)), pad(theta, (0, 0, 1, 0)).mT, dt).split([1, horizon])
    else:
        start = v0.reshape(1, -1).to(torch.float64)
        v = _speeds(_time_first(flat), theta, start, dt, DEFAULT_WEIGHTS.speed)
    states = torch.cat([flat.double(), theta.mT.unsqueeze(-1), v.mT.unsqueeze(-1)], -1)
    return start.reshape(batch), states.reshape(*batch, horizon, 4)


def _free_speeds(waypoints: Tensor, yaw: Tensor, dt: float) -> Tensor:
    """The speeds (H, B) at poses (B, H, 2), (B, H) by the speed system with no end held."""
    poses = yaw.shape[1]
    p, theta = _time_first(waypoints), _time_first(yaw)
    ux, uy = theta.cos(), theta.sin()
    gx, gy = p.diff(dim=1) * (2 / dt)
    nothing = torch.zeros_like(gx[:1])
    right = ux * (torch.cat([nothing, gx]) + torch.cat([gx, nothing]))
    right = right + uy * (torch.cat([nothing, gy]) + torch.cat([gy, nothing]))
    between = torch.cat([nothing, ux[1:] * ux[:-1] + uy[1:] * uy[:-1]])
    first, second, *rest = _speed_bands(poses, dt, DEFAULT_WEIGHTS.speed, False, theta.device)
    return solve_banded([first, second + between, *rest], right)


def _time_first(tensor: Tensor) -> Tensor:
    """(B, T) or (B, T, 2) -> (T, B) or (2, T, B) in float64: each step's numbers side by side."""
    turned = tensor.permute(*reversed(range(tensor.dim())))
    # the second call is for float64, whose strides the first leaves as they are
    return turned.to(torch.float64, memory_format=torch.contiguous_format).contiguous()


def _before(values: Tensor) -> Tensor:
    """Of every step the one before it, 0 before the first: (T, B) -> (T, B)."""
    return pad(values, (0, 0, 1, -1))


def _heading(yaw: Tensor, dt: float, weights: tuple[float, float]) -> Tensor:
    """Smoothed, continuous headings (T, B) after 0 at t0, from headings (T, B) that may be wrapped."""
    jumps = yaw - _before(yaw)
    jumps = jumps - 2 * math.pi * (jumps.detach() / (2 * math.pi)).round()
    if _is_long(yaw):
        first, *rest = _penalty_bands(len(yaw), 3, dt, weights, True, yaw.device)
        return solve_banded([first + 1, *rest], jumps.cumsum(0))
    return _summed_smoother(len(yaw), 3, dt, weights, yaw.device) @ jumps


def _is_long(values: Tensor) -> bool:
    """Whether (T, B) are better solved banded; on a GPU a product with T x T numbers is the quicker one."""
    return len(values) > LONG and values.device.type == "cpu"


def _smoothed(values: Tensor, dt: float, weights: tuple[float, float]) -> Tensor:
    """x ~ values (T, B), its second differences small."""
    if _is_long(values):
        first, *rest = _penalty_bands(len(values), 2, dt, weights, False, values.device)
        return solve_banded([first + 1, *rest], values)
    return _smoother(len(values), 2, dt, weights, values.device) @ values


def _speeds(p: Tensor, theta: Tensor, v0: Tensor, dt: float, weights: tuple[float, float]) -> Tensor:
    """Speeds (T, B) after v0 (1, B), from positions (2, T, B) and headings (T, B)."""
    horizon = len(theta)
    poses = pad(theta, (0, 0, 1, 0))
    ux, uy = poses.cos(), poses.sin()
    q = torch.cat([torch.zeros_like(p[:, :1]), p, p[:, -1:]], 1)
    gx, gy = (q[:, 2:] - q[:, :-2]) * (2 / dt)  # both steps that a speed has a share in; the last has but one
    right = torch.addcmul(ux[1:] * gx, uy[1:], gy)
    between = torch.addcmul(ux[1:] * ux[:-1], uy[1:], uy[:-1])
    first, second, *rest = _speed_bands(horizon, dt, weights, True, p.device)
    coupling = _penalty_coupling(horizon, 3, dt, weights, p.device)
    known = (pad(between[:1], (0, 0, 0, len(coupling) - 1)) + coupling) * v0
    right = right - pad(known, (0, 0, 0, horizon - len(known)))
    return solve_banded([first, second + between, *rest], right)


def _curvature(turned: Tensor, s: Tensor, dt: float, weights: tuple[float, float], ridge: bool) -> Tensor:
    """Curvature (T, B) from changes of heading and arc lengths (T, B), with the arc-length ridge where told."""
    first, *rest = _curvature_bands(len(s), dt, weights, ridge, s.device)
    diagonal = s * s + first
    if ridge:
        diagonal = diagonal + 1e-3 * (0.06 / (s.abs() + 0.02)) ** 2
    return solve_banded([diagonal, *rest], s * turned)


def _identity(n: int) -> Tensor:
    """On the CPU whatever the default device is: that may hold no numbers."""
    return torch.eye(n, dtype=torch.float64, device="cpu")


@kept
def _penalty(n: int, order: int, dt: float, weights: tuple[float, float]) -> Tensor:
    """smoothing D^T D / dt^(2 order) + ridge I, (n, n) float64, D the differences of that order."""
    eye = _identity(n)
    differences = eye.diff(n=order, dim=0) / dt**order
    return weights[0] * differences.mT @ differences + weights[1] * eye


@kept
def _penalty_bands(
    n: int, order: int, dt: float, weights: tuple[float, float], fixed: bool, device: torch.device
) -> list[Tensor]:
    """Its diagonals, (n, 1) each, as solve_banded takes them; fixed: of n values after one that is held."""
    if n > LONG:  # all alike but for a few at both ends
        short, half = _penalty_bands(LONG, order, dt, weights, fixed, device), LONG // 2
        return [torch.cat([b[:half], b[half : half + 1].expand(n - LONG, 1), b[half:]]) for b in short]
    matrix = _penalty(n + 1, order, dt, weights)[1:, 1:] if fixed else _penalty(n, order, dt, weights)
    bands = [pad(matrix.diagonal(-min(k, n)), (min(k, n), 0)) for k in range(order + 1)]  # in place, a tracer loses it
    return [band.unsqueeze(-1).to(device) for band in bands]


@kept
def _speed_bands(n: int, dt: float, weights: tuple[float, float], fixed: bool, device: torch.device) -> list[Tensor]:
    """What in speed's bands does not hang on the headings. A speed stands in 2 equations, at a free end in 1."""
    first, *rest = _penalty_bands(n, 3, dt, weights, fixed, device)
    last = pad(_identity(1), (0, 0, n - 1, 0))
    ends = last if fixed else (last + last.flip(0)).clamp(max=1)
    return [first + (2 - ends.to(device)), *rest]


@kept
def _curvature_bands(
    n: int, dt: float, weights: tuple[float, float], ridge: bool, device: torch.device
) -> list[Tensor]:
    """What in curvature's bands does not hang on the arc lengths; with the arc-length ridge no other."""
    first, *rest = _penalty_bands(n, 2, dt, (weights[0], 0.0) if ridge else weights, False, device)
    return [first + 1e-30, *rest]  # a step of no length and no weight: curvature 0 instead of 0 / 0


@kept
def _penalty_coupling(n: int, order: int, dt: float, weights: tuple[float, float], device: torch.device) -> Tensor:
    """How the first `order` of n values hang on the one that is held: (order, 1)."""
    return _penalty(min(n, LONG) + 1, order, dt, weights)[1 : order + 1, :1].to(device)


@kept
def _systems(n: int, dt: float, guard: str, weights: InverseWeights) -> native.Systems:
    """The four systems of _inverted, for the library."""
    cpu = torch.device("cpu")
    heading = _penalty_bands(n, 3, dt, weights.heading, True, cpu)
    acceleration = _penalty_bands(n, 2, dt, weights.acceleration, False, cpu)
    curvature = _curvature_bands(n, dt, weights.curvature, guard == "ridge", cpu)
    coupling = _penalty_coupling(n, 3, dt, weights.speed, cpu)
    rows = [heading[0] + 1, *heading[1:], *_speed_bands(n, dt, weights.speed, True, cpu)]
    rows += [acceleration[0] + 1, *acceleration[1:], *curvature, pad(coupling, (0, 0, 0, n - len(coupling)))]
    diagonals = torch.cat(rows, 1).mT.contiguous()
    return native.Systems(diagonals, dt, MOVING, BOUNDS[1], GUARDS.index(guard))


@kept
def _smoother(n: int, order: int, dt: float, weights: tuple[float, float], device: torch.device) -> Tensor:
    """(I + penalty)^-1, (n, n): these systems do not depend on the data."""
    inverse: Tensor = torch.linalg.inv(_identity(n) + _penalty(n, order, dt, weights))
    return inverse.to(device)


@kept
def _summed_smoother(n: int, order: int, dt: float, weights: tuple[float, float], device: torch.device) -> Tensor:
    """The smoother of n values after one held at 0, applied to their running sums: (n, n)."""
    matrix = _identity(n) + _penalty(n + 1, order, dt, weights)[1:, 1:]
    product: Tensor = torch.linalg.solve(matrix, torch.ones_like(matrix).tril())
    return product.to(device)


def _require_shapes(batch: torch.Size, wanted: dict[str, tuple[Tensor, tuple[int, ...]]]) -> None:
    for name, (tensor, shape) in wanted.items():
        if tuple(tensor.shape) != tuple(shape):
            raise ValueError(f"{name} must have shape {tuple(shape)} (got {tuple(tensor.shape)})")
