"""A released folder: it is the run's student to the bit, runs without this project, and is refused once touched."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import wrong
from composed import train_config
from places import ROOT, Command
from releases import released as made
from taught import built

from alpamayo_toy import load_student
from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.results import table
from alpamayo_toy.integrations import release
from alpamayo_toy.integrations.config import ExportConfig
from alpamayo_toy.students import released
from alpamayo_toy.students.released import ABOUT, SEALED, WEIGHTS

pytest.importorskip("safetensors")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", name="folder")
def folder_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder / "student", tmp_path / "copy"))


def test_the_folder_holds_what_is_said(folder: Path) -> None:
    assert {path.name for path in (folder / "student").iterdir()} == {*SEALED, ABOUT, "README.md"}
    assert {path.name for path in folder.iterdir()} == {"run", "student", "said"}
    assert (folder / "said").read_text().endswith("released: student\n")
    parity = json.loads((folder / "student" / "parity.json").read_text())
    assert parity["scenes"] == 8
    assert set(parity["forms"]) == {"model.safetensors", "model.onnx", "torch.export", "torch.jit.trace"}
    assert set(parity["forms"]["model.safetensors"].values()) == {0.0}
    for form in parity["forms"].values():
        assert set(form) == set(parity["units"])
        assert max(form.values()) < 1e-4
    latency = json.loads((folder / "student" / "latency.json").read_text())
    assert set(latency["median_ms"]) == {"1", "64"}
    assert all(ms > 0 for times in latency["median_ms"].values() for ms in times.values())
    text = (folder / "student" / ABOUT).read_text()
    for path in (folder / "student").iterdir():
        assert not [word for word in (str(ROOT), "site-packages", "/torch/") if word.encode() in path.read_bytes()], (
            path
        )
    assert "alpamayo_toy." not in text
    assert str(folder) not in text


def test_it_is_the_same_student_to_the_bit(folder: Path) -> None:
    (mine, config), (theirs, trained) = load_student(folder / "student"), load_student(folder / "run")
    assert config == trained
    assert mine.shape == theirs.shape
    weights = theirs.state_dict()
    assert list(mine.state_dict()) == list(weights)
    assert all(torch.equal(value, weights[name]) for name, value in mine.state_dict().items())
    found, wanted = mine.predict("LEFT", v0=[3.0, 8.0]), theirs.predict("LEFT", v0=[3.0, 8.0])
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_the_lines_on_its_card_need_neither_this_project_nor_torch(folder: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "student" / "README.md").read_text(), flags=re.DOTALL)
    assert len(code.strip().splitlines()) <= 10
    blocked = "import sys\nsys.modules.update(dict.fromkeys(('alpamayo_toy', 'torch', 'onnx', 'safetensors')))\n"
    run = [sys.executable, "-c", blocked + code]
    result = subprocess.run(run, cwd=folder / "student", capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    student, _ = load_student(folder / "student")
    straight = torch.tensor([[80 / 19 * i, 0.0] for i in range(20)])
    wanted = student.predict("LEFT", v0=round(float(student.encoder.v0_mean), 1), route=straight)[1][-1]
    found = torch.tensor([float(x) for x in re.findall(r"-?[\d.]+(?:e-?\d+)?", result.stdout)])
    assert float((found - wanted).abs().max()) < 1e-4


def test_its_card_says_what_metrics_json_says(folder: Path) -> None:
    card = (folder / "student" / "README.md").read_text()
    assert table(json.loads((folder / "run" / "metrics.json").read_text())) in card
    assert "synthetic teacher, scenario LEFT" in card
    assert "Step 8 of 8, the last; seed 0" in card
    assert "On 8 held-out clips the student is" in card
    assert "Not driven." in card
    assert "| `scenario` | (B,) | int64, the manoeuvre: 1 LEFT |" in card
    assert "| `history` | (B, 16, 4) |" in card
    assert "(B, 6, 64, 4)" in card


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def about(change: Callable[[dict[str, Any]], object], resealed: bool = False) -> Callable[[Path], None]:
    """config.json with a change, its digest made anew or not."""

    def made(folder: Path) -> None:
        content = json.loads((folder / ABOUT).read_text())
        change(content)
        if resealed:
            digests = content.pop("sha256")
            content["sha256"] = {**digests, ABOUT: released._own_digest(content)}
        (folder / ABOUT).write_text(json.dumps(content))

    return made


def pickled(folder: Path) -> None:
    """A pickle in place of the weights, under the digest that it has."""
    (folder / WEIGHTS).write_bytes(b"cos\nsystem\n(S'touch executed'\ntR.")
    content = json.loads((folder / ABOUT).read_text())
    content["sha256"][WEIGHTS] = released._digest((folder / WEIGHTS).read_bytes())
    (folder / ABOUT).write_text(json.dumps(content))


TOUCHED: list[tuple[Callable[[Path], object], str]] = [
    *((lambda folder, name=name: changed(folder / name), f"{name} is not what was released") for name in SEALED),
    *((lambda folder, name=name: (folder / name).unlink(), f"it has no {name}") for name in SEALED[1:]),
    (lambda folder: (folder / ABOUT).unlink(), "config.json cannot be read"),
    (lambda folder: (folder / ABOUT).write_text("{"), "config.json cannot be read"),
    (lambda folder: (folder / ABOUT).write_text("[" * 10**5), "config.json cannot be read"),
    (lambda folder: (folder / ABOUT).write_text("[]"), "no released student of format 1"),
    (about(lambda c: c.update(format=2)), "no released student of format 1 (got 2)"),
    (about(lambda c: c["shape"].update(dt=0.2)), "config.json is not what was released"),
    (about(lambda c: c["config"]["student"].update(modes=5)), "config.json is not what was released"),
    (about(lambda c: c["sha256"].update({"../secret": ""})), "sha256 must have model.safetensors"),
    (about(lambda c: c["sha256"].pop(WEIGHTS)), "sha256 must have model.safetensors"),
    (about(lambda c: c.update(target="os.system")), "must have format, version, step, shape, config, sha256"),
    (about(lambda c: c["shape"].update(horizon="64"), True), "horizon must be a whole number from 1 to 4096"),
    (about(lambda c: c["config"].update(horizon="64"), True), "its config is not of this version"),
    (about(lambda c: c["config"].update(student=3), True), "its config is not of this version"),
    (about(lambda c: c["config"]["student"].update(width=8), True), "the weights do not fit"),
    (pickled, "holds no weights"),
    (
        lambda folder: os.truncate(folder / WEIGHTS, released.MOST_BYTES + 1),
        "model.safetensors is of no released student",
    ),
    (
        lambda folder: os.truncate(folder / ABOUT, released.MOST_JSON + 1),
        "config.json is of no released student: it has",
    ),
]


@pytest.mark.parametrize(("touch", "said"), TOUCHED)
def test_a_touched_folder_is_refused(
    touch: Callable[[Path], object], said: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy)
    load_student(copy)
    touch(copy)
    with pytest.raises(UserError) as refused:
        load_student(copy)
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert not (copy / "executed").exists()


def test_its_card_may_be_edited(copy: Path) -> None:
    (copy / "README.md").write_text("Licence: mine")
    load_student(copy)


def test_a_touched_folder_is_one_line(copy: Path, command: Command) -> None:
    changed(copy / WEIGHTS)
    assert "model.safetensors is not what was released" in wrong(command, "eval", f"checkpoint={copy}")


def test_mistakes_are_one_line(folder: Path, command: Command, tmp_path: Path) -> None:
    run = f"checkpoint={folder / 'run'}"
    assert "checkpoint must be a run's folder" in wrong(command, "export")
    assert "output must be the folder to write" in wrong(command, "export", run)
    assert "there is no option outptu; did you mean output?" in wrong(command, "export", run, "outptu=x")
    assert "there is no nowhere" in wrong(command, "export", "checkpoint=nowhere", "output=x")
    (tmp_path / "mine").mkdir()
    assert "output=mine is there already" in wrong(command, "export", run, "output=mine")
    assert "navsim must be left out beside output=" in wrong(command, "export", run, "output=x", "navsim=y")
    assert "navsim=mine is there already" in wrong(command, "export", run, "navsim=mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_form_that_drives_elsewhere_is_not_released(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = tmp_path / ".out.partial"
    aside.mkdir()
    (aside / "left by a killed run").touch()
    monkeypatch.setattr(release, "exported", lambda flat: None)
    monkeypatch.setattr(release, "write_onnx", lambda student, path, program: path.touch())
    for off in (0.01, float("nan")):
        apart = {"model.onnx": {"x": 0.0, "y": off}}
        monkeypatch.setattr(release, "differences", lambda *given, apart=apart: apart)
        with pytest.raises(UserError, match=r"model\.onnx is 0 and (0\.01|nan) m off in x and y"):
            release.export(ExportConfig(str(folder / "run"), str(tmp_path / "out")), aside)
        assert [path.name for path in tmp_path.iterdir()] == [".out.partial"]
        assert list(aside.iterdir()) == []


def test_metrics_of_another_version_are_named(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "run", tmp_path / "run")
    student, trained = load_student(run)
    found = {name: json.loads((folder / "student" / f"{name}.json").read_text()) for name in ("parity", "latency")}
    (run / "metrics.json").write_text('{"clips": 3}')
    with pytest.raises(UserError, match=r"metrics\.json is of another version; score it again: .*eval"):
        release.card(str(run), trained, 40, student, found)
    (run / "metrics.json").unlink()
    assert "None were found beside the checkpoint" in release.card(str(run), trained, 40, student, found)
    driven = run / "eval" / "drive_every=5"
    driven.mkdir(parents=True)
    (driven / "drive.json").write_text("{}")
    with pytest.raises(UserError, match=r"drive\.json is of another version; drive again: .*drive"):
        release.card(str(run), trained, 40, student, found)
    (driven / "drive.json").write_text("{")
    with pytest.raises(UserError, match=r"drive\.json cannot be read"):
        release.card(str(run), trained, 40, student, found)


def test_no_path_of_this_machine_is_released(tmp_path: Path) -> None:
    config = train_config("experiment=label_file", "teacher.path=/home/me/labels.json", "trainer.init_from=../mine")
    config.trainer.resume, config.teacher.val_path = "/home/me/outputs/run", "/home/me/others.json"
    for name in SEALED[1:]:
        (tmp_path / name).touch()
    student = built()
    released.write_weights(tmp_path, student)
    released.seal(tmp_path, config, 7, student)
    _, read = load_student(tmp_path)
    assert (read.teacher.path, read.teacher.val_path) == ("labels.json", "others.json")
    assert (read.trainer.init_from, read.trainer.resume) == ("mine", "run")
    assert "home" not in (tmp_path / ABOUT).read_text()


def test_without_the_extra_the_error_names_it(copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    for job in (lambda: load_student(copy), lambda: released.write_weights(tmp_path, built())):
        with pytest.raises(UserError, match=r"pip install 'alpamayo-toy\[export\]'"):
            job()
