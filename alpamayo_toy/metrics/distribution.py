"""Numbers about a set of samples: energy score, spread, and the points in their middle."""

import torch
from torch import Tensor

from alpamayo_toy.metrics.displacement import distance


def energy_score(samples: Tensor, teacher_samples: Tensor) -> Tensor:
    """Energy score in metres against a teacher's samples: (..., K, T, 2 or more), (..., M, T, 2 or more) -> (...).

    Mean over the steps of  mean_{k,m} |x_k - y_m| - 1/2 mean_{k != l} |x_k - x_l|, |.| planar and the second mean over
    the K (K - 1) ordered pairs, without bias (Gneiting and Raftery 2007). Least in expectation for samples from the
    teacher's own distribution. K = 1 has no pairs and leaves the plain mean distance.
    """
    k = samples.shape[-3]
    among = _mean_distances(samples, samples).sum((-2, -1)) / max(k * (k - 1), 1)
    return _mean_distances(samples, teacher_samples).mean((-2, -1)) - among / 2


def spread(samples: Tensor) -> Tensor:
    """Mean distance in metres of samples to their mean at each step: (..., K, T, 2 or more) -> (...)."""
    return distance(samples, samples.mean(-3, keepdim=True)).mean((-2, -1))


def geometric_median(trajectories: Tensor, iterations: int = 60) -> Tensor:
    """At each step the point with the least mean distance to all samples: (..., K, T, 2 or more) -> (..., T, 2).

    Weiszfeld's iteration from the mean, with distances kept above 1e-5 m.
    """
    points = trajectories[..., :2]
    median = points.mean(-3, keepdim=True)
    for _ in range(iterations):
        weight = distance(points, median).clamp(min=1e-5).reciprocal().unsqueeze(-1)
        median = (points * weight).sum(-3, keepdim=True) / weight.sum(-3, keepdim=True)
    return median.squeeze(-3)


def medoid(trajectories: Tensor) -> Tensor:
    """The sample with the least mean distance to the others: (..., K, T, 2 or more) -> int64 (...)."""
    return _mean_distances(trajectories, trajectories).sum(-1).argmin(-1)


def _mean_distances(samples: Tensor, others: Tensor) -> Tensor:
    """Mean distance over the steps of every pair: (..., K, T, 2 or more), (..., M, T, 2 or more) -> (..., K, M).

    Sample by sample: all pairs at once would hold K M T distances per clip.
    """
    return torch.stack([distance(one.unsqueeze(-3), others).mean(-1) for one in samples.unbind(-3)], -2)
