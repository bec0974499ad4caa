"""What scripts/benchmark.py runs: the rollout, and a training step with and without it, against the plain loop.

Everything in one interleaved run: machines are noisy, so that only ratios taken side by side mean something.
"""

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from alpamayo_toy.action_space import DEFAULT_WEIGHTS
from alpamayo_toy.config import StudentConfig
from alpamayo_toy.device import keep_freed_memory
from alpamayo_toy.rollout import UnicycleRollout
from alpamayo_toy.students import Student
from alpamayo_toy.trajectory import HORIZON, Scene

Rollout = Callable[[Tensor, Tensor], Tensor]
Work = Callable[[], object]
SLICE_S = 0.02  # each turn of a contestant lasts about this long


def plain_loop(actions: Tensor, v0: Tensor, dt: float = 0.1, integrator: str = "euler") -> Tensor:
    """The rollout as one would first write it: a Python loop over time. The tests' oracle too."""
    x, y, yaw, v = torch.zeros_like(v0), torch.zeros_like(v0), torch.zeros_like(v0), v0
    states = []
    for t in range(actions.shape[-2]):
        a, kappa = actions[..., t, 0], actions[..., t, 1]
        faster = v + a * dt
        if integrator == "euler":
            faster = torch.where(faster < 0, torch.zeros_like(faster), faster)
            x, y, yaw = x + v * yaw.cos() * dt, y + v * yaw.sin() * dt, yaw + v * kappa * dt
        else:
            turned = yaw + kappa * (v * dt + a * dt**2 / 2)
            x = x + (v * yaw.cos() + faster * turned.cos()) * (dt / 2)
            y = y + (v * yaw.sin() + faster * turned.sin()) * (dt / 2)
            yaw = turned
        v = faster
        states.append(torch.stack([x, y, yaw, v], -1))
    return torch.stack(states, -2)


def dense_oracle(waypoints: Tensor, yaw: Tensor, v0: Tensor, dt: float = 0.1) -> Tensor:
    """trajectory_to_actions(guard="none") as one would first write it: (B, T, 2), (B, T), (B,) -> (B, T, 2).

    All four normal matrices assembled as (B, T, T) from A^T A on every call, dense Cholesky in the input's dtype,
    nothing cached. The tests' oracle too. Headings must be continuous.
    """
    batch, horizon = yaw.shape
    eye = torch.eye(horizon, dtype=yaw.dtype, device=yaw.device).expand(batch, -1, -1)

    def fitted(a: Tensor, b: Tensor, smoothed: Tensor, held: Tensor, weights: tuple[float, float]) -> Tensor:
        """min |a x - b|^2 + smoothing |smoothed x + held|^2 + ridge |x|^2, (B, T)."""
        normal = a.mT @ a + weights[0] * smoothed.mT @ smoothed + weights[1] * eye
        right = a.mT @ b.unsqueeze(-1) - weights[0] * smoothed.mT @ held.unsqueeze(-1)
        return torch.cholesky_solve(right, torch.linalg.cholesky(normal)).squeeze(-1)

    def differences(n: int, order: int) -> Tensor:
        whole: Tensor = torch.eye(n, dtype=yaw.dtype, device=yaw.device).diff(n=order, dim=0) / dt**order
        return whole.expand(batch, -1, -1)

    third, second = differences(horizon + 1, 3), differences(horizon, 2)
    rest, first = third[:, :, 1:], third[:, :, 0]
    still = torch.zeros_like(first)
    theta = fitted(eye, yaw, rest, still, DEFAULT_WEIGHTS.heading)
    theta = torch.cat([torch.zeros_like(v0).unsqueeze(-1), theta], -1)
    u = torch.stack([theta.cos(), theta.sin()], -1)  # (B, T + 1, 2)
    steps = torch.cat([torch.zeros_like(waypoints[:, :1]), waypoints], 1).diff(dim=1) * (2 / dt)
    ends = waypoints.new_zeros(batch, horizon, 2, horizon + 1)
    t = torch.arange(horizon, device=yaw.device)
    ends[:, t, :, t] = u[:, :-1].transpose(0, 1)
    ends[:, t, :, t + 1] += u[:, 1:].transpose(0, 1)
    ends = ends.flatten(1, 2)
    b = steps.flatten(1) - ends[:, :, 0] * v0.unsqueeze(-1)
    v = fitted(ends[:, :, 1:], b, rest, first * v0.unsqueeze(-1), DEFAULT_WEIGHTS.speed)
    v = torch.cat([v0.unsqueeze(-1), v], -1)
    nothing = torch.zeros_like(second[:, :, 0])
    a = fitted(eye, v.diff(dim=-1) / dt, second, nothing, DEFAULT_WEIGHTS.acceleration)
    s = v[:, :-1] * dt + a * (dt * dt / 2)
    kappa = fitted(torch.diag_embed(s), theta.diff(dim=-1), second, nothing, DEFAULT_WEIGHTS.curvature)
    return torch.stack([a, kappa], -1)


