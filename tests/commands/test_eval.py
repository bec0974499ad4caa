"""eval.py as a user types it: the same scores again, other scenes, and what does not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import SMOKE, run_script, wrong
from places import DATA, Command, assert_scored_alike

from alpamayo_toy import load_labels
from alpamayo_toy.evaluation.results import read_clips
from alpamayo_toy.metrics.displacement import distance
from alpamayo_toy.students import checkpoint

pytestmark = pytest.mark.slow  # they train, then evaluate


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 40 steps on LEFT."""
    run = tmp_path_factory.mktemp("trained") / "run"
    run_script("train", (*SMOKE, f"hydra.run.dir={run}"), run.parent).check_returncode()
    return run


def test_eval_scores_the_own_held_out_scenes_again(trained: Path, command: Command, tmp_path: Path) -> None:
    result = command("eval", f"checkpoint={trained}", "plot=false", f"output={tmp_path / 'told'}")
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "told" / "metrics.json").read_text())
    expected = json.loads((trained / "metrics.json").read_text())
    assert found.pop("command") == "eval"
    assert_scored_alike(found, {name: expected[name] for name in expected.keys() - {"command", "last_ade", "best_by"}})


def test_eval_takes_another_scenario_and_another_file(trained: Path, command: Command) -> None:
    few = ("teacher=synthetic", "teacher.val_scenes=64", "plot=false")
    result = command("eval", f"checkpoint={trained}", "scenario=RIGHT", *few)
    assert result.returncode == 0, result.stderr
    right = json.loads((trained / "eval" / "RIGHT" / "metrics.json").read_text())
    own = json.loads((trained / "metrics.json").read_text())
    assert right["scenario"] == "RIGHT"
    assert "keeps its own" not in result.stdout
    stop = command("eval", f"checkpoint={trained}", "scenario=STOP", *few)
    assert "the student keeps its own action statistics: std " in stop.stdout
    assert right["student"]["ade"] > 2 * own["student"]["ade"]
    best = trained / "checkpoints" / "best.pt"
    result = command("eval", f"checkpoint={best}", "teacher=file", f"teacher.path={DATA / 'labels.npz'}")
    assert result.returncode == 0, result.stderr
    other = json.loads((trained / "eval" / "labels" / "metrics.json").read_text())
    assert other["clips"] == 24
    assert other["floor"]["kind"] == "leave_one_out_median"
    assert (trained / "eval" / "labels" / "figures" / "birds_eye.png").exists()


def test_eval_writes_what_it_predicts(trained: Path, command: Command, tmp_path: Path) -> None:
    """Its errors are those of clips.csv, and a row of Parquet is a trajectory of the arrays."""
    pq = pytest.importorskip("pyarrow.parquet")
    given = (f"checkpoint={trained}", "teacher=file", f"teacher.path={DATA / 'labels.npz'}", "plot=false")
    for name in ("out.npz", "out.parquet"):
        result = command("eval", *given, f"predictions={tmp_path / name}")
        assert result.returncode == 0, result.stderr
    found, labels = np.load(tmp_path / "out.npz"), load_labels(DATA / "labels.npz")
    assert found["clip_id"].tolist() == labels.clip_id.tolist()
    errors = distance(torch.from_numpy(found["trajectories"]), labels.teacher).mean((-2, -1))
    clips = read_clips(trained / "eval" / "labels" / "clips.csv")
    assert errors.tolist() == pytest.approx(clips["teacher.student.ade"], rel=1e-5)
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["clip_id"] for row in rows] == labels.clip_id.tolist()
    for row, trajectory, actions in zip(rows, found["trajectories"][:, 0], found["actions"][:, 0], strict=True):
        assert np.array_equal(np.stack([row[c] for c in ("x", "y", "yaw", "v")], -1), trajectory)
        assert np.array_equal(np.stack([row["a"], row["kappa"]], -1), actions)
        assert (row["sample_idx"], row["probability"], row["dt"]) == (0, 1.0, 0.1)
    message = "predictions must be a file that ends in .npz or .parquet (got 'out.csv')"
    assert message in wrong(command, "eval", f"checkpoint={trained}", "predictions=out.csv")


def test_eval_names_what_does_not_fit(trained: Path, command: Command, tmp_path: Path) -> None:
    assert "checkpoint must be a run's folder" in wrong(command, "eval")
    assert "there is no nowhere" in wrong(command, "eval", "checkpoint=nowhere")
    assert "seed must be between 0 and 2^31 - 1" in wrong(command, "eval", f"checkpoint={trained}", "seed=-1")
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
