"""Labels that are actions: what they roll out to, from the speed that the file states or its history."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from records_of_clips import PAST, PAST_TURNED, SECOND, js, npz, rows
from written import CLIPS, K, N

from alpamayo_toy import Labels, UnicycleRollout, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.recovery import label_actions

V0 = np.linspace(1.0, 12.0, N)
DRAW = np.random.default_rng(0)
PAIRS = np.cumsum(DRAW.normal(size=(N, K, 64, 2)) * [0.05, 0.001], axis=2)
DRIVEN = UnicycleRollout(0.1, "trapezoid")(torch.from_numpy(PAIRS), torch.from_numpy(V0)[:, None])


def answers(**fields: Any) -> dict[str, Any]:
    """What TensorRT-Edge-LLM writes of one plan a clip, and what a user adds to it."""
    responses = []
    for i in range(N):
        own = {key: value[i].tolist() if isinstance(value, np.ndarray) else value for key, value in fields.items()}
        answer = {"output_text": "go", "request_idx": i, "batch_idx": 0, "messages": [{"role": "user", "content": []}]}
        responses.append({**answer, "clip_id": CLIPS[i], "t0_us": i * SECOND, **own})
    return {"input_file": "requests.json", "responses": responses}


def check(labels: Labels, k: int, tolerance: float = 1e-9) -> None:
    assert labels.clip_id.tolist() == CLIPS
    assert labels.teacher.shape == (N, k, 64, 4)
    assert float((labels.teacher - DRIVEN[:, :k]).abs().max()) < tolerance


def test_actions_are_rolled_out_from_their_v0(tmp_path: Path) -> None:
    js(answers(output_trajectory=PAIRS[:, 0], v0=V0))(tmp_path)
    labels = load_labels(tmp_path)
    check(labels, 1, 1e-6)
    assert labels.v0.tolist() == V0.tolist()
    assert set(labels.v0_source) == {"file"}
    given_back = label_actions(labels.teacher, labels.v0[:, None], labels.dt, "trapezoid")
    torch.testing.assert_close(given_back, torch.from_numpy(PAIRS[:, :1]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("key", ["output_trajectory", "accel_curvature"])
def test_several_samples_in_any_container(key: str, tmp_path: Path) -> None:
    js(rows(**{key: lambda i: PAIRS[i], "v0": lambda i: V0[i]}))(tmp_path)
    check(load_labels(tmp_path / "labels.json"), K, 1e-6)
    npz(clip_id=np.array(CLIPS), t0_us=np.arange(N) * SECOND, v0=V0, **{key: PAIRS})(tmp_path)
    check(load_labels(tmp_path / "labels.npz"), K, 1e-6)


def test_the_speed_is_that_of_the_history_where_none_is_stated(tmp_path: Path) -> None:
    past = PAST * 0
    t = np.linspace(-1.5, 0, 16)
    past[..., 0] = V0[:, None] * t + t * t / 2  # faster by 1 m/s^2
    js(answers(output_trajectory=PAIRS[:, 0], ego_history_xyz=past, ego_history_rot=PAST_TURNED))(tmp_path)
    labels = load_labels(tmp_path)
    assert set(labels.v0_source) == {"history"}
    assert float((labels.v0 - torch.from_numpy(V0)).abs().max()) < 2e-3
    wanted = UnicycleRollout(0.1, "trapezoid")(torch.from_numpy(PAIRS[:, :1]), labels.v0[:, None])
    assert float((labels.teacher - wanted).abs().max()) < 1e-6


@pytest.mark.parametrize("channel", [0, 1])
def test_the_largest_action_is_one_and_what_lies_beyond_is_none(channel: int, tmp_path: Path) -> None:
    pairs = np.zeros((N, 64, 2))
    pairs[1, 3, channel] = -(10.0, 0.5)[channel]  # m/s^2, 1/m
    js(answers(output_trajectory=pairs, v0=V0))(tmp_path)
    assert len(load_labels(tmp_path)) == N
    pairs[1, 3, channel] *= 1.01
    js(answers(output_trajectory=pairs, v0=V0))(tmp_path)
    with pytest.raises(UserError, match=r"holds pairs beyond 10 m/s\^2 or 0\.5 1/m"):
        load_labels(tmp_path)


def test_positions_beside_actions_are_what_is_read(tmp_path: Path) -> None:
    content = rows(pred_xy=lambda i: DRIVEN[i, ..., :2].numpy(), output_trajectory=lambda i: PAIRS[i] * 0)
    js(content)(tmp_path)
    assert float((load_labels(tmp_path).teacher[..., :2] - DRIVEN[..., :2]).abs().max()) < 1e-6


def test_what_it_is_can_be_said_by_hand(tmp_path: Path) -> None:
    js(answers(trajectory=PAIRS[:, 0], v0=V0))(tmp_path)
    with pytest.raises(UserError, match=r"trajectory may be actions .* or points; say which: --map actions=trajectory"):
        load_labels(tmp_path)
    check(load_labels(tmp_path, "auto,actions=trajectory"), 1, 1e-6)
    js(answers(trajectory=DRIVEN[:, 0, :, :2].numpy()))(tmp_path)
    labels = load_labels(tmp_path, "auto,teacher=trajectory")
    assert float((labels.teacher[:, 0, :, :2] - DRIVEN[:, 0, :, :2]).abs().max()) < 1e-6


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"output_trajectory": PAIRS[:, 0]}, "are actions, which need v0 in m/s or a history beside them"),
        ({"output_trajectory": PAIRS[:, 0], "v0": None}, "need v0 in m/s"),
        (
            {"output_trajectory": DRIVEN[:, 0, :, :2].numpy(), "v0": V0},
            r"are they positions\? Say it: --map teacher=out",
        ),
        ({"output_trajectory": PAIRS[:, 0, :, :1], "v0": V0}, r"must have shape \[K\]\[T\]\[2\]"),
        ({"output_trajectory": np.full((N, 64, 2), np.nan), "v0": V0}, "NaN"),
    ],
)
def test_what_cannot_be_rolled_out_is_one_line(fields: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(answers(**fields)))
    with pytest.raises(UserError, match=said) as refused:
        load_labels(tmp_path)
    assert str(tmp_path) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
