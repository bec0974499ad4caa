"""Every layout that users hold becomes the same Labels, told by its content."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from places import LABELS_60, SHARED, Command, needs_60_clips
from written import CLIPS, N, clip_jsons, community, driven, past, results_json

from alpamayo_toy import Labels, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.metrics.displacement import min_ade

needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="the real files are not on this machine")


def tensors(folder: Path) -> Path:
    xyz, rotation, _ = driven()
    for i in range(N):
        content = {"pred_xyz": torch.tensor(xyz[i])[None, None], "pred_rot": torch.tensor(rotation[i])[None, None]}
        torch.save({**content, "cot": [[["go"]]], "t0_us": i}, folder / f"{CLIPS[i]}.pt")
    return folder


def loader_dictionaries(folder: Path) -> Path:
    xyz, rotation, v0 = driven()
    history, turned = past(v0)
    for i in range(N):
        arrays = {
            "ego_history_xyz": history[i],
            "ego_history_rot": turned[i],
            "ego_future_xyz": xyz[i, 0],
            "ego_future_rot": rotation[i, 0],
        }
        content = {name: torch.tensor(value)[None, None].float() for name, value in arrays.items()}
        torch.save({**content, "clip_id": CLIPS[i], "t0_us": i}, folder / f"{i}.pt")
    return folder


LAYOUTS = {
    "results_json": results_json,
    "clip_json": clip_jsons,
    "community_npz": community,
    "sample_pt": tensors,
    "drives": loader_dictionaries,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_trajectories(tmp_path: Path, name: str) -> None:
    xyz, _, v0 = driven()
    labels = load_labels(LAYOUTS[name](tmp_path))
    assert list(labels.clip_id) == CLIPS
    assert labels.t0_us.tolist() == list(range(N))
    assert np.abs(labels.teacher[..., :2].numpy() - xyz[:, : labels.teacher.shape[1], :, :2]).max() < 1e-5
    assert (labels.v0 - v0).abs().max() < (0.05 if name == "drives" else 2e-3)
    if name not in ("drives",):
        assert labels.text is not None
        assert set(labels.text) == {"go"}
    same = load_labels(tmp_path if name != "results_json" else tmp_path / "results.json", name)
    assert torch.equal(same.teacher, labels.teacher)


def test_where_v0_came_from(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    labels = load_labels(community(tmp_path / "a"))
    assert list(labels.v0_source) == ["history", "recovered", "recovered", "history"]  # the first one is parked
    assert labels.history is not None
    assert bool(labels.history[1].isnan().all())
    assert labels.history[3, :, 3].tolist() == pytest.approx([9.0] * 16, abs=1e-3)
    (tmp_path / "b").mkdir()
    assert set(load_labels(loader_dictionaries(tmp_path / "b")).v0_source) <= {"history", "smoothed"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_that_is_told_is_held_to(tmp_path: Path, name: str) -> None:
    path = LAYOUTS[name](tmp_path)
    other = "flat_parquet" if name != "flat_parquet" else "drives"
    with pytest.raises(UserError, match=f"\\({name}\\), not {other}"):
        load_labels(path, other)
    with pytest.raises(UserError, match="there is no label format parket"):
        load_labels(path, "parket")


@needs_shared
@pytest.mark.parametrize(
    ("name", "clips", "samples"),
    [
        ("labels/alpamayo1_5_results_60clips.json", 60, 6),
        ("labels/community_npz", 60, 1),
        ("labels/alpamayo_r1_per_clip_json", 5, 1),
        ("drives/real_drives_comma2k19.npz", 105, 1),
        ("drives/real_drives_av2.npz", 74, 1),
        ("drives/real_drives_kitti_00-07.npz", 1558, 1),
        ("drives/real_drives_commonroad_ngsim.npz", 18, 1),
    ],
)
def test_real_files(name: str, clips: int, samples: int) -> None:
    labels = load_labels(SHARED / name)
    assert labels.teacher.shape == (clips, samples, 64, 4)
    drive = name.startswith("drives")
    assert ("history" in labels.v0_source) == (drive or "community" in name)
    if drive:
        assert len(set(labels.clip_id)) < clips
        assert len(set(zip(labels.clip_id, labels.t0_us.tolist(), strict=True))) == clips


@pytest.mark.slow
@needs_60_clips
def test_the_60_clips_score_the_same_from_a_set(tmp_path: Path, command: Command) -> None:
    made = command("labels", "convert", str(LABELS_60), "set")
    assert made.returncode == 0, made.stderr
    stored = np.array([clip["min_ade"] for clip in json.loads(LABELS_60.read_text())])
    for path in (LABELS_60, tmp_path / "set"):
        labels: Labels = load_labels(path)
        assert labels.ground_truth is not None
        found = min_ade(labels.teacher.double(), labels.ground_truth.double()).numpy()
        assert np.abs(found - stored).max() < 1e-6
        assert found.mean() == pytest.approx(0.85569, abs=5e-6)
