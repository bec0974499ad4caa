"""What scripts/benchmark.py runs: rollout, inverse and a training step against the plain loop and the dense oracle.

Everything in one interleaved run: machines are noisy, so that only ratios taken side by side mean something.
"""

import inspect
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from alpamayo_toy.errors import UserError, require
from alpamayo_toy.kinematics.device import device_name, keep_freed_memory
from alpamayo_toy.kinematics.inverse import DEFAULT_WEIGHTS, trajectory_to_actions
from alpamayo_toy.kinematics.native.library import library
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.kinematics.trajectory import HORIZON, Scene
from alpamayo_toy.metrics.scores import score
from alpamayo_toy.students.config import LossConfig, StudentConfig
from alpamayo_toy.students.losses import counted_steps, loss_terms, weighted
from alpamayo_toy.students.student import Student
from alpamayo_toy.teachers.generate import synthetic

Rollout = Callable[[Tensor, Tensor], Tensor]
Work = Callable[[], object]
ROLLOUT_SIZES = [(1, 64), (64, 64), (1024, 64), (16384, 64), (64, 16), (64, 256), (64, 1024)]  # B, T
INVERSE_BATCHES = [1, 64, 1024, 8192]
STORED_CLIPS = 200_000  # 200 MB
SCORED_CLIPS = 680
CPU = torch.device("cpu")
SLICE_S = 0.1  # each turn of a contestant lasts about this long


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


def run(device: str = "cpu", rounds: int = 15, against: tuple[str, ...] = ()) -> str:
    """The report as Markdown. against: "module:function" of rollouts (actions, v0), inverses (waypoints, yaw, v0)."""
    require(1 <= rounds <= 10**6, "--rounds", "from 1 to 1000000", rounds)
    torch.manual_seed(0)
    keep_freed_memory()
    where = torch.device(device)
    peers = {name: _imported(name) for name in against}
    rollouts = {name: f for name, f in peers.items() if _arguments(f) == 2}
    inverses = {name: f for name, f in peers.items() if _arguments(f) == 3}
    in_c = f"rollout in {'PyTorch' if library() is None else 'C'}"
    threads = f"{torch.get_num_threads()} thread; {in_c}" if where.type == "cpu" else "CUDA"
    report = [
        f"Device: {device_name(where)}; {threads}; PyTorch {torch.__version__}; float32.",
        "Medians over rounds in which all take turns, [quartiles].",
    ]
    report += ["", "Training step at B = 256, times the step with smooth-L1 on the actions alone:", ""]
    report += table(["rollout", "plain loop"])
    for label, make in (("33-256-256-128", _plain_network), ("default student", _default_student)):
        bare, mine, loop = interleaved(_step_works(make, where), rounds, where)
        report.append(f"| {label} | {_ratio(mine, bare)} | {_ratio(loop, bare)} |")
    for integrator in ("euler", "trapezoid"):
        loops: dict[str, Rollout] = {"plain loop": partial(plain_loop, integrator=integrator), **rollouts}
        ours = UnicycleRollout(integrator=integrator)
        report += ["", f"Rollout, {integrator}: times faster than", ""]
        report += table([f"B = {b}, T = {t}" for b, t in ROLLOUT_SIZES])
        for label, backward in (("forward", False), ("forward + backward", True)):
            columns = [_rollout_column(ours, loops, b, t, backward, where, rounds) for b, t in ROLLOUT_SIZES]
            report += [f"| {name}, {label} | " + " | ".join(c[name] for c in columns) + " |" for name in loops]
    report += ["", *_floor(where, rounds)]
    contestants: dict[str, Callable[..., Tensor]] = {"dense oracle": dense_oracle, **inverses}
    report += ["", "Inverse, T = 64: times faster than the forward of", ""]
    report += table([f"B = {b}" for b in INVERSE_BATCHES])
    found = [_inverse_column(contestants, b, where, rounds if b < 4096 else min(rounds, 3)) for b in INVERSE_BATCHES]
    for label in ("our forward", "our forward + backward"):
        report += [f"| {name}: {label} | " + " | ".join(c[name, label] for c in found) + " |" for name in contestants]
    report += ["", f"Extra memory at B = 8192: {_memory(where)}."]
    report += ["", _label_set(rounds), "", _evaluation(rounds), "", _several(where, rounds)]
    if where.type == "cuda":
        report += ["", *_half_precision(where, rounds)]
    return "\n".join(report)


