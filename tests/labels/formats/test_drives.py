"""Recorded drives and loader dictionaries: every form of axes, what becomes the teacher, and every wrong shape."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import SHARED
from written import recorded

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats import drives
from alpamayo_toy.labels.formats.raw import RawClips, labels_of

PATH = Path("folder/some.npz")


def single(lead: tuple[int, ...]) -> dict[str, Any]:
    return {name: value[0].reshape(*lead, *value.shape[1:]) for name, value in recorded().items()}


def read(content: dict[str, Any]) -> RawClips:
    assert drives.matches(content)
    (raw,) = drives.clips(content, PATH)
    return raw


def test_drives_become_recorded_clips() -> None:
    content = recorded()
    rest = {"source": np.array(["a", "a", "b"]), "t0_s": np.array([8.2, 2.500001, 1e9]), "dt": np.float32(0.1)}
    raw = read({**content, **rest, "v0_mps": np.ones(3)})
    assert raw.teacher.shape == (3, 1, 64, 3)
    assert np.array_equal(raw.teacher[:, 0], content["ego_future_xyz"])
    assert np.array_equal(raw.history, content["ego_history_xyz"])  # type: ignore[arg-type]
    assert raw.rotation is not None
    assert raw.rotation.shape == (3, 1, 64, 3, 3)
    assert raw.clip_id.tolist() == raw.source.tolist() == ["a", "a", "b"]
    assert raw.t0_us.tolist() == [8_200_000, 2_500_001, 10**15]  # 8.2 * 1e6 is less in float64
    assert raw.dt == 0.1
    assert raw.recorded
    assert raw.ground_truth is None
    made = labels_of(raw, PATH)
    assert made.v0.tolist() == pytest.approx([1, 2, 3], abs=1e-3)


@pytest.mark.parametrize("lead", [(), (1,), (1, 1)])
@pytest.mark.parametrize("scalar", [lambda v: v, np.array, lambda v: np.array([v]), lambda v: [v]])
def test_loader_dictionaries_with_or_without_leading_axes(lead: tuple[int, ...], scalar: Any) -> None:
    raw = read({**single(lead), "t0_us": scalar(5_100_000), "clip_id": scalar("beef")})
    assert raw.teacher.shape == (1, 1, 64, 3)
    assert raw.history is not None
    assert raw.history.shape == (1, 16, 3)
    assert raw.clip_id.tolist() == ["beef"]
    assert raw.source.tolist() == ["some.npz"]
    assert raw.t0_us.tolist() == [5_100_000]


def test_tensors_and_lists_are_arrays_too() -> None:
    content = {name: torch.tensor(value) for name, value in single((1, 1)).items()}
    raw = read({**content, "t0_us": torch.tensor(7), "dt": torch.tensor(0.1)})
    assert raw.t0_us.tolist() == [7]
    assert read({name: value.tolist() for name, value in content.items()}).teacher.shape == (1, 1, 64, 3)


def test_clips_without_a_name_are_numbered() -> None:
    raw = read({name: value for name, value in recorded().items() if name.endswith("xyz")})
    assert raw.clip_id.tolist() == ["some-0", "some-1", "some-2"]
    assert raw.t0_us.tolist() == [0, 0, 0]
    assert raw.rotation is None
    assert raw.history_rotation is None


@pytest.mark.parametrize("lead", [(1, 1), (1,), ()])
def test_a_model_beside_the_drive_is_the_teacher(lead: tuple[int, ...]) -> None:
    predicted = np.random.default_rng(0).normal(size=(*lead, 6, 64, 3))
    turned = np.broadcast_to(np.eye(3), (*lead, 6, 64, 3, 3))
    raw = read({**single((1, 1)), "pred_xyz": predicted, "pred_rot": turned})
    assert raw.teacher.shape == (1, 6, 64, 3)
    assert raw.rotation is not None
    assert raw.rotation.shape == (1, 6, 64, 3, 3)
    assert np.array_equal(raw.ground_truth, single((1,))["ego_future_xyz"])  # type: ignore[arg-type]
    assert raw.ground_truth_rotation is not None
    assert not raw.recorded


def test_many_clips_with_a_model() -> None:
    raw = read({**recorded(), "pred_xyz": np.zeros((3, 2, 64, 3))})
    assert raw.teacher.shape == (3, 2, 64, 3)


def test_nan_passes_and_is_named_later() -> None:
    content = recorded()
    content["ego_future_xyz"][1, 5] = np.nan
    with pytest.raises(UserError, match="clip some-1 holds NaN"):
        labels_of(read(content), PATH)


WRONG: dict[str, dict[str, Any]] = {
    r"ego_future_xyz must have shape \(N, T, 3\) \(got \(3, 64, 2\)\)": {"ego_future_xyz": np.zeros((3, 64, 2))},
    r"ego_future_xyz must have shape \(N, T, 3\) \(got \(3,\)\)": {"ego_future_xyz": np.zeros(3)},
    r"ego_future_xyz must have shape \(N, T, 3\) \(got \(0, 64, 3\)\)": {"ego_future_xyz": np.zeros((0, 64, 3))},
    r"ego_future_xyz must have shape \(N, T, 3\) \(got \(3, 2, 64, 3\)\)": {"ego_future_xyz": np.zeros((3, 2, 64, 3))},
    r"ego_history_rot must have shape \(N, H, 3, 3\)": {"ego_history_rot": np.zeros((3, 16, 9))},
    "ego_future_xyz is not a regular array": {"ego_future_xyz": [[1.0], [1.0, 2.0]]},
    "ego_history_xyz is not a regular array of numbers": {"ego_history_xyz": np.array([["a"]])},
    "ego_history_xyz has N = 2, ego_future_xyz has 3": {"ego_history_xyz": np.zeros((2, 16, 3))},
    "ego_future_rot has T = 63, ego_future_xyz has 64": {"ego_future_rot": np.zeros((3, 63, 3, 3))},
    "ego_history_rot has H = 4, ego_history_xyz has 16": {"ego_history_rot": np.zeros((3, 4, 3, 3))},
    "pred_xyz has T = 10, ego_future_xyz has 64": {"pred_xyz": np.zeros((3, 6, 10, 3))},
    "pred_xyz has N = 2, ego_future_xyz has 3": {"pred_xyz": np.zeros((2, 6, 64, 3))},
    "pred_rot has K = 5, pred_xyz has 6": {
        "pred_xyz": np.zeros((3, 6, 64, 3)),
        "pred_rot": np.zeros((3, 5, 64, 3, 3)),
    },
    "source must have one value for each of 3 clips": {"source": np.array(["a", "b"])},
    "clip_id must have one value for each of 3 clips": {"clip_id": "a"},
    "t0_s must hold seconds": {"t0_s": np.array([1, np.nan, 2])},
    "t0_us must hold integers": {"t0_us": np.array([0.5, 1, 2])},
    "dt must be one number of seconds above 0": {"dt": np.array([0.1, 0.1])},
    r"dt must be one number of seconds above 0 \(got -1\)": {"dt": -1},
    "dt is not a regular array of numbers": {"dt": "fast"},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_does_not_fit_is_one_line(message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read({**recorded(), **WRONG[message]})
    assert str(caught.value).startswith(f"{PATH}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not (SHARED / "drives").exists(), reason="the real drives are not on this machine")
@pytest.mark.parametrize(
    ("name", "windows"),
    [("av2", 74), ("comma2k19", 105), ("commonroad_ngsim", 18), ("kitti_00-07", 1558)],
)
def test_real_drives(name: str, windows: int) -> None:
    path = SHARED / "drives" / f"real_drives_{name}.npz"
    with np.load(path) as archive:
        content = dict(archive)
    (raw,) = drives.clips(content, path)
    assert raw.teacher.shape == (windows, 1, 64, 3)
    assert raw.dt == 0.1
    assert raw.has_history.all()
    made = labels_of(raw, path)
    assert np.median(np.abs(made.v0.numpy() - content["v0_mps"])) < 0.2
