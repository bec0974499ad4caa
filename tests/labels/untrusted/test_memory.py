"""Half of the memory, whatever the system says of it."""

import os

import pytest

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.untrusted.memory import check_shape, half_of_memory


def test_4096_samples_of_4096_steps_are_read_and_one_more_is_not() -> None:
    check_shape("x", 4096, 4096)
    for samples, steps in ((4097, 4), (1, 4097)):
        with pytest.raises(UserError, match=f"x has {samples} samples of {steps} steps; at most 4096 samples of 4096"):
            check_shape("x", samples, steps)


def test_half_of_the_memory_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> int:
        raise ValueError(f"unrecognized configuration name {name}")

    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 3000}.__getitem__)
    assert half_of_memory() == 6_144_000
    monkeypatch.setattr(os, "sysconf", unknown)
    assert half_of_memory() == 4 * 2**30
    monkeypatch.delattr(os, "sysconf")
    assert half_of_memory() == 4 * 2**30
