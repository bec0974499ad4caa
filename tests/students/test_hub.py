"""Students on the hub: what comes from there passes what a folder here passes, and every failure is one line."""

import inspect
import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import hub_on_disk
import pytest
import torch
from command_line import run_script, wrong
from hub_on_disk import HubError, LocalEntryNotFoundError
from places import Command
from releases import released as made

from alpamayo_toy import load_student
from alpamayo_toy.errors import UserError
from alpamayo_toy.files import locked
from alpamayo_toy.integrations import release
from alpamayo_toy.integrations.config import ExportConfig
from alpamayo_toy.integrations.release import export
from alpamayo_toy.students import checkpoint, hub
from alpamayo_toy.students.hub import FILES

NAME = "some-one/left_1.0"


@pytest.fixture(scope="module", name="student")
def released_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory) / "student"


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stand-in, of a hub in hub/."""
    module = hub_on_disk.of(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return module


@pytest.mark.slow
def test_what_is_pushed_is_loaded_to_the_bit(student: Path, online: Any, tmp_path: Path) -> None:
    folder, aside = Path(shutil.copytree(student, tmp_path / "mine")), tmp_path / ".released.partial"
    (folder / "notes.txt").write_text("not for others")

    def pushed() -> str:
        aside.mkdir()
        (aside / "left by a killed export").touch()
        return export(ExportConfig(str(folder), push=NAME), aside)

    said = pushed().splitlines()
    assert said[0] == f"pushed: hf://{NAME}@0"
    assert said[1].startswith(f"its card has no licence: fill it in in {folder / 'README.md'} and push again: ")
    assert said[1].endswith(f"checkpoint={folder} push={NAME}")
    assert online.private == {NAME: True}
    assert {path.name for path in (tmp_path / "hub" / NAME / "0").iterdir()} == set(FILES)
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("license_name: fill-in", "license_name: mine"))
    assert pushed() == f"pushed: hf://{NAME}@1"
    assert not aside.exists()
    aside.mkdir()
    with locked(aside):  # by another export
        assert export(ExportConfig(str(folder), push=NAME), aside) == f"pushed: hf://{NAME}@2"
    assert aside.exists()
    (folder / "README.md").unlink()
    with pytest.raises(UserError, match=rf"^push={NAME}: {folder}/README\.md, its card, cannot be read: No such file"):
        export(ExportConfig(str(folder), push=NAME), aside)
    assert len(list((tmp_path / "hub" / NAME).iterdir())) == 3

    theirs, trained = load_student(student)
    for name in (f"hf://{NAME}", f"hf://{NAME}@0"):
        mine, config = load_student(name)
        assert config == trained
        assert all(torch.equal(value, theirs.state_dict()[key]) for key, value in mine.state_dict().items())


@pytest.mark.slow
def test_a_folder_that_was_written_stays_where_it_cannot_be_pushed(
    student: Path, online: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {name: json.loads((student / f"{name}.json").read_text()) for name in ("parity", "latency")}

    def written(path: str, folder: Path) -> dict[str, Any]:
        shutil.copytree(student, folder, dirs_exist_ok=True)
        return found

    monkeypatch.setattr(release, "release", written)
    output, aside = tmp_path / "released", tmp_path / ".released.partial"
    aside.mkdir()
    asked = ExportConfig("a run", str(output), push=NAME)
    said = export(asked, aside).splitlines()
    assert said[-3:-1] == [f"released: {output}", f"pushed: hf://{NAME}@0"]
    shutil.rmtree(output)
    aside.mkdir()
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub_on_disk.of(tmp_path, HubError(403)))
    with pytest.raises(
        UserError, match=rf"{output} is written, but push={NAME}: .*; log in .*; then: .*export.*push={NAME}"
    ):
        export(asked, aside)
    load_student(output)
    assert list(aside.iterdir()) == []


@pytest.mark.slow
def test_what_was_touched_there_is_refused(student: Path, online: Any, tmp_path: Path) -> None:
    there = Path(shutil.copytree(student, tmp_path / "hub" / NAME / "0"))
    content = bytearray((there / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (there / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=rf"^hf://{NAME}: .*model\.safetensors is not what was released"):
        load_student(f"hf://{NAME}")
    (there / "model.safetensors").unlink()
    (there / "checkpoints").mkdir()
    shutil.copy(student.parent / "run" / "checkpoints" / "best.pt", there / "checkpoints")
    with pytest.raises(UserError, match=f"hf://{NAME} is no released student: it has no model.safetensors"):
        load_student(f"hf://{NAME}")
    shutil.copytree(student.parent / "run", tmp_path / "run")
    with pytest.raises(UserError, match="run is no released folder; write one first: output=released"):
        export(ExportConfig(str(tmp_path / "run"), push=NAME), tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf://left", "a student on the hub is named hf://user/name or hf://user/name@revision"),
        ("hf://some/one/left", "is named hf://user/name"),
        ("hf://some-one/left@", "is named hf://user/name"),
        ("hf://../left", "is named hf://user/name"),
        (
            "hf://some-one/nothing",
            "RepositoryNotFoundError: 404 .*; the hub has no such name that you may see; mend it",
        ),
        (f"hf://{NAME}@v2", "RevisionNotFoundError: .*; the hub has no such revision of it"),
    ],
)
def test_a_name_that_is_not_there(name: str, said: str, online: Any, tmp_path: Path) -> None:
    (tmp_path / "hub" / NAME / "0").mkdir(parents=True)
    with pytest.raises(UserError, match=f"^{name}.*{said}") as refused:
        load_student(name)
    assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match="a released student holds no state to continue from"):
        checkpoint.load(name, "last")


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (
            LocalEntryNotFoundError("Cannot find an appropriate\ncached snapshot"),
            "go online once",
        ),
        (ConnectionError("no route to host"), "the hub is not reached"),
        (HubError(401), "log in with a token that may do this: hf auth login"),
        (HubError(403), "log in with a token that may do this: hf auth login"),
        (HubError(429), "the hub was asked too often; try again in five minutes"),
        (HubError(503), "the hub is not well; try again later"),
    ],
)
def test_a_failure_says_what_to_do(
    failure: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub_on_disk.of(tmp_path, failure))
    monkeypatch.setattr(hub.released, "load", lambda folder: {})
    for job, named in ((lambda: load_student(f"hf://{NAME}"), "hf://"), (lambda: hub.push(tmp_path, NAME), "push=")):
        with pytest.raises(UserError, match=f"^{named}{NAME}: .*; .*{said}") as refused:
            job()
        assert "\n" not in str(refused.value)


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for job in (lambda: load_student(f"hf://{NAME}"), lambda: export(ExportConfig("x", "y", push=NAME), tmp_path)):
        with pytest.raises(UserError, match=r"pip install 'alpamayo-toy\[hub\]'"):
            job()


@pytest.mark.slow
def test_on_the_command_line(
    student: Path, command: Command, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("hub")

    def run(name: str, *arguments: str) -> Any:
        return run_script(name, arguments, tmp_path, before=partial(hub_on_disk.install, root))

    pushed = run("export", f"checkpoint={student}", f"push={NAME}")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.startswith(f"pushed: hf://{NAME}@0\n")
    scored = run("eval", f"checkpoint=hf://{NAME}@0", "plot=false", "output=scores")
    assert scored.returncode == 0, scored.stderr
    here = command("eval", f"checkpoint={student}", "plot=false", "output=here")
    assert scored.stdout.replace("scores", "here").splitlines()[:10] == here.stdout.splitlines()[:10]
    missing = wrong(run, "drive", "checkpoint=hf://some-one/else")
    assert "hf://some-one/else: RepositoryNotFoundError" in missing
    assert "push must be user/name on the hub (got 'left')" in wrong(command, "export", "checkpoint=x", "push=left")
    assert "navsim must be left out beside output= and push=" in wrong(
        command, "export", "checkpoint=x", "navsim=x", f"push={NAME}"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"scores", "here"}


def test_the_stand_in_has_the_signatures_of_the_package(tmp_path: Path) -> None:
    real, ours = pytest.importorskip("huggingface_hub", minversion="2"), hub_on_disk.of(tmp_path)
    for theirs, mine in (
        (real.snapshot_download, ours.snapshot_download),
        (real.HfApi.create_repo, ours.HfApi.create_repo),
        (real.HfApi.upload_folder, ours.HfApi.upload_folder),
    ):
        known = {(name, p.kind) for name, p in inspect.signature(theirs).parameters.items()}
        assert {(name, p.kind) for name, p in inspect.signature(mine).parameters.items()} <= known


@pytest.mark.slow
def test_the_package_itself_gives_what_its_cache_holds(
    student: Path, command: Command, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    cache, revision = tmp_path_factory.mktemp("cache"), "0" * 40
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    missing = wrong(command, "eval", f"checkpoint=hf://{NAME}")
    assert f"hf://{NAME}: LocalEntryNotFoundError" in missing
    assert missing.endswith(hub.UNREACHED)
    assert "OfflineModeIsEnabled" in wrong(command, "export", f"checkpoint={student}", f"push={NAME}")
    repository = cache / f"models--{NAME.replace('/', '--')}"
    shutil.copytree(student, repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    scored = command("eval", f"checkpoint=hf://{NAME}", "plot=false", "output=scores")
    assert scored.returncode == 0, scored.stderr
    assert scored.stderr.count("\n") <= 1
