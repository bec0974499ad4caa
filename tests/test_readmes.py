"""The READMEs keep their word: snippets and commands run, links lead somewhere, tables say what the code says.

Commands run as they stand there, on small files of the names that they use, with fewer steps, scenes, seeds and draws.
"""

import argparse
import json
import math
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run_script
from composed import composed, train_config
from places import DATA, ROOT
from releases import released
from written import recorded

from alpamayo_toy import Labels, load_labels
from alpamayo_toy.evaluation.config import RolloutConfig
from alpamayo_toy.evaluation.rollout import roll_out
from alpamayo_toy.labels.formats.layouts import FORMATS
from alpamayo_toy.labels.stored.building import merge
from alpamayo_toy.labels.stored.convert import convert
from alpamayo_toy.labels.stored.splitting import ByHash, ByPattern, split_set
from alpamayo_toy.teachers.generate import synthetic
from alpamayo_toy.training.config import RESUMABLE, BatchConfig
from alpamayo_toy.training.loop import fit
from alpamayo_toy.training.seeds import run_batch

WINGS = sorted(path.parent.name for path in (ROOT / "alpamayo_toy").glob("*/__init__.py"))
FILES = [ROOT / "README.md", *sorted((ROOT / "alpamayo_toy").glob("*/README.md")), ROOT / "configs" / "README.md"]
FILES += [path for path in [ROOT / ".github" / "CONTRIBUTING.md"] if path.exists()]
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in FILES}
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
BLOCKS = {page: FENCED.findall(text) for page, text in PAGES.items()}
COMMANDS = sorted(
    {
        " ".join(re.sub(r"\s+# .*", "", line).split())
        for blocks in BLOCKS.values()
        for _, text in blocks
        for line in text.splitlines()
        if line.startswith("python scripts/")
    }
)
NOT_RUN = {
    "python scripts/benchmark.py": "takes minutes; tests/commands/test_benchmark.py runs it on small sizes",
    "python scripts/labels.py generate asked --teacher alpamayo": "needs NVIDIA's model, gated weights and a GPU",
}
"""How commands begin that are only parsed, and why."""
SMALL = ("trainer.steps=4", "trainer.batch_size=8", "trainer.val_every=4", "trainer.pictures=0")
FEW_SCENES = ("teacher.scenes=32", "teacher.val_scenes=4")
RUN = re.compile(r"outputs/train/([A-Z]+)/[^\s\"',\]]+")  # the folder that training printed


def section(page: str, heading: str) -> str:
    """What stands under a heading of the second level."""
    return PAGES[page].partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, headings and rules included."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


