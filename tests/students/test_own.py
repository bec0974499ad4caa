"""A student and a loss of one's own: on the command line, from run to checkpoint to score, and refused in one line."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import get_type_hints

import pytest
import torch
from command_line import run_script
from composed import train_config
from taught import left

from alpamayo_toy import load_student
from alpamayo_toy.errors import UserError
from alpamayo_toy.students.config import OwnLossConfig, OwnStudentConfig
from alpamayo_toy.students.losses import build_loss
from alpamayo_toy.students.own import own_object
from alpamayo_toy.students.student import build_student
from alpamayo_toy.training.config import TrainConfig, from_dict, to_dict
from alpamayo_toy.training.loop import fit

MINE = """
import pathlib
import torch
from torch import nn
from alpamayo_toy import UnicycleRollout
from alpamayo_toy.kinematics.trajectory import Prediction

pathlib.Path("executed").write_text("yes")


class Mine(nn.Module):
    def __init__(self, horizon, dt, integrator, **known):
        super().__init__()
        self.rollout, self.horizon = UnicycleRollout(dt, integrator), horizon
        self.actions = nn.Parameter(torch.zeros(2, horizon, 2))
        self.logits = nn.Parameter(torch.zeros(2))
        self.register_buffer("clips", torch.tensor(0))

    def fit(self, labels, scene):
        self.clips.fill_(len(labels))

    def forward(self, scene, samples=None):
        actions = self.actions.expand(len(scene), -1, -1, -1)
        likely = self.logits.log_softmax(-1).expand(len(scene), -1)
        return Prediction(actions, self.rollout(actions, scene.v0[:, None]), likely)


class Tuple(Mine):
    def forward(self, scene, samples=None):
        return super().forward(scene).actions, 1


class Unsure(Mine):
    def forward(self, scene, samples=None):
        found = super().forward(scene)
        return Prediction(found.actions, found.trajectories, found.log_probabilities - 1)


class Short(Mine):
    def forward(self, scene, samples=None):
        found = super().forward(scene)
        return Prediction(found.actions[:, :, 1:], found.trajectories, found.log_probabilities)


class Noisy(Mine):
    def fit(self, labels, scene):
        super().fit(labels, scene)
        self.noise = nn.Dropout(0.5)

    def forward(self, scene, samples=None):
        if self.training and int(self.clips) and not torch.is_grad_enabled():
            raise AssertionError("it is validated as it is trained")
        return super().forward(scene)


class Other(nn.Module):
    def __init__(self, width):
        super().__init__()


def ends(space, modes, teacher_actions, teacher, drawn):
    return {"end": (modes.trajectories[:, :1, -1, 0] - teacher[:, :, -1, 0]).abs().mean()}


number = 7
"""
SMALL = ("trainer.steps=4", "trainer.batch_size=8", "trainer.val_every=4", "trainer.pictures=0")
FEW = ("scenario=LEFT", "teacher.scenes=16", "teacher.val_scenes=4")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


@pytest.fixture
def command(mine: Path) -> Callable[..., CompletedProcess[str]]:
    return lambda name, *arguments: run_script(name, arguments, mine.parent, timeout=120)


def test_what_is_no_student_is_refused_in_one_line(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine.parent)
    labels = left(4)
    for name, said in {
        "Tuple": r"Tuple\.forward\(scene, samples\) must return a Prediction \(got tuple\)",
        "Unsure": "Unsure: the probabilities of a scene's trajectories must sum to 1",
        "Short": r"Short must predict actions of shape \(2, 2, 64, 2\) for two scenes \(got \(2, 2, 63, 2\)\)",
        "Other": r"Other is made with horizon, dt, integrator, .*unexpected keyword",
        "number": r"student\.module must name a subclass of torch\.nn\.Module \(got 7\)",
    }.items():
        own = own_object(f"{mine}:{name}", "student.module")
        with pytest.raises(UserError, match=said):
            build_student(OwnStudentConfig(), labels, labels.scene(), "euler", 0, own)


def test_it_learns_what_it_wants_of_the_labels_and_gives_what_it_has(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mine.parent)
    labels = left(4)
    student = build_student(
        OwnStudentConfig(), labels, labels.scene(), "euler", 0, own_object(f"{mine}:Mine", "student.module")
    )
    assert student.own is not None
    assert int(student.own.get_buffer("clips")) == 4
    assert (student.count, student.several, student.spread, student.follows_a_route) == (2, True, False, True)
    scene = labels.scene()
    modes, drawn = student.each_mode(scene, None)
    assert modes is drawn
    assert torch.equal(student.act(scene), student(scene).likeliest().actions)
    terms = build_loss(OwnLossConfig(f"{mine}:ends"))(
        student.action_space, modes, labels.teacher, labels.teacher, drawn
    )
    assert list(terms) == ["end"]


def test_it_is_validated_as_it_is_used(mine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without dropout, and with the statistics of what it was trained on."""
    monkeypatch.chdir(mine.parent)
    fit(train_config(*FEW, *SMALL, "student=custom", f"student.module={mine}:Noisy"), tmp_path / "run")
    assert (tmp_path / "run" / "metrics.json").exists()


