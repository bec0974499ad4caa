"""Sums over batches and ranks: the same in any order, NaN left out."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alpamayo_toy.metrics.sums import Sums


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=5),
    random=st.randoms(use_true_random=False),
)
def test_sums_of_any_batches_in_any_order(values: list[float], cuts: list[int], random: object) -> None:
    whole = Sums()
    whole.add("ade", torch.tensor(values, dtype=torch.float64))
    random.shuffle(values)  # type: ignore[attr-defined]
    ranks = [Sums(), Sums()]
    for i, (start, stop) in enumerate(zip([0, *sorted(cuts)], [*sorted(cuts), None], strict=True)):
        ranks[i % 2].add("ade", torch.tensor(values[start:stop], dtype=torch.float64))
    total = Sums()
    for rank in ranks:
        total.merge(rank)
    kept = [value for value in values if not math.isnan(value)]
    expected = math.fsum(kept) / len(kept) if kept else math.nan
    assert total.counts["ade"] == whole.counts["ade"] == len(kept)
    assert total.means()["ade"] == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)
    assert whole.means()["ade"] == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


def test_sums_by_hand() -> None:
    one, other = Sums(), Sums()
    one.add("ade", torch.tensor([[1.0, math.nan], [2.0, 6.0]]))
    one.add("miss", torch.tensor([True, False]))
    other.add("ade", torch.tensor(7.0))
    other.add("nothing", torch.tensor([math.nan]))
    one.merge(other)
    assert one.counts == {"ade": 4, "miss": 2, "nothing": 0}
    assert one.means() == pytest.approx({"ade": 4.0, "miss": 0.5, "nothing": math.nan}, nan_ok=True)
    assert other.counts == {"ade": 1, "nothing": 0}


def test_numbers_of_half_precision_are_summed_in_double() -> None:
    few = Sums()
    for _ in range(4):
        few.add("ade", torch.full((1001,), 0.1, dtype=torch.bfloat16))
    assert few.means()["ade"] == pytest.approx(float(torch.tensor(0.1, dtype=torch.bfloat16)), rel=1e-12)
    few.add("fde", torch.tensor([1e8, 1.0, -1e8], dtype=torch.float32))
    assert few.totals["fde"] == 1.0
