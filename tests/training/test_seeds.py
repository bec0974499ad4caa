"""run_batch(): its summary is what the seeds say, it goes on where it was stopped, no seed harms another."""

import csv
import json
import math
import os
import shutil
import signal
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from composed import composed
from hydra.errors import ConfigCompositionException
from places import DATA, Command
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from alpamayo_toy import load_student
from alpamayo_toy.config import one_line
from alpamayo_toy.errors import Interrupted, UserError
from alpamayo_toy.evaluation.config import RolloutConfig
from alpamayo_toy.evaluation.rollout import roll_out
from alpamayo_toy.labels.stored.convert import convert
from alpamayo_toy.students.student import build_student
from alpamayo_toy.training import loop as training
from alpamayo_toy.training import seeds as batch
from alpamayo_toy.training import vectorized
from alpamayo_toy.training.config import BatchConfig, TrainConfig
from alpamayo_toy.training.draws import batch_indices
from alpamayo_toy.training.seeds import continued, run_batch, table

LABELS = DATA / "labels.npz"
SMALL = (
    "trainer=smoke",
    "trainer.pictures=0",
    "teacher.scenes=64",
    "teacher.val_scenes=8",
    "student.width=32",
    "student.embedding=16",
)
FILE = ("teacher=file", f"teacher.path={LABELS}", "teacher.integrator=euler", *SMALL[:2], *SMALL[4:])
T_2 = 4.302652729696142  # 97.5 % quantile of Student's t with 2 degrees of freedom (any table: 4.303)
SUMMARIES = ("summary.json", "summary.csv")


def config(*overrides: str, options: tuple[str, ...] = SMALL) -> BatchConfig:
    made: BatchConfig = composed("batch", BatchConfig, *options, *overrides)
    return made


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def numbers(content: Any, name: str = "") -> dict[str, float]:
    """Every number of nested dicts and lists by its dotted name."""
    if isinstance(content, dict | list):
        inner = content.items() if isinstance(content, dict) else enumerate(content)
        return {k: v for key, value in inner for k, v in numbers(value, f"{name}.{key}" if name else str(key)).items()}
    return {name: content} if type(content) in (int, float) else {}


def weights_apart(one: Path, other: Path, seeds: tuple[int, ...] = (0, 1, 2)) -> float:
    """The largest difference between the tensors in two batches' checkpoints, weights, averages and optimizer alike."""

    def tensors(content: Any) -> list[torch.Tensor]:
        if isinstance(content, torch.Tensor):
            return [content]
        return [t for value in content.values() for t in tensors(value)] if isinstance(content, dict) else []

    apart = []
    for file in [f"seed-{seed}/checkpoints/{name}.pt" for seed in seeds for name in ("best", "last")]:
        mine, theirs = (torch.load(folder / file, weights_only=True) for folder in (one, other))
        assert mine["config"]["seed"] == theirs["config"]["seed"]
        assert mine["step"] == theirs["step"]
        pairs = list(zip(tensors(mine), tensors(theirs), strict=True))
        assert len(pairs) > 10
        apart += [float((a - b).abs().max()) for a, b in pairs if a.numel()]
    return max(apart)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds that nothing interrupted."""
    folder = tmp_path_factory.mktemp("finished")
    run_batch(config("seeds=3"), folder)
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same three, side by side."""
    folder = tmp_path_factory.mktemp("together")
    run_batch(config("seeds=3", "vectorized=true"), folder)
    return folder


def test_the_summary_is_what_one_works_out_by_hand(finished: Path) -> None:
    rows = [numbers(read(finished / f"seed-{seed}" / "metrics.json")) for seed in range(3)]
    summary = read(finished / "summary.json")
    own = {"format", "seed", "worst", "horizon_errors", "low", "high", "units"}  # what no mean over seeds is taken of
    expected = {name for name in rows[0] if not {name.split(".")[0], name.split(".")[-1]} & own}
    assert set(summary["summary"]) == expected
    assert {"student.ade", "floor.ade", "student.fde.1.0", "last_ade", "action_std.labels.1"} <= set(summary["summary"])
    for name, spread in summary["summary"].items():
        values = [row[name] for row in rows]
        half = T_2 * statistics.stdev(values) / math.sqrt(3)
        middle = statistics.mean(values)
        expected = {"mean": middle, "std": statistics.stdev(values), "min": min(values), "max": max(values)}
        expected |= {"count": 3, "low": middle - half, "high": middle + half}
        assert spread == pytest.approx(expected, rel=1e-9, abs=1e-12), name
    with (finished / "summary.csv").open() as file:
        table_rows = list(csv.DictReader(file))
    assert [row.pop("metric") for row in table_rows] == list(summary["summary"])
    for row, spread in zip(table_rows, summary["summary"].values(), strict=True):
        assert {key: float(value) for key, value in row.items()} == spread


