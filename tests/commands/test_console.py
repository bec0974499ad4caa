"""alpamayo-toy VERB: the scripts, from a checkout and from what a wheel holds."""

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from places import ROOT

from alpamayo_toy.hints import command_line, command_name, program

START = "from alpamayo_toy.commands.console import main; main()"


def call(folder: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-P", "-c", START, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_what_the_wheel_holds_works_in_an_empty_folder(tmp_path: Path) -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    site, empty, mine = tmp_path / "site", tmp_path / "empty", tmp_path / "mine" / "scenario"
    unpacked = {**{name: name for name in wheel["packages"]}, **wheel["force-include"]}
    for source, target in unpacked.items():
        shutil.copytree(ROOT / source, site / target, ignore=shutil.ignore_patterns("__pycache__"))
    empty.mkdir()
    mine.mkdir(parents=True)
    shutil.copy(ROOT / "configs" / "scenario" / "LEFT.yaml", mine / "SLOW.yaml")
    done = call(empty, site, "rollout", "--config-dir", str(mine.parent), "scenario=SLOW", "plot=false")
    assert done.returncode == 0, done.stderr
    assert list(empty.glob("outputs/**/metrics.json"))
    refused = call(empty, site, "train", "teacher.path=x")
    assert refused.returncode == 1
    assert "teacher=file" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_verb_that_there_is_not_is_one_line_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from alpamayo_toy.commands.console import main

    verbs = "|".join(sorted(path.stem for path in (ROOT / "scripts").glob("*.py")))
    for given, said in ((["fly"], "there is no command fly"), ([], "no command given")):
        monkeypatch.setattr(sys, "argv", ["alpamayo-toy", *given])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == f"error: {said}; use alpamayo-toy {verbs} ..."
    for given, meant in (("trian", "train"), ("train.py", "train"), ("label", "labels")):
        monkeypatch.setattr(sys, "argv", ["alpamayo-toy", given])
        with pytest.raises(SystemExit, match=f"there is no command {given}; did you mean alpamayo-toy {meant}[?]$"):
            main()
    monkeypatch.setattr(sys, "argv", ["alpamayo-toy", "--help"])
    main()
    assert verbs in capsys.readouterr().out


FOLDERS = (
    "plain/2026-11-22",
    "my dir",
    "exp=1",
    "x,y",
    "x(1)",
    "[1]",
    "it's",
    'say "q"',
    "dünn 日本",
    "a$HOME",
    "${x}",
)
FOLDERS += ("back\\slash", "ends\\", "\\${x}", '\\"', "~/x", "#x")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_printed_command_is_read_by_shell_and_hydra_as_it_was_meant(folder: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    words = shlex.split(command_line("train", trainer__resume=folder))
    assert words[:3] == ["cd", str(ROOT), "&&"]
    assert words[4] == "scripts/train.py"
    assert shutil.which(words[3]) == shutil.which(sys.executable)
    found = OverridesParser.create().parse_override(words[-1])
    assert found.key_or_group == "trainer.resume"
    assert OmegaConf.create({"value": str(found.value())})["value"] == folder


def test_a_program_is_named_by_its_path_where_it_is_not_on_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    beside = tmp_path / "my env" / "tensorboard"
    beside.parent.mkdir()
    beside.touch(0o755)
    monkeypatch.setattr(sys, "executable", str(beside.with_name("python")))
    assert program("tensorboard") == shlex.quote(str(beside))
    monkeypatch.setenv("PATH", str(beside.parent))
    assert program("tensorboard") == "tensorboard"
    assert program("elsewhere") == "elsewhere"


def test_hints_name_a_command_as_it_was_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["scripts/train.py"])
    assert command_line("batch", resume="x").endswith(" scripts/batch.py resume=x")
    assert command_name("batch") == "batch.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(ROOT / "scripts" / "train.py")])
    called = f" scripts/eval.py checkpoint={tmp_path / 'run'}"
    assert command_line("eval", checkpoint=Path("run")).startswith(f"cd {ROOT} && ")
    assert command_line("eval", checkpoint=Path("run")).endswith(called)
    console = tmp_path / "bin dir" / "alpamayo-toy"
    console.parent.mkdir()
    console.touch(mode=0o755)
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, str(console), "train"])
    assert command_line("train", trainer__resume="x") == f"'{console}' train trainer.resume=x"
    monkeypatch.setenv("PATH", str(console.parent), prepend=os.pathsep)
    assert command_line("train", trainer__resume="x") == "alpamayo-toy train trainer.resume=x"
    assert command_name("batch") == "alpamayo-toy batch"
