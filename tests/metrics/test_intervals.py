"""Intervals against Student's quantiles, numbers worked out by hand and a slow second bootstrap; their coverage."""

import json
import math
import statistics
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from places import DATA, Command
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation import coverage
from alpamayo_toy.metrics import intervals
from alpamayo_toy.metrics.intervals import (
    MIN_UNITS,
    MOST_UNITS,
    RESAMPLES,
    Interval,
    is_decided,
    over_clips,
    paired,
    students_t,
    t_quantile,
    units_of,
    welchs_t,
)

SECOND = 1_000_000  # us


def lognormal(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).exp()


def bounds(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def by_finite_sums(freedom: int) -> float:
    """The 0.975 quantile of Student's t once more.

    With t = sqrt(freedom) tan(angle), P(|T| < t) is a finite sum of powers of cos(angle) (Abramowitz and Stegun 1964,
    26.7.3 and 26.7.4), solved for 0.95 by bisection of the angle.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        low, high = (angle, high) if within(angle, freedom) < 0.95 else (low, angle)
    return math.sqrt(freedom) * math.tan(low)


def within(angle: float, freedom: int) -> float:
    """P(|T| < sqrt(freedom) tan(angle)) for freedom = n.

    Even n: sin (1 + 1/2 cos^2 + (1 3)/(2 4) cos^4 + .. cos^(n-2)).
    Odd n: 2/pi (angle + sin (cos + 2/3 cos^3 + (2 4)/(3 5) cos^5 + .. cos^(n-2))).
    """
    odd = freedom % 2
    term = math.sin(angle) * (math.cos(angle) if odd else 1.0)
    terms = []
    for k in range(1, (freedom - odd) // 2 + 1):
        terms.append(term)
        term *= math.cos(angle) ** 2 * (2 * k - 1 + odd) / (2 * k + odd)
    return 2 / math.pi * (angle + math.fsum(terms)) if odd else math.fsum(terms)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 7, 8, 30, 99, 100, 1001])
def test_the_t_quantile_by_finite_sums(freedom: int) -> None:
    # 3e-14 with scipy 1.17, 4e-11 with older ones
    assert t_quantile(freedom) == pytest.approx(by_finite_sums(freedom), rel=1e-10)


def test_the_t_quantile_in_closed_form() -> None:
    assert t_quantile(1) == pytest.approx(math.tan(0.95 * math.pi / 2), abs=1e-9)
    exact = 1e-12 if np.lib.NumpyVersion(scipy.__version__) >= "1.17.0" else 1e-10  # before, scipy stops at 5e-11
    assert t_quantile(2) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)), abs=exact)
    assert t_quantile(3) == pytest.approx(3.182446305284263, abs=1e-9)  # printed in every table of t as 3.182


def test_the_interval_over_seeds_by_hand() -> None:
    low, high = students_t([1.0, 2.0, 3.0]) or (0.0, 0.0)  # s = 1, t = 4.302653 for two degrees of freedom
    assert (low, high) == pytest.approx((2 - 4.302652730 / math.sqrt(3), 2 + 4.302652730 / math.sqrt(3)), abs=1e-8)
    assert students_t([5.0, 5.0]) == (5.0, 5.0)
    mine, theirs = [1.0, 2.0, 4.0], [3.0, 3.5, 5.0, 8.0]
    expected = scipy.stats.ttest_ind(mine, theirs, equal_var=False).confidence_interval(0.95)
    assert welchs_t(mine, theirs) == pytest.approx(tuple(expected))
    assert welchs_t([5.0, 5.0], [4.0, 4.0]) == (1.0, 1.0)
    assert welchs_t([5.0], [4.0, 4.0]) is None
    assert welchs_t([5.0, math.nan], [4.0, 4.0]) is None
    for none in ([], [1.0], [1.0, math.nan, 2.0], [1.0, math.inf]):
        assert students_t(none) is None


def test_units_are_blocks_of_30_s_of_each_drive() -> None:
    a = torch.arange(70) * SECOND + 5_000_000  # 5 s .. 74 s: blocks from 5, 35 and 65 s
    b = torch.tensor([0, 29_999_999, 30_000_000, 200_000_000, 229_000_000, 230_000_000])  # a gap of 170 s
    clips = np.array(["a"] * 70 + ["b"] * 6 + ["c", "d", "e"])
    units = units_of(clips, torch.cat([a, b, torch.zeros(3, dtype=torch.int64)])).tolist()
    assert units[:70] == [0] * 30 + [1] * 30 + [2] * 10
    assert units[70:76] == [3, 3, 4, 5, 6, 6]  # the gap leaves blocks without windows, and those no numbers
    assert units[76:] == [7, 8, 9]


def test_units_do_not_depend_on_the_order_of_the_rows() -> None:
    generator = torch.Generator().manual_seed(1)
    drive = torch.randint(5, (200,), generator=generator)
    t0 = torch.randint(200 * SECOND, (200,), generator=generator)
    order = torch.randperm(200, generator=generator)
    units = units_of(drive.numpy().astype(str), t0)
    assert units.dtype == torch.int64
    assert torch.equal(units_of(drive.numpy().astype(str)[order.numpy()], t0[order]), units[order])
    assert len(units_of(np.array([], dtype=str), torch.zeros(0, dtype=torch.int64))) == 0


def test_the_standard_error_of_a_ratio_by_hand() -> None:
    # units {1, 3}, {5}, {2, 3, 4}: S = 4, 5, 9, n = 2, 1, 3, m = 18 / 6 = 3, S - m n = -2, 2, 0
    # se^2 = 3/2 (4 + 4 + 0) / 6^2 = 1/3; far above MOST_UNITS the interval is m -+ 1.96 se
    copies = MOST_UNITS
    values = torch.tensor([1.0, 3, 5, 2, 3, 4]).repeat(copies)
    units = torch.tensor([0, 0, 1, 2, 2, 2]).repeat(copies) + 3 * torch.arange(copies).repeat_interleave(6)
    found = over_clips(values, units)
    groups = 3 * copies
    error = math.sqrt(groups / (groups - 1) * 8 * copies) / (6 * copies)
    assert (found.mean, found.units, found.count) == (3, groups, 6 * copies)
    assert bounds(found) == pytest.approx((3 - 1.959963985 * error, 3 + 1.959963985 * error), abs=1e-10)
    assert error * math.sqrt(copies * (groups - 1) / groups * 3 / 2) == pytest.approx(math.sqrt(1 / 3))


@pytest.mark.slow
def test_the_bootstrap_is_that_of_a_plain_loop() -> None:
    """Every resample written out row by row, from its definition."""
    values, units = lognormal(60), (torch.arange(60) * 7) % 23
    found = over_clips(values, units)

    def mean_and_error(drawn: list[int]) -> tuple[float, float]:
        groups = [values[units == unit].tolist() for unit in drawn]
        count = sum(map(len, groups))
        mean = sum(map(sum, groups)) / count
        squares = sum((sum(group) - mean * len(group)) ** 2 for group in groups)
        return mean, math.sqrt(len(groups) / (len(groups) - 1) * squares) / count

    mean, error = mean_and_error(list(range(23)))
    studentised = []
    for times in intervals._resamples(23, 0).tolist():
        m, e = mean_and_error([unit for unit, k in enumerate(times) for _ in range(k)])
        studentised.append((m - mean) / e)
    few, many = np.quantile(studentised, [0.025, 0.975])
    assert found.mean == pytest.approx(mean, abs=1e-14)
    assert bounds(found) == pytest.approx((mean - many * error, mean - few * error), abs=1e-10)
    assert bounds(found)[1] - mean > mean - bounds(found)[0]  # the long side is that of the long tail


def test_resamples_draw_with_replacement() -> None:
    times = intervals._resamples(300, 3).double()
    assert times.shape == (RESAMPLES, 300)
    assert bool((times.sum(1) == 300).all())
    assert float((times == 0).double().mean()) == pytest.approx((1 - 1 / 300) ** 300, abs=0.005)
    assert float(times.var()) == pytest.approx(1 - 1 / 300, abs=0.01)
    assert float(times.mean(0).std()) == pytest.approx(1 / math.sqrt(RESAMPLES), rel=0.2)


def test_nan_is_left_out_of_values_and_units() -> None:
    values, units = lognormal(80), torch.arange(80) // 2
    whole = over_clips(values[4:], units[4:])
    values[:4] = math.nan
    assert over_clips(values, units) == whole
    assert (whole.count, whole.units) == (76, 38)


def test_too_few_units_and_nothing_at_all() -> None:
    values = lognormal(200)
    few = over_clips(values, torch.arange(200) % (MIN_UNITS - 1))
    assert few.as_dict() == {"mean": few.mean, "low": None, "high": None, "units": MIN_UNITS - 1, "clips": 200}
    assert few.mean == pytest.approx(float(values.mean()))
    assert is_decided(few) is None
    assert over_clips(values, torch.arange(200) % MIN_UNITS).low is not None
    nothing = {"mean": None, "low": None, "high": None, "units": 0, "clips": 0}
    for empty in (torch.zeros(0), torch.full((30,), math.nan)):
        assert over_clips(empty, torch.arange(len(empty))).as_dict() == nothing
    values[0] = math.inf
    unbounded = over_clips(values, torch.arange(200))
    assert is_decided(unbounded) is None
    assert json.loads(json.dumps(unbounded.as_dict(), allow_nan=False))["mean"] is None


def test_equal_values_have_no_width() -> None:
    for value in (0.1, 1e9, 0.0):
        found = over_clips(torch.full((60,), value, dtype=torch.float64), torch.arange(60))
        assert bounds(found) == (found.mean, found.mean)
        assert found.mean == pytest.approx(value)
    assert is_decided(paired(lognormal(60), lognormal(60), torch.arange(60))) is False
    assert bounds(over_clips(torch.tensor([1.0, 3.0]).repeat(30), torch.arange(60) // 2)) == (2, 2)  # equal units


@pytest.mark.parametrize("cases", [1, 2, 10])
def test_the_interval_of_a_rate_is_finite_and_stays_a_rate(cases: int) -> None:
    """Many resamples of a rare case hold none of it: their error is zero."""
    for n in (57, 60, 62):  # rounding may leave an error of 1e-18 instead of zero, for some n and not for others
        low, high = bounds(over_clips(torch.arange(n) < cases, torch.arange(n)))
        assert 0 <= low < cases / n < high < 0.5


def test_an_outlier_does_not_push_the_interval_beyond_the_values() -> None:
    """Resamples without the outlier have a far smaller error, so that their t* are far out."""
    low, high = bounds(over_clips(torch.cat([lognormal(59), torch.tensor([1e4])]), torch.arange(60)))
    assert high == 1e4
    assert low > 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 99), order=st.permutations(range(50)))
def test_the_order_of_the_clips_does_not_matter(seed: int, order: list[int]) -> None:
    values, units = lognormal(50, seed), torch.arange(50) // 2
    found, again = over_clips(values, units), over_clips(values[order], units[order])
    assert bounds(again) == pytest.approx(bounds(found), rel=1e-12)
    assert again.mean == pytest.approx(found.mean, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    shift=st.floats(-100, 100),
    scale=st.one_of(st.floats(0.01, 100), st.floats(-100, -0.01)),
)
def test_the_interval_moves_and_grows_with_the_values(seed: int, shift: float, scale: float) -> None:
    values, units = lognormal(50, seed), torch.arange(50) // 2
    low, high = bounds(over_clips(values, units))
    moved = bounds(over_clips(shift + scale * values, units))
    assert moved == pytest.approx(sorted((shift + scale * low, shift + scale * high)), rel=1e-9, abs=1e-9)


def test_a_seed_gives_the_same_interval_and_another_one_nearly() -> None:
    values, units = lognormal(60), torch.arange(60)
    first = over_clips(values, units, seed=1)
    torch.manual_seed(5)
    for seed in range(11, 16):  # more than are kept
        over_clips(values, units, seed=seed)
    assert over_clips(values, units, seed=1) == first
    other = over_clips(values, units, seed=2)
    assert other != first
    assert bounds(other) == pytest.approx(bounds(first), rel=0.1)


def test_float32_and_many_units_agree_with_float64_and_the_bootstrap() -> None:
    values = lognormal(MOST_UNITS + 1)
    bootstrap = over_clips(values[:-1], torch.arange(MOST_UNITS))
    normal = over_clips(values, torch.arange(MOST_UNITS + 1))
    half = 1.959963985 * float(values.std()) / math.sqrt(len(values))
    assert bounds(normal) == pytest.approx((normal.mean - half, normal.mean + half), abs=1e-9)
    assert bounds(bootstrap) == pytest.approx(bounds(normal), abs=0.2 * half)
    assert bounds(over_clips(values.float(), torch.arange(len(values)))) == pytest.approx(bounds(normal), abs=1e-6)


def test_pairs_are_surer_than_each_alone() -> None:
    clips, units = lognormal(60), torch.arange(60)
    better = clips * 0.9 + 0.01 * lognormal(60, seed=1)
    difference = paired(better, clips, units)
    assert difference == over_clips(better - clips, units)
    assert is_decided(difference) is True
    assert is_decided(paired(clips, better, units)) is True
    assert bounds(over_clips(better, units))[1] > over_clips(clips, units).mean  # alone they overlap
    clips[3], better[5] = math.nan, math.nan
    assert paired(better, clips, units).count == 58
    low, high = bounds(paired(torch.ones(60) > 0, torch.arange(60) % 2 > 0, units))
    assert 0.3 < low < 0.5 < high < 0.7


def test_whether_0_is_left_out() -> None:
    for low, high, decided in [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False)]:
        assert is_decided(Interval((low + high) / 2, low, high, 30, 30)) is decided


def test_shapes_that_do_not_fit_are_refused() -> None:
    for values, units in [(torch.zeros(3), torch.arange(2)), (torch.zeros(3, 1), torch.zeros(3, 1).long())]:
        with pytest.raises(ValueError, match=r"values and units must have shape \(N,\)"):
            over_clips(values, units)


def test_blocks_are_wider_than_rows_where_neighbours_are_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    widths = {}
    for blocks in (False, True):
        limits = [coverage._windows(blocks, generator, seed) for seed in range(5)]
        widths[blocks] = statistics.fmean(high - low for low, high in limits)
    assert 2.3 < widths[True] / widths[False] < 3.1


def test_coverage_counts_the_intervals_that_hold_the_truth() -> None:
    assert coverage.coverage(lambda _, seed: (seed - 0.5, seed + 1.5), truth=3.0, draws=10) == 0.2
    first = coverage.coverage(coverage._seeds, truth=0.0, draws=50)
    assert first == coverage.coverage(coverage._seeds, truth=0.0, draws=50)
    assert 0.85 < first <= 1
    assert coverage.coverage(coverage._seeds, truth=5.0, draws=50) == 0


def test_a_file_without_truth_and_no_draws_are_one_line() -> None:
    with pytest.raises(UserError, match=r"labels\.npz has no ground truth"):
        coverage.run(1, DATA / "labels.npz")
    with pytest.raises(UserError, match="--draws must be at least 1"):
        coverage.run(0)


@pytest.mark.slow
def test_the_table_on_the_command_line(command: Command, tmp_path: Path) -> None:
    x = np.arange(1, 65) * 0.5
    straight = np.stack([x, 0 * x, 0 * x], -1)
    clips = [{"pred_xyz": [(straight * (1 + 0.01 * i)).tolist()], "gt_xyz": straight.tolist()} for i in range(8)]
    (tmp_path / "clips.json").write_text(json.dumps(clips))
    population = coverage._min_ade(tmp_path / "clips.json")
    assert population.tolist() == pytest.approx([0.01 * i * float(x.mean()) for i in range(8)], abs=1e-6)

    done = command("coverage", "--draws", "20", "--values", "clips.json")
    assert done.returncode == 0, done.stderr
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    found = {(row[0].strip(), int(row[1])): float(row[2].split("±")[0]) for row in rows}
    assert len(found) == 15
    for name in ("clips, Gaussian", "paired differences, Gaussian", "clips, minADE of clips.json"):
        assert found[name, 60] >= 75
    assert found["correlated windows, row by row", 1200] < found["correlated windows, in blocks of 30 s", 1200]

    missing = command("coverage", "--values", "none.json")
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert missing.stderr.startswith("error: ")
    assert "none.json" in missing.stderr


@pytest.mark.parametrize(("k", "n"), [(0, 300), (3, 300), (150, 300), (299, 300), (20, 20)])
def test_a_share_is_as_sure_as_the_binomial_distribution(k: int, n: int) -> None:
    found = intervals.of_share(torch.tensor([1.0] * k + [0.0] * (n - k) + [math.nan] * 5))
    assert (found.mean, found.count) == (k / n, n)
    assert found.low is not None
    assert found.high is not None

    def at_most(most: int, p: float) -> float:
        return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(most + 1))

    assert found.high == 1 if k == n else at_most(k, found.high) == pytest.approx(0.025)
    assert found.low == 0 if k == 0 else 1 - at_most(k - 1, found.low) == pytest.approx(0.025)
    few = intervals.of_share(torch.ones(MIN_UNITS - 1))
    assert (few.low, few.high, few.mean) == (None, None, 1.0)
    assert math.isnan(intervals.of_share(torch.full((3,), math.nan)).mean)