def test_the_headline_shows_the_interval_in_the_terminal_and_in_tensorboard(finished: Path) -> None:
    summary = read(finished / "summary.json")
    ade = summary["summary"]["student.ade"]
    cell = f"{ade['mean']:.3f} ± {ade['std']:.3f} [{ade['low']:.3f}, {ade['high']:.3f}]"
    lines = table(summary).splitlines()
    assert lines[2].startswith("| LEFT | 3 | ")
    assert lines[2].split(" | ")[3] == cell
    assert len({line.count("|") for line in lines}) == 1
    events = EventAccumulator(str(finished)).Reload()
    headline = ("floor.ade", "student.ade", "ade_over_floor", "excess_over_floor")
    assert set(events.Tags()["scalars"]) == {
        f"seeds/{name}/{key}" for name in headline for key in ("mean", "low", "high")
    }
    for key in ("mean", "low", "high"):
        assert events.Scalars(f"seeds/student.ade/{key}")[0].value == pytest.approx(ade[key], rel=1e-6)
    text = events.Tensors("summary/text_summary")[0].tensor_proto.string_val[0].decode()
    assert cell in text


def test_one_seed_has_no_interval_and_a_number_that_some_lack_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {0: {"student": {"ade": 1.0}, "ok": True}, 1: {"student": {"ade": 3.0}, "extra": 5}}
    monkeypatch.setattr(batch, "fit", lambda job, folder: found[job.seed])
    one = run_batch(config("seeds=1"), tmp_path / "one")
    assert one["summary"] == {
        "student.ade": {"mean": 1.0, "std": 0.0, "min": 1.0, "max": 1.0, "count": 1, "low": None, "high": None}
    }
    assert (tmp_path / "one" / "summary.csv").read_text().splitlines()[1] == "student.ade,1.0,0.0,1.0,1.0,1,,"
    assert "1.000 ± 0.000 |" in table(one)
    two = run_batch(config("seeds=2"), tmp_path / "two")["summary"]
    assert (two["student.ade"]["count"], two["student.ade"]["mean"]) == (2, 2.0)
    assert (two["extra"]["count"], two["extra"]["mean"]) == (1, 5.0)


def test_train_false_only_rolls_out(tmp_path: Path) -> None:
    summary = run_batch(config("train=false", "seeds=3", "seed=4", "scenario=ALL", options=()), tmp_path / "batch")
    assert summary["scenario"] == "ALL"
    speeds = []
    for seed in (4, 5, 6):
        folder = tmp_path / f"alone-{seed}"
        speeds.append(
            roll_out(composed("rollout", RolloutConfig, f"seed={seed}", "scenario=ALL", "plot=false"), folder)
        )
        own = tmp_path / "batch" / f"seed-{seed}"
        assert (own / "metrics.json").read_bytes() == (folder / "metrics.json").read_bytes()
        assert sorted(path.name for path in own.iterdir()) == ["config.json", "metrics.json"]
    assert summary["summary"]["final_speed"]["mean"] == pytest.approx(statistics.mean(s["final_speed"] for s in speeds))
    assert table(summary).splitlines()[0].startswith("| scenario | seeds | final speed [m/s] | ")
    before = (tmp_path / "batch" / "summary.json").read_bytes()
    run_batch(continued(config(f"resume={tmp_path / 'batch'}", options=()), ["resume=x"]), tmp_path / "batch")
    assert (tmp_path / "batch" / "summary.json").read_bytes() == before


def stops_at(monkeypatch: pytest.MonkeyPatch, module: Any, seed: int, step: int) -> None:
    """Ctrl-C in the middle of a seed's training."""

    def indices(n: int, size: int, of_seed: int, at: int) -> torch.Tensor:
        if (of_seed, at) == (seed, step):
            os.kill(os.getpid(), signal.SIGINT)
        return batch_indices(n, size, of_seed, at)

    monkeypatch.setattr(module, "batch_indices", indices)


