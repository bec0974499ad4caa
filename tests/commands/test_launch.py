"""Options on the command line: one line for every mistake, nothing heavy imported for help."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import SMOKE, Said, run_script, wrong
from places import DATA, ROOT, Command

from alpamayo_toy.commands.launch import _forget, _steps
from alpamayo_toy.hints import LATEST, program

KINDS = [
    ("scenrio=LEFT", "there is no option scenrio; did you mean scenario?"),
    ("++optimizer.lrr=1", "there is no option optimizer.lrr; did you mean optimizer.lr?"),
    ("optimizer.lr=-1", "optimizer.lr must be > 0 (got -1.0)"),
    ("horizon=abc", "horizon=abc: Value 'abc' of type 'str' could not be converted to Integer"),
    ("scenario=LEFTT", "Could not find 'scenario/LEFTT' Available options in 'scenario': ALL LANE_CHANGE_LEFT"),
    ("teacher=file teacher.path=nowhere.json", "there is no label file nowhere.json"),
]
"""A mistake of every kind, in a process of its own."""
MORE = [
    ("+scenrio=LEFT", "there is no option scenrio; did you mean scenario?"),
    ("optimizer.lrr=1", "there is no option optimizer.lrr; did you mean optimizer.lr?"),
    ("+scenario.sped_mps=3", "there is no option scenario.sped_mps; did you mean scenario.speed_mps?"),
    ("optimizer.lr=nan", "optimizer.lr must be > 0 (got nan)"),
    ("horizon=2", "horizon must be >= 4 steps (got 2)"),
    ("dt=0", "dt must be > 0 s (got 0.0)"),
    ("seed=-1", "seed must be between 0 and 2^31 - 1 (got -1)"),
    ("scenario.name=up", "scenario.name must be capitals as in ROUNDABOUT, and none of ALL, ROAD"),
    ("scenario.name=FILE", "scenario.name must be capitals as in ROUNDABOUT, and none of ALL, ROAD"),
    ("scenario.turn_angle_deg=far", "scenario.turn_angle_deg must be a number or a range [low, high] (got 'far')"),
    ("scenario.speed_mps=[9,3]", "scenario.speed_mps must be a range [low, high] with low <= high"),
    ("scenario.speed_mps=-3", "scenario.speed_mps must be >= 0 (got -3.0)"),
    ("scenario.steer_s=0", "scenario.steer_s must be >= 0.1 (got 0.0)"),
    ("student.inputs=[gps]", "student.inputs must be among scenario, v0, history, context, route (got ['gps'])"),
    ("loss.position=-1", "loss.position must be >= 0 (got -1.0)"),
    ("trainer.device=tpu", "trainer.device must be auto, cpu, cuda or cuda:N (got 'tpu')"),
    ("trainer.steps=0", "trainer.steps must be >= 1 (got 0)"),
    ("trainer.resume=nowhere", "nowhere is no run's folder: it has no checkpoints/last.pt"),
    ("student.output=xy", "student.output must be one of actions, waypoints, residuals, differences (got 'xy')"),
    ("student.output=waypoints", "loss.action must be 0 where student.output=waypoints (got 1.0)"),
    (
        "teacher.path=x.json",
        "there is no option teacher.path where teacher is not chosen, or is another one; add teacher=file",
    ),
    (
        "scenario.bends=3",
        "there is no option scenario.bends where scenario is not chosen, or is another one; add scenario=ROAD",
    ),
    ("seeds=3", "there is no option seeds in train.py; batch.py has it"),
    ("plot=false", "there is no option plot in train.py; eval.py, rollout.py and drive.py have it"),
    ("lr=1e-3", "there is no option lr; did you mean optimizer.lr?"),
    ("steps=100", "there is no option steps; did you mean trainer.steps?"),
    ("widht=64", "there is no option widht; did you mean student.width?"),
    ("samples=2", "there is no option samples; did you mean teacher.samples or loss.samples?"),
    ("trainer.init_from=nowhere teacher.scenes=8 teacher.val_scenes=4", "there is no nowhere"),
    ("teacher=file", "teacher.path must be a label file (teacher.path=labels.json)"),
    ("teacher=file teacher.path=x.json teacher.val_fraction=2", "teacher.val_fraction must be between 0 and 1"),
    ("teacher.integrator=trapezoid", "teacher.integrator must be euler"),
    ("student=null", "student=null: name one of its choices instead, or leave it out"),
    ("student=[1]", "student=[1]: a list is none of its choices"),
    ("optimizer.lr=1" + 400 * "0", "a number of that many digits is none"),
    ("scenario.speed_mps=1" + 400 * "0", "scenario.speed_mps must be a number or a range [low, high]"),
    ("optimizer.clip_norm=inf", "optimizer.clip_norm must be > 0 and at most 1e+38 (got inf)"),
    ("optimizer.weight_decay=1e39", "optimizer.weight_decay must be >= 0 and at most 1e+38 (got 1e+39)"),
    ("scenario.weight=inf", "scenario.weight must be > 0 and at most 1e6 (got inf)"),
    ("dt=1e39", "dt must be between 0.001 and 10 s (got 1e+39)"),
    ("trainer.steps=1" + 20 * "0", "trainer.steps must be at most 1000000000 (got 100000000000000000000)"),
    ("trainer.pictures=100000000000", "trainer.pictures must be at most 1000"),
    ("trainer.threads=1000000", "trainer.threads must be at most 256"),
    ("trainer.device=cuda:99999999999", "trainer.device must be auto, cpu, cuda or cuda:N"),
    ("student.width=8192 student.layers=64", "student must be of 134217728 weights or fewer: lower student.width"),
    ("teacher.scenes=1000000", "lower teacher.scenes, teacher.samples or horizon (got 384000000)"),
]


@pytest.mark.parametrize(("arguments", "message"), KINDS)
def test_a_mistake_in_an_option_is_one_line(arguments: str, message: str, command: Command, tmp_path: Path) -> None:
    assert message in wrong(command, "train", *arguments.split(" "))
    assert not list(tmp_path.rglob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "message"), MORE)
def test_another_mistake_in_an_option_is_one_line(arguments: str, message: str, said: Said, tmp_path: Path) -> None:
    code, err = said(f"train {arguments}")
    assert code == 1
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("*.yaml"))


def nobody_reads() -> None:
    """stdout is a pipe whose other end is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", ["train --help", "coverage --draws 1", "labels check --format", "rollout plot=false"]
)
def test_a_command_ends_quietly_where_nobody_reads(arguments: str, tmp_path: Path) -> None:
    name, *words = arguments.split()
    result = run_script(name, tuple(words), tmp_path, before=nobody_reads)
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_one_line(command: Command) -> None:
    assert "this machine has 0 CUDA devices; use cpu or auto" in wrong(command, "train", "trainer.device=cuda")


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file, where a folder should be")
    result = command("rollout", "plot=false")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.strip().splitlines()) == 1


