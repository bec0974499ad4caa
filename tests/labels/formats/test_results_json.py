"""The results file: speeds are recovered, and every broken clip is named in one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import LABELS_60, needs_60_clips
from written import clips

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.metrics.displacement import distance, min_ade


def write_json(folder: Path, content: object) -> Path:
    path = folder / "labels.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_json_becomes_labels_with_recovered_speeds(tmp_path: Path) -> None:
    labels = load_labels(write_json(tmp_path, clips()))
    assert labels.teacher.shape == (3, 2, 64, 4)
    assert labels.v0.tolist() == pytest.approx([0, 5, 10], abs=1e-3)
    assert list(labels.clip_id) == ["clip-0", "clip-1", "clip-2"]
    assert labels.text is not None
    assert list(labels.text) == ["text 0", "text 1", "text 2"]
    assert set(labels.v0_source) == {"recovered"}
    assert labels.scenario_source == "future"
    assert labels.ground_truth is not None
    assert (labels.ground_truth[..., 3] - labels.teacher[:, 0, :, 3]).abs().max() < 0.01
    assert bool((labels.scene().scenario == -1).all())
    assert torch.equal(labels.scene(oracle=True).scenario, labels.scenario)


def test_rounded_positions_are_smoothed_and_say_so(tmp_path: Path) -> None:
    content = clips()
    for clip in content:
        clip["pred_xyz"] = np.round(clip["pred_xyz"], 2).tolist()
    labels = load_labels(write_json(tmp_path, content))
    assert set(labels.v0_source) == {"smoothed"}
    assert labels.v0.tolist() == pytest.approx([0, 5, 10], abs=0.1)


@needs_60_clips
def test_the_60_real_clips_score_as_their_file_says() -> None:
    labels = load_labels(LABELS_60)
    assert labels.ground_truth is not None
    stored = torch.tensor([clip["min_ade"] for clip in json.loads(LABELS_60.read_text())], dtype=torch.float64)
    found = min_ade(labels.teacher, labels.ground_truth)
    assert (found - stored).abs().max() < 1e-4
    assert float(found.mean()) == pytest.approx(0.85569, abs=5e-6)
    errors = distance(labels.teacher, labels.ground_truth.unsqueeze(1)).mean(-1)
    assert float(errors[:, 0].mean()) == pytest.approx(1.77715, abs=5e-6)
    assert float(errors.mean()) == pytest.approx(1.70950, abs=5e-6)


def broken(name: str) -> object:
    """Content of a JSON label file with one thing wrong."""
    content = clips()
    edits: dict[str, Any] = {
        "nan": lambda: content[1]["pred_xyz"][0][5].__setitem__(0, float("nan")),
        "ground truth nan": lambda: content[2]["gt_xyz"][5].__setitem__(0, float("inf")),
        "short": lambda: content[1]["pred_xyz"][0].pop(),
        "one sample less": lambda: content[1]["pred_xyz"].pop(),
        "no pred_xyz": lambda: content[1].pop("pred_xyz"),
        "flat": lambda: content[1].update(pred_xyz=[1.0, 2.0]),
        "words": lambda: content[1].update(pred_xyz="everywhere"),
        "t0": lambda: content[1].update(t0_us="noon"),
        "other horizon": lambda: [clip["gt_xyz"].pop() for clip in content],
    }
    edits[name]()
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nan", "teacher of clip clip-1 holds NaN"),
        ("ground truth nan", "ground truth of clip clip-2 holds NaN"),
        ("short", "pred_xyz of clip clip-1 is not a regular array"),
        ("one sample less", r"clip clip-1 has K, T = \(1, 64\) with steps of 0.1 s, clip clip-0 has \(2, 64\)"),
        ("no pred_xyz", "clip clip-1 has no pred_xyz"),
        ("flat", r"pred_xyz of clip clip-1 must have shape \[K\]\[T\]\[3\]"),
        ("words", "pred_xyz of clip clip-1 is not a regular array"),
        ("t0", "t0_us of clip clip-1 must be an integer"),
        ("other horizon", "gt_xyz has 63 steps, pred_xyz 64"),
    ],
)
def test_a_broken_clip_is_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_labels(write_json(tmp_path, broken(content)))
    assert str(tmp_path / "labels.json") in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no clips"),
        ("{}", "expected a list of clips"),
        ("[1, 2]", "expected a list of clips"),
        ('[{"pred_xyz": [[[1.0', "not valid JSON, perhaps cut off"),
        ("", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_broken_json_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_labels(write_json(tmp_path, content))
