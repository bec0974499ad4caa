"""A checkpoint on its own labels, on other files, on drives: the same bytes again, and no clip that it learnt from."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from composed import scenario_config, train_config
from places import LABELS_60, assert_scored_alike, needs_60_clips
from taught import FEW, built
from taught import left as left_of

from alpamayo_toy import Labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.checkpoint import _synthetic, evaluate_checkpoint
from alpamayo_toy.evaluation.comparison import compare
from alpamayo_toy.evaluation.config import EvalConfig
from alpamayo_toy.evaluation.results import read_clips
from alpamayo_toy.labels.fingerprint import PATH, digests
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.loading import joined, load_labels
from alpamayo_toy.teachers.config import FileConfig, RoadConfig, SyntheticConfig
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.training.loop import fit
from alpamayo_toy.views import figures


@pytest.mark.slow
def test_the_same_evaluation_gives_the_same_bytes(students: dict[str, Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        evaluate_checkpoint(EvalConfig(checkpoint=str(students["shown"]), plot=False), tmp_path / name)
    for file in ("metrics.json", "clips.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    trained, again = (json.loads((f / "metrics.json").read_text()) for f in (students["shown"], tmp_path / "one"))
    assert_scored_alike(again["scores"], trained["scores"])
    text = compare([str(students["shown"]), str(students["masked"])], tmp_path / "both")
    assert "128 clips that all runs share, 128 independent units" in text


def driven(drives: list[str], seed: int) -> Labels:
    """Recorded drives of 40 windows, one a second, some without history."""
    teacher = SyntheticTeacher(scenario_config("ALL"), FEW)
    labels = teacher.labels(40 * len(drives), 1, seed)
    ago = torch.linspace(-1.5, 0, 16)
    past = torch.stack([labels.v0[:, None] * ago, 0 * ago.expand(len(labels), 16)], -1)
    speed = labels.v0[:, None, None].expand(-1, 16, 1)
    history = torch.cat([past, torch.zeros(len(labels), 16, 1), speed], -1)
    history[::7] = torch.nan
    return replace(
        labels,
        clip_id=np.repeat(drives, 40),
        t0_us=torch.arange(40).repeat(len(drives)) * 1_000_000,
        history=history,
        context=None,
        context_names=(),
    )


SHORT = ("teacher=file", "trainer=smoke", "trainer.steps=4", "trainer.pictures=0", "teacher.integrator=euler")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Labels]:
    """A run of few steps, and the 80 clips of its label file, labels.npz beside it."""
    folder = tmp_path_factory.mktemp("learnt")
    teacher = SyntheticTeacher(scenario_config("ALL"), FEW)
    labels = replace(teacher.labels(80, 3, 5), context=None, context_names=())
    labels = replace(labels, clip_id=np.array([f"clip-{i}" for i in range(80)]))
    write(labels, folder / "labels.npz")
    fit(train_config(*SHORT, f"teacher.path={folder / 'labels.npz'}"), folder / "run")
    return folder, labels


def renamed(labels: Labels) -> Labels:
    return replace(labels, clip_id=np.array([f"{name}-v2" for name in labels.clip_id]))


CHANGED = {
    "renamed": (renamed, "80 clips then, 80 gone, 80 new", True),
    "numbered from 1": (
        lambda labels: replace(labels, clip_id=np.array([f"clip-{i + 1}" for i in range(80)])),
        "80 clips then, 1 gone, 79 with other numbers, 1 new",
        True,
    ),
    "one sample of other names": (lambda labels: renamed(labels.with_teacher(labels.teacher[:, :1])), "80 gone", True),
    "driven anew": (lambda labels: labels.with_teacher(labels.teacher * 0.9), "80 with other numbers", False),
    "fewer": (lambda labels: labels.select(torch.arange(60)), "80 clips then, 20 gone", False),
    "as it was": (lambda labels: labels, "", False),
    "in another order": (lambda labels: labels.select(torch.arange(80).flip(0)), "", False),
}


@pytest.mark.parametrize("kind", CHANGED)
def test_labels_that_changed_since_training_are_named_and_no_clip_of_it_is_scored(
    kind: str, learnt: tuple[Path, Labels], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder, labels), (change, said, leaks) = learnt, CHANGED[kind]
    config = EvalConfig(checkpoint=str(folder / "run"), plot=False)
    before = json.loads((folder / "run" / "metrics.json").read_text())
    trained = torch.load(folder / "run" / "checkpoints" / "last.pt", weights_only=True)["labels"]["trained"]
    write(change(labels), folder / "labels.npz")
    capsys.readouterr()
    found = evaluate_checkpoint(config, folder / "eval")
    told = capsys.readouterr().err
    scored = load_labels(folder / "labels.npz")
    rows = np.flatnonzero(np.isin(scored.clip_id, read_clips(folder / "eval" / "clips.csv")["clip_id"]))
    assert not torch.isin(digests(scored.select(torch.from_numpy(rows)))[:, PATH], trained[:, PATH]).any()
    assert ("changed since" in told) == (said != "")
    assert said in told
    assert ("are left out" in told) == leaks == (", without " in found["split"])
    if kind == "as it was":
        assert_scored_alike(found["scores"], before["scores"])
    again = train_config(*SHORT, f"trainer.resume={folder / 'run'}", f"teacher.path={folder / 'labels.npz'}")
    if kind != "as it was":
        with pytest.raises(UserError, match=f"its labels changed since .*{said or 'its clips stand in another order'}"):
            fit(again, folder / "run")


def test_the_page_shows_the_clips_that_the_numbers_name(
    learnt: tuple[Path, Labels], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, labels = learnt
    write(labels, folder / "labels.npz")
    drawn: dict[str, tuple[object, ...]] = {}

    def noted(path: Path, *given: object, **named: object) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a picture")
        drawn[path.name] = (*given, named)

    for name in ("birds_eye", "profiles", "over_horizon"):
        monkeypatch.setattr(figures, name, noted)
    found = evaluate_checkpoint(EvalConfig(checkpoint=str(folder / "run")), tmp_path)
    picked = [*found["worst"], *found["typical"]]
    order = {name: i for i, name in enumerate(labels.clip_id.tolist())}
    rows = torch.tensor([order[entry["clip_id"]] for entry in picked])
    titles, teacher, mine, named = drawn["worst.png"]
    names = [*map(str, range(1, len(found["worst"]) + 1)), *["typical"] * len(found["typical"])]
    assert titles == [f"{name}: ADE {entry['ade']:.2f} m" for name, entry in zip(names, picked, strict=True)]
    assert torch.equal(torch.as_tensor(teacher), load_labels(folder / "labels.npz").teacher[rows].float())
    assert len(torch.as_tensor(mine)) == len(rows)
    assert named["odds"].tolist() == [[1.0]] * len(rows)  # type: ignore[index]
    seconds, errors, _ = drawn["horizon.png"]
    assert seconds == pytest.approx([0.1 * i for i in range(1, 65)])
    assert list(errors) == list(found["scores"])  # type: ignore[call-overload]
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,YSBwaWN0dXJl") >= 3
    evaluate_checkpoint(EvalConfig(checkpoint=str(folder / "run"), plot=False), tmp_path)
    assert not (tmp_path / "report.html").exists()  # which would be of an earlier evaluation


def test_on_other_scenes_a_student_is_told_what_it_was_told_or_has_inputs_for() -> None:
    student, blind = built(), built(labels=left_of(reveal="scene"))
    assert (student.route_points > 0, blind.route_points, blind.history_steps) == (True, 0, 0)
    left, taught = scenario_config("LEFT"), SyntheticConfig(reveal="scene")
    assert _synthetic(student, taught, left, None).reveal == "scene"
    assert _synthetic(student, FileConfig("x"), left, None).reveal == "all"
    assert _synthetic(blind, FileConfig("x"), left, None).reveal == "none"
    assert _synthetic(blind, FileConfig("x"), RoadConfig(), None).reveal == "all"
    own = _synthetic(student, taught, left, SyntheticConfig(val_scenes=7, history=True))
    assert (own.val_scenes, own.history, own.reveal) == (7, True, "scene")
    assert _synthetic(student, taught, left, None).history is (student.history_steps > 0)
    past = built(labels=SyntheticTeacher(left, SyntheticConfig(history=True)).labels(8, 2, 0))
    assert past.history_steps > 0
    assert _synthetic(past, taught, left, None).history


@pytest.mark.slow
def test_a_student_of_drives_is_scored_on_other_drives(tmp_path: Path) -> None:
    for name, drives in {"train": ["a", "b"], "val": ["c"], "test": ["d", "e"]}.items():
        write(driven(drives, ord(name[-1])), tmp_path / f"{name}.npz")
    options = ["teacher=file", f"teacher.path={tmp_path / 'train.npz'}", f"teacher.val_path={tmp_path / 'val.npz'}"]
    found = fit(
        train_config(*options, "teacher.integrator=euler", "trainer=smoke", "trainer.pictures=0"), tmp_path / "run"
    )
    assert found["split"] == "file"
    assert found["clips"] == 40
    assert found["units"] == {"count": 2, "kind": "30 s blocks of drives"}
    assert found["scores"]["teacher"]["student"]["ade"]["low"] is None
    assert found["not_available"] == {}
    assert found["scores"]["teacher"]["ridge"]["ade"]["clips"] == 34
    assert found["scores"]["teacher"]["six_residuals"]["min_ade"]["clips"] == 34
    config = EvalConfig(checkpoint=str(tmp_path / "run"), teacher=FileConfig(str(tmp_path / "test.npz")), plot=False)
    other = evaluate_checkpoint(config, tmp_path / "test")
    assert (other["clips"], other["split"]) == (80, "another file")
    write(driven(["x", "y"], ord("n")), tmp_path / "copied.npz")  # what was trained on under other names
    copied = replace(config, teacher=FileConfig(str(tmp_path / "copied.npz")))
    with pytest.raises(UserError, match="the student was trained on all of its clips"):
        evaluate_checkpoint(copied, tmp_path / "no")
    write(joined([driven(["b"], 1), driven(["c", "f"], 2)], tmp_path), tmp_path / "mixed.npz")
    config = replace(config, teacher=FileConfig(str(tmp_path / "mixed.npz")))
    mixed = evaluate_checkpoint(config, tmp_path / "mixed")
    said = "another file, without 40 clips that it was trained on, which chose the checkpoint"
    assert (mixed["clips"], mixed["split"]) == (80, said)
    config = replace(config, teacher=FileConfig(str(tmp_path / "train.npz")))
    with pytest.raises(UserError, match="the student was trained on all of its clips"):
        evaluate_checkpoint(config, tmp_path / "no")
    both = train_config(*options[:2], f"teacher.val_path={tmp_path / 'train.npz'}", "trainer=smoke")
    with pytest.raises(UserError, match=r"2 of its clips are in .*train\.npz too, such as a"):
        fit(both, tmp_path / "no")
    (tmp_path / "train.npz").unlink()
    with pytest.raises(UserError, match=r"was trained on .*train\.npz, without which its clips are not known"):
        evaluate_checkpoint(replace(config, teacher=FileConfig(str(tmp_path / "test.npz"))), tmp_path / "no")


@pytest.mark.slow
def test_a_student_of_one_drive_is_not_scored_on_it_as_another_file(tmp_path: Path) -> None:
    """By time, its held-out windows share a drive with those that it learnt from."""
    write(driven(["a"], 1), tmp_path / "one.npz")
    options = ["teacher=file", f"teacher.path={tmp_path / 'one.npz'}", "teacher.val_fraction=0.4"]
    found = fit(train_config(*options, "trainer=smoke", "trainer.pictures=0"), tmp_path / "run")
    assert found["split"] == "time"
    config = EvalConfig(checkpoint=str(tmp_path / "run"), plot=False)
    assert evaluate_checkpoint(config, tmp_path / "again")["clips"] == found["clips"]
    with pytest.raises(UserError, match="the student was trained on all of its clips"):
        evaluate_checkpoint(replace(config, teacher=FileConfig(str(tmp_path / "one.npz"))), tmp_path / "no")
    later = driven(["a"], 2)
    later = replace(later, t0_us=later.t0_us + 40_000_000)
    write(joined([driven(["a"], 1), later], tmp_path), tmp_path / "one.npz")
    grown = evaluate_checkpoint(config, tmp_path / "grown")  # the drive went on: its end is held out by time again
    assert grown["split"].startswith("time, of labels that changed since training")
    assert grown["clips"] > found["clips"]


@pytest.mark.slow
@needs_60_clips
def test_the_60_real_clips_against_what_was_driven(students: dict[str, Path], tmp_path: Path) -> None:
    config = EvalConfig(checkpoint=str(students["shown"]), teacher=FileConfig(str(LABELS_60)))
    found = evaluate_checkpoint(config, tmp_path)
    rows = found["scores"]["ground_truth"]
    assert rows["teacher_samples"]["min_ade"]["mean"] == pytest.approx(0.85569, abs=5e-6)
    assert rows["teacher_first_sample"]["ade"]["mean"] == pytest.approx(1.77715, abs=5e-6)
    assert rows["teacher_each_sample"]["ade"]["mean"] == pytest.approx(1.70950, abs=5e-6)
    assert rows["teacher_samples"]["min_ade_3.0"]["mean"] > rows["teacher_samples"]["min_ade_horizon_3.0"]["mean"]
    assert {"stationary", "constant_velocity", "teacher_medoid", "teacher_mean"} <= set(rows)
    assert found["not_available"]["ridge"] == "needs a history, which these labels do not have"
    stored = {clip["clip_id"]: clip["min_ade"] for clip in json.loads(LABELS_60.read_text())}
    clips = read_clips(tmp_path / "clips.csv")
    for name, value in zip(clips["clip_id"], clips["ground_truth.teacher_samples.min_ade"], strict=True):
        assert value == pytest.approx(stored[name], abs=1e-6)
    assert {"report.html", "clips.csv", "metrics.json"} <= {p.name for p in tmp_path.iterdir()}
