"""What is said of long work: a line every 10 s without a terminal, and nothing of what is short."""

import io
import sys
import time

import pytest

from alpamayo_toy.views import progress
from alpamayo_toy.views.progress import Bar, Over, announced, duration_said


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that have passed, to be moved by hand."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_there_is_a_line_every_ten_seconds(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Bar(100, "step", done=20) as bar:
        for i in range(80):
            bar.show(loss=0.5)
            clock[0] += 0.5
            bar.update()
            assert bar.done == 21 + i
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{n} of 100 steps, loss 0.500, {(100 - n) / 2:.0f} s left" for n in (40, 60, 80)]


def test_short_or_hidden_work_is_not_mentioned(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    over = Over([1, 2, 3], 3, "file", "reading")
    assert (list(over), len(over), 2 in over) == ([1, 2, 3], 3, True)
    with Bar(9, "file", hidden=True) as bar:
        clock[0] += 100
        bar.update()
    with announced("nothing much"):
        pass
    assert capsys.readouterr() == ("", "")


def test_long_work_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "QUIET_S", 0.01)
    monkeypatch.setattr(sys, "stdout", said := io.StringIO())
    with announced("making labels"):
        while not said.getvalue().endswith("\n"):
            time.sleep(0.01)
    with announced("hidden", hidden=True):
        time.sleep(0.05)
    assert said.getvalue() == "making labels ...\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "1 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (9000, "2.5 h")]
)
def test_a_duration_as_people_say_it(seconds: float, text: str) -> None:
    assert duration_said(seconds) == text


def test_on_a_terminal_a_bar_begins_where_the_work_goes_on(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Bar(100, "step", done=20) as bar:
        bar.update(5)
        assert (bar.bar.initial, bar.bar.n, bar.bar.total) == (20, 25, 100)
        clock[0] += 100
        bar.update()
    assert capsys.readouterr().out == ""  # no line beside the bar
    with Bar(100, "step", hidden=True) as bar:
        assert bar.bar.disable
