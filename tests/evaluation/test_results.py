"""What an evaluation leaves: clips.csv and back, two runs side by side, the terminal's table."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.results import compare, read_clips, said_of, table, write_clips

N = 40


def run(folder: Path, shift: float, seed: int = 0, v0: float = 5.0) -> str:
    """A run's folder with a table of clips whose errors are shifted by so much."""
    errors = np.random.default_rng(seed).uniform(1, 2, N) + shift
    columns = {
        "clip_id": [f'clip "{i}", é' for i in range(N)],
        "t0_us": list(range(N)),
        "scenario": ["LEFT"] * N,
        "waymo": ["STRAIGHT"] * N,
        "v0": [v0] * N,
        "teacher.student.ade": errors.tolist(),
        "teacher.student.miss": [float(e > 1.5) for e in errors],
        "teacher.stationary.ade": [2 * v0] * N,
        "teacher.ridge.ade": [float("nan")] * N,
    }
    write_clips(folder / "clips.csv", columns)
    return str(folder)


def test_clips_come_back(tmp_path: Path) -> None:
    run(tmp_path / "a", 0.0)
    found = read_clips(tmp_path / "a" / "clips.csv")
    assert found["clip_id"][3] == 'clip "3", é'
    assert found["teacher.student.ade"] == (np.random.default_rng(0).uniform(1, 2, N)).tolist()
    assert np.isnan(found["teacher.ridge.ade"]).all()


