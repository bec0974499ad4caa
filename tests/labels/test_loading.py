"""Label files: what is read, what is recovered, and that every broken file is named in one line."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import DATA, LABELS_60, needs_60_clips

from alpamayo_toy import Labels, UnicycleRollout, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.held_out import split, split_hash
from alpamayo_toy.metrics.displacement import distance, min_ade


def clips(n: int = 3, k: int = 2, horizon: int = 64) -> list[dict[str, Any]]:
    """Alpamayo-like JSON: exact trapezoid rollouts, one of them from rest."""
    v0 = torch.linspace(0, 10, n, dtype=torch.float64)
    actions = torch.zeros(n, k, horizon, 2, dtype=torch.float64)
    actions[..., 0] = torch.linspace(0.2, 0.5, k, dtype=torch.float64)[:, None]
    actions[..., 1] = 0.01
    xyz = UnicycleRollout(0.1, "trapezoid")(actions, v0[:, None])[..., :3].clone()
    xyz[..., 2] = 0
    return [
        {"clip_id": f"clip-{i}", "pred_xyz": xyz[i].tolist(), "gt_xyz": xyz[i, 0].tolist(), "cot": f"text {i}"}
        for i in range(n)
    ]


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


def test_missing_files_folders_and_other_suffixes_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no label file .*nowhere\.json"):
        load_labels(tmp_path / "nowhere.json")
    with pytest.raises(UserError, match="holds no label file"):
        load_labels(tmp_path)
    (tmp_path / "labels.csv").write_text("1,2")
    with pytest.raises(UserError, match=r"cannot read \.csv; known: \.json, \.npz, \.pt, \.parquet"):
        load_labels(tmp_path / "labels.csv")


def test_our_own_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    labels = load_labels(DATA / "labels.npz")
    assert len(labels) == 24
    write(labels, tmp_path / "again.npz")
    again = load_labels(tmp_path / "again.npz")
    for name, value in vars(labels).items():
        other = getattr(again, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else np.array_equal(value, other), name
    assert [p.name for p in tmp_path.iterdir()] == ["again.npz"]


def test_ten_lines_of_numpy_are_a_label_file(tmp_path: Path) -> None:
    content = clips()
    waypoints = np.array([clip["pred_xyz"] for clip in content])[..., :2]
    np.savez(tmp_path / "mine.npz", clip_id=np.array(["a", "b", "c"]), teacher=waypoints)
    labels = load_labels(tmp_path / "mine.npz")
    assert labels.v0.tolist() == pytest.approx([0, 5, 10], abs=1e-3)
    assert set(labels.v0_source) == {"recovered"}


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (exec, ("raise SystemExit('executed')",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": None}, "has no teacher; it must hold at least clip_id and teacher"),
        ({"clip_id": None}, "has no clip_id"),
        ({"v0": None}, "has no v0"),
        ({"colour": np.zeros(3)}, "holds colour, which no label file has"),
        ({"teacher": np.zeros((0, 2, 64, 4)), "clip_id": np.array([], dtype=str)}, "none of them 0"),
        ({"teacher": np.zeros((3, 2, 64, 3))}, r"teacher must have shape \(3, K, T, 4\)"),
        ({"teacher": np.zeros((3, 2, 3, 4))}, "teacher has 3 steps; at least 4 are needed"),
        ({"teacher": np.full((3, 2, 64, 4), np.nan)}, "teacher of clip a holds NaN"),
        ({"teacher": np.full((3, 2, 64, 4), "x")}, "teacher must hold numbers"),
        ({"v0": np.zeros(2)}, r"v0 must have one row for each of 3 clips \(got \(2,\)\)"),
        ({"ground_truth": np.zeros((3, 64))}, r"ground_truth must have shape \(N, T, 4\)"),
        ({"v0": np.array([1.0, np.inf, 0.0])}, "v0 of clip b holds NaN"),
        ({"scenario": np.array([0.5, 1, 2])}, "scenario must hold integers"),
        ({"scenario": np.array([0, 1, 99])}, "scenario must be -1"),
        ({"history": np.zeros((3, 16, 3))}, "history must have shape"),
        (
            {"text": np.array(["a", "b", Evil()], dtype=object)},
            "text holds a pickle that wants to call builtins.exec; it was not opened",
        ),
    ],
)
def test_a_broken_npz_is_named_and_never_executed(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    arrays = {"clip_id": np.array(["a", "b", "c"]), "teacher": np.zeros((3, 2, 64, 4)), "v0": np.zeros(3), **change}
    path = tmp_path / "labels.npz"
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(UserError, match=message) as caught:
        load_labels(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", pickle.dumps(Evil())])
def test_other_bytes_under_the_name_npz_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"labels\.npz"):
        load_labels(path)


def test_a_cut_off_npz_is_refused(tmp_path: Path) -> None:
    whole = (DATA / "labels.npz").read_bytes()
    (tmp_path / "labels.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="perhaps cut off"):
        load_labels(tmp_path / "labels.npz")


def test_the_split_stays_when_clips_are_added() -> None:
    labels = load_labels(DATA / "labels.npz")
    _, before = split(labels.select(torch.arange(12)), 0.3)
    _, after = split(labels, 0.3)
    assert set(before.clip_id) <= set(after.clip_id)
    assert set(after.clip_id) - set(before.clip_id) <= set(labels.clip_id[12:])
    assert 0.28 < np.mean([split_hash(f"clip-{i}") < 0.3 for i in range(5000)]) < 0.32


def test_labels_check_themselves() -> None:
    labels: Labels = load_labels(DATA / "labels.npz")
    with pytest.raises(ValueError, match=r"v0 must have shape \(24,\)"):
        replace(labels, v0=labels.v0[:3])
    with pytest.raises(ValueError, match="scenario_source must be file or future"):
        replace(labels, scenario_source="guess")