CLIPS = (0, 9, 2)
"""Of tests/data/labels.npz, by the hash of their ids: one for train, one for test, one for val."""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the pages name: label files, sets, and runs in runs/LEFT, ALL and FILE."""
    folder = tmp_path_factory.mktemp("readmes") / "room"
    (folder / "raw").mkdir(parents=True)
    labels, few = load_labels(DATA / "labels.npz"), torch.tensor(CLIPS)
    write_results(labels, folder / "alpamayo1_5_results_60clips.json")
    for name in ("labels.json", "raw/a.json"):
        write_results(labels.select(few[:2]), folder / name)
    write_results(labels.select(few[2:]), folder / "raw" / "b.json")
    write_results(labels, folder / "predictions.json")
    named = json.loads((folder / "predictions.json").read_text())
    named = [{**clip, "my_key": clip["pred_xyz"], "old_pred": clip.pop("pred_xyz")} for clip in named]
    (folder / "predictions.json").write_text(json.dumps(named))
    for i, name in enumerate(("a.json", "b.json"), 1):
        convert([folder / "raw" / name], folder / "parts" / f"part-{i:05d}-of-00016")
    merge(sorted((folder / "parts").iterdir()), folder / "whole")
    split_set(folder / "whole", folder / "splits", "auto", ByHash(0.1, 0.1))
    convert([folder / "labels.json"], folder / "set")
    synthetic("ALL", fewer(2_000_000), 1, 0, folder / "two_million", (1, 1))
    drive = np.array([f"kitti/{i % 8:02d}" for i in range(16)])
    np.savez(folder / "drives.npz", **recorded(16), source=drive, t0_s=np.arange(16.0) // 8)
    convert([folder / "drives.npz"], folder / "routed", routes="recorded")
    for name, sides in (("drives.npz", "kitti"), ("routed", "sides")):
        split_set(folder / name, folder / sides, "auto", ByPattern(("*/05",), ("*/06", "*/07")))

    fit(train_config("scenario=LEFT", *SMALL, *FEW_SCENES), folder / "runs" / "LEFT")
    for name in ("runs/ALL", "RUN_A", "RUN_B", "RUN_FOLDER"):
        shutil.copytree(folder / "runs" / "LEFT", folder / name)
    fit(train_config("scenario=ROAD", *SMALL, *FEW_SCENES), folder / "runs" / "ROAD")
    splits = [f"teacher.{key}={folder / 'splits' / side}" for key, side in (("path", "train"), ("val_path", "val"))]
    fit(train_config("experiment=label_file", *splits, *SMALL), folder / "runs" / "FILE")
    (own,) = (text for _, text in BLOCKS["alpamayo_toy/students/README.md"] if text.startswith("# mine.py"))
    (folder / "mine.py").write_text(own)
    mine = ("student=custom", f"student.module={folder / 'mine.py'}:MyStudent")
    fit(train_config("scenario=LEFT", *mine, *SMALL, *FEW_SCENES), folder / "OWN_RUN")
    fit(train_config("scenario=ALL", "teacher.reveal=speed", *SMALL, *FEW_SCENES), folder / "SPEED_RUN")
    run_batch(composed("batch", BatchConfig, "seeds=1", *SMALL, *FEW_SCENES), folder / "BATCH_FOLDER")
    for name in ("BATCH_A", "BATCH_B"):
        shutil.copytree(folder / "BATCH_FOLDER", folder / name)
        (folder / name / "seed-0" / "eval" / "test").mkdir(parents=True)
        shutil.copy(folder / name / "seed-0" / "clips.csv", folder / name / "seed-0" / "eval" / "test")
    return folder


def write_results(labels: Labels, path: Path) -> None:
    """The layout results_json, its first sample as what was driven."""
    xyz = np.pad(labels.teacher[..., :2].numpy(), [(0, 0), (0, 0), (0, 0), (0, 1)])
    clips = [
        {"clip_id": str(name), "pred_xyz": samples.tolist(), "gt_xyz": samples[0].tolist(), "cot": "go"}
        for name, samples in zip(labels.clip_id, xyz, strict=True)
    ]
    path.write_text(json.dumps(clips))


def words(command: str, folder: Path) -> tuple[str, list[str]]:
    """A script's name and its arguments, as bash reads them in a folder: quotes and patterns."""
    line = RUN.sub(r"runs/\1", command.removeprefix("python "))
    out = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], cwd=folder, capture_output=True, check=True).stdout
    script, *arguments = out.decode().split("\0")[:-1]
    return Path(script).stem, arguments


def shrunk(script: str, arguments: list[str]) -> list[str]:
    """The same with less to do; whatever the page sets is still set, but where it is an amount."""
    if any(word.partition("=")[0] in ("trainer.resume", "resume", "--help", "--cfg") for word in arguments):
        return arguments
    if "-m" in arguments:  # two of a list are a sweep
        arguments = [word.replace("glob(*)", "glob(?????)") for word in arguments]  # RIGHT and START
        arguments = [word if "[" in word else ",".join(word.split(",")[:2]) for word in arguments]
    if script in ("train", "batch"):
        from_file = any(word.startswith("teacher.path=") for word in arguments)
        seeds = ("seeds=1",) if script == "batch" else ()
        workers = ("workers=1",) if any(word.startswith("workers=") for word in arguments) else ()
        return [*arguments, *SMALL, *(() if from_file else FEW_SCENES), *seeds, *workers]
    if script == "eval":
        scenes = ("teacher=synthetic", FEW_SCENES[1]) if any(word.startswith("scenario=") for word in arguments) else ()
        return [*arguments, *scenes, "plot=false"]
    if script == "drive":
        return [*arguments, "drive.scenes=4", "drive.seconds=1", "plot=false"]
    if script == "export":  # tests/integrations/test_release.py runs it
        return [*arguments, "--cfg", "job"]
    if script == "coverage":
        return [*arguments, "--draws", "2"]
    if script == "labels" and arguments[0] == "generate":
        return [*arguments, "--clips", str(fewer(int(arguments[arguments.index("--clips") + 1])))]
    return arguments


