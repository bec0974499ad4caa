"""The commands as a user types them: what they write, and one line for every mistake."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from places import DATA, LABELS_60, ROOT, Command, needs_60_clips

from alpamayo_toy.students import checkpoint

SMOKE = ("trainer=smoke", "trainer.pictures=0", "teacher.scenes=64", "teacher.val_scenes=8")
STARTER = {
    "max_abs_accel",
    "max_abs_curvature",
    "min_speed",
    "final_speed",
    "max_abs_jerk",
    "max_abs_curvature_rate",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 40 steps on LEFT."""
    run = tmp_path_factory.mktemp("trained") / "run"
    script = [sys.executable, str(ROOT / "scripts" / "train.py"), *SMOKE, f"hydra.run.dir={run}"]
    subprocess.run(script, cwd=run.parent, check=True, capture_output=True)
    return run


def wrong(command: Command, name: str, *arguments: str) -> str:
    """The one line on stderr of a command that must fail, without leaving anything behind."""
    result = command(name, *arguments)
    assert result.returncode in (1, 2), result.stdout
    assert "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert result.stdout == ""
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("scenrio=LEFT", "there is no option scenrio; did you mean scenario?"),
        ("+scenrio=LEFT", "there is no option scenrio; did you mean scenario?"),
        ("++optimizer.lrr=1", "there is no option optimizer.lrr; did you mean optimizer.lr?"),
        ("optimizer.lrr=1", "there is no option optimizer.lrr; did you mean optimizer.lr?"),
        ("+scenario.sped_mps=3", "there is no option scenario.sped_mps; did you mean scenario.speed_mps?"),
        ("optimizer.lr=-1", "optimizer.lr must be > 0 (got -1.0)"),
        ("optimizer.lr=nan", "optimizer.lr must be > 0 (got nan)"),
        ("horizon=abc", "horizon=abc: Value 'abc' of type 'str' could not be converted to Integer"),
        ("horizon=2", "horizon must be >= 4 steps (got 2)"),
        ("dt=0", "dt must be > 0 s (got 0.0)"),
        ("seed=-1", "seed must be between 0 and 2^31 - 1 (got -1)"),
        ("scenario=LEFTT", "Could not find 'scenario/LEFTT' Available options in 'scenario': ALL LANE_CHANGE_LEFT"),
        ("scenario.name=UP", "scenario.name must be one of STRAIGHT, LEFT"),
        ("scenario.turn_angle_deg=far", "scenario.turn_angle_deg must be a number or a range [low, high] (got 'far')"),
        ("scenario.speed_mps=[9,3]", "scenario.speed_mps must be a range [low, high] with low <= high"),
        ("scenario.speed_mps=-3", "scenario.speed_mps must be >= 0 (got -3.0)"),
        ("scenario.steer_s=0", "scenario.steer_s must be > 0 (got 0.0)"),
        ("student.inputs=[gps]", "student.inputs must be among scenario, v0, history, context (got ['gps'])"),
        ("loss.position=-1", "loss.position must be >= 0 (got -1.0)"),
        ("trainer.device=tpu", "trainer.device must be auto, cpu, cuda or cuda:N (got 'tpu')"),
        ("trainer.steps=0", "trainer.steps must be >= 1 (got 0)"),
        ("trainer.resume=nowhere", "nowhere is no run's folder: it has no checkpoints/last.pt"),
        ("teacher=file", "teacher.path must be a label file (teacher.path=labels.json)"),
        ("teacher=file teacher.path=nowhere.json", "there is no label file nowhere.json"),
        ("teacher=file teacher.path=x.json teacher.val_fraction=2", "teacher.val_fraction must be between 0 and 1"),
        ("teacher.integrator=trapezoid", "teacher.integrator must be euler"),
    ],
)
def test_a_mistake_in_an_option_is_one_line(arguments: str, message: str, command: Command, tmp_path: Path) -> None:
    assert message in wrong(command, "train", *arguments.split(" "))
    assert not list(tmp_path.rglob("*.yaml"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_one_line(command: Command) -> None:
    assert "this machine has 0 CUDA devices; use cpu or auto" in wrong(command, "train", "trainer.device=cuda")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not valid JSON"),
        (b"[]", "holds no clips"),
        (b'[{"pred_xyz": [[[1.0, 2.0', "not valid JSON, perhaps cut off"),
        (b'[{"clip_id": "c", "pred_xyz": [[[NaN, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]]]}]', "clip c holds NaN"),
        (
            b'[{"clip_id": "c", "pred_xyz": [[[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]]]}]',
            "has trajectories of 4 steps, the run wants horizon=64",
        ),
    ],
)
def test_a_broken_label_file_is_one_line(content: bytes, message: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_bytes(content)
    line = wrong(command, "train", "teacher=file", "teacher.path=labels.json")
    assert "labels.json" in line
    assert message in line


def test_pickles_and_cut_off_archives_are_one_line(command: Command, tmp_path: Path) -> None:
    np.savez(tmp_path / "pickled.npz", clip_id=np.array(["a", None], dtype=object), teacher=np.zeros((2, 1, 64, 4)))
    line = wrong(command, "train", "teacher=file", "teacher.path=pickled.npz")
    assert "pickled.npz: clip_id must hold strings (got None)" in line
    (tmp_path / "cut.npz").write_bytes((DATA / "labels.npz").read_bytes()[:5000])
    assert "cut.npz is no valid npz file" in wrong(command, "train", "teacher=file", "teacher.path=cut.npz")
    with zipfile.ZipFile(tmp_path / "strange.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert "strange.npz" in wrong(command, "train", "teacher=file", "teacher.path=strange.npz")


def test_a_folder_that_cannot_be_written_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file, where a folder should be")
    result = command("rollout", "plot=false")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.strip().splitlines()) == 1


def test_train_ends_with_its_folder_metrics_and_the_tensorboard_command(command: Command, tmp_path: Path) -> None:
    result = command("train", "scenario=STOP", *SMOKE)
    assert result.returncode == 0, result.stderr
    (run,) = (tmp_path / "outputs" / "train" / "STOP").iterdir()
    lines = result.stdout.splitlines()
    assert f"run: {run}" in lines
    assert lines[-1].startswith("look: tensorboard --logdir ")
    assert any(line.startswith("ADE / floor") for line in lines)
    assert result.stderr == ""  # no progress bar where nobody looks
    assert json.loads((run / "metrics.json").read_text())["scenario"] == "STOP"
    facts = json.loads((run / "run.json").read_text())
    assert set(facts) == {"finished", "seconds", "device", "versions"}


def test_a_copied_scenario_needs_no_python(command: Command, tmp_path: Path) -> None:
    sharp = "scenario.turn_angle_deg=120 scenario.speed_mps=[4,5] scenario.final_speed_mps=4"
    result = command("rollout", "scenario=LEFT", "plot=false", *sharp.split(" "))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("scenario", ["LEFT", "U_TURN", "ALL"])
def test_rollout_writes_the_starter_metrics_without_plotting(scenario: str, command: Command, tmp_path: Path) -> None:
    result = command("rollout", f"scenario={scenario}", "plot=false")
    assert result.returncode == 0, result.stderr
    (run,) = (tmp_path / "outputs" / "rollout" / scenario).iterdir()
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) >= STARTER
    assert set(metrics["summary"]) == STARTER
    for name in STARTER:
        assert isinstance(metrics[name], float)
        summary = metrics["summary"][name]
        assert summary == {"mean": metrics[name], "std": 0, "min": metrics[name], "max": metrics[name], "count": 1}
    assert metrics["format"] == 1
    assert metrics["checks"] == {"finite": True, "speed_non_negative": True, "no_teleport": True}
    assert not (run / "figures").exists()
    again = command("rollout", f"scenario={scenario}", "plot=false", f"hydra.run.dir={tmp_path / 'again'}")
    assert again.returncode == 0
    assert (tmp_path / "again" / "metrics.json").read_text() == (run / "metrics.json").read_text()


