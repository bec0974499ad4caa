"""Medians, spread and the energy score: numbers by hand, and the least where they should be."""

import math

import pytest
import torch
from trajectories import ending_at

from alpamayo_toy.metrics.displacement import (
    distance,
)
from alpamayo_toy.metrics.distribution import energy_score, geometric_median, spread


def test_geometric_median_has_the_least_mean_distance() -> None:
    points = torch.randn(3, 9, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    median = geometric_median(points)
    best = distance(points, median.unsqueeze(-3)).mean(-2)
    for dx, dy in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01), (0.1, 0.1)):
        moved = median + torch.tensor([dx, dy])
        assert bool((distance(points, moved.unsqueeze(-3)).mean(-2) > best - 1e-7).all())
    same = torch.ones(4, 6, 2)
    assert torch.equal(geometric_median(same), torch.ones(6, 2))


def test_energy_score_and_spread_by_hand() -> None:
    samples = ending_at((0, 0), (2, 0), steps=3)
    teacher = ending_at((1, 0), (4, 0), (1, 0), steps=3)
    # distances 1 4 1 and 1 2 1, mean 10/6; the one pair is 2 apart
    assert energy_score(samples, teacher).item() == pytest.approx(10 / 6 - 1)
    assert energy_score(samples[:1], teacher).item() == pytest.approx(2.0)
    assert spread(samples).item() == pytest.approx(1.0)
    assert spread(samples[:1]).item() == pytest.approx(0.0, abs=1e-12)


def test_energy_score_is_least_for_the_teachers_own_distribution() -> None:
    generator = torch.Generator().manual_seed(0)

    def mean_score(scale: float, shift: float) -> float:
        teacher = torch.randn(4000, 6, 1, 2, dtype=torch.float64, generator=generator)
        samples = shift + scale * torch.randn(4000, 6, 1, 2, dtype=torch.float64, generator=generator)
        return float(energy_score(samples, teacher).mean())

    own = mean_score(1.0, 0.0)
    assert own == pytest.approx(math.sqrt(math.pi) / 2, abs=0.02)  # half the mean distance of two, sqrt(pi)
    assert all(own < mean_score(*other) - 0.02 for other in ((0.5, 0.0), (1.5, 0.0), (1.0, 0.5)))
