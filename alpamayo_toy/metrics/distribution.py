"""Numbers about a set of samples or weighted modes: energy score, spread, calibration, and what is in their middle."""

import torch
from torch import Tensor

from alpamayo_toy.kinematics.manoeuvres import Scenario, classify
from alpamayo_toy.metrics.displacement import distance
from alpamayo_toy.metrics.pairs import distances_among, mean_distances

BINS = 10  # of probabilities, in which they are compared with shares
PROBES = 256  # of a crowd's samples, whose distances from the others are looked at
ROUNDS = 20  # after which k-medoids rest at the latest


def energy_score(
    samples: Tensor,
    teacher_samples: Tensor,
    probabilities: Tensor | None = None,
    draws: int | None = None,
    step_weights: Tensor | None = None,
) -> Tensor:
    """Energy score in metres against a teacher's samples: (..., M, T, 2 or more), (..., Y, T, 2 or more) -> (...).

    sum_m p_m mean_y |x_m - y| - 1/2 sum_{m,l} p_m p_l |x_m - x_l|, |.| the planar distance, mean over the steps
    (Gneiting and Raftery 2007). Least in expectation for the distribution at each step that the teacher has.

    Without probabilities the samples are M independent draws, and the pairs of the second sum are the M (M - 1) of
    different ones, so that it has no bias. With probabilities (..., M) they are modes that stand for themselves; with
    draws too, so many draws of each mode, one after the other, which share its probability, and no draw is paired with
    itself either. M = 1 leaves the plain mean distance. Steps may count by step_weights (T,), whose mean is 1.
    """
    m, to = samples.shape[-3], mean_distances(samples, teacher_samples, step_weights).mean(-1)
    if m == 1:
        return to.squeeze(-1)
    if probabilities is None:
        probabilities, draws = samples.new_full((m,), 1 / m), m
    draws = draws or 1
    mode = torch.arange(m, device=samples.device) // draws
    once_more = draws / (draws - 1) if draws > 1 else 1.0
    share = torch.where(mode == mode.unsqueeze(-1), once_more, 1.0)
    p, among = probabilities, distances_among(samples, step_weights)
    return (p * to).sum(-1) - (share * p.unsqueeze(-1) * p.unsqueeze(-2) * among).sum((-2, -1)) / 2


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
    return distances_among(trajectories).sum(-1).argmin(-1)


