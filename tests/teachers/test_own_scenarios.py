"""Scenarios with names of one's own: tables and titles have them, a student takes them as unknown."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from composed import scenario_config
from places import Command
from taught import built

from alpamayo_toy.evaluation.groups import groups_of
from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.labels.formats import labels_npz
from alpamayo_toy.labels.loading import load_labels
from alpamayo_toy.teachers.config import MixtureConfig, ScenarioConfig
from alpamayo_toy.teachers.generate import synthetic
from alpamayo_toy.teachers.synthetic import SyntheticTeacher


def mixture() -> MixtureConfig:
    left = scenario_config("LEFT")
    assert isinstance(left, ScenarioConfig)
    return MixtureConfig({"a": left, "b": replace(left, name="ROUNDABOUT", turn_angle_deg=[200, 270], weight=2.0)})


def test_tables_name_them() -> None:
    labels = SyntheticTeacher(mixture()).labels(40, 2, 0)
    assert labels.own_scenarios == ("ROUNDABOUT",)
    groups = groups_of(labels, labels.teacher[:, 0], labels.v0)["scenario"]
    named = [groups.of(i) for i in range(40)]
    assert set(named) == {"LEFT", "ROUNDABOUT"}
    assert named.count("ROUNDABOUT") > named.count("LEFT")
    assert [name == "ROUNDABOUT" for name in named] == (labels.scenario == len(Scenario)).tolist()
    few = labels.select(torch.arange(3))
    assert few.scenario_names[-1] == "ROUNDABOUT"


def test_a_student_takes_them_as_unknown() -> None:
    labels = SyntheticTeacher(mixture()).labels(40, 2, 0)
    student = built(labels=labels)
    scene = labels.scene()
    hidden = replace(scene, scenario=torch.where(scene.scenario >= len(Scenario), -1, scene.scenario))
    assert torch.equal(student.act(scene), student.act(hidden))


def test_what_is_not_shown_is_drawn_again_among_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from alpamayo_toy.teachers.config import SyntheticConfig

    teacher = SyntheticTeacher(mixture(), SyntheticConfig(reveal="none", val_scenes=20))
    labels, others = teacher.held_out(32, 0)
    turned = torch.rad2deg(others[:, :, -1, 2]).mean(1)
    round_about = labels.scenario == len(Scenario)
    assert float(turned[round_about].min()) > float(turned[~round_about].max())


def test_a_set_has_no_room_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpamayo_toy.teachers.generate.scenario_named", lambda name: mixture())
    synthetic("MINE", 30, 1, 0, tmp_path / "set", (1, 1))
    labels_npz.write(SyntheticTeacher(mixture()).labels(30, 1, 0), tmp_path / "labels.npz")
    for name in ("set", "labels.npz"):
        found = load_labels(str(tmp_path / name))
        assert set(found.scenario.tolist()) == {-1, int(Scenario.LEFT)}


@pytest.mark.slow
def test_titles_and_tables_of_the_commands_have_them(command: Command, tmp_path: Path) -> None:
    own = ("scenario=LEFT", "scenario.name=ROUNDABOUT")
    few = ("teacher.scenes=16", "teacher.val_scenes=4", "trainer.steps=4", "trainer.batch_size=8", "trainer.pictures=1")
    trained = command("train", *own, *few, f"hydra.run.dir={tmp_path / 'run'}")
    assert trained.returncode == 0, trained.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["scenario"] == "ROUNDABOUT"
    assert list(metrics["breakdown"]["scenario"]) == ["ROUNDABOUT"]
    scored = command("eval", f"checkpoint={tmp_path / 'run'}", f"output={tmp_path / 'told'}")
    assert scored.returncode == 0, scored.stderr
    page = (tmp_path / "told" / "report.html").read_text()
    assert "<title>Student evaluated on scenario ROUNDABOUT, synthetic teacher</title>" in page
    rolled = command("rollout", *own, "plot=false", f"hydra.run.dir={tmp_path / 'rolled'}")
    assert rolled.returncode == 0, rolled.stderr
    assert json.loads((tmp_path / "rolled" / "metrics.json").read_text())["drawn"] == "ROUNDABOUT"
    drive = ("drive.scenes=2", "drive.seconds=1", f"output={tmp_path / 'driven'}")
    driven = command("drive", f"checkpoint={tmp_path / 'run'}", *drive)
    assert driven.returncode == 0, driven.stderr
    assert driven.stdout.startswith("ROUNDABOUT: 2 roads")
