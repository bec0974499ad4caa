"""Parquet: flat label files there and back, egomotion cut into windows, and every broken file in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.formats import egomotion, flat_parquet, parquet_out
from alpamayo_toy.labels.formats.raw import RawClips, labels_of
from alpamayo_toy.labels.untrusted import parquet_file

pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")


def labels(n: int = 5, k: int = 3, horizon: int = 8, **other: Any) -> Labels:
    draw = torch.Generator().manual_seed(n)
    teacher = torch.randn(n, k, horizon, 4, generator=draw, dtype=torch.float64).cumsum(2)
    history = torch.randn(n, 16, 4, generator=draw, dtype=torch.float64)
    history[0] = torch.nan
    made: dict[str, Any] = {
        "clip_id": np.array([f"clip-{n}-{i}" for i in range(n)]),
        "t0_us": torch.arange(n) + 2**60,
        "v0": torch.rand(n, generator=draw, dtype=torch.float64),
        "teacher": teacher,
        "scenario": torch.arange(n) % 9 - 1,
        "source": np.array([f"drive {i % 2}" for i in range(n)]),
        "v0_source": np.full(n, "history"),
        "scenario_source": "file",
        "ground_truth": teacher[:, 0] + 1,
        "history": history,
        "text": np.array([f"a text, {i}" for i in range(n)]),
        "dt": 0.2,
    }
    return Labels(**{**made, **other})


def rows(clips: int = 3, k: int = 2, horizon: int = 8) -> dict[str, list[Any]]:
    """Columns by hand: x of every waypoint says clip and sample."""
    pairs = [(clip, sample) for clip in range(clips) for sample in range(k)]
    return {
        "clip_id": [f"c{clip}" for clip, _ in pairs],
        "t0_us": [clip for clip, _ in pairs],
        "sample_idx": [sample for _, sample in pairs],
        "pred_xyz": [[10.0 * clip + sample, 0.0, 0.0] * horizon for clip, sample in pairs],
    }


def saved(path: Path, content: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(content), path, **options)
    return path


def read(path: Path) -> list[RawClips]:
    return list(flat_parquet.clips(path))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.parquet"


def test_what_is_written_is_read_again(path: Path) -> None:
    given = labels()
    parquet_out.write([given], path)
    (raw,) = read(path)
    assert flat_parquet.matches(parquet_file.columns(path))
    assert list(raw.clip_id) == list(given.clip_id)
    assert list(raw.source) == list(given.source)
    assert raw.text is not None
    assert given.text is not None
    assert list(raw.text) == list(given.text)
    assert raw.t0_us.tolist() == given.t0_us.tolist()
    assert raw.v0 is not None
    assert raw.v0.tolist() == given.v0.tolist()
    assert raw.dt == 0.2
    assert np.array_equal(raw.teacher[..., :2], given.teacher[..., :2].numpy().astype(np.float32))
    assert not raw.teacher[..., 2].any()
    yaw = given.teacher[..., 2].numpy()
    assert raw.rotation is not None
    assert np.allclose(raw.rotation[..., 1, 0], np.sin(yaw), atol=1e-6)
    assert np.allclose(raw.rotation[..., 0, 1], -np.sin(yaw), atol=1e-6)
    assert raw.ground_truth is not None
    assert np.allclose(raw.ground_truth[..., :2], given.ground_truth[..., :2], atol=1e-5)  # type: ignore[index]
    assert raw.has_history.tolist() == [False, True, True, True, True]
    assert np.isnan(raw.history[0]).all()  # type: ignore[index]
    table = pq.read_table(path)
    assert table.column("scenario").to_pylist()[:6:3] == ["UNKNOWN", "STRAIGHT"]
    assert set(table.column("v0_source").to_pylist()) == {"history"}
    made = labels_of(raw, path)
    assert torch.equal(made.v0, given.v0)


def test_written_bytes_are_the_same_every_time(path: Path) -> None:
    parquet_out.write([labels(), labels(4)], path)
    before = path.read_bytes()
    parquet_out.write([labels(), labels(4)], path)
    assert path.read_bytes() == before
    assert pq.ParquetFile(path).metadata.num_row_groups == 2


def test_what_labels_lack_is_absent(path: Path) -> None:
    parquet_out.write([labels(ground_truth=None, history=None, text=None)], path)
    (raw,) = read(path)
    assert (raw.ground_truth, raw.ground_truth_rotation, raw.history, raw.history_rotation, raw.text) == (None,) * 5


def test_some_with_ground_truth_and_some_without_are_not_written(path: Path) -> None:
    path.write_text("before")
    with pytest.raises(UserError, match="clip-4-0"):
        parquet_out.write([labels(), labels(4, ground_truth=None)], path)
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("row_group_size", [1, 7, 1000])
@pytest.mark.parametrize("at_once", [1, 3, 1024])
def test_clips_are_whole_wherever_batches_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, row_group_size: int, at_once: int
) -> None:
    monkeypatch.setattr(flat_parquet, "CLIPS_AT_ONCE", at_once)
    monkeypatch.setattr(flat_parquet, "KEYS_AT_ONCE", 5)
    content = rows(clips=20, k=3)
    saved(path, content, row_group_size=row_group_size)
    found = read(path)
    assert [name for raw in found for name in raw.clip_id] == [f"c{i}" for i in range(20)]
    expected = np.array(content["pred_xyz"]).reshape(20, 3, 8, 3)
    assert np.array_equal(np.concatenate([raw.teacher for raw in found]), expected)


def test_samples_and_steps_may_vary(path: Path) -> None:
    parts = [rows(2, 1), rows(3, 2), rows(2, 2, horizon=5)]
    content = {name: [value for part in parts for value in part[name]] for name in parts[0]}
    content["clip_id"] = [f"{i}-{name}" for i, part in enumerate(parts) for name in part["clip_id"]]
    found = read(saved(path, content))
    assert [raw.teacher.shape for raw in found] == [(2, 1, 8, 3), (3, 2, 8, 3), (2, 2, 5, 3)]


def test_two_times_of_a_clip_are_two_clips(path: Path) -> None:
    (raw,) = read(saved(path, {**rows(2), "clip_id": ["a"] * 4}))
    assert raw.t0_us.tolist() == [0, 1]


def test_rows_in_any_order_are_sorted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = rows(clips=9, k=4)
    mixed = np.random.default_rng(0).permutation(36)
    shuffled = {name: [values[i] for i in mixed] for name, values in content.items()}
    shuffled["clip_id"] = pa.array(shuffled["clip_id"]).dictionary_encode()
    (raw,) = read(saved(path, shuffled, row_group_size=5))
    assert np.array_equal(raw.teacher, np.array(content["pred_xyz"]).reshape(9, 4, 8, 3))
    monkeypatch.setattr(flat_parquet, "SORTED_HERE", 30)
    with pytest.raises(UserError, match="write it sorted by clip_id, t0_us, sample_idx"):
        read(path)


def test_samples_of_a_clip_come_in_their_order(path: Path) -> None:
    content = {**rows(2, 3), "sample_idx": [7, 1, 3, 0, 2, 1]}
    (raw,) = read(saved(path, content))
    assert raw.teacher[:, :, 0, 0].tolist() == [[1, 2, 0], [10, 12, 11]]


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("form", ["list", "large", "fixed"])
def test_lists_of_every_kind(path: Path, kind: str, form: str) -> None:
    content = rows()
    item = {"float16": pa.float16(), "float32": pa.float32(), "float64": pa.float64()}[kind]
    lists = {"list": pa.list_(item), "large": pa.large_list(item), "fixed": pa.list_(item, 24)}[form]
    values = [np.array(row, dtype=kind).tolist() for row in content["pred_xyz"]]
    values[3] = None
    content["pred_xyz"] = pa.array(values, lists)
    content["clip_id"] = pa.array(content["clip_id"], pa.large_string())
    (raw,) = read(saved(path, content))
    assert raw.teacher.dtype == (np.float64 if kind == "float64" else np.float32)
    assert raw.teacher[:, 0, 0, 0].tolist() == [0, 10, 20]
    assert np.isnan(raw.teacher[1, 1]).all()
    assert raw.teacher[2, 1, 0, 0] == 21
    assert raw.teacher.flags.writeable


def test_what_is_null_is_nan(path: Path) -> None:
    content = rows()
    content["pred_xyz"][0] = content["pred_xyz"][1] = None
    content["pred_xyz"][2][4] = None
    content["gt_xyz"] = [[1.0] * 24, None, None, None, [2.0] * 24, None]
    content["gt_rot"] = [None] * 6
    content["hist_xyz"] = [None, None, [1.0] * 48, [1.0] * 48, None, None]
    content["hist_rot"] = [None, None, [1.0] * 144, [1.0] * 144, None, None]
    content["v0"] = [1.0, None, None, None, 3.0, 3.0]
    first, second, third = read(saved(path, content))
    assert np.isnan(first.teacher).all()
    assert first.teacher.shape == (1, 2, 8, 3)
    assert np.isnan(second.teacher).sum() == 1
    assert [raw.v0 is None for raw in (first, second, third)] == [False, True, False]
    assert first.ground_truth_rotation is None
    assert np.isnan(second.ground_truth).all()  # type: ignore[arg-type]
    assert [raw.has_history[0] for raw in (first, second, third)] == [False, True, False]
    assert first.history_rotation is not None
    assert first.history_rotation.shape == (1, 16, 3, 3)
    with pytest.raises(UserError, match="clip c0"):
        labels_of(first, path)


def test_nothing_but_null(path: Path) -> None:
    kind = pa.list_(pa.float32())
    (raw,) = read(saved(path, {**rows(), "pred_xyz": pa.nulls(6, kind), "gt_xyz": pa.nulls(6), "coc": pa.nulls(6)}))
    assert raw.teacher.shape == (3, 2, 64, 3)
    assert np.isnan(raw.teacher).all()
    assert raw.ground_truth is None
    assert raw.text is None


def test_texts_nested_or_not(path: Path) -> None:
    (raw,) = read(saved(path, {**rows(), "coc": ["one", "not", None, "not", "two", "not"]}))
    assert raw.text is not None
    assert raw.nested_text is not None
    assert raw.text.tolist() == ["one", "", "two"]
    assert not raw.nested_text.any()
    (raw,) = read(saved(path, {**rows(), "coc": [[["one"]], [], [["a", "b"], ["c"]], [], None, []]}))
    assert raw.text is not None
    assert raw.nested_text is not None
    assert raw.text.tolist() == ["one", "a b c", ""]
    assert raw.nested_text.tolist() == [True, True, False]


def test_sources_and_steps_are_read(path: Path) -> None:
    content = {**rows(), "source": ["a", "a", None, None, "b", "b"], "dt": [0.1] * 4 + [0.2] * 2}
    first, second = read(saved(path, content))
    assert first.source.tolist() == ["a", "labels.parquet"]
    assert (first.dt, second.dt) == (0.1, 0.2)


def changed(**columns: Any) -> dict[str, Any]:
    return {**rows(), **columns}


WRONG = {
    "no column t0_us": {name: values for name, values in rows().items() if name != "t0_us"},
    "clip_id must hold strings": changed(clip_id=[1] * 6),
    "t0_us must hold integers": changed(t0_us=[1.5] * 6),
    "pred_xyz must hold lists of floats": changed(pred_xyz=[["a"]] * 6),
    "pred_rot must hold lists of floats": changed(pred_rot=[1.0] * 6),
    "coc must hold strings": changed(coc=[1] * 6),
    "v0 must hold floats": changed(v0=["fast"] * 6),
    "clip_id of row 2 is null": changed(clip_id=["a", "a", None, "b", "b", "b"]),
    "sample_idx of row 0 is null": changed(sample_idx=[None, 1, 0, 1, 0, 1]),
    "pred_xyz of clip c0 holds 4 numbers; every waypoint takes 3": changed(pred_xyz=[[1.0] * 4] * 6),
    "pred_xyz of clip c1 holds 0 numbers": changed(pred_xyz=[*rows()["pred_xyz"][:2], [], *rows()["pred_xyz"][3:]]),
    "pred_xyz of clip c0 has 2 waypoints, another sample has 8": changed(
        pred_xyz=[rows()["pred_xyz"][0], [1.0] * 6, *rows()["pred_xyz"][2:]]
    ),
    "pred_xyz of clip .every one. holds 4 numbers": changed(
        pred_xyz=pa.array([[1.0] * 4] * 6, pa.list_(pa.float32(), 4))
    ),
    "pred_rot of clip c0 has 7 waypoints, pred_xyz has 8": changed(pred_rot=[[0.0] * 63] * 6),
    "gt_xyz of clip c0 has 9 waypoints, pred_xyz has 8": changed(gt_xyz=[[0.0] * 27] * 6),
    "hist_rot of clip c0 has 1 waypoints, hist_xyz has 2": changed(hist_xyz=[[0.0] * 6] * 6, hist_rot=[[0.0] * 9] * 6),
    "clip c0 has sample_idx 0 twice": changed(sample_idx=[0] * 6),
    "dt of clip c0 must be": changed(dt=[0.0] * 6),
    "holds no clips": {name: pa.array(values)[:0] for name, values in rows().items()},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_file_is_one_line(path: Path, message: str) -> None:
    saved(path, WRONG[message])
    with pytest.raises(UserError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_doubled_column_is_refused(path: Path) -> None:
    table = pa.table(rows())
    pq.write_table(table.append_column("t0_us", table.column("t0_us")), path)
    with pytest.raises(UserError, match="2 columns t0_us"):
        read(path)


@pytest.mark.parametrize("kept", [0, 3, 200, -30])
def test_a_file_cut_off_is_one_line(path: Path, kept: int) -> None:
    parquet_out.write([labels()], path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match="no sound Parquet file, perhaps cut off") as caught:
        parquet_file.columns(path)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_is_found(path: Path) -> None:
    parquet_out.write([labels()], path)
    content = bytearray(path.read_bytes())
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(4)
    content[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(UserError, match="no sound Parquet file"):
        read(path)


def test_row_groups_larger_than_the_memory_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "half_of_memory", lambda: 100)
    with pytest.raises(UserError, match="row group 0 takes"):
        read(saved(path, rows()))


def test_too_many_rows_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "MOST_ROWS", 5)
    with pytest.raises(UserError, match="promises 6 rows"):
        read(saved(path, rows()))


def test_without_pyarrow_the_message_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(path, rows())
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        parquet_file.columns(path)
    with pytest.raises(UserError, match="pip install pyarrow"):
        parquet_out.write([labels()], path)


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
