"""Options of eval.py, rollout.py and drive.py: the last value that each takes, and the first that it does not."""

from types import SimpleNamespace
from typing import Any

import pytest

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.config import DriveConfig, DriveOptions, EvalConfig, RolloutConfig
from alpamayo_toy.teachers.config import FileConfig

ENDS: list[tuple[str, tuple[Any, ...], tuple[Any, ...]]] = [
    ("scenes", (1, 100_000), (0, 100_001)),
    ("seconds", (1e-3, 60), (0, 60.1)),
    ("every", (1, 4096), (0, 4097)),
    ("delay", (0, 10), (-1, 11)),
    ("noise", (0.0, 1.0), (-0.01, 1.01)),
    ("offset_m", (-5, 5), (-5.1, 5.1)),
    ("integrator", (None, "euler", "trapezoid"), ("rk4",)),
]


@pytest.mark.parametrize(("name", "taken", "refused"), ENDS, ids=[name for name, *_ in ENDS])
def test_a_drive_takes_its_options_up_to_their_ends(
    name: str, taken: tuple[Any, ...], refused: tuple[Any, ...]
) -> None:
    for value in taken:
        assert getattr(DriveOptions(**{name: value}), name) == value
    for value in refused:
        with pytest.raises(UserError, match=rf"drive\.{name} must be "):
            DriveOptions(**{name: value})


def test_a_drive_has_two_steps_or_more() -> None:
    assert [DriveOptions(seconds=s).steps(0.1) for s in (0.05, 0.2, 2.96, 20.0)] == [2, 2, 30, 200]
    assert DriveOptions(seconds=20.0).steps(0.05) == 400


@pytest.mark.parametrize("crowd", [-1, 100_001])
def test_a_crowd_may_be_none_and_not_without_end(crowd: int) -> None:
    assert EvalConfig(checkpoint="x", crowd=0).crowd == 0
    assert EvalConfig(checkpoint="x", crowd=100_000).crowd == 100_000
    with pytest.raises(UserError, match="crowd must be >= 0 clips and at most 100000"):
        EvalConfig(checkpoint="x", crowd=crowd)


FILE = FileConfig("labels.json")
LEFT = SimpleNamespace(name="LEFT")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"compare": ["a"]}, "compare must be two runs' folders or more"),
        ({}, "checkpoint must be a run's folder"),
        ({"compare": ["a", "b"], "checkpoint": "x"}, "checkpoint must be left out beside compare"),
        ({"compare": ["a", "b"], "scenario": LEFT}, r"scenario must be left out beside compare=\[A,B\] \(got 'LEFT'\)"),
        ({"compare": ["a", "b"], "teacher": FILE}, "teacher must be left out beside compare"),
        ({"compare": ["a", "b"], "seed": 0}, "seed must be left out beside compare"),
        ({"compare": ["a", "b"], "predictions": "x.npz"}, "predictions must be left out beside compare"),
        ({"checkpoint": "x", "scenario": LEFT, "teacher": FILE}, "scenario must be left out beside teacher=file"),
        (
            {"checkpoint": "x", "teacher": FileConfig("a.json", val_path="b.json")},
            r"teacher\.val_path must be left out: teacher\.path is what is scored",
        ),
        ({"checkpoint": "x", "predictions": "x.csv"}, r"predictions must be a file that ends in \.npz or \.parquet"),
        ({"checkpoint": "x", "seed": 2**31}, "seed must be between 0 and"),
    ],
)
def test_what_does_not_go_together_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        EvalConfig(**given)


def test_what_goes_together_is_taken() -> None:
    EvalConfig(compare=["a", "b"])
    EvalConfig(checkpoint="x", teacher=FILE, predictions="x.parquet", seed=2**31 - 1)
    assert RolloutConfig(scenario=LEFT).horizon == 64
    with pytest.raises(UserError, match="scenario must be one of configs/scenario"):
        RolloutConfig(scenario=None)
    for hidden in ([], ["history", "context", "route"]):
        assert DriveConfig(checkpoint="x", hide=hidden).hide == hidden
    with pytest.raises(UserError, match="hide must be among history, context, route"):
        DriveConfig(checkpoint="x", hide=["scenario"])
