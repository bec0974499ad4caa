"""How things grow, on small sizes: every row, numbers that are there, and mistakes in one line."""

import re
from pathlib import Path

import pytest
from command_line import run_script, wrong
from places import Command

from alpamayo_toy.commands import benchmark, growth
from alpamayo_toy.errors import UserError


@pytest.mark.slow
def test_its_report_has_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"BATCHES": [1, 4], "HORIZONS": [8, 16], "MODES": [1, 2], "WIDTHS": [16, 32], "BATCH": 16, "STEPS": (2, 4)}
    for name, value in small.items():
        monkeypatch.setattr(growth, name, value)
    monkeypatch.setattr(growth, "FEWEST", 300)
    monkeypatch.setattr(growth, "PROCESSES", [1])
    monkeypatch.setattr(benchmark, "SLICE_S", 1e-4)

    commands: list[list[object]] = []

    def forked(words: list[object]) -> tuple[float, float]:
        result = run_script(str(words[0]), tuple(map(str, words[1:])), tmp_path)
        assert result.returncode <= int("check" in words), result.stderr
        commands.append(words)
        return float(len(commands)), 1.0  # as if each took a second more than the one before

    monkeypatch.setattr(growth, "_command", forked)
    report = "\n".join(growth.lines(300, 2))
    rows = [row.strip("| ").split(" | ") for row in report.splitlines() if row[:1] == "|" and "---" not in row]
    heads = ["Batch", "Horizon, B = 64", "Modes", "Width", "Clips"]
    assert [row[0] for row in rows if not row[0].isdigit()] == heads
    assert [row[0] for row in rows if row[0].isdigit()] == ["1", "4", "8", "16", "1", "2", "16", "32", "300"]
    for row in rows:
        if row[0].isdigit():
            assert all(
                re.fullmatch(r"[\d,]+(\.\d+)?(e[+-]\d+)?", cell) and float(cell.replace(",", "")) > 0 for cell in row
            )
    clips = dict(zip(rows[-2], rows[-1], strict=True))
    assert float(clips["clips a second, 1 process"]) == (4 - 2) * 16
    assert float(clips["bytes a clip"].replace(",", "")) > 64 * 4 * 4  # a trajectory in float32


def test_a_command_that_fails_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"^labels check nowhere did not end well"):
        growth._command(["labels", "check", "nowhere"])
    assert "nowhere" in capfd.readouterr().err


def test_mistakes_are_one_line(command: Command) -> None:
    assert "--clips must be from 10000 to 100000000 (got 3)" in wrong(command, "benchmark", "growth", "--clips", "3")
    assert "--clips must be from 10000 to 100000000 (got 0)" in wrong(command, "benchmark", "growth", "--clips", "0")
    assert "--rounds must be from 2 to 1000000 (got 1)" in wrong(command, "benchmark", "growth", "--rounds", "1")
    assert "did you mean growth?" in wrong(command, "benchmark", "grwth")
    assert "growth is measured on the CPU" in wrong(command, "benchmark", "growth", "--device", "cuda")
    assert "--clips is an option of growth" in wrong(command, "benchmark", "--clips", "20000")