def grown(which: str, count: int) -> float:
    """MiB by which an inverse of so many tracks lifts the peak memory of this process, which is its own, on Linux."""
    inverse = dense_oracle if which == "dense" else partial(trajectory_to_actions, guard="none")
    torch.set_num_threads(1)
    inverse(*tracks(64))
    driven = tracks(count)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (proc(5))
    before = status("VmRSS")
    inverse(*driven)
    return (status("VmHWM") - before) / 1024


def status(name: str) -> int:
    """KiB, from this process's own entry; 0 where there is none."""
    own = Path("/proc/self/status")
    lines = own.read_text().splitlines() if own.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def _imported(name: str) -> Callable[..., Tensor]:
    """The function that "module:function" names."""
    module, _, function = name.partition(":")
    try:
        found: Callable[..., Tensor] = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"--against {name}: {error}; it must be module:function") from None
    if _arguments(found) not in (2, 3):
        raise UserError(f"--against {name}: it must take (actions, v0) or (waypoints, yaw, v0)")
    return found


def _arguments(function: Callable[..., Tensor]) -> int:
    """How many arguments it cannot do without."""
    parameters = inspect.signature(function).parameters.values()
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def table(columns: list[str], of: str = "") -> list[str]:
    """The head of a table in Markdown; of: what its rows are of."""
    return [f"| {' | '.join([of, *columns])} |", "|---" * (len(columns) + 1) + "|"]


def _rollout_column(
    ours: Rollout,
    others: dict[str, Rollout],
    batch: int,
    horizon: int,
    backward: bool,
    device: torch.device,
    rounds: int,
) -> dict[str, str]:
    actions = (torch.randn(batch, horizon, 2) * torch.tensor([1.0, 0.02])).to(device).requires_grad_(backward)
    v0 = (torch.rand(batch) * 10).to(device).requires_grad_(backward)
    upstream = torch.randn(batch, horizon, 4, device=device)

    def work(rollout: Rollout) -> Work:
        if backward:
            return lambda: torch.autograd.grad(rollout(actions, v0), (actions, v0), upstream)
        return lambda: rollout(actions, v0)

    mine, *times = interleaved([work(f) for f in (ours, *others.values())], rounds, device)
    return {name: _ratio(seconds, mine) for name, seconds in zip(others, times, strict=True)}


def _inverse_column(
    others: dict[str, Callable[..., Tensor]], batch: int, device: torch.device, rounds: int
) -> dict[tuple[str, str], str]:
    driven = tracks(batch, device=device)
    p, yaw, v0 = (t.clone().requires_grad_() for t in driven)
    upstream = torch.randn(batch, HORIZON, 2, device=device)
    works: list[Work] = [
        lambda: trajectory_to_actions(*driven, guard="none"),
        lambda: torch.autograd.grad(trajectory_to_actions(p, yaw, v0, guard="none"), (p, yaw, v0), upstream),
        *(partial(f, *driven) for f in others.values()),
    ]
    forward, both, *times = interleaved(works, rounds, device)
    found = {}
    for name, seconds in zip(others, times, strict=True):
        found[name, "our forward"] = _ratio(seconds, forward)
        found[name, "our forward + backward"] = _ratio(seconds, both)
    return found