def medoids(samples: Tensor, k: int, probabilities: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """k of M samples (..., M, T, 2 or more) that stand for all: their index int64 (..., k), how many each stands for.

    k-medoids on the distance of middle and end points: one after the other the sample that helps most, then each the
    middle of those nearest to it until nothing moves. Deterministic. The second result, (..., k), are the shares of the
    samples, or of their probabilities (..., M), that are nearest to each; the likeliest first. Raises ValueError where
    there are fewer than k samples.
    """
    m, horizon = samples.shape[-3:-1]
    if not 1 <= k <= m:
        raise ValueError(f"k must be between 1 and the number of samples, {m} (got {k})")
    weight = samples.new_full(samples.shape[:-2], 1 / m) if probabilities is None else probabilities
    weight, batch = weight.reshape(-1, m), samples.shape[:-3]
    points = samples[..., [(horizon - 1) // 2, horizon - 1], :2].reshape(-1, m, 2, 2)
    apart = distances_among(points)  # the mean distance of the two
    chosen = (weight.unsqueeze(-1) * apart).sum(1).argmin(-1, keepdim=True)
    rows = torch.arange(len(apart), device=apart.device).unsqueeze(-1)
    for _ in range(k - 1):
        nearest = apart[rows, chosen].amin(1)
        helped = (weight.unsqueeze(-1) * (nearest.unsqueeze(-1) - apart).clamp(min=0)).sum(1)
        helped = helped.scatter(1, chosen, -1.0)
        chosen = torch.cat([chosen, helped.argmax(-1, keepdim=True)], 1)
    for _ in range(ROUNDS):
        mine = torch.nn.functional.one_hot(apart[rows, chosen].argmin(1), k).to(apart.dtype).mT  # (B, k, M)
        mine = mine.scatter(2, chosen.unsqueeze(-1), 1.0)  # one who has a twin elsewhere stays with oneself
        costs = torch.where(mine > 0, (mine * weight.unsqueeze(1)) @ apart, torch.inf)
        moved = costs.argmin(-1)
        if torch.equal(moved, chosen):
            break
        chosen = moved
    mine = torch.nn.functional.one_hot(apart[rows, chosen].argmin(1), k).to(weight.dtype)
    share, order = (weight.unsqueeze(-1) * mine).sum(1).sort(dim=-1, descending=True, stable=True)
    return chosen.gather(1, order).view(*batch, k), share.view(*batch, k)


def manoeuvre_shares(trajectories: Tensor, v0: Tensor) -> Tensor:
    """The share of each Scenario among samples (..., M, T, 4) from v0 (...), as classify() names them: (..., 8)."""
    found = torch.nn.functional.one_hot(classify(trajectories, v0.unsqueeze(-1)), len(Scenario)).to(trajectories.dtype)
    return found.mean(-2)


def total_variation(shares: Tensor, others: Tensor) -> Tensor:
    """1/2 sum |p - q|, between 0 and 1: (..., C) twice -> (...). What share would have to be moved."""
    return (shares - others).abs().sum(-1) / 2


def off_the_crowd(samples: Tensor, crowd: Tensor, most: float = 0.99) -> Tensor:
    """Which samples lie where nobody drives: (..., M, T, 2 or more), (..., C, T, 2 or more) -> bool (..., M).

    Those that are further from each of a teacher's C samples than 99 % of these are from all the others, by mean
    distance over the steps.
    """
    probes = crowd[..., :PROBES, :, :]
    nearest = mean_distances(probes, crowd).kthvalue(2, -1).values  # the first is each one itself
    return mean_distances(samples, crowd).amin(-1) > nearest.quantile(most, -1, keepdim=True)


def nearest_shares(modes: Tensor, teacher_samples: Tensor) -> Tensor:
    """Which share of a teacher's samples is nearest to each mode: (..., K, T, 2 or more), (..., Y, T, 2 or more) ->
    (..., K).
    """
    nearest = mean_distances(modes, teacher_samples).argmin(-2)
    return torch.nn.functional.one_hot(nearest, modes.shape[-3]).to(modes.dtype).mean(-2)


def calibration_error(probabilities: Tensor, shares: Tensor) -> Tensor:
    """How much probability is misplaced, between 0 and 1: (N, K) twice -> (). What is said against what happened.

    1/2 sum over ten bins of p of |sum (p - share)| / N over the modes in it: those of which one says 0.3 are to be the
    nearest one 3 times of 10, whichever they are.
    """
    bin = (probabilities * BINS).long().clamp(max=BINS - 1).flatten()
    off = (probabilities - shares).flatten().double()
    return off.new_zeros(BINS).index_add(0, bin, off).abs().sum() / len(probabilities) / 2


def within_region(samples: Tensor, truths: Tensor, share: float) -> Tensor:
    """Which truths end in the region that holds this share of samples: (..., M, T, 2), (..., Y, T, 2) -> bool (..., Y).

    The region is what lies as near to a sample's end point as that share of the samples lies to another's. Of samples
    as spread as the truths, it holds the same share of these, whatever its form.
    """
    end, truth = samples[..., -1:, :2], truths[..., -1:, :2]
    m = end.shape[-3]
    alone = torch.eye(m, dtype=end.dtype, device=end.device) * torch.finfo(end.dtype).max
    own = (distances_among(end) + alone).amin(-1)
    return mean_distances(truth, end).amin(-1) <= own.quantile(share, -1, keepdim=True)
