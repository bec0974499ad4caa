"""The benchmark's report on small sizes: what it compares is the same function, and every row is there."""

import re
from pathlib import Path

import pytest
import torch
from command_line import wrong
from places import Command
from torch import Tensor

from alpamayo_toy import UnicycleRollout
from alpamayo_toy.commands import benchmark
from alpamayo_toy.errors import UserError


def roll(actions: Tensor, v0: Tensor) -> Tensor:
    return benchmark.plain_loop(actions, v0)


def invert(waypoints: Tensor, yaw: Tensor, v0: Tensor) -> Tensor:
    return benchmark.dense_oracle(waypoints, yaw, v0)


@pytest.mark.parametrize("integrator", ["euler", "trapezoid"])
def test_its_plain_loop_is_the_rollout(integrator: str) -> None:
    actions, v0 = torch.randn(20, 64, 2, dtype=torch.float64), torch.rand(20, dtype=torch.float64)
    ours = UnicycleRollout(0.1, integrator)(actions, v0)
    assert (benchmark.plain_loop(actions, v0, 0.1, integrator) - ours).abs().max() < 1e-10


@pytest.mark.slow
def test_its_report_has_every_row_and_takes_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "ROLLOUT_SIZES", [(1, 64), (8, 16)])
    monkeypatch.setattr(benchmark, "INVERSE_BATCHES", [1, 8])
    monkeypatch.setattr(benchmark, "SLICE_S", 1e-4)
    monkeypatch.setattr(benchmark, "STORED_CLIPS", 300)
    monkeypatch.setattr(benchmark, "_memory", lambda device: "not measured here")
    report = benchmark.run("cpu", 2, (f"{__name__}:roll", f"{__name__}:invert"))
    for name in ("plain loop", f"{__name__}:roll"):
        for part in ("forward", "forward + backward"):
            assert report.count(f"| {name}, {part} |") == 2  # both integrators
    for name in ("dense oracle", f"{__name__}:invert"):
        for part in ("our forward", "our forward + backward"):
            assert f"| {name}: {part} |" in report
    assert "| 33-256-256-128 |" in report
    assert "| default student |" in report
    assert "Physical floor" in report
    assert "times the rate of tensors in memory" in report
    assert "times the rollout's forward" in report
    assert re.search(r"times the single student's\. 64 samples of 1,024 scenes: \d\.\d\d s\.", report)


@pytest.mark.slow
def test_benchmark_names_a_peer_that_it_cannot_use(command: Command, tmp_path: Path) -> None:
    (tmp_path / "peer.py").write_text("def other(x): return x")
    for peer in ("nowhere:f", "peer:missing", "peer:other"):
        assert f"--against {peer}" in wrong(command, "benchmark", "--against", peer)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_is_measured_in_processes_of_their_own() -> None:
    found = re.match(r"(\d+) MiB, dense (\d+) MiB", benchmark._memory(torch.device("cpu"), 2048))
    assert found
    assert 0 < 5 * int(found[1]) < int(found[2])


def test_rounds_that_are_none_are_one_line() -> None:
    with pytest.raises(UserError, match=r"--rounds must be from 1 to 1000000 \(got 0\)"):
        benchmark.run(rounds=0)


def test_a_ratio_is_the_median_of_the_rounds_with_its_quartiles() -> None:
    """Round by round, since a machine slows down now and then."""
    slower, faster = [2.0, 40.0, 6.0, 8.0, 10.0], [1.0, 10.0, 2.0, 2.0, 1.0]
    assert benchmark._ratio(slower, faster) == "4.00 [2.50, 7.00]"  # of 2, 3, 4, 4, 10


def test_every_contestant_has_a_turn_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "SLICE_S", 1e-9)
    turns: list[str] = []
    works = [lambda name=name: turns.append(name) for name in "ab"]
    found = benchmark.interleaved(works, 3, torch.device("cpu"))
    assert [len(rounds) for rounds in found] == [3, 3]
    assert turns[-6:] == ["a", "b"] * 3