def fewer(clips: int) -> int:
    """Enough of two million to be split by a hash."""
    return max(2, clips // 300_000)


def is_run(command: str) -> bool:
    return not command.startswith(tuple(NOT_RUN))


def place_released(room: Path, factory: pytest.TempPathFactory) -> None:
    """A released folder in the room."""
    if not (room / "released").exists():
        shutil.copytree(released(factory) / "student", room / "released")


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in COMMANDS if is_run(command)])
def test_a_command_runs(command: str, room: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    if ".parquet" in command:
        pytest.importorskip("pyarrow")
    if "=released" in command and "output=" not in command:
        place_released(room, tmp_path_factory)
    script, arguments = words(command, room)
    result = run_script(script, tuple(shrunk(script, arguments)), room, timeout=120)
    shutil.rmtree(room / "outputs", ignore_errors=True)  # a run of the same second would find it
    assert "Traceback" not in result.stderr
    assert result.returncode in ((0, 1) if arguments[:1] == ["check"] else (0,)), result.stderr
    assert result.stdout


@pytest.mark.parametrize("command", [command for command in COMMANDS if not is_run(command)])
def test_what_cannot_run_here_is_parsed(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Parsed(Exception):
        pass

    def parse_args(self: argparse.ArgumentParser, arguments: Any = None, namespace: Any = None) -> None:
        unchanged(self, arguments, namespace)
        raise Parsed

    script, arguments = words(command, tmp_path)
    unchanged = argparse.ArgumentParser.parse_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(Parsed):
        runpy.run_path(str(ROOT / "scripts" / f"{script}.py"), run_name="__main__")


def test_what_torchrun_starts_composes_and_is_shared_out_equally() -> None:
    """tests/training/test_together.py starts two processes as torchrun does."""
    text = PAGES["alpamayo_toy/training/README.md"].replace("\\\n", " ")
    lines = [line.partition(" #")[0] for line in text.splitlines() if re.match(r"(srun )?torchrun ", line)]
    assert len(lines) == 3
    for line in lines:
        before, _, options = line.partition("scripts/train.py")
        sizes = [int(number) for number in re.findall(r"--n\S+ (\d+)", before)]
        assert train_config(*options.split()).trainer.batch_size % math.prod(sizes) == 0


def test_every_reason_not_to_run_a_command_is_needed() -> None:
    for beginning in NOT_RUN:
        assert any(command.startswith(beginning) for command in COMMANDS), beginning


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, blocks in BLOCKS.items() if "python" in dict(blocks)])
def test_its_python_runs(
    page: str, room: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if any("import onnxruntime" in code for _, code in BLOCKS[page]):
        pytest.importorskip("onnxruntime")
    if 'load_student("released")' in PAGES[page]:
        place_released(room, tmp_path_factory)
    monkeypatch.chdir(room)
    names: dict[str, Any] = {"__name__": "page"}
    for language, code in BLOCKS[page]:
        if language == "python":
            exec(compile(RUN.sub(r"runs/\1", code), page, "exec"), names)
    if "labels.npz" in PAGES[page]:
        assert load_labels("labels.npz").v0.tolist() == pytest.approx([8.0] * 100, abs=1e-9)


def test_quick_start_is_two_lines() -> None:
    (block,) = (text for language, text in BLOCKS["README.md"] if language == "bash")
    assert block in section("README.md", "Quick start")
    lines = block.strip().splitlines()
    assert len(lines) == 2
    assert all(".venv/bin/python" in line and "-c constraints.txt" in line for line in lines)


def test_the_readme_is_read_in_a_minute() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 150


@pytest.mark.parametrize("wing", WINGS)
def test_every_wing_has_a_readme_that_names_its_files(wing: str) -> None:
    page = f"alpamayo_toy/{wing}/README.md"
    assert f"]({page})" in PAGES["README.md"]
    for path in (ROOT / "alpamayo_toy" / wing).rglob("*.py"):
        assert path.name == "__init__.py" or f"{path.name}]" in PAGES[page], path.name


def test_every_script_is_shown() -> None:
    shown = set(re.findall(r"^python (scripts/\w+\.py)", section("README.md", "The commands"), flags=re.MULTILINE))
    assert shown == {f"scripts/{path.name}" for path in (ROOT / "scripts").glob("*.py")}


def anchors(page: str) -> set[str]:
    """The headings of a page, as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", PAGES[page]), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", PAGES[page])):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(str(file.resolve().relative_to(ROOT))), target


@pytest.mark.slow
def test_the_schema_of_metrics_json_is_the_files(room: Path, tmp_path: Path) -> None:
    schema = section("alpamayo_toy/evaluation/README.md", "metrics.json")
    named = set(re.findall(r"`(\w+)", schema))
    found = [json.loads((room / "runs" / run / "metrics.json").read_text()) for run in ("LEFT", "FILE")]
    found.append(roll_out(composed("rollout", RolloutConfig, "scenario=LEFT", "plot=false"), tmp_path))
    for metrics in found:
        assert set(metrics) | set(metrics["summary"]) | set(metrics["checks"]) <= named
    keys = {name for cells in rows(schema)[2:] for name in re.findall(r"`(\w+)", cells[0])}
    assert keys == {key for metrics in found for key in metrics}


@pytest.mark.slow
def test_the_folder_of_a_run_holds_what_is_said(room: Path) -> None:
    table = rows(section("alpamayo_toy/training/README.md", "The folder of a run"))[2:]
    said = {name for cells in table for name in re.findall(r"`([^`]+)`", cells[0])}
    found = {str(path.relative_to(room / "RUN_A")) for path in (room / "RUN_A").rglob("*") if path.is_file()}
    assert {name for name in found if not any(fnmatch(name, pattern) for pattern in said)} == set()
    missing = {pattern for pattern in said if not any(fnmatch(name, pattern) for name in found)}
    assert missing == {
        "figures/birds_eye.png",
        "figures/profiles.png",
        ".hydra/",
    }  # this run drew nothing, was not typed


@pytest.mark.slow
def test_the_schema_of_labels_json_is_the_files(room: Path) -> None:
    schema = rows(section("alpamayo_toy/labels/README.md", "The label set"))[2:]
    keys = {name for cells in schema for name in re.findall(r"`(\w+)", cells[0])}
    assert keys == set(json.loads((room / "set" / "labels.json").read_text()))


def test_the_layouts_are_those_that_are_read() -> None:
    table = rows(section("alpamayo_toy/labels/README.md", "Layouts"))[2:]
    assert [cells[0].strip("`") for cells in table] == list(FORMATS)


def test_the_options_have_the_defaults_that_are_said() -> None:
    configs = [asdict(train_config()), asdict(train_config("teacher=file", "teacher.path=x"))]
    configs[1]["teacher"]["path"] = ""
    said: dict[str, str] = {}
    for page in ("alpamayo_toy/training/README.md", "alpamayo_toy/teachers/README.md"):
        for table in re.findall(r"^\| option \| default \|.*?\n\n", PAGES[page], flags=re.DOTALL | re.MULTILINE):
            for cells in rows(table)[2:]:
                said.update(zip(re.findall(r"`([\w.]+)`", cells[0]), cells[1].split(", "), strict=True))
    for option, default in said.items():
        assert any(default == shown(at(config, option)) for config in configs), option
    for group in ("trainer", "optimizer", "teacher"):
        assert {f"{group}.{name}" for config in configs for name in config[group]} - {"teacher.integrator"} <= set(said)
    kept = set(re.findall(r"`(trainer\.\w+)`", section("alpamayo_toy/training/README.md", "Stop and go on")))
    assert kept == set(RESUMABLE) - {"trainer.resume"}


def at(config: dict[str, Any], option: str) -> Any:
    """An option by its dotted name, None where a config has no such one."""
    for part in option.split("."):
        config = config.get(part, {})
    return config or None if isinstance(config, dict) else config


def shown(value: Any) -> str:
    """As the command line takes it; nothing for what must or need not be given."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