def imported(script: str, *arguments: str) -> set[str]:
    """The modules that a script has imported by its end."""
    path = str(ROOT / "scripts" / script)
    code = f"import runpy, sys; sys.argv = [{path!r}, *sys.argv[1:]]\ntry:\n"
    code += f"    runpy.run_path({path!r}, run_name='__main__')\nexcept SystemExit:\n    pass\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.slow
def test_plot_false_and_help_import_nothing_heavy(tmp_path: Path) -> None:
    assert not {"matplotlib", "tensorboard"} & imported("rollout.py", "plot=false", f"hydra.run.dir={tmp_path}")
    assert not {"torch", "scipy"} & imported("train.py", "--help")
    assert not {"torch", "scipy"} & imported("benchmark.py", "--help")
    assert not {"torch", "numpy"} & imported("labels.py", "check", "--format")


@pytest.mark.slow
def test_scipy_and_pytorchs_compiler_wait_until_they_are_used() -> None:
    """The compiler, a second of importing, also where a student is loaded and predicts."""
    code = "import pkgutil, sys, alpamayo_toy\n"
    code += (
        "for module in pkgutil.walk_packages(alpamayo_toy.__path__, 'alpamayo_toy.'):\n    __import__(module.name)\n"
    )
    code += f"alpamayo_toy.load_student({str(DATA / 'format_1' / 'synthetic')!r})[0].predict('LEFT', 8.0)\n"
    code += "print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(result.stdout.split())
    assert {"alpamayo_toy.kinematics.banded", "alpamayo_toy.metrics.comfort"} <= modules
    assert not {"scipy", "torch._dynamo", "sympy"} & modules


@pytest.mark.slow
def test_multirun_trains_several(command: Command, tmp_path: Path) -> None:
    result = command("train", "-m", "scenario=LEFT,RIGHT", *SMOKE)
    assert result.returncode == 0, result.stderr
    found = [json.loads(p.read_text())["scenario"] for p in sorted(tmp_path.rglob("metrics.json"))]
    assert found == ["LEFT", "RIGHT"]
    (sweep,) = (tmp_path / "outputs" / "train" / "sweep").iterdir()
    assert result.stdout.count(f"look: {program('tensorboard')} --logdir {sweep}\n") == 2


SWALLOWS_IT = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
except BaseException:
    raise ImportError
"""
IN_AN_IMPORT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where the tests run in the background
from alpamayo_toy.commands.launch import command
@command("rollout")
def main(config):
    try:
        import interrupted
    except ImportError:
        pass
main()
print("went on")
"""


def test_ctrl_c_in_an_import_that_swallows_it_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(SWALLOWS_IT)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "rollout.py").write_text(IN_AN_IMPORT)
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    run = [sys.executable, "scripts/rollout.py"]
    found = subprocess.run(run, env={**os.environ, "PYTHONPATH": paths}, cwd=tmp_path, capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (130, "", "")


def test_a_run_that_never_was_is_not_the_latest_one(tmp_path: Path) -> None:
    jobs = tmp_path / "outputs" / "train"
    for name in ("day/a", "day/b", "day/c"):
        (jobs / name / ".hydra").mkdir(parents=True)
    (jobs / LATEST).write_text("day/a\nday/b\nday/c\n")
    _forget(jobs / "day" / "b")  # beside another one, which began later
    assert (jobs / LATEST).read_text() == "day/a\nday/c\n"
    assert not (jobs / "day" / "b").exists()
    _forget(jobs / "day" / "c")
    assert (jobs / LATEST).read_text() == "day/a\n"
    _forget(jobs / "day" / "a")
    assert not (jobs / LATEST).exists()


@pytest.mark.parametrize(
    ("wanted", "reached", "planned", "steps", "said"),
    [
        (100, 40, 100, 100, ""),
        (101, 40, 100, 101, "learning rates are as planned until step 100"),
        (99, 40, 100, 99, "with the learning rates of 100 steps, the run ends there"),
        (40, 40, 100, 40, "with the learning rates of 100 steps"),
        (39, 40, 100, 40, "is below step 40, where the run is: it ends there"),
        (100, 100, 100, 100, ""),
    ],
)
def test_other_steps_of_a_run_that_goes_on_are_never_fewer_than_it_has_done(
    wanted: int, reached: int, planned: int, steps: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _steps(wanted, reached, planned) == steps
    told = capsys.readouterr().err
    assert said in told
    assert (told == "") is (said == "")