def test_rollout_draws(command: Command, tmp_path: Path) -> None:
    result = command("rollout", "scenario=RIGHT", "seed=3")
    assert result.returncode == 0, result.stderr
    pictures = sorted(p.name for p in tmp_path.rglob("*.png"))
    assert pictures == ["birds_eye.png", "profiles.png"]


def imported(script: str, *arguments: str) -> set[str]:
    """The modules that a script has imported by its end."""
    path = str(ROOT / "scripts" / script)
    code = f"import runpy, sys; sys.argv = [{path!r}, *sys.argv[1:]]\ntry:\n"
    code += f"    runpy.run_path({path!r}, run_name='__main__')\nexcept SystemExit:\n    pass\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


def test_plot_false_and_help_import_nothing_heavy(tmp_path: Path) -> None:
    assert not {"matplotlib", "tensorboard"} & imported("rollout.py", "plot=false", f"hydra.run.dir={tmp_path}")
    assert not {"torch", "scipy"} & imported("train.py", "--help")
    assert not {"torch", "scipy"} & imported("benchmark.py", "--help")


def test_scipy_waits_until_it_is_used() -> None:
    code = "import pkgutil, sys, alpamayo_toy\n"
    code += (
        "for module in pkgutil.walk_packages(alpamayo_toy.__path__, 'alpamayo_toy.'):\n    __import__(module.name)\n"
    )
    code += "print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(result.stdout.split())
    assert {"alpamayo_toy.kinematics.banded", "alpamayo_toy.metrics.comfort"} <= modules
    assert "scipy" not in modules


