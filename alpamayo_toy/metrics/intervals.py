"""How sure a mean is: 95 % intervals over seeds, and over clips of which neighbours share a drive."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.kinematics.device import kept

MIN_UNITS = 20  # fewer independent units: too few for an interval
BLOCK_S = 30.0  # seconds of a drive that are one unit
RESAMPLES = 2000
MOST_UNITS = 4000  # of a bootstrap; with more the normal distribution serves as well
ROWS = 250  # resamples at once: at most 8 MB
NORMAL = statistics.NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Interval:
    """A mean over count values (clips) of so many independent units, and its 95 % interval.

    low and high are None where the units are fewer than MIN_UNITS or a value is infinite. The mean of nothing is NaN.
    """

    mean: float
    low: float | None
    high: float | None
    units: int
    count: int

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON, which knows neither NaN nor infinity: such a mean is None."""
        mean = self.mean if math.isfinite(self.mean) else None
        return {"mean": mean, "low": self.low, "high": self.high, "units": self.units, "clips": self.count}


def students_t(values: Sequence[float]) -> tuple[float, float] | None:
    """(low, high) of the mean over n seeds: mean +- t_{0.975, n-1} s / sqrt(n), s the sample's standard deviation.

    None for fewer than two values, or where one is NaN or infinite: a seed that failed must not be left out in silence.
    """
    n = len(values)
    if n < 2 or not all(math.isfinite(value) for value in values):
        return None
    mean, half = statistics.fmean(values), t_quantile(n - 1) * statistics.stdev(values) / math.sqrt(n)
    return mean - half, mean + half


def welchs_t(a: Sequence[float], b: Sequence[float]) -> tuple[float, float] | None:
    """(low, high) of the mean of a less that of b, independent seeds (Welch 1947): +- t_{0.975, f} e, with
    e^2 = s_a^2 / n_a + s_b^2 / n_b and f = e^4 / (s_a^4 / (n_a^2 (n_a - 1)) + s_b^4 / (n_b^2 (n_b - 1))).

    None for fewer than two values of either, or where one is NaN or infinite.
    """
    if min(len(a), len(b)) < 2 or not all(math.isfinite(value) for value in (*a, *b)):
        return None
    parts = [(statistics.variance(values) / len(values), len(values) - 1) for values in (a, b)]
    square = sum(part for part, _ in parts)
    mean = statistics.fmean(a) - statistics.fmean(b)
    if square == 0:
        return mean, mean
    half = t_quantile(square**2 / sum(part**2 / n for part, n in parts)) * math.sqrt(square)
    return mean - half, mean + half


def units_of(clip_id: np.ndarray, t0_us: Tensor) -> Tensor:
    """The independent unit of each row: clip_id (N,), t0_us (N,) in microseconds -> int64 (N,), numbered from 0.

    A clip or drive of several windows is cut into blocks of 30 s from its first t0, and the windows of one block are
    one unit: neighbouring windows overlap, and resampling them one by one understates the error of a mean 2.7 times
    (measured on recorded drives). A clip that comes once is a unit of its own.
    """
    names, clip = np.unique(clip_id, return_inverse=True)
    t0 = t0_us.cpu().numpy()
    first = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(first, clip, t0)
    block = (t0 - first[clip]) // int(BLOCK_S * 1e6)
    _, unit = np.unique(clip * (block.max(initial=0) + 1) + block, return_inverse=True)
    return torch.from_numpy(unit)


