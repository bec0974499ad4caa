"""run_batch(): its summary is what the seeds say, it goes on where it was stopped, no seed harms another."""

import csv
import json
import math
import os
import shutil
import signal
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import RESUMED, apart, batch_config, read, weights_apart
from composed import composed
from hydra.errors import ConfigCompositionException
from places import Command
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from written import results_json

from alpamayo_toy.config import one_line
from alpamayo_toy.errors import Interrupted, UserError
from alpamayo_toy.evaluation.config import RolloutConfig
from alpamayo_toy.evaluation.rollout import roll_out
from alpamayo_toy.files import write_json
from alpamayo_toy.students import config as students
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.training import loop as training
from alpamayo_toy.training import seeds as batch
from alpamayo_toy.training.config import TrainConfig, to_dict
from alpamayo_toy.training.draws import batch_indices
from alpamayo_toy.training.seeds import continued, run_batch, table

T_2 = 4.302652729696142  # 97.5 % quantile of Student's t with 2 degrees of freedom (any table: 4.303)
SUMMARIES = ("summary.json", "summary.csv")


def numbers(content: Any, name: str = "") -> dict[str, float]:
    """Every number of nested dicts and lists by its dotted name."""
    if isinstance(content, dict | list):
        inner = content.items() if isinstance(content, dict) else enumerate(content)
        return {k: v for key, value in inner for k, v in numbers(value, f"{name}.{key}" if name else str(key)).items()}
    return {name: content} if type(content) in (int, float) else {}


@pytest.mark.slow
def test_the_summary_is_what_one_works_out_by_hand(one_by_one: Path) -> None:
    rows = [numbers(read(one_by_one / f"seed-{seed}" / "metrics.json")) for seed in range(3)]
    summary = read(one_by_one / "summary.json")
    own = {
        "format",
        "seed",
        "worst",
        "typical",
        "horizon_errors",
        "low",
        "high",
        "units",
    }  # what no mean over seeds is taken of
    expected = {name for row in rows for name in row if not {name.split(".")[0], name.split(".")[-1]} & own}
    assert set(summary["summary"]) == expected
    assert {"student.ade", "floor.ade", "student.fde.1.0", "last_ade", "action_std.labels.1"} <= set(summary["summary"])
    for name, spread in summary["summary"].items():
        values = [row[name] for row in rows if name in row]  # a seed without a turn has no error of turns
        if len(values) < 3:
            assert spread["count"] == len(values)
            continue
        half = T_2 * statistics.stdev(values) / math.sqrt(3)
        middle = statistics.mean(values)
        expected = {"mean": middle, "std": statistics.stdev(values), "min": min(values), "max": max(values)}
        expected |= {"count": 3, "low": middle - half, "high": middle + half}
        assert spread == pytest.approx(expected, rel=1e-9, abs=1e-12), name
    with (one_by_one / "summary.csv").open() as file:
        table_rows = list(csv.DictReader(file))
    assert [row.pop("metric") for row in table_rows] == list(summary["summary"])
    for row, spread in zip(table_rows, summary["summary"].values(), strict=True):
        assert {key: float(value) for key, value in row.items()} == spread


@pytest.mark.slow
def test_the_headline_shows_the_interval_in_the_terminal_and_in_tensorboard(one_by_one: Path) -> None:
    summary = read(one_by_one / "summary.json")
    ade = summary["summary"]["student.ade"]
    cell = f"{ade['mean']:.3f} ± {ade['std']:.3f} [{ade['low']:.3f}, {ade['high']:.3f}]"
    lines = table(summary).splitlines()
    assert lines[2].startswith("| LEFT | 3 | ")
    assert lines[2].split(" | ")[3] == cell
    assert len({line.count("|") for line in lines}) == 1
    events = EventAccumulator(str(one_by_one)).Reload()
    assert events.Tags()["scalars"] == []
    text = events.Tensors("summary/text_summary")[0].tensor_proto.string_val[0].decode()
    assert cell in text


