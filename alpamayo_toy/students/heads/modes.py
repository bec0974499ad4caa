"""Modes: what a head's numbers mean: K modes of raw actions, how likely each is, how wide, and what is drawn of it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alpamayo_toy.students.config import StudentConfig

COSINES = 8  # that a spread is made of, for a and for kappa each; of T where the horizon is shorter
APART = 0.5  # standard deviations of actions between which modes begin around the mean
NARROW = -2.0  # logarithm of the spread that modes begin with, in whitened coefficients
WIDEST = 1.0  # and of the widest


@dataclass(frozen=True)
class Mixture:
    """For each of B scenes K modes: mean raw actions (B, K, T, 2), log_probabilities (B, K), widths (B, K, 16) or None.

    Widths are logarithms of standard deviations in whitened coefficients.
    """

    mean: Tensor
    log_probabilities: Tensor
    widths: Tensor | None

    def select(self, which: Tensor) -> "Mixture":
        """Modes which (B, M) int64, as often as they are named there."""
        rows = torch.arange(which.shape[0], device=which.device).unsqueeze(-1)
        widths = None if self.widths is None else self.widths[rows, which]
        return Mixture(self.mean[rows, which], self.log_probabilities[rows, which], widths)

    def shared(self, draws: int) -> Tensor:
        """Log probabilities (B, K draws) of so many draws of each mode, one after the other, which share its own."""
        return (self.log_probabilities - math.log(draws)).repeat_interleave(draws, -1)


class Modes(nn.Module):
    """From a head's numbers (B, numbers) to a Mixture, and from that to raw actions.

    raw = mean_k + C L (exp(widths_k) eps), eps 16 standard normal numbers, C eight cosines each of a and of kappa over
    the horizon, L the Cholesky factor of their covariance over the training labels. So whatever is drawn is smooth, and
    wide where drivers differ. Over T < 8 steps there are T cosines, and 2 T for 16. Modes begin APART on a circle in
    (a, kappa), the mirror image of itself.
    """

    apart: Tensor
    smooth: Tensor
    whitening: Tensor

    def __init__(self, config: StudentConfig, horizon: int) -> None:
        super().__init__()
        self.count, self.spread = count, spread = config.modes, config.spread
        cosines = min(COSINES, horizon)
        self.coefficients = 2 * cosines if spread else 0
        self.sizes = (count * horizon * 2, count if count > 1 else 0, count * self.coefficients)
        angle = 2 * math.pi / count * torch.arange(count)
        circle = APART * torch.stack([angle.cos(), angle.sin()], -1) * (count > 1)
        self.register_buffer("apart", circle[:, None].repeat(1, horizon, 1), persistent=False)  # rows are added faster
        if spread:
            self.register_buffer("smooth", waves(cosines, horizon), persistent=False)
            self.register_buffer("whitening", torch.eye(self.coefficients))

    @property
    def numbers(self) -> int:
        """How many a head gives for each scene."""
        return sum(self.sizes)

    def forward(self, numbers: Tensor) -> Mixture:
        raw, logits, widths = numbers.split(self.sizes, -1)
        mean = raw.unflatten(-1, (self.count, -1, 2))
        if self.count > 1:
            mean = mean + self.apart
        likely = logits.log_softmax(-1) if self.count > 1 else torch.zeros_like(raw[:, :1])
        wide = (NARROW + widths.unflatten(-1, (self.count, -1))).clamp(max=WIDEST) if self.spread else None
        return Mixture(mean, likely, wide)

    def noise(self, scenes: int, draws: int, generator: torch.Generator) -> Tensor | None:
        """What moved() takes for so many draws of each scene, (B, M, 16) standard normal; None without a spread."""
        return torch.randn(scenes, draws, self.coefficients, generator=generator) if self.spread else None

    def moved(self, mixture: Mixture, noise: Tensor | None) -> Tensor:
        """Raw actions (B, K m, T, 2), m drawn of each of the K modes of a mixture by noise (B, K m, 16), one mode after
        the other; their means where none is wide.
        """
        if mixture.widths is None or noise is None:
            return mixture.mean
        noise = noise.to(mixture.widths).unflatten(1, (mixture.mean.shape[1], -1))
        with torch.autocast(noise.device.type, enabled=False):
            moved = (noise * mixture.widths.unsqueeze(2).exp()) @ (self.whitening.mT @ self.smooth)
        moved += mixture.mean.flatten(-2).unsqueeze(2)  # in place: it is as large as all trajectories
        drawn: Tensor = moved.flatten(1, 2).unflatten(-1, (-1, 2))
        return drawn

    def fit(self, raw: Tensor) -> None:
        """Take the covariance of coefficients from the raw actions (N, T, 2) of the training labels."""
        if self.spread:
            coefficients = raw.flatten(1) @ self.smooth.to(raw).mT / raw.shape[1]
            off = coefficients - coefficients.mean(0)
            covariance = off.mT @ off / len(off)
            floor = 1e-4 * torch.eye(len(covariance), dtype=raw.dtype, device=raw.device)
            self.whitening.copy_(torch.linalg.cholesky(covariance + floor))


def waves(count: int, horizon: int) -> Tensor:
    """The first cosines, at most T, of the DCT-II over the steps, for a and kappa in turn: (2 count, 2 T), of mean
    square 1.
    """
    phase = math.pi * (torch.arange(horizon) + 0.5) / horizon
    cosines = (torch.arange(count).unsqueeze(-1) * phase).cos() * math.sqrt(2)
    cosines[0] = 1.0
    return torch.kron(cosines, torch.eye(2))
