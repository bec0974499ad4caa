"""The records check themselves, and what is taken from them is theirs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from places import DATA

from alpamayo_toy import Labels, Prediction, Scene, load_labels
from alpamayo_toy.kinematics.trajectory import DT, HORIZON, Scenario


def full() -> Labels:
    """Three clips of two samples and five steps with everything that there is, each number another one."""
    n, k, t = 3, 2, 5
    draw = torch.Generator().manual_seed(0)
    names = np.array([f"clip-{i}" for i in range(n)])
    return Labels(
        clip_id=names,
        t0_us=torch.arange(n),
        v0=torch.rand(n, generator=draw),
        teacher=torch.rand(n, k, t, 4, generator=draw),
        scenario=torch.tensor([1, len(Scenario), len(Scenario) + 1]),
        source=names,
        v0_source=names,
        scenario_source="file",
        ground_truth=torch.rand(n, t, 4, generator=draw),
        history=torch.rand(n, 6, 4, generator=draw),
        context=torch.rand(n, 1, generator=draw),
        context_names=("limit",),
        route=torch.rand(n, 20, 2, generator=draw),
        route_source="file",
        own_scenarios=("MERGE", "YIELD"),
        text=np.array([["a", "b"]] * n),
    )


def test_labels_check_themselves() -> None:
    labels: Labels = load_labels(DATA / "labels.npz")
    with pytest.raises(ValueError, match=r"v0 must have shape \(24,\)"):
        replace(labels, v0=labels.v0[:3])
    with pytest.raises(ValueError, match="scenario_source must be file or future"):
        replace(labels, scenario_source="guess")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": torch.zeros(3, 2, 5, 3)}, r"teacher must have shape \(N, K, T, 4\), K and T >= 1"),
        ({"teacher": torch.zeros(3, 0, 5, 4)}, "K and T >= 1"),
        ({"teacher": torch.zeros(3, 2, 0, 4)}, "K and T >= 1"),
        ({"ground_truth": torch.zeros(3, 4, 4)}, r"ground_truth must have shape \(3, 5, 4\)"),
        ({"history": torch.zeros(3, 6, 3)}, r"history must have shape \(3, None, 4\)"),
        ({"context": torch.zeros(3, 2)}, r"context must have shape \(3, 1\)"),
        ({"route": torch.zeros(3, 19, 2)}, r"route must have shape \(3, 20, 2\)"),
        ({"text": np.array(["a"] * 2)}, r"text must have shape \(3,\)"),
        ({"clip_id": np.array(["a"] * 4)}, r"clip_id must have shape \(3,\)"),
        ({"v0": torch.tensor([0.0, torch.nan, 0.0])}, "v0 of clip clip-1 holds NaN or infinite values"),
        ({"ground_truth": torch.full((3, 5, 4), torch.inf)}, "ground_truth of clip clip-0 holds NaN or infinite"),
        ({"route_source": "guess"}, "route_source must be file, recorded or future"),
    ],
)
def test_what_does_not_go_together_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(full(), **change)
    assert len(replace(full(), text=np.array(["a"] * 3))) == 3


def test_scenarios_of_ones_own_are_unknown_to_files() -> None:
    labels = full()
    assert labels.scenario_names[-3:] == ("U_TURN", "MERGE", "YIELD")
    assert labels.listed().scenario.tolist() == [1, -1, -1]
    assert labels.listed().own_scenarios == ()


def test_a_scenario_that_was_read_off_the_future_is_shown_to_an_oracle_alone() -> None:
    labels = full()
    assert torch.equal(labels.scene().scenario, labels.scenario)
    future = replace(labels, scenario_source="future")
    assert future.scene().scenario.tolist() == [-1, -1, -1]
    assert torch.equal(future.scene(oracle=True).scenario, labels.scenario)
    for name in ("v0", "history", "context", "route"):
        assert getattr(future.scene(), name) is getattr(labels, name)


def test_clips_are_taken_whole_and_in_the_order_asked_for() -> None:
    labels, order = full(), [2, 0]
    some = labels.select(torch.tensor(order))
    seen = labels.scene().select(torch.tensor(order))
    assert some.context_names == ("limit",)
    for name, value in vars(labels).items():
        if isinstance(value, torch.Tensor | np.ndarray):
            assert getattr(some, name).tolist() == [value[i].tolist() for i in order], name
    for name, value in vars(seen).items():
        assert torch.equal(value, getattr(labels, name)[order]), name


def test_scenes_move_to_a_type_but_for_their_scenario() -> None:
    moved = full().scene().to(torch.float64)
    assert {name: value.dtype for name, value in vars(moved).items()} == {
        **dict.fromkeys(("v0", "history", "context", "route"), torch.float64),
        "scenario": torch.int64,
    }
    bare = Scene(torch.zeros(2, dtype=torch.int64), torch.zeros(2))
    assert bare.to(torch.float64).history is None
    assert len(bare) == 2


def test_predictions_are_joined_and_the_likeliest_stands_for_all() -> None:
    def made(*odds: float) -> Prediction:
        numbers = torch.arange(float(len(odds)))[None, :, None, None]
        return Prediction(numbers.expand(1, -1, 3, 2), numbers.expand(1, -1, 3, 4), torch.tensor([odds]).log())

    both = Prediction.joined([made(0.2, 0.5, 0.3), made(0.6, 0.3, 0.1)])
    torch.testing.assert_close(both.probabilities, torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]]))
    alone = both.likeliest()
    assert alone.actions[:, 0, 0, 0].tolist() == alone.trajectories[:, 0, 0, 0].tolist() == [1.0, 0.0]
    assert alone.probabilities.tolist() == [[1.0], [1.0]]
    assert both.to(torch.float64).log_probabilities.dtype == torch.float64


def test_alpamayos_horizon_is_6_4_seconds_in_steps_of_a_tenth() -> None:
    assert (DT, HORIZON, full().dt) == (0.1, 64, 0.1)