def test_samples_are_drawn_of_what_answers_with_its_modes(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine.parent)
    labels = left(4)
    student = build_student(
        OwnStudentConfig(), labels, labels.scene(), "euler", 0, own_object(f"{mine}:Mine", "student.module")
    )
    assert student.own is not None
    actions, logits = (student.own.get_parameter(name).data for name in ("actions", "logits"))
    actions[1] += 1
    logits.copy_(torch.tensor([0.99, 0.01]).log())
    with torch.no_grad():
        found = student(labels.scene(), 4000)
        again = student(labels.scene(), 4000, torch.Generator().manual_seed(1))
    assert found.probabilities.unique().tolist() == pytest.approx([1 / 4000])
    second = found.actions[..., 0, 0] == 1
    assert second.float().mean() == pytest.approx(0.01, abs=0.004)
    rolled = student.rollout(found.actions, labels.v0.float().unsqueeze(-1))
    assert torch.equal(found.trajectories, rolled)  # each with its own actions
    assert not torch.equal(second, again.actions[..., 0, 0] == 1)
    logits.zero_()
    with torch.no_grad():
        alike = student(labels.scene(), 2)
    assert torch.equal(alike.actions, student(labels.scene()).actions)  # two draws, as it says itself


def test_a_saved_config_says_what_it_was_and_brings_nothing_back(mine: Path) -> None:
    config = TrainConfig(student=OwnStudentConfig(f"{mine}:Mine"), loss=OwnLossConfig(f"{mine}:ends"))
    saved = to_dict(config)
    assert saved["student"]["module"] == f"{mine}:Mine"
    back = from_dict({**saved, "scenario": saved["scenario"], "teacher": saved["teacher"]})
    assert (back.student.module, back.loss.module) == ("", "")
    assert isinstance(back.student, OwnStudentConfig)
    assert isinstance(back.loss, OwnLossConfig)


@pytest.mark.parametrize("own", ["student", "loss"])
def test_what_a_saved_config_says_it_was_must_be_a_text(own: str) -> None:
    saved = to_dict(TrainConfig(student=OwnStudentConfig(), loss=OwnLossConfig()))
    saved[own]["module"] = 5
    with pytest.raises(UserError, match=rf"^{own}\.module must be a text \(got 5\)$"):
        from_dict(saved)


DATACLASS = """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Options:
    width: int = 8
"""


def test_a_file_of_ones_own_may_have_dataclasses_and_is_known_by_a_private_name(tmp_path: Path) -> None:
    for name in ("options", "json"):
        (tmp_path / f"{name}.py").write_text(DATACLASS)
        made = own_object(f"{tmp_path}/{name}.py:Options", "student.module")
        assert made() == made(8)
        assert get_type_hints(made) == {"width": int}
    assert sys.modules["json"] is json
    (tmp_path / "broken.py").write_text("import sys\nsys.modules[__name__]\nraise EOFError\n")
    before = set(sys.modules)
    with pytest.raises(EOFError):
        own_object(f"{tmp_path}/broken.py:Options", "student.module")
    assert set(sys.modules) == before


