"""fit(): it learns, it resumes to the bit after any end, it stops where the loss does, and its curves read back."""

import json
import os
import random
import re
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from command_line import ended, start_script
from composed import train_config
from places import Command
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from alpamayo_toy import Scenario, load_student
from alpamayo_toy.errors import Interrupted, UserError
from alpamayo_toy.files import locked
from alpamayo_toy.hints import command_line
from alpamayo_toy.students import checkpoint
from alpamayo_toy.students.config import LossConfig
from alpamayo_toy.training import loop
from alpamayo_toy.training.config import TrainConfig, from_dict
from alpamayo_toy.training.loop import fit, schedule
from alpamayo_toy.views.tensorboard import CURVES

SMALL = ("trainer=smoke", "teacher.scenes=256", "teacher.val_scenes=16", "student.width=32", "student.embedding=16")
SMALL += ("teacher.reveal=scene",)  # what is learnt soonest
STEPS = "trainer.steps=160"  # of runs that are stopped on the way


def small(*overrides: str) -> TrainConfig:
    return train_config(*SMALL, "trainer.pictures=0", *overrides)


def weights(run: Path, name: str = "last") -> dict[str, Any]:
    content = torch.load(run / "checkpoints" / f"{name}.pt", weights_only=True)
    return {"averaged": content["weights"], **content["training"]["student"]}


