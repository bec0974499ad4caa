"""Half of the memory, whatever the system says of it."""

import os

import pytest

from alpamayo_toy.labels.untrusted.memory import half_of_memory


def test_half_of_the_memory_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> int:
        raise ValueError(f"unrecognized configuration name {name}")

    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 3000}.__getitem__)
    assert half_of_memory() == 6_144_000
    monkeypatch.setattr(os, "sysconf", unknown)
    assert half_of_memory() == 4 * 2**30
    monkeypatch.delattr(os, "sysconf")
    assert half_of_memory() == 4 * 2**30
