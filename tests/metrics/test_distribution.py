"""Medians, medoids, spread, calibration and the energy score: by hand, and the least where they should be."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trajectories import ending_at

from alpamayo_toy import Scenario
from alpamayo_toy.metrics.displacement import distance
from alpamayo_toy.metrics.distribution import (
    calibration_error,
    energy_score,
    geometric_median,
    manoeuvre_shares,
    medoid,
    medoids,
    nearest_shares,
    off_the_crowd,
    spread,
    total_variation,
    within_region,
)


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
    assert spread(ending_at((0, 0), (3, 0), (0, 0))).item() == pytest.approx(4 / 3)  # 1, 2 and 1 from their mean


def test_energy_score_is_least_for_the_teachers_own_distribution() -> None:
    generator = torch.Generator().manual_seed(0)

    def mean_score(scale: float, shift: float) -> float:
        teacher = torch.randn(4000, 6, 1, 2, dtype=torch.float64, generator=generator)
        samples = shift + scale * torch.randn(4000, 6, 1, 2, dtype=torch.float64, generator=generator)
        return float(energy_score(samples, teacher).mean())

    own = mean_score(1.0, 0.0)
    assert own == pytest.approx(math.sqrt(math.pi) / 2, abs=0.02)  # half the mean distance of two, sqrt(pi)
    assert all(own < mean_score(*other) - 0.02 for other in ((0.5, 0.0), (1.5, 0.0), (1.0, 0.5)))


def test_energy_score_of_weighted_modes_by_hand() -> None:
    modes, teacher = ending_at((0, 0), (4, 0), steps=3), ending_at((1, 0), (2, 0), steps=3)
    p = torch.tensor([0.75, 0.25], dtype=torch.float64)
    # mean distances 1.5 and 2.5; the pair is 4 apart and counts 2 x 0.75 x 0.25 times, halved
    assert energy_score(modes, teacher, p).item() == pytest.approx(0.75 * 1.5 + 0.25 * 2.5 - 0.75 * 0.25 * 4)
    # two draws of each of two modes, at 0, 2 and at 4, 5: within a mode its two are one pair
    draws = ending_at((0, 0), (2, 0), (4, 0), (5, 0), steps=3)
    each = p.repeat_interleave(2) / 2
    to = 0.375 * (1.5 + 0.5) + 0.125 * (2.5 + 3.5)
    within, across = 0.75**2 * 2 + 0.25**2 * 1, 2 * 0.75 * 0.25 * (4 + 5 + 2 + 3) / 4
    assert energy_score(draws, teacher, each, 2).item() == pytest.approx(to - (within + across) / 2)


def test_energy_score_does_not_mind_the_order_of_modes() -> None:
    generator = torch.Generator().manual_seed(0)
    modes, teacher = (torch.randn(7, k, 9, 2, dtype=torch.float64, generator=generator) for k in (5, 4))
    p = torch.rand(7, 5, dtype=torch.float64, generator=generator).softmax(-1)
    order = torch.randperm(5, generator=generator)
    torch.testing.assert_close(energy_score(modes[:, order], teacher, p[:, order]), energy_score(modes, teacher, p))
    mirror = torch.tensor([1.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(energy_score(modes * mirror, teacher * mirror, p), energy_score(modes, teacher, p))


def test_no_other_forecast_scores_better_than_the_truth() -> None:
    """Three roads with their probabilities, against a hundred forecasts that move a road or its odds."""
    generator = torch.Generator().manual_seed(1)
    roads = 5 * torch.randn(3, 8, 2, dtype=torch.float64, generator=generator)
    odds = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)

    def expected(modes: torch.Tensor, p: torch.Tensor) -> float:
        each = torch.stack([energy_score(modes, road.unsqueeze(0), p) for road in roads])
        return float((odds * each).sum())

    own = expected(roads, odds)
    for _ in range(100):
        moved = roads + 0.2 * torch.randn(3, 8, 2, dtype=torch.float64, generator=generator)
        others = (odds.log() + 0.2 * torch.randn(3, dtype=torch.float64, generator=generator)).softmax(-1)
        assert own < expected(moved, odds)
        assert own < expected(roads, others)


def test_medoids_by_hand() -> None:
    samples = ending_at((0, 0), (1, 0), (2, 0), (10, 0), (11, 0), (40, 0))
    index, share = medoids(samples, 3)
    assert index.tolist() == [1, 3, 5]
    assert share.tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6])
    likely = torch.tensor([0.0, 0.0, 0.05, 0.05, 0.5, 0.4], dtype=torch.float64)
    index, share = medoids(samples, 2, likely)
    assert index.tolist() == [4, 5]
    assert share.tolist() == pytest.approx([0.6, 0.4])
    assert medoids(samples, 1)[0].tolist() == [2]
    assert medoid(samples.unflatten(0, (2, 3))).tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"between 1 and the number of samples, 6 \(got 7\)"):
        medoids(samples, 7)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(0, 99))
def test_medoids_are_samples_and_as_good_as_any_swap_within_a_cluster(k: int, seed: int) -> None:
    samples = torch.randn(2, 12, 9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    index, share = medoids(samples, k)
    assert index.shape == share.shape == (2, k)
    torch.testing.assert_close(share.sum(-1), torch.ones(2, dtype=torch.float64))
    assert bool((share.diff(dim=-1) <= 1e-12).all())
    assert torch.equal(medoids(samples, k)[0], index)
    points = samples[:, :, [4, 8]]
    apart = (points[:, :, None] - points[:, None]).norm(dim=-1).mean(-1)
    for clip in range(2):
        assert len(set(index[clip].tolist())) == k
        mine = apart[clip][index[clip]].argmin(0)
        for j, chosen in enumerate(index[clip].tolist()):
            members = (mine == j).nonzero()[:, 0]
            costs = apart[clip][members][:, members].sum(1)
            assert float(apart[clip][chosen, members].sum()) <= float(costs.min()) + 1e-9


def test_medoids_look_at_the_middle_and_the_end() -> None:
    """Of 64 steps at the 32nd and the 64th, wherever the samples are at all others."""
    samples = 50 * torch.randn(4, 64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    samples[:, [31, 63]] = 0.0
    samples[3, 31, 0], samples[1, 32, 0] = 9.0, 900.0
    index, share = medoids(samples, 2)
    assert (index.tolist()[1], share.tolist()) == (3, [0.75, 0.25])
    samples[:, 31], samples[1, 63, 1] = 0.0, 9.0
    assert medoids(samples, 2)[0].tolist()[1] == 1


def test_medoids_move_until_each_is_the_middle_of_its_own() -> None:
    """Of 40 samples on a line, more and more apart: it takes several rounds until nothing moves."""
    away = 3 * torch.randn(40, generator=torch.Generator().manual_seed(6)).double().exp()
    samples = ending_at(*((x, 0.0) for x in away.tolist()))
    index, _ = medoids(samples, 4)
    x = samples[:, -1, 0]
    apart = (x[:, None] - x[index]).abs()
    for j, chosen in enumerate(index.tolist()):
        members = x[apart.argmin(1) == j]
        costs = (members[:, None] - members).abs().sum(1)
        assert float((members - x[chosen]).abs().sum()) == pytest.approx(float(costs.min()))


def test_twins_can_both_be_medoids() -> None:
    same = ending_at((3, 0), (3, 0), (3, 0))
    index, share = medoids(same, 2)
    assert sorted(set(index.tolist())) == index.sort().values.tolist()
    assert share.tolist() == pytest.approx([1.0, 0.0])


def test_shares_of_manoeuvres() -> None:
    straight, left = torch.zeros(2, 64, 4)
    straight[..., 0] = left[..., 0] = torch.arange(1, 65) * 0.5
    straight[..., 3] = left[..., 3] = 5.0
    left[..., 2] = torch.linspace(0, 1.2, 64)
    samples = torch.stack([straight, left, left, left])
    shares = manoeuvre_shares(samples, torch.tensor(5.0))
    assert shares[[Scenario.STRAIGHT, Scenario.LEFT]].tolist() == [0.25, 0.75]
    turned = manoeuvre_shares(samples[[0, 0, 0, 1]], torch.tensor(5.0))
    assert total_variation(shares, turned).item() == pytest.approx(0.5)
    assert total_variation(shares, shares).item() == 0
    slow = straight.clone()
    slow[..., 3] = 0.3  # at the end of all: a stop for the one that came with more than 2 m/s
    both = manoeuvre_shares(slow.expand(2, 3, 64, 4), torch.tensor([2.5, 1.5]))
    assert both[:, [Scenario.STOP, Scenario.STRAIGHT]].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_where_nobody_drives() -> None:
    crowd = ending_at(*((0.1 * i, 0.0) for i in range(100)))
    samples = ending_at((5.0, 0.0), (5.0, 0.05), (5.0, 0.15), (5.0, 3.0), (30.0, 0.0))
    assert off_the_crowd(samples, crowd).tolist() == [False, False, True, True, True]
    # two of a hundred have no neighbour within a metre: nobody is off the crowd for being half a metre away
    lonely = ending_at(*((0.1 * i, 0.0) for i in range(98)), (50.0, 0.0), (51.0, 0.0))
    assert off_the_crowd(ending_at((5.0, 0.5), (5.0, 1.1)), lonely).tolist() == [False, True]


def test_calibration_of_modes() -> None:
    modes = ending_at((0, 0), (10, 0)).expand(4, -1, -1, -1)
    teacher = ending_at((1, 0), (2, 0), (1, 0), (9, 0)).expand(4, -1, -1, -1)
    shares = nearest_shares(modes, teacher)
    assert shares[0].tolist() == [0.75, 0.25]
    p = torch.tensor([0.75, 0.25], dtype=torch.float64).expand(4, -1)
    assert calibration_error(p, shares).item() == pytest.approx(0.0)
    assert calibration_error(p.flip(-1), shares).item() == pytest.approx(0.5)
    # one who is surer than it may be is caught; who is right on the whole of each bin is not
    assert calibration_error(torch.tensor([[0.95, 0.05]] * 4), shares).item() == pytest.approx(0.2, abs=1e-6)
    right = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    assert calibration_error(p, right).item() == pytest.approx(0.0)
    # tenths: 0.71 and 0.79 are one bin, in which too little and too much make up; 0.65 and 0.75 are two
    for said, happened, error in (([0.71, 0.79], [1.0, 0.5], 0.0), ([0.65, 0.75], [1.0, 0.4], 0.35)):
        said, happened = (torch.tensor([[x, 1 - x] for x in first]) for first in (said, happened))
        assert calibration_error(said, happened).item() == pytest.approx(error, abs=1e-6)
    certain = torch.tensor([[1.0, 0.0]])
    assert calibration_error(certain, certain).item() == 0.0
    assert calibration_error(certain, certain.flip(-1)).item() == pytest.approx(1.0)


def test_regions_hold_the_share_that_they_claim() -> None:
    generator = torch.Generator().manual_seed(0)

    def held(scale: float) -> list[float]:
        samples = scale * torch.randn(200, 64, 1, 2, generator=generator)
        truths = torch.randn(200, 64, 1, 2, generator=generator)
        return [float(within_region(samples, truths, share).float().mean()) for share in (0.5, 0.9)]

    end = ending_at((0, 0), (1, 0), (2, 0), (30, 0), steps=5)
    start = torch.full((4, 1, 4), 7.0, dtype=end.dtype)  # where all begin counts for nothing
    near = ending_at((2.9, 0), (4.1, 0), (9, 0), (0, -0.5), steps=5)
    samples, truths = torch.cat([start, end], 1), torch.cat([start, near], 1)
    assert within_region(samples, truths, 0.5).tolist() == [True, False, False, True]
    assert held(1.0) == pytest.approx([0.5, 0.9], abs=0.02)
    assert held(0.5)[1] < 0.75  # too narrow
    assert held(2.0)[1] > 0.95  # too wide