def test_one_seed_has_no_interval_and_a_number_that_some_lack_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {0: {"student": {"ade": 1.0}, "ok": True}, 1: {"student": {"ade": 3.0}, "extra": 5}}
    monkeypatch.setattr(batch, "fit", lambda job, *_: found[job.seed])
    one = run_batch(batch_config("seeds=1"), tmp_path / "one")
    assert one["summary"] == {
        "student.ade": {"mean": 1.0, "std": 0.0, "min": 1.0, "max": 1.0, "count": 1, "low": None, "high": None}
    }
    assert (tmp_path / "one" / "summary.csv").read_text().splitlines()[1] == "student.ade,1.0,0.0,1.0,1.0,1,,"
    assert "1.000 ± 0.000 |" in table(one)
    two = run_batch(batch_config("seeds=2"), tmp_path / "two")["summary"]
    assert (two["student.ade"]["count"], two["student.ade"]["mean"]) == (2, 2.0)
    assert (two["student.ade"]["min"], two["student.ade"]["max"]) == (1.0, 3.0)
    assert (two["extra"]["count"], two["extra"]["mean"]) == (1, 5.0)


@pytest.mark.slow
def test_train_false_only_rolls_out(tmp_path: Path) -> None:
    summary = run_batch(
        batch_config("train=false", "seeds=3", "seed=4", "scenario=ALL", options=()), tmp_path / "batch"
    )
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
    run_batch(continued(batch_config(f"resume={tmp_path / 'batch'}", options=()), ["resume=x"]), tmp_path / "batch")
    assert (tmp_path / "batch" / "summary.json").read_bytes() == before


def stops_at(monkeypatch: pytest.MonkeyPatch, seed: int, step: int) -> None:
    """Ctrl-C in the middle of a seed's training."""

    def indices(n: int, size: int, of_seed: int, at: int, *rank: int) -> torch.Tensor:
        if (of_seed, at) == (seed, step):
            os.kill(os.getpid(), signal.SIGINT)
        return batch_indices(n, size, of_seed, at, *rank)

    monkeypatch.setattr(training, "batch_indices", indices)


