"""What scripts/benchmark.py growth runs: how time and memory grow with clips, processes, batch, horizon, modes, width.

Each table ends in what one clip, state, mode or weight takes: the curve is straight where that stays the same.
"""

import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from alpamayo_toy.commands.benchmark import CPU, Work, interleaved, table, tracks, whole_step
from alpamayo_toy.errors import UserError, require
from alpamayo_toy.kinematics.device import device_name, keep_freed_memory
from alpamayo_toy.kinematics.inverse import trajectory_to_actions
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.kinematics.trajectory import HORIZON, Scene
from alpamayo_toy.labels.stored.label_set import open_set
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.student import Student

BATCHES = [4**n for n in range(11)]  # to 2^20
HORIZONS = [16, 64, 256, 1024, 4096]
MODES = [1, 2, 4, 8, 16, 32, 64]
WIDTHS = [128, 256, 512, 1024, 2048]  # of two hidden layers: up to 10 M weights
FEWEST, TIMES = 10**4, 10  # clips of the smallest set, and how much larger the next one is
PROCESSES = [1, 2]
BATCH, STEPS = 2048, (60, 460)  # of training from a set: the second run less the first one is training alone

PROGRAM = """
import sys
from alpamayo_toy.commands.benchmark import status
from alpamayo_toy.commands.console import main
note = sys.argv.pop(1)
try:
    main()
finally:
    open(note, "w").write(str(status("VmHWM")))
"""
"""A command that notes its peak memory, which a parent's rusage would mix with its own."""


def lines(clips: int, rounds: int) -> Iterator[str]:
    """The report as Markdown, line by line as it is measured; clips: of the largest label set. Raises UserError."""
    require(FEWEST <= clips <= 10**8, "--clips", f"from {FEWEST} to 100000000", clips)
    require(2 <= rounds <= 10**6, "--rounds", "from 2 to 1000000", rounds)
    torch.manual_seed(0)
    keep_freed_memory()
    yield f"Device: {device_name(CPU)}, {os.cpu_count()} cores; 1 thread; PyTorch {torch.__version__}; float32."
    names = ["forward + backward [ms]", "a state [ns]", "inverse [ms]", "a state [ns]"]
    yield from _headed("Batch", names)
    yield from (_row(batch, *_rolled(batch, HORIZON, rounds)) for batch in BATCHES)
    yield from _headed("Horizon, B = 64", names)
    yield from (_row(horizon, *_rolled(64, horizon, rounds)) for horizon in HORIZONS)
    yield from _headed("Modes", ["training step [ms]", "a mode [ms]"])
    for modes in MODES:
        ms, _ = _step(StudentConfig(modes=modes), rounds)
        yield _row(modes, ms, ms / modes)
    yield from _headed("Width", ["million weights", "training step [ms]", "a million [ms]"])
    for width in WIDTHS:
        ms, weights = _step(StudentConfig(width=width, embedding=width), rounds)
        yield _row(width, weights / 1e6, ms, ms / weights * 1e6)
    verbs = (f"{verb} [us a clip]" for verb in ("generate", "convert", "check", "open"))
    training = (f"clips a second, {n} process{'es' if n > 1 else ''}" for n in PROCESSES)
    yield from _headed("Clips", ["bytes a clip", *verbs, *training, "most memory [MB]"])
    yield from _sets(clips)


def _rolled(batch: int, horizon: int, rounds: int) -> tuple[float, float, float, float]:
    """Milliseconds of the rollout and its gradient, and of the inverse, each with the nanoseconds of a state."""
    actions = (torch.randn(batch, horizon, 2) * torch.tensor([0.3, 0.01])).requires_grad_()
    v0, upstream, rollout = torch.rand(batch) * 10, torch.randn(batch, horizon, 4), UnicycleRollout()
    driven = tracks(batch, horizon)
    works: list[Work] = [
        lambda: torch.autograd.grad(rollout(actions, v0), actions, upstream),
        lambda: trajectory_to_actions(*driven, guard="none"),
    ]
    both, inverse = (statistics.median(row) for row in interleaved(works, rounds, CPU))
    return both * 1e3, both / (batch * horizon) * 1e9, inverse * 1e3, inverse / (batch * horizon) * 1e9


def _step(config: StudentConfig, rounds: int) -> tuple[float, int]:
    """Milliseconds of a training step at B = 256, and the student's weights."""
    student = Student(config, HORIZON)
    step = whole_step(student, Scene(torch.zeros(256).long(), torch.rand(256) * 10))
    (seconds,) = interleaved([step], rounds, CPU)
    return statistics.median(seconds) * 1e3, sum(weight.numel() for weight in student.parameters())


def _sets(most: int) -> Iterator[str]:
    """A row for every size of a label set of one sample a clip, its commands in processes of their own."""
    clips = FEWEST
    while clips <= most:
        with TemporaryDirectory() as room:
            made, again = Path(room, "made"), Path(room, "again")
            seconds, memory = {}, []
            for verb, words in {
                "generate": ["labels", "generate", made, "--clips", clips, "--samples", 1],
                "convert": ["labels", "convert", made, again],
                "check": ["labels", "check", made],
            }.items():
                seconds[verb], peak = _command(words)
                memory.append(peak)
            started = time.perf_counter()
            open_set(made)
            seconds["open"] = time.perf_counter() - started
            rates = []
            for processes in PROCESSES:
                short, long = (_command(_training(made, clips, processes, steps)) for steps in STEPS)
                alone = long[0] - short[0]  # below 0 where other work came between: then nobody knows
                rates.append((STEPS[1] - STEPS[0]) * BATCH / alone if alone > 0 else math.nan)
                memory.append(long[1])
            each = (value / clips * 1e6 for value in seconds.values())
            size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
            yield _row(clips, size / clips, *each, *rates, max(memory))
        clips *= TIMES


def _training(labels: Path, clips: int, processes: int, steps: int) -> list[object]:
    held_out = f"teacher.val_fraction={min(0.1, 1000 / clips)}"
    often = (f"trainer.{name}={steps}" for name in ("steps", "val_every", "log_every"))
    run = f"hydra.run.dir={labels.parent}/run-{processes}-{steps}"
    shared = (f"trainer.batch_size={BATCH}", f"trainer.processes={processes}", "trainer.pictures=0")
    return ["train", "teacher=file", f"teacher.path={labels}", held_out, *often, *shared, run]


def _command(words: list[object]) -> tuple[float, float]:
    """Seconds that a command takes in a process of its own, and the most memory that this one held, in MB."""
    with TemporaryDirectory() as room:
        note = Path(room, "memory")
        arguments = [sys.executable, "-c", PROGRAM, str(note), *map(str, words)]
        started = time.perf_counter()
        code = subprocess.run(arguments, stdout=subprocess.DEVNULL, check=False).returncode
        seconds = time.perf_counter() - started
        if code != 0 and not (code == 1 and "check" in words):  # 1: usable, with a look at what it says
            raise UserError(f"{' '.join(map(str, words))} did not end well; what it said stands above")
        return seconds, int(note.read_text()) / 1024


def _headed(of: str, columns: Iterable[str]) -> list[str]:
    return ["", *table(list(columns), of)]


def _row(first: int, *rest: float) -> str:
    return f"| {first:,} | {' | '.join(f'{value:,.3g}' if value < 1000 else f'{value:,.0f}' for value in rest)} |"
