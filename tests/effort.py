"""Limits of work: in loops of this machine at this time, not in seconds, of which a busy one needs more."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


def loop() -> float:
    """Processor seconds of a plain loop over a million numbers: 0.02 to 0.03 on a quiet machine."""
    started, total = time.process_time(), 0
    for number in range(1_000_000):
        total += number
    return time.process_time() - started


@contextmanager
def within(most: float) -> Iterator[None]:
    """The block takes no more of this thread's processor time than so many loops, before or after it."""
    before, started = loop(), time.process_time()
    yield
    took = time.process_time() - started
    assert took < most * max(before, loop()), f"{took / before:.0f} loops"
