"""What scripts/coverage.py runs: how often the 95 % intervals of intervals.py hold the truth, where it is known."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.loading import load_labels
from alpamayo_toy.metrics.displacement import min_ade
from alpamayo_toy.metrics.intervals import Interval, over_clips, paired, students_t, units_of

Limits = tuple[float, float]
Population = Callable[[int, torch.Generator], Tensor]  # N values, drawn independently
SEEDS = 8
DRIVES, WINDOWS = 10, 120  # drives of 120 windows, 1 s apart
NEIGHBOURS = 0.76  # correlation of neighbours: the rows' error is then 2.7 times too small, as on recorded drives
RATE = 0.05
TENDENCY = 0.1  # by how much the one of two paired students is worse


def run(draws: int = 1000, values: Path | None = None) -> str:
    """Coverages as a Markdown table. values: a label file whose minADE_K per clip is drawn from, with replacement.

    Raises UserError for no draws, and for a file without ground truth.
    """
    if draws < 1:
        raise UserError(f"--draws must be at least 1 (got {draws})")
    kinds: list[tuple[str, Population, float, tuple[int, ...]]] = [
        ("clips, Gaussian", _gaussian, 0.0, (60, 300)),
        ("clips, lognormal with sigma 1", _lognormal, math.exp(0.5), (20, 60, 300)),
        (f"clips, a rate of {100 * RATE:.0f} %", _rate, RATE, (60, 300)),
    ]
    if values is not None:
        population = _min_ade(values)
        kinds.append(
            (f"clips, minADE of {values.name}", partial(_drawn, population), float(population.mean()), (20, 60, 300))
        )
    rows = [_row("seeds, Gaussian", SEEDS, _seeds, 0.0, draws)]
    rows += [_row(name, n, partial(_clips, kind, n), truth, draws) for name, kind, truth, sizes in kinds for n in sizes]
    rows += [_row("paired differences, Gaussian", n, partial(_pairs, n), -TENDENCY, draws) for n in (60, 300)]
    for name, blocks in (("row by row", False), ("in blocks of 30 s", True)):
        rows.append(_row(f"correlated windows, {name}", DRIVES * WINDOWS, partial(_windows, blocks), 0.0, draws))
    head = f"Draws: {draws}. ± is one standard error of the coverage itself.\n"
    return "\n".join([head, "| 95 % intervals of | values | hold the truth [%] |", "|---|---:|---:|", *rows])


def coverage(draw: Callable[[torch.Generator, int], Limits], truth: float, draws: int) -> float:
    """Share of the intervals draw(generator, seed), each from new data, that hold the truth."""
    generator = torch.Generator().manual_seed(0)
    limits = torch.tensor([draw(generator, seed) for seed in range(draws)], dtype=torch.float64)
    return float(((limits[:, 0] <= truth) & (truth <= limits[:, 1])).double().mean())


def _row(name: str, n: int, draw: Callable[[torch.Generator, int], Limits], truth: float, draws: int) -> str:
    share = coverage(draw, truth, draws)
    error = math.sqrt(share * (1 - share) / draws)
    return f"| {name} | {n} | {100 * share:.1f} ± {100 * error:.1f} |"


def _seeds(generator: torch.Generator, _: int) -> Limits:
    found = students_t(_gaussian(SEEDS, generator).tolist())
    assert found is not None
    return found


def _clips(population: Population, n: int, generator: torch.Generator, seed: int) -> Limits:
    return _limits(over_clips(population(n, generator), torch.arange(n), seed))


def _pairs(n: int, generator: torch.Generator, seed: int) -> Limits:
    """Two students on the same clips, with a correlation of 0.9."""
    clips, own = _gaussian(n, generator), _gaussian(2 * n, generator).view(2, n) / 3
    return _limits(paired(clips + own[0], clips + own[1] + TENDENCY, torch.arange(n), seed))


def _windows(blocks: bool, generator: torch.Generator, seed: int) -> Limits:
    """Drives in each of which the k-th neighbour has the correlation NEIGHBOURS^k (AR(1))."""
    t = torch.arange(WINDOWS)
    factor = torch.linalg.cholesky(NEIGHBOURS ** (t[:, None] - t).abs().double())
    values = (_gaussian(DRIVES * WINDOWS, generator).view(DRIVES, WINDOWS) @ factor.mT).flatten()
    drive = np.repeat(np.arange(DRIVES), WINDOWS)
    units = units_of(drive, t.repeat(DRIVES) * 1_000_000) if blocks else torch.arange(len(values))
    return _limits(over_clips(values, units, seed))


def _limits(interval: Interval) -> Limits:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def _gaussian(n: int, generator: torch.Generator) -> Tensor:
    return torch.randn(n, generator=generator, dtype=torch.float64)


def _lognormal(n: int, generator: torch.Generator) -> Tensor:
    return _gaussian(n, generator).exp()


def _rate(n: int, generator: torch.Generator) -> Tensor:
    return (torch.rand(n, generator=generator) < RATE).double()


def _drawn(population: Tensor, n: int, generator: torch.Generator) -> Tensor:
    return population[torch.randint(len(population), (n,), generator=generator)]


def _min_ade(path: Path) -> Tensor:
    """minADE_K (N,) of every clip of a label file."""
    labels = load_labels(path)
    if labels.ground_truth is None:
        raise UserError(f"{path} has no ground truth, so no minADE: choose a file that has")
    return min_ade(labels.teacher.double(), labels.ground_truth.double())
