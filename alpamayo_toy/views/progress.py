"""What a command shows while it works: Bar, Over and announced(); lines on stdout where there is no terminal."""

import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
EVERY_S = 10.0  # between lines, where there is no terminal
QUIET_S = 3.0  # of work that nobody needs to be told of


class Bar:
    """A bar on a terminal; elsewhere a line every 10 s, with what is done and how long the rest will take."""

    def __init__(self, total: int, unit: str, what: str = "", done: int = 0, hidden: bool = False) -> None:
        terminal = sys.stderr.isatty()
        options: dict[str, Any] = {"desc": what or None, "initial": done, "dynamic_ncols": True}
        self.bar = tqdm(total=total, unit=unit, disable=hidden or not terminal, **options)
        self.lines = not (hidden or terminal)
        self.total, self.unit, self.what, self.done = total, unit, what, done
        self.first, self.started = done, time.monotonic()
        self.told, self.facts = self.started, ""

    def update(self, more: int = 1) -> None:
        self.done += more
        self.bar.update(more)
        now = time.monotonic()
        if self.lines and self.done < self.total and now - self.told >= EVERY_S:
            self.told = now
            left = (now - self.started) / max(self.done - self.first, 1) * (self.total - self.done)
            said = [f"{self.done} of {self.total} {self.unit}s", *([self.facts] if self.facts else [])]
            head = f"{self.what}: " if self.what else ""
            print(f"{head}{', '.join(said)}, {duration_said(left)} left", flush=True)

    def show(self, **facts: float) -> None:
        """Numbers beside the bar."""
        self.facts = ", ".join(f"{name} {value:.3f}" for name, value in facts.items())
        self.bar.set_postfix_str(self.facts, refresh=False)

    def close(self) -> None:
        self.bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Over(Collection[Item]):
    """So many items one by one, with a Bar."""

    def __init__(self, items: Iterable[Item], total: int, unit: str, what: str = "", hidden: bool = False) -> None:
        self.items, self.total, self.unit, self.what, self.hidden = items, total, unit, what, hidden

    def __iter__(self) -> Iterator[Item]:
        with Bar(self.total, self.unit, self.what, hidden=self.hidden) as bar:
            for item in self.items:
                yield item
                bar.update()

    def __len__(self) -> int:
        return self.total

    def __contains__(self, item: object) -> bool:
        return any(item == one for one in self.items)


@contextmanager
def announced(what: str, hidden: bool = False) -> Iterator[None]:
    """Say what is being done, where it takes more than 3 s."""
    if hidden:
        yield
        return
    timer = threading.Timer(QUIET_S, lambda: print(f"{what} ...", flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def duration_said(seconds: float) -> str:
    """As people say it: 1 s at least, 40 s, 3 min, 2.5 h."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