@pytest.mark.slow
def test_it_is_trained_kept_scored_driven_and_continued(
    mine: Path, command: Callable[..., CompletedProcess[str]]
) -> None:
    module = "student.module=mine.py:Mine"
    own = ("student=custom", module, "loss=custom", "loss.module=mine.py:ends")
    trained = command("train", *FEW, *SMALL, *own, "hydra.run.dir=run")
    assert trained.returncode == 0, trained.stderr
    folder = mine.parent / "run"
    assert json.loads((folder / "metrics.json").read_text())["distribution"]["modes"] == 2
    for name, arguments in {
        "eval": ("checkpoint=run", "plot=false"),
        "drive": ("checkpoint=run", "plot=false", "drive.scenes=4", "drive.seconds=1"),
    }.items():
        scored = command(name, *arguments, module)
        assert scored.returncode == 0, scored.stderr
        (mine.parent / "executed").unlink()
        refused = command(name, *arguments)
        said = "error: run holds a student of the user's own; give its class again: student.module=mine.py:Mine, or"
        assert refused.returncode == 1
        assert refused.stderr.startswith(said)
        assert not (mine.parent / "executed").exists()
    for way in ("output=out", "navsim=out"):
        refused = command("export", "checkpoint=run", way)
        said = "error: run holds a student of a class of your own: only the project's are exported\n"
        assert (refused.returncode, refused.stderr) == (1, said)
    alone = command("train", "trainer.resume=run", "trainer.steps=6")
    said = "error: the run has a student of its own; name it again: student=custom student.module=FILE.py:NAME\n"
    assert (alone.returncode, alone.stderr) == (1, said)
    assert not (mine.parent / "executed").exists()
    resumed = command("train", "trainer.resume=run", "trainer.steps=6", *own)
    assert resumed.returncode == 0, resumed.stderr


@pytest.mark.slow
def test_a_batch_is_continued_with_it(mine: Path, command: Callable[..., CompletedProcess[str]]) -> None:
    own = ("student=custom", "student.module=mine.py:Mine")
    done = command("batch", *FEW, *SMALL, *own, "seeds=1", "hydra.run.dir=batch")
    assert done.returncode == 0, done.stderr
    again = command("batch", "resume=batch", "seeds=2", *own)
    assert again.returncode == 0, again.stderr
    assert (mine.parent / "batch" / "seed-1" / "metrics.json").exists()
    refused = command("batch", "resume=batch", "seeds=3")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: the run has a student of its own; name it again")


@pytest.mark.slow
def test_mistakes_are_one_line(mine: Path, command: Callable[..., CompletedProcess[str]]) -> None:
    (mine.parent / "broken.py").write_text("def f(:\n")
    for arguments, said in {
        ("student=custom",): "student.module must name a file and what is in it: student.module=mine.py:NAME (got '')",
        ("student=custom", "student.module=mine.py"): "student.module must name a file and what is in it",
        ("student=custom", "student.module=yours.py:Mine"): "student.module: there is no file yours.py",
        ("student=custom", "student.module=mine.py:Main"): "student.module: mine.py has no Main; it has Mine, ",
        ("student=custom", "student.module=broken.py:f"): "student.module: broken.py, line 1: ",
        ("loss=custom", "loss.module=mine.py:Loss"): "loss.module: mine.py has no Loss; it has Mine, ",
        ("student.module=mine.py:Mine",): "there is no option student.module where student is not chosen",
    }.items():
        refused = command("train", *FEW, *SMALL, *arguments)
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"error: {said}"), refused.stderr
        assert refused.stderr.count("\n") == 1


def test_the_class_of_ones_own_is_for_students_of_ones_own(tmp_path: Path) -> None:
    from composed import train_config
    from taught import built

    from alpamayo_toy.students import checkpoint

    checkpoint.save(tmp_path / "a.pt", train_config("scenario=LEFT"), 0, built())
    with pytest.raises(UserError, match="holds a student of this project, no Linear"):
        load_student(tmp_path / "a.pt", torch.nn.Linear)