def run(device: str = "cpu", rounds: int = 15) -> str:
    """The whole table as Markdown."""
    torch.manual_seed(0)
    keep_freed_memory()
    where = torch.device(device)
    lines = [f"Device: {_name(where)}; {torch.get_num_threads()} thread; PyTorch {torch.__version__}; T = {HORIZON}."]
    lines += ["", "Rollout, times faster than the plain loop (median of rounds, [quartiles]):", ""]
    lines += ["| integrator | pass | B = 1 | 64 | 1024 | 16384 |", "|---|---|---|---|---|---|"]
    for integrator in ("euler", "trapezoid"):
        for backward in (False, True):
            cells = []
            for batch in (1, 64, 1024, 16384):
                works = _rollout_works(integrator, batch, backward, where)
                loop, ours = interleaved(works, rounds, where)
                cells.append(_ratio(loop, ours))
            name = "forward + backward" if backward else "forward"
            lines.append(f"| {integrator} | {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Training step at B = 256, smooth-L1 on the trajectory, times the step with smooth-L1 on the actions alone:",
        "",
    ]
    lines += ["| student | rollout | plain loop |", "|---|---|---|"]
    for label, make in (("33-256-256-128", _plain_network), ("default student", _default_student)):
        bare, ours, loop = interleaved(_step_works(make, where), rounds, where)
        lines.append(f"| {label} | {_ratio(ours, bare)} | {_ratio(loop, bare)} |")
    return "\n".join(lines)


def interleaved(works: list[Work], rounds: int, device: torch.device) -> list[list[float]]:
    """Seconds per call of each contestant in each round; all take turns in every round."""
    counts = []
    for work in works:
        work()
        counts.append(max(1, round(SLICE_S / _seconds(work, 1, device))))
    return [
        list(row)
        for row in zip(
            *[[_seconds(w, n, device) for w, n in zip(works, counts, strict=True)] for _ in range(rounds)], strict=True
        )
    ]


def _seconds(work: Work, calls: int, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(calls):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - started) / calls


def _ratio(slower: list[float], faster: list[float]) -> str:
    ratios = [a / b for a, b in zip(slower, faster, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    return f"{statistics.median(ratios):.2f} [{low:.2f}, {high:.2f}]"


def _rollout_works(integrator: str, batch: int, backward: bool, device: torch.device) -> list[Work]:
    actions = (torch.randn(batch, HORIZON, 2) * torch.tensor([1.0, 0.02])).to(device).requires_grad_(backward)
    v0 = (torch.rand(batch) * 10).to(device).requires_grad_(backward)
    upstream = torch.randn(batch, HORIZON, 4, device=device)
    ours = UnicycleRollout(integrator=integrator)

    def work(rollout: Rollout) -> Work:
        if backward:
            return lambda: torch.autograd.grad(rollout(actions, v0), (actions, v0), upstream)
        return lambda: rollout(actions, v0)

    return [work(lambda a, v: plain_loop(a, v, 0.1, integrator)), work(ours)]


def _step_works(make: Callable[[], tuple[nn.Module, Callable[[], Tensor]]], device: torch.device) -> list[Work]:
    """A whole training step without rollout, with ours, with the plain loop.

    Targets are near, so that both losses stay in smooth-L1's quadratic branch: errors on either side of 1 m cost its
    kernel 0.6 ms of mispredicted branches that no rollout is to blame for.
    """
    v0 = torch.rand(256, device=device) * 10
    actions = torch.randn(256, HORIZON, 2, device=device) * 0.01
    ours = UnicycleRollout()
    trajectory = ours(actions, v0)

    def work(target: Tensor, rollout: Rollout | None) -> Work:
        network, predict = make()
        optimizer = torch.optim.AdamW(network.parameters(), fused=True)

        def step() -> None:
            predicted = predict()
            found = predicted if rollout is None else rollout(predicted, v0)
            loss = functional.smooth_l1_loss(found, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

        return step

    return [work(actions, None), work(trajectory, ours), work(trajectory, plain_loop)]


def _plain_network() -> tuple[nn.Module, Callable[[], Tensor]]:
    network = nn.Sequential(nn.Linear(33, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 2 * HORIZON))
    features = torch.randn(256, 33)
    return network, lambda: network(features).unflatten(-1, (HORIZON, 2))


def _default_student() -> tuple[nn.Module, Callable[[], Tensor]]:
    student = Student(StudentConfig(), HORIZON, context_names=tuple("abcdefg"))
    scene = Scene(torch.zeros(256, dtype=torch.int64), torch.rand(256) * 10, context=torch.randn(256, 7))
    return student, lambda: student.act(scene)[:, 0]


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