def over_clips(values: Tensor, units: Tensor, seed: int = 0) -> Interval:
    """Mean over clips with a studentised (bootstrap-t) 95 % interval: values (N,) and their units (N,), NaN left out.

    With S_g and n_g the sum and the number of values in unit g of G, the mean is m = sum S_g / sum n_g, its standard
    error by linearisation se^2 = G / (G - 1) sum (S_g - m n_g)^2 / (sum n_g)^2. G units are drawn with replacement
    2000 times, each time giving t* = (m* - m) / se*; the interval is [m - q_0.975 se, m - q_0.025 se], q the quantiles
    of t*, and stays between the least and the greatest value (Efron and Tibshirani 1993, An Introduction to the
    Bootstrap, 12.5). For more than 4000 units q are the normal distribution's. Equal units give a width of zero.
    scripts/coverage.py measures how often it holds the truth; it is too narrow for a rate of which fewer than some ten
    cases were seen. Raises ValueError for other shapes.
    """
    if values.dim() != 1 or units.shape != values.shape:
        raise ValueError(f"values and units must have shape (N,) (got {tuple(values.shape)}, {tuple(units.shape)})")
    values, units = values.detach().cpu().double(), units.cpu()
    known = ~values.isnan()
    kept = values[known]
    _, unit, sizes = torch.unique(units[known], return_inverse=True, return_counts=True)
    mean, count, groups = float(kept.mean()), len(kept), len(sizes)
    if groups < MIN_UNITS or not math.isfinite(mean):
        return Interval(mean, None, None, groups, count)
    least, greatest = kept.aminmax()
    residuals = torch.zeros(groups, dtype=torch.float64).index_add_(0, unit, kept - mean)
    error = _standard_error(residuals.square().sum(), groups, count)
    if error == 0 or least == greatest:  # the mean of equal values may be a rounding off them
        return Interval(mean, mean, mean, groups, count)
    few, many = (-NORMAL, NORMAL) if groups > MOST_UNITS else _quantiles(residuals, sizes.double(), error, seed)
    low, high = (float((mean - q * error).clamp(least, greatest)) for q in (many, few))
    return Interval(mean, low, high, groups, count)


def of_share(values: Tensor) -> Interval:
    """A share of independent cases with its exact 95 % interval: values (N,) of 1.0 or 0.0, NaN left out.

    low and high are the shares at which k or more, and k or fewer, of n cases have a probability of 0.025 (Clopper and
    Pearson 1934). None of 300 cases says "at most 1.2 %", where resampling would say 0.
    """
    from scipy.special import betaincinv

    kept = values[~values.isnan()]
    n, k = len(kept), int(kept.sum())
    if n < MIN_UNITS:
        return Interval(k / n if n else math.nan, None, None, n, n)
    low = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, 0.025))
    high = 1.0 if k == n else float(betaincinv(k + 1, n - k, 0.975))
    return Interval(k / n, low, high, n, n)


def paired(a: Tensor, b: Tensor, units: Tensor, seed: int = 0) -> Interval:
    """Interval of the mean of a - b, of the same clips: (N,) each. A clip where either is NaN is left out."""
    return over_clips(a.double() - b.double(), units, seed)


def is_decided(interval: Interval) -> bool | None:
    """Whether the interval leaves out 0; None where there is none."""
    if interval.low is None or interval.high is None:
        return None
    return not interval.low <= 0 <= interval.high


def t_quantile(freedom: float) -> float:
    """The 0.975 quantile of Student's t with so many degrees of freedom >= 1."""
    from scipy.special import stdtrit  # scipy.stats takes three times as long to import

    return float(stdtrit(freedom, 0.975))


def _standard_error(squares: Tensor, groups: int, count: Tensor | int) -> Tensor:
    """From the sum of squared residuals of so many units that hold count values: (...) -> (...)."""
    return (squares * (groups / (groups - 1))).sqrt() / count


def _quantiles(residuals: Tensor, sizes: Tensor, error: Tensor, seed: int) -> tuple[float, float]:
    """The 0.025 and 0.975 quantiles of t* over resamples, from S_g - m n_g (G,) and n_g (G,).

    A unit's residual from m* is S_g - m* n_g = r_g - d n_g with d = m* - m. Where a resample's error is zero (a rate
    of which it holds no case) the error of the mean itself stands in.
    """
    columns = torch.stack([sizes, residuals, residuals.square(), residuals * sizes, sizes.square()], -1)
    drawn = torch.cat([times.double() @ columns for times in _resamples(len(sizes), seed).split(ROWS)])
    count, sums, squares, mixed, square_sizes = drawn.unbind(-1)
    d = sums / count
    errors = _standard_error((squares - 2 * d * mixed + d.square() * square_sizes).clamp(min=0), len(sizes), count)
    t = d / torch.where(errors > 1e-6 * error, errors, error)  # not > 0: the difference of equal sums is not quite 0
    low, high = torch.quantile(t, t.new_tensor([0.025, 0.975])).tolist()
    return low, high


@partial(kept, most=4)  # they may be long
def _resamples(groups: int, seed: int) -> Tensor:
    """How often each resample draws each unit: uint8 (RESAMPLES, groups). A table's rows share one draw."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for _ in range(RESAMPLES // ROWS):
        drawn = torch.randint(groups, (ROWS, groups), generator=generator)
        times = torch.zeros(ROWS, groups, dtype=torch.uint8)
        parts.append(times.scatter_add_(1, drawn, torch.ones((), dtype=torch.uint8).expand_as(drawn)))
    return torch.cat(parts)
