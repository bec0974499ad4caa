"""Egomotion cut into windows: arcs of circles come out, whatever the frame, the order or the sign."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parquet_files import saved

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats import egomotion
from alpamayo_toy.labels.formats.raw import RawClips, labels_of

SPEED, CURVATURE, HEADING = 12.0, 0.05, 2.5


def pose(t: np.ndarray, speed: float = SPEED, curvature: float = CURVATURE) -> tuple[np.ndarray, np.ndarray]:
    """Position (n, 3) and heading (n,) of a circle in an anchor frame that is turned and far away."""
    yaw = HEADING + curvature * speed * t
    if curvature == 0:
        xy = speed * t[:, None] * [np.cos(HEADING), np.sin(HEADING)]
    else:
        xy = np.stack([np.sin(yaw) - np.sin(HEADING), np.cos(HEADING) - np.cos(yaw)], -1) / curvature
    return np.column_stack([xy + np.array([5000, -3000]), np.full(len(t), 7.0)]), yaw


def recording(t: np.ndarray, **motion: float) -> dict[str, Any]:
    xyz, yaw = pose(t, **motion)
    return {
        "timestamp": np.round(t * 1e6).astype(np.int64) + 1_700_000_000_000_000,
        "qx": np.zeros(len(t)),
        "qy": np.zeros(len(t)),
        "qz": np.sin(yaw / 2),
        "qw": np.cos(yaw / 2),
        **dict(zip("xyz", xyz.T, strict=True)),
        "vx": np.full(len(t), SPEED),
    }


def irregular() -> np.ndarray:
    """About 100 Hz for 5 s, then about 10 Hz until 20 s, in whole microseconds."""
    draw = np.random.default_rng(0)
    steps = np.concatenate([draw.uniform(0.008, 0.012, 500), draw.uniform(0.08, 0.12, 150)])
    return np.round(steps.cumsum(), 6)


def windows(path: Path, content: dict[str, Any], every_s: float = 1.0) -> RawClips:
    (raw,) = egomotion.clips(saved(path, content), every_s)
    return raw


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return tmp_path / "d34d-beef.egomotion.parquet"


def arc(steps: np.ndarray, speed: float = SPEED, curvature: float = CURVATURE) -> tuple[np.ndarray, np.ndarray]:
    """Where a circle is after so many 0.1 s in its own frame: (n, 3), and the heading (n,)."""
    turned = curvature * speed * steps * 0.1
    if curvature == 0:
        return np.stack([speed * steps * 0.1, 0 * steps, 0 * steps], -1), turned
    return np.stack([np.sin(turned) / curvature, (1 - np.cos(turned)) / curvature, 0 * turned], -1), turned


@pytest.mark.parametrize("curvature", [CURVATURE, -CURVATURE, 0.0])
def test_windows_of_a_circle_are_arcs(drive: Path, curvature: float) -> None:
    content = recording(irregular(), curvature=curvature)
    assert egomotion.matches(content)
    raw = windows(drive, content)
    assert raw.shape == (1, 64)
    assert raw.recorded
    assert raw.v0 is None
    first = content["timestamp"][0] + 1_500_000
    assert raw.t0_us.tolist() == list(range(first, content["timestamp"][-1] - 6_400_000 + 1, 1_000_000))
    assert set(raw.clip_id) == set(raw.source) == {"d34d-beef"}
    for points, rotation, steps in (
        (raw.teacher[:, 0], raw.rotation[:, 0], np.arange(1, 65)),  # type: ignore[index]
        (raw.history, raw.history_rotation, np.arange(-15, 1)),
    ):
        expected, yaw = arc(steps, curvature=curvature)
        assert np.abs(points - expected).max() < 1e-4
        assert np.abs(rotation[..., 0, 0] - np.cos(yaw)).max() < 1e-9  # type: ignore[index]
        assert np.abs(rotation[..., 1, 0] - np.sin(yaw)).max() < 1e-9  # type: ignore[index]
    assert raw.history is not None
    assert np.abs(raw.history[:, -1]).max() == 0


def test_windows_become_labels(drive: Path) -> None:
    made = labels_of(windows(drive, recording(irregular())), drive)
    assert set(made.v0_source) == {"history"}
    assert made.v0.numpy() == pytest.approx(SPEED, abs=0.01)
    assert made.teacher[..., 3].numpy() == pytest.approx(SPEED, abs=0.02)


def test_a_tilted_anchor_frame_changes_nothing(drive: Path) -> None:
    content = recording(irregular())
    half = np.sin(0.4), np.cos(0.4)  # a turn by 0.8 rad about x, in front of every pose
    q = {name: content[name].copy() for name in ("qx", "qy", "qz", "qw")}
    content["qx"], content["qw"] = half[0] * q["qw"], half[1] * q["qw"]
    content["qy"], content["qz"] = -half[0] * q["qz"], half[1] * q["qz"]
    y, z = content["y"], content["z"]
    content["y"], content["z"] = np.cos(0.8) * y - np.sin(0.8) * z, np.sin(0.8) * y + np.cos(0.8) * z
    assert np.abs(windows(drive, content).teacher[:, 0] - arc(np.arange(1, 65))[0]).max() < 1e-4


def test_windows_as_close_as_asked(drive: Path) -> None:
    raw = windows(drive, recording(irregular()), every_s=0.25)
    assert set(np.diff(raw.t0_us)) == {250_000}
    with pytest.raises(UserError, match="more than 0 s apart"):
        windows(drive, recording(irregular()), every_s=0.0)
    with pytest.raises(UserError, match="more than 100000 windows"):
        windows(drive, recording(irregular()), every_s=1e-6)


def test_a_recording_of_just_one_window(drive: Path) -> None:
    content = recording(np.arange(0, 7.95, 0.1))
    assert len(windows(drive, content)) == 1
    assert windows(drive, content).teacher[0, 0, -1] == pytest.approx(arc(np.array([64]))[0][0], abs=1e-4)
    with pytest.raises(UserError, match=r"is a recording of 7\.80 s; a window takes 7\.9 s"):
        windows(drive, {name: values[:-1] for name, values in content.items()})


def test_order_repetition_and_sign_do_not_matter(drive: Path) -> None:
    content = recording(irregular())
    expected = windows(drive, content)
    draw = np.random.default_rng(1)
    order = draw.permutation(np.concatenate([np.arange(650), draw.integers(0, 650, 50)]))
    mixed = {name: values[order] for name, values in content.items()}
    sign = draw.choice([-1.0, 1.0], len(order)) * draw.uniform(0.5, 2, len(order))
    mixed |= {name: mixed[name] * sign for name in ("qx", "qy", "qz", "qw")}
    found = windows(drive, mixed)
    assert np.allclose(found.teacher, expected.teacher, atol=1e-9)
    assert np.allclose(found.rotation, expected.rotation, atol=1e-9)  # type: ignore[arg-type]


def test_two_poses_at_one_time_are_refused(drive: Path) -> None:
    content = recording(irregular())
    content["timestamp"][7] = content["timestamp"][6]
    with pytest.raises(UserError, match=f"timestamp {content['timestamp'][6]} is there twice with different poses"):
        windows(drive, content)


def test_windows_with_a_gap_are_left_out(drive: Path) -> None:
    t = np.arange(0, 30, 0.05)
    content = recording(t[(t < 11) | (t > 11.6)])
    seconds = (windows(drive, content).t0_us - content["timestamp"][0]) / 1e6
    assert seconds.tolist() == [1.5, 2.5, 3.5, 4.5, *np.arange(13.5, 23.6, 1)]
    content = recording(t[(t < 5) | (t > 5.6)][:240])
    with pytest.raises(UserError, match="none is left"):
        windows(drive, content)


def test_a_gap_of_half_a_second_is_none(drive: Path) -> None:
    t = np.arange(0, 20, 0.1)
    content = recording(t[(t < 9.05) | (t > 9.45)])
    assert int(np.diff(content["timestamp"]).max()) == 500_000
    assert len(windows(drive, content)) == 13
    content["timestamp"][content["timestamp"] > content["timestamp"][0] + 9_200_000] += 1
    assert len(windows(drive, content)) < 13


def test_a_window_may_end_where_a_gap_begins_and_begin_where_it_ends(drive: Path) -> None:
    """A gap of 0.6 s from 7.9 s, the end of the first window, to 8.5 s, from where another reaches back."""
    t = np.round(np.arange(0, 20.05, 0.1), 6)
    content = recording(t[(t <= 7.9) | (t >= 8.5)])
    seconds = (windows(drive, content, 0.5).t0_us - content["timestamp"][0]) / 1e6
    assert seconds.tolist() == [1.5, *np.arange(10, 13.6, 0.5)]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("x", np.nan, "row 17 holds NaN"),
        ("qz", np.inf, "row 17 holds NaN, infinite"),
        ("q", 0.0, "row 17 holds a quaternion of length 0"),
    ],
)
def test_a_broken_pose_is_named(drive: Path, column: str, value: float, message: str) -> None:
    content = recording(irregular())
    for name in ("qx", "qy", "qz", "qw") if column == "q" else (column,):
        content[name][17] = value
    with pytest.raises(UserError, match=message) as caught:
        windows(drive, content)
    assert str(drive) in str(caught.value)


def test_a_broken_recording_is_one_line(drive: Path) -> None:
    content = recording(irregular())
    null = content["timestamp"].astype(object)
    null[3] = None
    for columns, message in (
        ({**content, "timestamp": null}, "row 3 holds NaN, infinite values or null"),
        ({**content, "timestamp": content["timestamp"] / 1e6}, "timestamp must hold whole microseconds"),
        ({**content, "qx": ["0"] * 650}, "column qx must hold floats"),
        ({name: values for name, values in content.items() if name != "qw"}, "must have one column qw"),
        ({name: values[:1] for name, values in content.items()}, "holds 1 poses"),
        ({**content, "timestamp": content["timestamp"] * 1000}, "are its timestamps microseconds"),
    ):
        with pytest.raises(UserError, match=message):
            windows(drive, columns, every_s=0.1)


def test_between_far_samples_a_car_turns_at_constant_speed(drive: Path) -> None:
    """On the spot by 2 rad/s, told every 0.4 s."""
    t = np.arange(0, 12.05, 0.4)
    content = recording(t, speed=0.0)
    content["qz"], content["qw"] = np.sin(t), np.cos(t)
    raw = windows(drive, content)
    assert raw.rotation is not None
    yaw = 2 * 0.1 * np.arange(1, 65)
    assert np.abs(raw.rotation[:, 0, :, 0, 0] - np.cos(yaw)).max() < 1e-9
    assert np.abs(raw.rotation[:, 0, :, 1, 0] - np.sin(yaw)).max() < 1e-9


def test_windows_are_a_second_apart_unless_it_is_said(drive: Path) -> None:
    (raw,) = egomotion.clips(saved(drive, recording(irregular())))
    assert set(np.diff(raw.t0_us)) == {1_000_000}


@pytest.mark.parametrize(("column", "by", "refused"), [("x", 1e-7, False), ("x", 1e-3, True), ("qz", 1e-3, True)])
def test_two_poses_at_one_time_may_differ_by_rounding_alone(drive: Path, column: str, by: float, refused: bool) -> None:
    content = {name: np.append(values, values[-1:]) for name, values in recording(irregular()).items()}
    content[column][-1] += by
    if refused:
        with pytest.raises(UserError, match="is there twice with different poses"):
            windows(drive, content)
    else:
        assert len(windows(drive, content)) > 3


def test_numbers_beyond_all_drives_are_refused_to_either_side(drive: Path) -> None:
    for far in (1.1e9, -1.1e9):
        content = recording(irregular())
        content["y"][17] = far
        with pytest.raises(UserError, match="row 17 holds numbers beyond 1e"):
            windows(drive, content)