def assert_same_weights(a: Path, b: Path) -> None:
    mine, theirs = weights(a), weights(b)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        pairs = value.items() if isinstance(value, dict) else [(name, value)]
        for key, tensor in pairs:
            other = theirs[name][key] if isinstance(value, dict) else theirs[name]
            assert torch.equal(tensor, other), key


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 400 steps that nothing interrupted."""
    folder = tmp_path_factory.mktemp("finished")
    fit(small("trainer.steps=400", "trainer.pictures=1"), folder)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shorter run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    fit(small(STEPS, "trainer.pictures=1"), folder)
    return folder


@pytest.mark.slow
def test_a_short_run_already_beats_constant_velocity(finished: Path) -> None:
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["student"]["ade"] < 0.5 * metrics["baselines"]["constant_velocity"]["ade"]
    assert metrics["ade_over_floor"] < 2
    assert metrics["checks"] == {"finite": True, "speed_non_negative": True, "no_teleport": True}


@pytest.mark.slow
def test_the_run_folder_holds_what_the_readme_says(finished: Path) -> None:
    names = {str(p.relative_to(finished)) for p in finished.rglob("*") if p.is_file()}
    events = {name for name in names if "events.out.tfevents." in name}
    assert sorted(str(Path(name).parent) for name in events) == [".", "beside/constant_velocity", "beside/floor"]
    assert names - events == {
        "checkpoints/best.pt",
        "checkpoints/last.pt",
        "clips.csv",
        "config.json",
        "figures/birds_eye.png",
        "figures/profiles.png",
        "metrics.json",
        "run.json",
    }
    assert from_dict(json.loads((finished / "config.json").read_text())) == small(
        "trainer.steps=400", "trainer.pictures=1"
    )


def points(events: EventAccumulator, name: str) -> list[float]:
    """The values of a curve, by the name that the loop has for it."""
    return [point.value for point in events.Scalars(CURVES[name][0])]


@pytest.mark.slow
def test_tensorboard_reads_the_curves_pictures_and_hparams_back(finished: Path) -> None:
    events = EventAccumulator(str(finished)).Reload()
    tags = events.Tags()
    expected = {"loss/position [m]", "loss/action", "loss/total", "train/learning_rate", "train/gradient_norm"}
    expected |= {
        "train/steps_per_second",
        "ADE/validation [m]",
        "val/ade",
        "val/fde [m]",
        "final/ade",
        "final/excess",
    }
    assert expected | {"val/ADE over floor", "val/excess over floor"} <= set(tags["scalars"])
    assert min(tags["scalars"]) == "ADE/validation [m]"
    assert all(len(events.Scalars(tag)) > 1 for tag in tags["scalars"])
    for tag, what in CURVES.values():
        assert tag not in tags["scalars"] or events.SummaryMetadata(tag).summary_description == what != ""
    floor = points(EventAccumulator(str(finished / "beside" / "floor")).Reload(), "ADE/validation")
    metrics = json.loads((finished / "metrics.json").read_text())
    assert floor == pytest.approx([metrics["floor"]["ade"]] * len(floor))
    assert len(floor) == len(points(events, "val/ade"))
    assert points(events, "ADE/validation") == points(events, "val/ade")
    assert points(events, "final/ade") == [min(points(events, "val/ade")[: i + 1]) for i in range(len(floor))]
    assert points(events, "final/excess")[-1] == pytest.approx(metrics["excess_over_floor"], rel=1e-4)
    assert tags["images"] == ["scenes/birds_eye", "scenes/profiles"]
    taken = [f"taken actions/{what}" for what in ("a, student [m per s^2]", "a, teacher [m per s^2]")]
    assert set(taken) <= set(tags["histograms"])
    config = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| optimizer.lr | 0.005 |" in config
    assert "_hparams_/session_start_info" in events.summary_metadata
    assert "_hparams_/experiment" not in events.summary_metadata  # with one TensorBoard ticks the same for all runs
    losses = points(events, "loss/position")
    assert len(losses) == 80
    assert losses[-1] < 0.5 * losses[0]
    assert (
        events.Images("scenes/birds_eye")[-1].encoded_image_string
        == (finished / "figures" / "birds_eye.png").read_bytes()
    )


@pytest.mark.slow
def test_the_same_config_gives_the_same_bits(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fit(small("trainer.steps=30"), tmp_path / name)
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    texts = [(tmp_path / name / "metrics.json").read_text() for name in ("a", "b")]
    assert texts[0] == texts[1]


def wait_for(run: Path, script: BaseProcess) -> None:
    """Until a random one of the first checkpoints is there, which leaves many steps to go."""
    last, seen = run / "checkpoints" / "last.pt", set[int]()
    while len(seen) < random.Random(os.getpid()).randint(1, 4):
        assert script.is_alive()
        with suppress(FileNotFoundError):
            seen.add(last.stat().st_mtime_ns)
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_resumes_to_the_same_bits(kind: signal.Signals, whole: Path, tmp_path: Path, command: Command) -> None:
    run = tmp_path / "run"
    script = start_script("train", (*SMALL, "trainer.pictures=1", STEPS, f"hydra.run.dir={run}"), tmp_path)
    wait_for(run, script)
    assert script.pid is not None
    os.kill(script.pid, kind)
    result = ended(script, tmp_path, timeout=600)
    stopped_at = checkpoint.load(run, "last")["step"]
    assert 0 < stopped_at < 160
    if kind == signal.SIGKILL:
        assert result.returncode == -kind
    else:
        assert result.returncode == 128 + kind
        how = f"continue: {command_line('train', trainer__resume=run)}"
        assert result.stderr == f"stopped at step {stopped_at} of 160; {how}\n"
        assert not (run / "metrics.json").exists()

    refused = command("train", f"trainer.resume={run}", "optimizer.lr=1e-2")
    assert refused.returncode == 1
    assert "optimizer.lr cannot change when a run is continued" in refused.stderr
    continued = command("train", f"trainer.resume={run}")
    assert continued.returncode == 0, continued.stderr
    assert_same_weights(run, whole)
    assert (run / "metrics.json").read_text() == (whole / "metrics.json").read_text()
    assert not list(run.rglob("*.partial"))

    curves = [EventAccumulator(str(folder)).Reload() for folder in (run, whole)]
    for tag in ("loss/position", "val/ade"):
        steps, expected = ([point.step for point in curve.Scalars(CURVES[tag][0])] for curve in curves)
        assert steps == sorted(set(steps))
        assert set(steps) <= set(expected) | {stopped_at}


def test_a_run_that_was_never_validated_takes_a_step_more(tmp_path: Path) -> None:
    """Stopped before its first validation, it has no best checkpoint that it could end with."""
    fit(small("trainer.steps=4", "trainer.val_every=4"), tmp_path)
    content = checkpoint.load(tmp_path, "last")
    content["training"]["best"] = float("inf")
    torch.save(content, tmp_path / "checkpoints" / "last.pt")
    (tmp_path / "checkpoints" / "best.pt").unlink()
    with pytest.raises(UserError, match=r"trainer\.steps must be more than the 4 that .* has reached \(got 4\)"):
        fit(small("trainer.steps=4", "trainer.val_every=4", f"trainer.resume={tmp_path}"), tmp_path)
    fit(small("trainer.steps=5", "trainer.val_every=5", f"trainer.resume={tmp_path}"), tmp_path)
    assert checkpoint.load(tmp_path, "best")["step"] == 5


def test_a_run_that_has_all_of_its_steps_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(small("trainer.steps=2"), tmp_path)
    capsys.readouterr()
    fit(small("trainer.steps=2", f"trainer.resume={tmp_path}"), tmp_path)
    assert f"{tmp_path} has all of its 2 steps: it is scored again; trainer.steps=N goes on" in capsys.readouterr().out


def test_two_do_not_train_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would go on to the same bits, with every curve twice; one that has been killed is waited for."""
    fit(small("trainer.steps=2"), tmp_path)
    longer = small("trainer.steps=3", f"trainer.resume={tmp_path}")
    monkeypatch.setattr(loop, "ORPHANS", 0)
    with locked(tmp_path), pytest.raises(UserError, match="is being written by another process; wait for it"):
        fit(longer, tmp_path)
    assert checkpoint.load(tmp_path, "last")["step"] == 2
    fit(longer, tmp_path)
    assert checkpoint.load(tmp_path, "last")["step"] == 3


