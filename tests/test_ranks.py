"""Ranks: shares that are all, each once; what the environment says of a process."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alpamayo_toy.ranks import ALONE, Ranks, launched


@given(n=st.integers(0, 40), size=st.integers(1, 9))
def test_shares_are_all_rows_each_once_and_alike_in_size(n: int, size: int) -> None:
    rows = torch.arange(2 * n).view(n, 2)
    shares = [Ranks(rank, size).share(rows) for rank in range(size)]
    assert torch.equal(torch.cat(shares), rows)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(n=st.integers(0, 40), size=st.integers(1, 9), batch=st.integers(1, 7))
def test_batches_are_a_rank_s_share_and_none_is_empty(n: int, size: int, batch: int) -> None:
    found = [list(Ranks(rank, size).batches(n, batch)) for rank in range(size)]
    assert [row for rows in found for part in rows for row in part.tolist()] == list(range(n))
    assert all(0 < len(part) <= batch for rows in found for part in rows)


def test_torchrun_says_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)  # as others set them too
    assert launched() is ALONE
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert launched() == Ranks(5, 8, 1)
    assert not launched().leads
    assert not Ranks(8, 16, 0).leads  # the first one of a second machine


def test_alone_there_is_nobody_to_ask() -> None:
    assert ALONE.leads
    assert ALONE.gathered("mine") == ["mine"]