def test_eval_scores_the_own_held_out_scenes_again(trained: Path, command: Command, tmp_path: Path) -> None:
    result = command("eval", f"checkpoint={trained}", "plot=false", f"output={tmp_path / 'told'}")
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "told" / "metrics.json").read_text())
    expected = json.loads((trained / "metrics.json").read_text())
    assert found.pop("command") == "eval"
    assert found == {name: value for name, value in expected.items() if name not in ("command", "last_ade")}


def test_eval_takes_another_scenario_and_another_file(trained: Path, command: Command) -> None:
    result = command("eval", f"checkpoint={trained}", "scenario=RIGHT", "plot=false")
    assert result.returncode == 0, result.stderr
    right = json.loads((trained / "eval" / "RIGHT" / "metrics.json").read_text())
    own = json.loads((trained / "metrics.json").read_text())
    assert right["scenario"] == "RIGHT"
    assert "keeps its own" not in result.stdout
    stop = command("eval", f"checkpoint={trained}", "scenario=STOP", "plot=false")
    assert "the student keeps its own action statistics: std " in stop.stdout
    assert right["student"]["ade"] > 2 * own["student"]["ade"]
    best = trained / "checkpoints" / "best.pt"
    result = command("eval", f"checkpoint={best}", "teacher=file", f"teacher.path={DATA / 'labels.npz'}")
    assert result.returncode == 0, result.stderr
    other = json.loads((trained / "eval" / "labels" / "metrics.json").read_text())
    assert other["clips"] == 24
    assert other["floor"]["kind"] == "leave_one_out_median"
    assert (trained / "eval" / "labels" / "figures" / "birds_eye.png").exists()


def test_eval_names_what_does_not_fit(trained: Path, command: Command, tmp_path: Path) -> None:
    assert "checkpoint must be a run's folder" in wrong(command, "eval")
    assert "there is no nowhere" in wrong(command, "eval", "checkpoint=nowhere")
    content = checkpoint.load(trained)
    content["shape"]["horizon"] = 32
    torch.save(content, tmp_path / "other.pt")
    line = wrong(command, "eval", f"checkpoint={tmp_path / 'other.pt'}", f"output={tmp_path / 'out'}")
    assert "other.pt: the weights do not fit" in line
    short = np.load(DATA / "labels.npz")
    np.savez(tmp_path / "short.npz", clip_id=short["clip_id"], teacher=short["teacher"][:, :, :20], v0=short["v0"])
    options = ("teacher=file", f"teacher.path={tmp_path / 'short.npz'}", f"output={tmp_path / 'out'}")
    line = wrong(command, "eval", f"checkpoint={trained}", *options)
    assert "predicts 64 steps of 0.1 s, the labels have 20 of 0.1 s" in line


def test_our_own_label_file_trains(command: Command, tmp_path: Path) -> None:
    options = ("teacher=file", f"teacher.path={DATA / 'labels.npz'}", "teacher.integrator=euler", "trainer=smoke")
    result = command("train", *options)
    assert result.returncode == 0, result.stderr
    (run,) = (tmp_path / "outputs" / "train" / "FILE").iterdir()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["teacher"] == "labels.npz"
    assert list(metrics["scores"]) == ["teacher"]
    evaluated = command("eval", f"checkpoint={run}", "plot=false")
    assert evaluated.returncode == 0, evaluated.stderr


@needs_60_clips
def test_the_60_real_clips_train(command: Command, tmp_path: Path) -> None:
    result = command("train", "teacher=file", f"teacher.path={LABELS_60}", "trainer=smoke")
    assert result.returncode == 0, result.stderr
    (run,) = (tmp_path / "outputs" / "train" / "FILE").iterdir()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["integrator"] == "trapezoid"
    assert metrics["checks"] == {"finite": True, "speed_non_negative": None, "no_teleport": True}
    assert {"student", "constant_velocity", "teacher_samples", "teacher_medoid"} <= set(
        metrics["scores"]["ground_truth"]
    )


def test_multirun_trains_several(command: Command, tmp_path: Path) -> None:
    result = command("train", "-m", "scenario=LEFT,RIGHT", *SMOKE)
    assert result.returncode == 0, result.stderr
    found = [json.loads(p.read_text())["scenario"] for p in sorted(tmp_path.rglob("metrics.json"))]
    assert found == ["LEFT", "RIGHT"]


def test_benchmark_names_a_peer_that_it_cannot_use(command: Command, tmp_path: Path) -> None:
    (tmp_path / "peer.py").write_text("def other(x): return x")
    for peer in ("nowhere:f", "peer:missing", "peer:other"):
        assert f"--against {peer}" in wrong(command, "benchmark", "--against", peer)
