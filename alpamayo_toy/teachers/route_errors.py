"""Routes as a map would give them: beside where one really drives, by a sideways error that changes smoothly."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.route import ROUTE_SPACING, Path
from alpamayo_toy.kinematics.trajectory import ROUTE_POINTS, Labels
from alpamayo_toy.labels.stored.building import clip_digests

CORRELATION = 40.0  # m along the route; errors d apart correlate by exp(-(d / 40)^2 / 2)
JITTER = 1e-6  # of the variance, so that the covariance can be factorised


def with_route_errors(labels: Labels, metres: float, path: str) -> Labels:
    """The labels of a path with routes that lie so many metres (rms) aside. Raises UserError where there are none."""
    if metres == 0:
        return labels
    if labels.route is None:
        raise UserError(f"{path} has no routes that teacher.route_error_m={metres:g} could move; leave it at 0")
    return replace(labels, route=displaced(labels.route, clip_digests(labels.clip_id, labels.t0_us.numpy()), metres))


def displaced(route: Tensor, keys: np.ndarray, metres: float) -> Tensor:
    """Routes (N, 20, 2) moved sideways by Gaussian errors of that rms, which are a function of keys (N,) uint64."""
    points = route.double()
    heading = Path.of(points).heading.nan_to_num(0.0)
    s = torch.arange(ROUTE_POINTS, dtype=torch.float64) * ROUTE_SPACING
    covariance = torch.exp(-((s[:, None] - s) / CORRELATION).square() / 2)
    covariance += JITTER * torch.eye(ROUTE_POINTS, dtype=torch.float64)
    aside = metres * _normal(keys) @ torch.linalg.cholesky(covariance).mT
    moved: Tensor = points + aside.unsqueeze(-1) * torch.stack([-heading.sin(), heading.cos()], -1)
    return moved.to(route.dtype)


def _normal(keys: np.ndarray) -> Tensor:
    """(N, 20) standard normal numbers, a row a function of its key (N,) uint64: SplitMix64, then the inverse of Phi."""
    steps = np.arange(1, ROUTE_POINTS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = keys.astype(np.uint64)[:, None] + steps  # modulo 2^64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    state ^= state >> np.uint64(31)
    uniform = ((state >> np.uint64(12)).astype(np.float64) + 0.5) / 2**52
    normal: Tensor = torch.special.ndtri(torch.from_numpy(uniform))
    return normal
