"""The README keeps its word: its Python runs, its commands and files exist, its schema is metrics.json's."""

import json
import re
import shlex
from pathlib import Path

import pytest
from composed import train_config
from places import ROOT

from alpamayo_toy.training.loop import fit

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme") / "run"
    fit(train_config("trainer=smoke", "trainer.pictures=0", "teacher.scenes=64", "teacher.val_scenes=8"), folder)
    return folder


def test_quick_start_is_two_lines() -> None:
    (block,) = (text for language, text in BLOCKS if language == "bash")
    lines = block.strip().splitlines()
    assert len(lines) == 2
    assert all(".venv/bin/python" in line and "-c constraints.txt" in line for line in lines)


@pytest.mark.parametrize("code", [text for language, text in BLOCKS if language == "python"])
def test_its_python_runs(code: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    import torch

    exec(re.sub(r'"outputs/train/LEFT/[^"]*"', repr(str(run)), code), {"torch": torch})
    if "np.savez" in code:
        from alpamayo_toy import load_labels

        labels = load_labels("labels.npz")
        assert labels.v0.tolist() == pytest.approx([8.0] * 100, abs=1e-9)


def test_its_commands_and_options_exist() -> None:
    commands = [line for _, text in BLOCKS for line in text.splitlines() if line.startswith("python scripts/")]
    assert len(commands) >= 6
    for line in commands:
        script, *options = shlex.split(line.split("   ")[0])[1:]
        assert (ROOT / script).exists()
        assert options or script == "scripts/benchmark.py" or "   " in line


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("https://"):
            assert (ROOT / target).exists(), target


def test_its_schema_is_the_files(run: Path) -> None:
    section = README.partition("## metrics.json")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)", section))
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) <= named
    assert set(metrics["summary"]) <= named
    assert set(metrics["checks"]) <= named