@pytest.mark.parametrize("vectorize", [False, True])
def test_it_goes_on_where_it_was_stopped_to_the_same_bits(
    vectorize: bool, finished: Path, together: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = together if vectorize else finished
    with monkeypatch.context() as patch:
        stops_at(patch, vectorized if vectorize else training, 1, 25)
        with pytest.raises(Interrupted, match=f"continue: python scripts/batch.py resume={tmp_path}$") as stop:
            run_batch(config("seeds=3", f"vectorized={vectorize}"), tmp_path)
    assert stop.value.exit_code == 130
    assert not (tmp_path / "summary.json").exists()
    assert (tmp_path / "seed-0" / "metrics.json").exists() != vectorize
    run_batch(continued(config(f"resume={tmp_path}", options=()), [f"resume={tmp_path}"]), tmp_path)
    for name in SUMMARIES:
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()
    assert weights_apart(tmp_path, whole) == 0


def test_a_finished_seed_is_not_done_again_and_a_lost_one_is(finished: Path, tmp_path: Path) -> None:
    again = shutil.copytree(finished, tmp_path / "again")
    (again / "seed-1" / "metrics.json").unlink()
    shutil.rmtree(again / "seed-2")
    before = (again / "seed-0" / "checkpoints" / "last.pt").stat().st_mtime_ns
    run_batch(config("seeds=3", "trainer.log_every=7"), again)
    assert (again / "seed-0" / "checkpoints" / "last.pt").stat().st_mtime_ns == before
    for name in SUMMARIES:
        assert (again / name).read_bytes() == (finished / name).read_bytes()
    assert weights_apart(again, finished) == 0
    assert len(list(again.glob("events.*"))) == 1


def test_another_configuration_in_the_folder_is_named(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"seed-0 holds a run with optimizer.lr=0.002, this one has 0.01; take another"):
        run_batch(config("seeds=3", "optimizer.lr=0.01"), finished)
    with pytest.raises(UserError, match=r"seed-0 holds a run with plot=None, this one has False"):
        run_batch(config("seeds=3", "train=false"), finished)
    (tmp_path / "seed-1").mkdir()
    (tmp_path / "seed-1" / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match=r"seed-1 has no config.json: it is no folder that a batch wrote"):
        run_batch(config("seeds=3"), tmp_path)
    (tmp_path / "seed-1" / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config.json is not valid JSON; remove .*seed-1 to do it again"):
        run_batch(config("seeds=3"), tmp_path)
    assert not (tmp_path / "seed-0").exists()


def test_resume_takes_the_saved_configuration_and_little_else(finished: Path) -> None:
    given = config("seeds=5", "trainer.threads=2", f"resume={finished}", options=("scenario=RIGHT",))
    found = continued(given, ["seeds=5", "trainer.threads=2", f"resume={finished}"])
    assert found == config("seeds=5", "trainer.threads=2", f"resume={finished}")
    for key in ("optimizer.lr", "trainer.steps", "scenario", "vectorized", "seed", "+student.width"):
        with pytest.raises(
            UserError, match=rf"^{key.lstrip('+')} cannot change when a batch is continued; only seeds, "
        ):
            continued(given, [f"{key}=1"])
    with pytest.raises(UserError, match=r"seed-0 is no batch's folder"):
        continued(config(f"resume={finished / 'seed-0'}"), [])
    with pytest.raises(UserError, match=r"^nowhere has no config.json"):
        continued(config("resume=nowhere"), [])


def test_a_seed_that_fails_is_named_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sometimes(job: TrainConfig, folder: Path) -> dict[str, Any]:
        if job.seed == 1:
            raise UserError("loss/total is nan at step 3")
        if job.seed == 2:
            raise OSError(28, "No space left on device", "metrics.json")
        return {"student": {"ade": float(job.seed)}}

    monkeypatch.setattr(batch, "fit", sometimes)
    summary = run_batch(config("seeds=4"), tmp_path)
    assert summary["failed"] == {"1": "loss/total is nan at step 3", "2": "metrics.json: No space left on device"}
    assert summary["summary"]["student.ade"]["mean"] == 1.5
    assert read(tmp_path / "summary.json") == summary
    assert table(summary).splitlines()[2].startswith("| LEFT | 2 | none | 1.500 ± ")
    with pytest.raises(UserError, match=r"^all 2 seeds failed, seed 1: loss/total is nan at step 3$"):
        run_batch(config("seeds=2", "seed=1"), tmp_path / "all")


@pytest.mark.parametrize("options", [SMALL, FILE])
def test_side_by_side_is_one_by_one(
    options: tuple[str, ...], finished: Path, together: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [finished, together]
    if options == FILE:
        folders = [tmp_path / "finished", tmp_path / "together"]
        for folder, vectorize in zip(folders, ("false", "true"), strict=True):
            run_batch(config("seeds=3", f"vectorized={vectorize}", options=FILE), folder)
    assert 0 < weights_apart(*folders) < 1e-5
    for seed in range(3):
        one, other = (folder / f"seed-{seed}" for folder in folders)
        assert sorted(path.name.split(".")[0] for path in one.rglob("*")) == sorted(
            path.name.split(".")[0] for path in other.rglob("*")
        )
        assert (one / "config.json").read_bytes() == (other / "config.json").read_bytes()
        mine, theirs = (numbers(read(run / "metrics.json")) for run in (one, other))
        assert mine == pytest.approx(theirs, rel=1e-5, abs=1e-5)
        curves = [EventAccumulator(str(run)).Reload() for run in (one, other)]
        assert curves[0].Tags() == curves[1].Tags()
        for tag in ("loss/total", "train/gradient_norm", "train/learning_rate", "val/ade"):
            points = [[(point.step, point.value) for point in curve.Scalars(tag)] for curve in curves]
            assert torch.tensor(points[0]).allclose(torch.tensor(points[1]), rtol=1e-5, atol=1e-5), tag
        student, trained = load_student(other)
        assert trained.seed == seed
        alone, _ = load_student(one)
        assert torch.allclose(student.predict("LEFT", v0=6.0)[1], alone.predict("LEFT", v0=6.0)[1], atol=1e-4)


def test_a_seed_that_diverges_side_by_side_leaves_the_others_alone(
    together: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> Any:
        student = build_student(*arguments)
        if arguments[-1] == 1:
            torch.nn.init.constant_(student.head[-1].bias, torch.nan)
        return student

    monkeypatch.setattr(vectorized, "build_student", broken)
    summary = run_batch(config("seeds=3", "vectorized=true"), tmp_path)
    assert list(summary["failed"]) == ["1"]
    assert summary["failed"]["1"].startswith("loss/position is nan at step 1; there is no checkpoint yet")
    assert weights_apart(tmp_path, together, (0, 2)) == 0
    assert not (tmp_path / "seed-1" / "checkpoints").exists()


def test_a_seed_side_by_side_can_be_continued_alone(
    together: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stops_at(patch, vectorized, 0, 30)
        with pytest.raises(Interrupted):
            run_batch(config("seeds=3", "vectorized=true"), tmp_path)
    run_batch(config("seeds=3"), tmp_path)
    assert weights_apart(tmp_path, together) < 1e-5


def test_labels_on_disk_are_not_trained_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert([LABELS], tmp_path / "set")
    monkeypatch.setattr("alpamayo_toy.teachers.files.IN_MEMORY", 0)
    with pytest.raises(UserError, match=r"^vectorized=true holds all labels in memory, .*set is too large for that$"):
        run_batch(config("vectorized=true", f"teacher.path={tmp_path / 'set'}", options=FILE), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("seeds=0",), "seeds must be >= 1 (got 0)"),
        (("trainer.resume=x",), "trainer.resume must be left alone: a batch has resume= (got 'x')"),
        (("train=false", "teacher=file", "teacher.path=x"), "teacher must be synthetic with train=false"),
        (("train=false", "vectorized=true"), "vectorized must be false with train=false: there is nothing to train"),
        (("vectorized=true", "trainer.bf16=true"), "trainer.bf16 must be false with vectorized=true (got True)"),
        (("seed=2147483647",), "seed must be between 0 and 2^31 - 1 (got 2147483648)"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(overrides: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        run_batch(config(*overrides, options=()), tmp_path / "out")
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_on_the_command_line_all_failed_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for seed in (0, 1):
        (tmp_path / "run" / f"seed-{seed}").write_text("a file where a folder should be")
    result = command("batch", "train=false", "seeds=2", "hydra.run.dir=run")
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith("error: all 2 seeds failed, seed 0: ")
    assert list(read(tmp_path / "run" / "summary.json")["failed"]) == ["0", "1"]


@pytest.mark.parametrize(("typo", "meant"), [("vectorised", "vectorized"), ("seds", "seeds"), ("resum", "resume")])
def test_a_typo_gets_the_option_that_was_meant(typo: str, meant: str) -> None:
    with pytest.raises(ConfigCompositionException) as caught:
        config(f"{typo}=1")
    assert one_line(caught.value) == f"there is no option {typo}; did you mean {meant}?"
    with pytest.raises(UserError, match=rf"^there is no option {typo}; did you mean {meant}\?$"):
        config(f"+{typo}=1")


def test_a_sweep_goes_on_beyond_a_failed_seed_and_says_so(command: Command, tmp_path: Path) -> None:
    (tmp_path / "sweep" / "0_LEFT").mkdir(parents=True)
    (tmp_path / "sweep" / "0_LEFT" / "seed-1").write_text("a file where a folder should be")
    result = command("batch", "-m", "scenario=LEFT,RIGHT", "train=false", "seeds=3", "hydra.sweep.dir=sweep")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "seed 1 failed: " in result.stderr.splitlines()[0]
    assert result.stderr.splitlines()[-1] == "error: 1 of 3 seeds failed"
    left, right = (read(tmp_path / "sweep" / name / "summary.json") for name in ("0_LEFT", "1_RIGHT"))
    assert (list(left["failed"]), left["summary"]["final_speed"]["count"]) == (["1"], 2)
    assert (right["scenario"], right["failed"], right["summary"]["final_speed"]["count"]) == ("RIGHT", {}, 3)
    assert f"summary: {tmp_path / 'sweep' / '1_RIGHT' / 'summary.json'}" in result.stdout
