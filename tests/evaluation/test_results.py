"""What an evaluation leaves: clips.csv and back, the terminal's table."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_tables import N, write_run
from places import DATA

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.evaluate import _ratio
from alpamayo_toy.evaluation.groups import groups_of
from alpamayo_toy.evaluation.results import clips_of, read_clips, said_of, sentence, table, write_clips
from alpamayo_toy.metrics.scores import Scores


def test_clips_come_back(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0.0)
    found = read_clips(tmp_path / "a" / "clips.csv")
    assert found["clip_id"][3] == 'clip "3", é'
    assert found["teacher.student.ade"] == (np.random.default_rng(0).uniform(1, 2, N)).tolist()
    assert np.isnan(found["teacher.ridge.ade"]).all()


def test_nothing_is_an_empty_cell_and_zero_is_none(tmp_path: Path) -> None:
    path = Path(write_run(tmp_path / "a", 0.0)) / "clips.csv"
    errors = [0.0, math.nan, 1e-30, *[1.0] * (N - 3)]
    write_clips(path, read_clips(path) | {"teacher.student.ade": errors})
    assert "nan" not in path.read_text()
    assert read_clips(path)["teacher.student.ade"] == pytest.approx(errors, abs=0, nan_ok=True)


def test_a_clip_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path = Path(write_run(tmp_path / "a", 0.0)) / "clips.csv"
    write_clips(path, {name: [*column, column[3]] for name, column in read_clips(path).items()})
    with pytest.raises(UserError, match=r"clips\.csv is no table of clips: a clip is twice"):
        read_clips(path)


def test_the_table_says_when_there_is_too_little_to_say() -> None:
    few = {"mean": 1.0, "low": None, "high": None, "units": 3, "clips": 50}
    metrics = {
        "clips": 50,
        "samples": 1,
        "split": "clip",
        "route_source": None,
        "v0_sources": {"recovered": 20, "smoothed": 30, "history": 7},
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
    alike = {"student": few, "teacher": {**few, "mean": 0.0}}  # a teacher whose samples are one
    assert _ratio(alike) is None
    text = table({**metrics, "distribution": {**metrics["distribution"], "energy": alike}})
    assert "energy score [m] 1.000, the teacher's own 0.000\n" in text
    apart = "the student keeps its own action statistics"
    for theirs, said in (([1.49, 0.67], False), ([1.51, 1.0], True), ([1.0, 0.66], True), ([0.68, 1.49], False)):
        told = table({**metrics, "action_std": {"student": [1.0, 1.0], "labels": theirs}})
        assert (apart in told) == said, theirs
    unknown = table({**metrics, "checks": {"finite": True, "speed_non_negative": None}})
    assert unknown.endswith("checks: passed (not whether speeds are negative, which its integrator allows)")


def test_several_trajectories_are_judged_as_a_distribution_first() -> None:
    metrics = {
        "student": {"ade": 2.0},
        "ade_over_floor": 4.0,
        "floor": {"ade": 0.5},
        "baselines": {"along_the_route": {"ade": 3.0}, "stationary": {"ade": 9.0}},
        "energy_over_teacher": 1.5,
        "distribution": {
            "modes": 1,
            "samples": 1,
            "energy": {"student": {"mean": 0.6}, "teacher": {"mean": 0.4}},
        },
    }
    one = (
        "is 2.000 m off on average (ADE), 4.00 times the floor of 0.500 m, the best that one answer can do as"
        " estimated; the best baseline, along the route, is 3.000 m off."
    )
    assert sentence(metrics) == f"the student {one}"
    metrics["distribution"]["modes"] = 6
    whole = "the student is 0.600 m off as a distribution (energy score), 1.50 times the teacher's own 0.400 m"
    assert sentence(metrics) == f"{whole}; its likeliest trajectory {one}"


@pytest.mark.slow
def test_the_table_says_what_the_file_says(students: dict[str, Path]) -> None:
    metrics = json.loads((students["shown"] / "metrics.json").read_text())
    text = table(metrics)
    assert f"ADE / floor {metrics['ade_over_floor']:.3f}" in text
    assert f"{metrics['student']['fde']['3.0']:.3f}" in text
    assert text.endswith("checks: passed")
    broken = {**metrics, "checks": {**metrics["checks"], "finite": False}}
    assert table(broken).endswith("checks: failed: finite")


def test_of_the_student_every_number_is_kept_and_of_the_others_ade_and_min_ade() -> None:
    labels = load_labels(DATA / "labels.npz").select(torch.arange(2))
    numbers = {name: torch.tensor([1.0, 2.0]) for name in ("ade", "min_ade", "miss")}
    rows = {who: Scores(numbers, torch.zeros(1)) for who in ("student", "student_modes", "ridge")}
    found = clips_of(labels, labels.v0, groups_of(labels, labels.teacher[:, 0], labels.v0), {"teacher": rows})
    assert [name for name in found if name.startswith("teacher.")] == [
        *(f"teacher.{who}.{name}" for who in ("student", "student_modes") for name in numbers),
        "teacher.ridge.ade",
        "teacher.ridge.min_ade",
    ]
    assert found["scenario"] == [labels.scenario_names[int(number)] for number in labels.scenario]
    assert found["v0"] == labels.v0.tolist()