@pytest.mark.slow
def test_it_goes_on_where_it_was_stopped_to_the_same_bits(
    one_by_one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stops_at(patch, seed=1, step=25)
        again = rf"continue: cd \S+ && \S*python\S* scripts/batch\.py resume={tmp_path}$"
        with pytest.raises(Interrupted, match=again) as stop:
            run_batch(batch_config("seeds=3"), tmp_path)
    assert stop.value.exit_code == 130
    assert not (tmp_path / "summary.json").exists()
    assert (tmp_path / "seed-0" / "metrics.json").exists()
    run_batch(continued(batch_config(f"resume={tmp_path}", options=()), [f"resume={tmp_path}"]), tmp_path)
    assert apart(tmp_path, one_by_one, besides=RESUMED) == []
    assert weights_apart(tmp_path, one_by_one) == 0


@pytest.mark.slow
def test_a_finished_seed_is_not_done_again_and_a_lost_one_is(one_by_one: Path, tmp_path: Path) -> None:
    again = shutil.copytree(one_by_one, tmp_path / "again")
    (again / "seed-1" / "metrics.json").unlink()
    shutil.rmtree(again / "seed-2")
    before = (again / "seed-0" / "checkpoints" / "last.pt").stat().st_mtime_ns
    run_batch(batch_config("seeds=3", "trainer.log_every=7"), again)
    assert (again / "seed-0" / "checkpoints" / "last.pt").stat().st_mtime_ns == before
    for name in SUMMARIES:
        assert (again / name).read_bytes() == (one_by_one / name).read_bytes()
    assert weights_apart(again, one_by_one) == 0
    assert len(list(again.glob("events.*"))) == 1


@pytest.mark.slow
def test_another_configuration_in_the_folder_is_named(one_by_one: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"seed-0 holds a run with optimizer.lr=0.005, this one has 0.01; take another"):
        run_batch(batch_config("seeds=3", "optimizer.lr=0.01"), one_by_one)
    (tmp_path / "moved" / "seed-0").mkdir(parents=True)
    shutil.copy(one_by_one / "seed-1" / "config.json", tmp_path / "moved" / "seed-0")
    with pytest.raises(UserError, match=r"seed-0 holds a run with seed=1, this one has 0; take another"):
        run_batch(batch_config("seeds=3"), tmp_path / "moved")
    with pytest.raises(UserError, match=r"seed-0 holds a run with plot=None, this one has False"):
        run_batch(batch_config("seeds=3", "train=false"), one_by_one)
    (tmp_path / "seed-1").mkdir()
    (tmp_path / "seed-1" / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match=r"seed-1 has no config.json: it is no folder that a batch wrote"):
        run_batch(batch_config("seeds=3"), tmp_path)
    (tmp_path / "seed-1" / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config.json is not valid JSON; remove .*seed-1 to do it again"):
        run_batch(batch_config("seeds=3"), tmp_path)
    assert not (tmp_path / "seed-0").exists()


@pytest.mark.slow
def test_a_batch_whose_label_file_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    """Its seeds would be of different labels, one mean of both."""
    file, out = results_json(tmp_path), tmp_path / "out"
    options = ("trainer=smoke", "trainer.pictures=0", "student.width=8", "teacher=file", f"teacher.path={file}")
    run_batch(batch_config("seeds=1", options=options), out)
    file.write_text(file.read_text().replace("clip-0", "clip-7"))
    with pytest.raises(UserError, match=r"seed-0: its labels changed since it learnt from them"):
        run_batch(batch_config("seeds=2", options=options), out)
    assert not (out / "seed-1").exists()


@pytest.mark.slow
def test_resume_takes_the_saved_configuration_and_little_else(one_by_one: Path) -> None:
    changed = ["seeds=5", "workers=3", "trainer.threads=2", f"resume={one_by_one}"]
    given = batch_config(*changed, options=("scenario=RIGHT",))
    assert continued(given, changed) == batch_config(*changed)
    for key in ("optimizer.lr", "trainer.steps", "scenario", "train", "seed", "+student.width"):
        with pytest.raises(
            UserError, match=rf"^{key.lstrip('+')} cannot change when a batch is continued; only seeds, workers, "
        ):
            continued(given, [f"{key}=1"])
    with pytest.raises(UserError, match=r"seed-0 is no batch's folder"):
        continued(batch_config(f"resume={one_by_one / 'seed-0'}"), [])
    with pytest.raises(UserError, match=r"^nowhere has no config.json"):
        continued(batch_config("resume=nowhere"), [])


def test_a_seed_that_fails_is_named_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sometimes(job: TrainConfig, *_: Any) -> dict[str, Any]:
        if job.seed == 1:
            raise UserError("loss/total is nan at step 3")
        if job.seed == 2:
            raise OSError(28, "No space left on device", "metrics.json")
        return {"student": {"ade": float(job.seed)}}

    monkeypatch.setattr(batch, "fit", sometimes)
    summary = run_batch(batch_config("seeds=4"), tmp_path)
    assert summary["failed"] == {"1": "loss/total is nan at step 3", "2": "metrics.json: No space left on device"}
    assert summary["summary"]["student.ade"]["mean"] == 1.5
    assert read(tmp_path / "summary.json") == summary
    assert table(summary).splitlines()[2].startswith("| LEFT | 2 | none | 1.500 ± ")
    with pytest.raises(UserError, match=r"^all 2 seeds failed, seed 1: loss/total is nan at step 3$"):
        run_batch(batch_config("seeds=2", "seed=1"), tmp_path / "all")


@dataclass
class Twin(StudentConfig):
    """A student that its options do not tell from the first one."""


def test_a_batch_of_such_students_goes_on_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fitted(job: TrainConfig, folder: Path, *_: Any) -> dict[str, Any]:
        write_json(folder / "config.json", to_dict(job))
        return {"student": {"ade": 1.0}}

    monkeypatch.setattr(batch, "fit", fitted)
    monkeypatch.setitem(students.SCHEMAS, "student/twin", Twin)
    run_batch(replace(batch_config("seeds=1"), student=Twin(width=8)), tmp_path)
    found = continued(batch_config(f"resume={tmp_path}", options=()), [f"resume={tmp_path}"])
    assert type(found.student) is Twin
    run_batch(found, tmp_path)
    with pytest.raises(
        UserError, match=r"seed-0 holds a run with student.schema=twin, this one has None; take another"
    ):
        run_batch(replace(found, student=StudentConfig(width=8)), tmp_path)


@pytest.mark.parametrize("given", ["vectorized=true", "vectorized=false", "+vectorized=true", "++vectorized=false"])
def test_an_option_that_was_taken_out_says_what_does_its_work(given: str) -> None:
    with pytest.raises((ConfigCompositionException, UserError)) as caught:
        batch_config(given)
    told = "vectorized was taken out: batch.py trains seeds in processes with workers=N"
    assert one_line(caught.value) == told


@pytest.mark.slow
def test_on_the_command_line_vectorized_is_one_line(command: Command) -> None:
    result = command("batch", "vectorized=true")
    assert result.returncode == 1
    assert result.stderr == "error: vectorized was taken out: batch.py trains seeds in processes with workers=N\n"


@pytest.mark.slow
@pytest.mark.parametrize("saved", [True, False])
def test_a_batch_of_the_time_of_vectorized_goes_on(saved: bool, one_by_one: Path, tmp_path: Path) -> None:
    old = shutil.copytree(one_by_one, tmp_path / "old")
    written = {**read(old / "config.json"), "vectorized": saved}
    del written["workers"]
    (old / "config.json").write_text(json.dumps(written))
    (old / "seed-2" / "metrics.json").unlink()
    found = continued(batch_config(f"resume={old}", options=()), [f"resume={old}"])
    assert found == batch_config("seeds=3", f"resume={old}")
    run_batch(found, old)
    assert apart(old, one_by_one, besides=RESUMED) == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("seeds=0",), "seeds must be >= 1 (got 0)"),
        (("trainer.resume=x",), "trainer.resume must be left alone: a batch has resume= (got 'x')"),
        (("train=false", "teacher=file", "teacher.path=x"), "teacher must be synthetic with train=false"),
        (("workers=0",), "workers must be >= 1 (got 0)"),
        (("seed=2147483647",), "seed must be between 0 and 2^31 - 1 (got 2147483648)"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(overrides: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        run_batch(batch_config(*overrides, options=()), tmp_path / "out")
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_on_the_command_line_all_failed_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for seed in (0, 1):
        (tmp_path / "run" / f"seed-{seed}").write_text("a file where a folder should be")
    result = command("batch", "train=false", "seeds=2", "hydra.run.dir=run")
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith("error: all 2 seeds failed, seed 0: ")
    assert list(read(tmp_path / "run" / "summary.json")["failed"]) == ["0", "1"]


@pytest.mark.parametrize(("typo", "meant"), [("worker", "workers"), ("seds", "seeds"), ("resum", "resume")])
def test_a_typo_gets_the_option_that_was_meant(typo: str, meant: str) -> None:
    with pytest.raises(ConfigCompositionException) as caught:
        batch_config(f"{typo}=1")
    assert one_line(caught.value) == f"there is no option {typo}; did you mean {meant}?"
    with pytest.raises(UserError, match=rf"^there is no option {typo}; did you mean {meant}\?$"):
        batch_config(f"+{typo}=1")


@pytest.mark.slow
def test_a_sweep_goes_on_beyond_a_failed_seed_and_says_so(command: Command, tmp_path: Path) -> None:
    (tmp_path / "sweep" / "0_scenario=LEFT").mkdir(parents=True)
    (tmp_path / "sweep" / "0_scenario=LEFT" / "seed-1").write_text("a file where a folder should be")
    result = command("batch", "-m", "scenario=LEFT,RIGHT", "train=false", "seeds=3", "hydra.sweep.dir=sweep")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "seed 1 failed: " in result.stderr.splitlines()[0]
    assert result.stderr.splitlines()[-1] == "error: 1 of 3 seeds failed"
    left, right = (read(tmp_path / "sweep" / name / "summary.json") for name in ("0_scenario=LEFT", "1_scenario=RIGHT"))
    assert (list(left["failed"]), left["summary"]["final_speed"]["count"]) == (["1"], 2)
    assert (right["scenario"], right["failed"], right["summary"]["final_speed"]["count"]) == ("RIGHT", {}, 3)
    assert f"summary: {tmp_path / 'sweep' / '1_scenario=RIGHT' / 'summary.json'}" in result.stdout