def test_runs_side_by_side_are_paired_by_clip(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", 0.0), run(tmp_path / "b", 0.05), run(tmp_path / "c", 0.0, seed=1)]
    text = compare(runs, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    first, better, other = content["metrics"]["teacher.student.ade"]
    assert (content["clips"], content["units"]) == (N, N)
    assert first["difference"]["mean"] == 0
    assert better["difference"]["mean"] == pytest.approx(0.05)
    assert better["difference"]["decided"] is True  # far below the spread of the clips, but the same on each
    assert other["difference"]["decided"] is False
    assert "B - A: +0.050 [0.050, 0.050]  a real difference" in text
    assert "teacher.ade [m]" in text
    assert "teacher.miss [%]" in text


def test_one_trajectory_beside_several_and_what_all_are_beside(tmp_path: Path) -> None:
    """minADE of one trajectory is its ADE; baselines stand below with the interval of their own mean."""
    single, several = Path(run(tmp_path / "a", 0.0)), Path(run(tmp_path / "b", 0.0, seed=1))
    table = read_clips(several / "clips.csv")
    write_clips(several / "clips.csv", {**table, "teacher.student_modes.min_ade": [0.5] * N})
    text = compare([str(single), str(several)], tmp_path / "out")
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())["metrics"]
    alone, modes = content["teacher.student_modes.min_ade"]
    assert alone["mean"] == content["teacher.student.ade"][0]["mean"]
    assert modes["mean"] == 0.5
    assert re.search(r"teacher.modes_min_ade \[m\] +1\.\d+ +0\.500\n +B - A: -", text)
    assert re.search(r"teacher.stationary.ade \[m\] +(\d+\.000) +\1  \[\1, \1\]\n", text + "\n")


def test_the_folds_of_a_run_are_one_run(tmp_path: Path) -> None:
    """Two halves of a run's clips, side by side with the whole of it."""
    whole = read_clips(Path(run(tmp_path / "whole", 0.0)) / "clips.csv")
    for half, rows in (("0", slice(0, 20)), ("1", slice(20, N))):
        (tmp_path / "folds" / half).mkdir(parents=True)
        write_clips(tmp_path / "folds" / half / "clips.csv", {name: column[rows] for name, column in whole.items()})
    (tmp_path / "folds" / "notes.yaml").write_text("of a sweep")
    compare([str(tmp_path / "folds" / "*"), str(tmp_path / "whole")], tmp_path / "out")
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    first, second = content["metrics"]["teacher.student.ade"]
    assert (content["clips"], content["units"]) == (N, N)
    assert first["mean"] == second["mean"]
    assert second["difference"]["mean"] == 0
    shutil.copytree(tmp_path / "folds" / "1", tmp_path / "folds" / "2")
    with pytest.raises(UserError, match="some of its folders were scored on the same clips"):
        compare([str(tmp_path / "folds" / "*"), str(tmp_path / "whole")], tmp_path / "out")
    with pytest.raises(UserError, match=r"there is no folder .*nothing"):
        compare([str(tmp_path / "nothing*"), str(tmp_path / "whole")], tmp_path / "out")


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    one, other = run(tmp_path / "a", 0.0), run(tmp_path / "b", 0.0, v0=6.0)
    with pytest.raises(UserError, match="name other clips alike"):
        compare([one, other], tmp_path / "out")
    with pytest.raises(UserError, match=r"there is no run's folder .*nowhere"):
        compare([one, str(tmp_path / "nowhere")], tmp_path / "out")
    (tmp_path / "old").mkdir()
    with pytest.raises(UserError, match=r"old holds no clips\.csv; make one, then compare .*old/eval/held_out: python"):
        compare([one, str(tmp_path / "old")], tmp_path / "out")
    whole = (tmp_path / "b" / "clips.csv").read_text()
    for text in ("clip_id,t0_us\na,b,c\n", "clip_id,t0_us\n", "", whole.replace("v0", "w0"), whole + whole[-200:]):
        (tmp_path / "b" / "clips.csv").write_text(text)
        with pytest.raises(UserError, match="is no table of clips"):
            compare([one, other], tmp_path / "out")
    table_of_others = read_clips(Path(one) / "clips.csv")
    write_clips(tmp_path / "c" / "clips.csv", {**table_of_others, "clip_id": ["x"] * N})
    with pytest.raises(UserError, match="have no clip in common"):
        compare([one, str(tmp_path / "c")], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_table_says_when_there_is_too_little_to_say() -> None:
    few = {"mean": 1.0, "low": None, "high": None, "units": 3, "clips": 50}
    metrics = {
        "clips": 50,
        "samples": 1,
        "split": "clip",
        "route_source": None,
        "v0_sources": {"recovered": 50},
        "units": {"count": 3, "kind": "30 s blocks of drives"},
        "scores": {"teacher": {"student": {"ade": few, "fde": few}, "ridge": {"ade": few, "fde": few}}},
        "not_available": {"decaying_hold": "needs a history"},
        "paired": {"teacher": {"ridge": {**few, "decided": None}}},
        "ade_over_floor": None,
        "energy_over_teacher": None,
        "distribution": {
            "energy": {"student": few, "teacher": None},
            "calibration_error": None,
            "regions": None,
            "crowd": None,
        },
        "action_std": {"student": [1.0, 1.0], "labels": [1.0, 4.0]},
        "checks": {"finite": True},
    }
    text = table(metrics)
    assert "over 3 independent 30 s blocks of drives: fewer than 20, too few for an interval" in text
    assert f"student - ridge: +1.000   {said_of(None)}" in text
    assert "n/a: needs a history" in text
    assert "v0 of 50 clips, which have no history, is that of the teacher's own trajectory" in text
    assert "the student keeps its own action statistics" in text
    assert "energy score [m] 1.000\n" in text


@pytest.mark.slow
def test_the_table_says_what_the_file_says(students: dict[str, Path]) -> None:
    metrics = json.loads((students["shown"] / "metrics.json").read_text())
    text = table(metrics)
    assert f"ADE / floor {metrics['ade_over_floor']:.3f}" in text
    assert f"{metrics['student']['fde']['3.0']:.3f}" in text
    assert text.endswith("checks: passed")
    broken = {**metrics, "checks": {**metrics["checks"], "finite": False}}
    assert table(broken).endswith("checks: failed: finite")