@pytest.mark.slow
def test_other_steps_change_nothing_that_was_planned(tmp_path: Path, command: Command) -> None:
    """20 steps are the same bits where a run is stopped at 8 and ends at 14 first; 10 more are a round of their own."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    often = ("trainer.log_every=1", "trainer.val_every=100", "optimizer.warmup_steps=4", "teacher.scenes=64")
    fit(small("trainer.steps=20", *often), whole)
    with pytest.raises(Interrupted, match="stopped at step 8 of 20"):
        fit(
            small("trainer.steps=20", *often),
            run,
            lambda step: signal.raise_signal(signal.SIGINT) if step == 8 else None,
        )
    for steps in (14, 20):
        fit(small(f"trainer.steps={steps}", *often, f"trainer.resume={run}"), run)
        assert checkpoint.load(run, "last")["step"] == steps
    assert_same_weights(run, whole)
    longer = command("train", f"trainer.resume={run}", "trainer.steps=30")
    assert longer.returncode == 0
    assert "trainer.steps=30: learning rates are as planned until step 20, where they warm up and" in longer.stderr
    rates = points(EventAccumulator(str(run)).Reload(), "train/learning_rate")
    planned = [0.005 * schedule(step, length, 4) for length in (20, 10) for step in range(length)]
    assert rates == pytest.approx(planned, rel=1e-6)
    below = command("train", f"trainer.resume={run}", "trainer.steps=3")
    assert below.returncode == 0
    assert "trainer.steps=3 is below step 30, where the run is: it ends there" in below.stderr
    assert json.loads((run / "config.json").read_text())["trainer"]["steps"] == 30
    with pytest.raises(UserError, match=r"trainer\.steps must be at least the 30 that .* has reached \(got 3\)"):
        fit(small("trainer.steps=3", *often, f"trainer.resume={run}"), run)


def test_steps_a_second_are_those_since_the_last_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by a second whenever it is asked."""
    asked = SimpleNamespace(monotonic=partial(next, count()), strftime=time.strftime)
    monkeypatch.setattr("alpamayo_toy.training.loop.time", asked)
    fit(small("trainer.steps=6", "trainer.log_every=2", "trainer.val_every=4", "teacher.scenes=8"), tmp_path)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert points(events, "train/steps_per_second") == [2.0, 2.0, 2.0]


