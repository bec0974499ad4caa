"""Limits of work: in loops of this machine at this time, not in seconds, of which a busy one needs more."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

AT_ONCE = 0.5  # s: what takes no longer is within any limit here, and no loop is timed for it


def loop() -> float:
    """Processor seconds of a plain loop over a million numbers: 0.02 to 0.03 on a quiet machine."""
    started, total = time.process_time(), 0
    for number in range(1_000_000):
        total += number
    return time.process_time() - started


@contextmanager
def within(most: float) -> Iterator[None]:
    """The block takes no more of this thread's processor time than so many loops."""
    started = time.process_time()
    yield
    took = time.process_time() - started
    assert took < AT_ONCE or took < most * loop(), f"{took:.1f} s"
