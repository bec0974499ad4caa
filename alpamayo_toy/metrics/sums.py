"""Sums: means of values that come in batches."""

import math
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Sums:
    """Means of values that come in batches of any size and from several ranks: sums and counts by name, in float64.

    Each value counts once, so that neither the batches nor their order matter beyond rounding; NaN does not count.
    """

    totals: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, values: Tensor) -> None:
        """Values of any shape and dtype, bool included."""
        values = values.detach().cpu().double()
        kept = values[~values.isnan()]
        self._include(name, float(kept.sum()), kept.numel())

    def merge(self, other: "Sums") -> None:
        """Everything another rank or batch has summed."""
        for name, total in other.totals.items():
            self._include(name, total, other.counts[name])

    def means(self) -> dict[str, float]:
        """Mean by name, NaN where nothing counted."""
        return {
            name: total / self.counts[name] if self.counts[name] else math.nan for name, total in self.totals.items()
        }

    def _include(self, name: str, total: float, count: int) -> None:
        self.totals[name] = self.totals.get(name, 0.0) + total
        self.counts[name] = self.counts.get(name, 0) + count