def tracks(batch: int, horizon: int = HORIZON, device: torch.device = CPU) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth drives: waypoints, yaw, v0."""
    t = torch.arange(horizon) / 10
    waves = torch.sin(t + 6 * torch.rand(batch, 2, 1)) * torch.tensor([[0.6], [0.05]])
    v0 = 3 + 8 * torch.rand(batch)
    trajectory = UnicycleRollout(integrator="trapezoid")(waves.transpose(-1, -2), v0)
    return trajectory[..., :2].to(device), trajectory[..., 2].to(device), v0.to(device)


def _floor(device: torch.device, rounds: int) -> list[str]:
    """What moving the bytes once and one sine and cosine per state cost here, beside forward + backward of euler."""
    batch = 16384
    actions = (torch.randn(batch, HORIZON, 2) * torch.tensor([1.0, 0.02])).to(device).requires_grad_()
    v0, ours = (torch.rand(batch) * 10).to(device), UnicycleRollout()
    upstream, angles = torch.randn(batch, HORIZON, 4, device=device), torch.randn(batch, HORIZON, device=device)
    target = torch.empty_like(upstream)
    sizes: list[int] = []

    def count(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    saved = {}
    for name, rollout in (("ours", ours), ("plain loop", plain_loop)):
        sizes.clear()
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            rollout(actions, v0)
        saved[name] = sum(sizes) / (batch * HORIZON)
    works: list[Work] = [
        lambda: torch.autograd.grad(ours(actions, v0), actions, upstream),
        lambda: target.copy_(upstream),
        lambda: (angles.sin(), angles.cos()),
    ]
    times = interleaved(works, rounds, device)
    both, copied, turned = (statistics.median(row) / (batch * HORIZON) * 1e9 for row in times)
    moved = copied * 48 / 32  # 48 bytes: actions, trajectory and both gradients; the copy of a trajectory moves 32
    return [
        f"Physical floor at B = {batch}, per step and element: {moved:.2f} ns to move 48 bytes, {turned:.2f} ns for"
        f" sine and cosine; euler, forward + backward takes {both:.1f} ns. Saved for the backward pass:"
        f" {saved['ours']:.0f} bytes, the plain loop {saved['plain loop']:.0f}."
    ]


def _memory(device: torch.device, count: int = 8192) -> str:
    """Peak memory of the inverse of so many tracks and of the dense oracle, each alone."""
    if device.type == "cuda":
        found = []
        for inverse in (partial(trajectory_to_actions, guard="none"), dense_oracle):
            driven = tracks(count, device=device)
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            inverse(*driven)
            found.append((torch.cuda.max_memory_allocated(device) - before) / 2**20)
    elif not Path("/proc/self/clear_refs").exists():
        return "measured on Linux and CUDA only"
    else:
        code = f"import sys; from {__name__} import grown; print(grown(sys.argv[1], {count}))"
        runs = [[sys.executable, "-c", code, which] for which in ("ours", "dense")]
        found = [float(subprocess.run(r, capture_output=True, text=True, check=True).stdout) for r in runs]
    return f"{found[0]:.0f} MiB, dense {found[1]:.0f} MiB ({found[1] / max(found[0], 1):.0f} times)"


def _label_set(rounds: int) -> str:
    """Batches at random from a set on disk, its pages in the cache, beside the same batches from tensors in memory."""
    fields = ("teacher", "v0", "scenario", "context")
    with TemporaryDirectory() as folder:
        stored = synthetic("ALL", STORED_CLIPS, 1, 0, Path(folder) / "set", (1, 1))
        assert stored is not None
        held = stored.numbers(np.arange(STORED_CLIPS), fields)
        generator = np.random.default_rng(0)

        def rows() -> np.ndarray:
            return np.sort(generator.integers(0, STORED_CLIPS, 256))

        works: list[Work] = [
            lambda: stored.numbers(rows(), fields),
            lambda: [field.index_select(0, torch.from_numpy(rows())) for field in held.values()],
        ]
        disk, memory = interleaved(works, rounds, CPU)
    rate = 256 / statistics.median(disk)
    return (
        f"Label set on disk, batches of 256 out of {STORED_CLIPS} clips: {_ratio(memory, disk)} times the rate of"
        f" tensors in memory, {rate:,.0f} clips a second."
    )


def _evaluation(rounds: int) -> str:
    """Every metric of six predictions a clip against one truth, beside the rollout that makes the predictions."""
    generator = torch.Generator().manual_seed(0)
    actions = torch.randn(SCORED_CLIPS, 6, HORIZON, 2, generator=generator) * torch.tensor([0.5, 0.02])
    v0, rollout = torch.full((SCORED_CLIPS,), 8.0), UnicycleRollout(integrator="trapezoid")

    def rolled() -> Tensor:
        made: Tensor = rollout(actions, v0[:, None].expand(SCORED_CLIPS, 6))
        return made

    predicted = rolled()
    works: list[Work] = [rolled, lambda: score(predicted, predicted[:, :1], v0, 0.1)]
    rolling, scoring = interleaved(works, rounds, CPU)
    rate = SCORED_CLIPS * 6 / statistics.median(scoring)
    return (
        f"Evaluation of {SCORED_CLIPS} clips, K = 6: {_ratio(scoring, rolling)} times the rollout's forward,"
        f" {rate:,.0f} trajectories a second."
    )


def _several(device: torch.device, rounds: int) -> str:
    """A student of six modes with a spread beside the single one: its training step, and what it draws."""
    scene, generator = Scene(torch.zeros(1024).long(), torch.rand(1024) * 10).to(device), torch.Generator()
    batch = scene.select(torch.arange(256, device=device))
    students = [Student(StudentConfig(modes=k, spread=k > 1), HORIZON).to(device) for k in (6, 1)]
    both, one = interleaved([whole_step(student, batch) for student in students], rounds, device)
    (drawing,) = interleaved([torch.no_grad()(lambda: students[0](scene, 64, generator))], rounds, device)
    return (
        f"Six modes with a spread, two draws each, at B = 256: a training step takes {_ratio(both, one)} times the"
        f" single student's. 64 samples of 1,024 scenes: {statistics.median(drawing):.2f} s."
    )


def whole_step(student: Student, batch: Scene) -> Work:
    """A training step on scenes with six of the teacher's samples each; of modes with a spread two draws each."""
    optimizer, generator, loss = torch.optim.AdamW(student.parameters(), fused=True), torch.Generator(), LossConfig()
    many, device = len(batch), batch.v0.device
    actions, steps = torch.randn(many, 6, HORIZON, 2) * 0.1, counted_steps(loss, student.several)
    taught, teacher = (t.to(device) for t in (actions, UnicycleRollout()(actions, torch.rand(many, 6) * 10, steps)))

    def step() -> None:
        modes, drawn = student.each_mode(batch, student.noise(many, loss.samples, generator), steps)
        terms = loss_terms(loss, student.action_space, modes, taught, teacher, drawn)
        weighted(loss, terms).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _half_precision(device: torch.device, rounds: int) -> list[str]:
    """bfloat16 inputs are upcast: what that costs beside float32 ones."""
    lines = ["bfloat16 inputs, times the time of float32 ones:", "", *table(["B = 1024", "B = 16384"])]
    cells = []
    for batch in (1024, 16384):
        actions, v0 = torch.randn(batch, HORIZON, 2, device=device) * 0.1, torch.rand(batch, device=device) * 10
        half, ours = (actions.bfloat16(), v0.bfloat16()), UnicycleRollout()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            low, full = interleaved([partial(ours, *half), partial(ours, actions, v0)], rounds, device)
        cells.append(_ratio(low, full))
    return [*lines, f"| rollout, forward | {' | '.join(cells)} |"]


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


def _step_works(make: Callable[[], tuple[nn.Module, Callable[[], Tensor]]], device: torch.device) -> list[Work]:
    """A whole training step without rollout, with ours, with the plain loop.

    Targets are near: both losses stay in smooth-L1's quadratic branch, whose mispredictions are not the rollout's.
    """
    v0 = torch.rand(256, device=device) * 10
    actions = torch.randn(256, HORIZON, 2, device=device) * 0.01
    ours = UnicycleRollout()
    trajectory = ours(actions, v0)

    def work(target: Tensor, rollout: Rollout | None) -> Work:
        with device:
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