@pytest.mark.slow
def test_a_run_begins_with_another_student_and_goes_on_without_it(finished: Path, tmp_path: Path) -> None:
    """After steps of next to nothing it is that student still, on other labels; continued, it reads nothing more."""
    first = tmp_path / "first.pt"
    shutil.copy(finished / "checkpoints" / "best.pt", first)
    begun, whole = tmp_path / "begun", tmp_path / "whole"
    options = ("scenario=RIGHT", f"trainer.init_from={first}", "optimizer.lr=1e-12", "teacher.scenes=64")
    fit(small(*options, "trainer.steps=2"), begun)
    student, _ = load_student(finished)
    now, _ = load_student(begun)
    mine, theirs = now.state_dict(), student.state_dict()
    assert mine.pop("encoder.seen").nonzero()[:, 0].tolist() == [Scenario.LEFT, Scenario.RIGHT]
    assert theirs.pop("encoder.seen").nonzero()[:, 0].tolist() == [Scenario.LEFT]
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)
    fit(small(*options, "trainer.steps=3"), whole)
    first.unlink()
    fit(small(*options, "trainer.steps=3", f"trainer.resume={begun}"), begun)
    assert checkpoint.load(begun, "last")["step"] == checkpoint.load(whole, "last")["step"] == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher.reveal=speed", r"its student has context_names \['.*'\], this one is to have \[\]"),
        ("dt=0.2", "its student has dt 0.1, this one is to have 0.2"),
        ("student.modes=3", "its weights do not fit this student: .*size mismatch"),
    ],
)
def test_a_student_that_does_not_fit_is_one_line(override: str, message: str, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"trainer.init_from={re.escape(str(finished))}: {message}") as caught:
        fit(small("teacher.scenes=8", f"trainer.init_from={finished}", override), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_not_finite_names_step_term_and_checkpoint(tmp_path: Path) -> None:
    config = replace(small("trainer.steps=60"), loss=LossConfig(position=1e30, action=0))
    config.optimizer.lr = 1e38
    config.optimizer.clip_norm = 1e38
    with pytest.raises(UserError, match=r"(loss/position|train/gradient_norm) is (nan|inf) at step \d+; ") as caught:
        fit(config, tmp_path)
    saved = tmp_path / "checkpoints" / "last.pt"
    assert (str(saved) in str(caught.value)) == saved.exists()
    if saved.exists():
        assert all(bool(w.isfinite().all()) for w in checkpoint.load(tmp_path, "last")["weights"].values())


@pytest.mark.slow
def test_bf16_autocast_trains_and_rolls_out_in_float32(tmp_path: Path) -> None:
    metrics = fit(small("trainer.steps=40", "trainer.bf16=true"), tmp_path)
    assert metrics["checks"]["finite"]


@pytest.mark.slow
def test_history_is_an_input_and_may_be_missing() -> None:
    from composed import scenario_config

    from alpamayo_toy.students.student import build_student
    from alpamayo_toy.teachers.synthetic import SyntheticTeacher

    labels = SyntheticTeacher(scenario_config("LEFT")).labels(8, 2, 0)
    t = torch.arange(-15, 1) * 0.1
    v0 = labels.v0[:, None]
    zeros = torch.zeros(8, 16)
    history = torch.stack([v0 * t, zeros, zeros, v0 + 0.1 * t * torch.arange(8)[:, None]], -1)
    with_history = replace(labels, history=history)
    student = build_student(small().student, with_history, with_history.scene(), "euler", 0)
    torch.nn.init.normal_(student.head[-1].weight)
    shown = student.act(with_history.scene())
    hidden = student.act(labels.scene())
    assert shown.shape == hidden.shape == (8, 1, 64, 2)
    assert not torch.allclose(shown, hidden)


def test_schedule_warms_up_and_ends_at_zero() -> None:
    rates = [schedule(step, 1000, 100) for step in range(1001)]
    assert rates[0] == pytest.approx(1 / 101)
    assert rates[:100] == sorted(rates[:100])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[1000] == pytest.approx(0)


@pytest.mark.slow
def test_a_loaded_student_predicts_for_a_scene_of_ones_own(finished: Path) -> None:
    student, config = load_student(finished)
    assert config.scenario.name == "LEFT"
    actions, trajectory = student.predict("LEFT", v0=6.0, turn_angle_deg=90.0)
    assert actions.shape == (64, 2)
    assert trajectory.shape == (64, 4)
    assert torch.allclose(student.rollout(actions, torch.tensor(6.0)), trajectory)
    assert not torch.equal(student.predict(None, v0=6.0)[0], actions)
    with pytest.raises(ValueError, match="this student knows no colour; its context: final_speed_mps"):
        student.predict("LEFT", v0=6.0, colour=1.0)


@pytest.mark.slow
def test_a_short_drive_is_watched_and_may_choose_the_best(tmp_path: Path) -> None:
    few = ("trainer=smoke", "trainer.pictures=0", "teacher.scenes=64", "teacher.val_scenes=8")
    fit(train_config("scenario=ROAD", "trainer.best=drive", *few), tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert {CURVES[f"drive/{name}"][0] for name in ("left_corridor", "lateral_rms", "progress")} <= set(
        events.Tags()["scalars"]
    )
    saved = checkpoint.load(tmp_path / "run", "last")["training"]["best"]
    assert saved == pytest.approx(min(points(events, "drive/lateral_rms")), rel=1e-6)
    with pytest.raises(
        UserError, match=r"trainer\.best=drive needs a synthetic teacher and a student that is shown its"
    ):
        fit(train_config("scenario=LEFT", "trainer.best=drive", "student.inputs=[v0]", *few), tmp_path / "none")
