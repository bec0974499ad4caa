"""Flat Parquet files: clips whole wherever batches end, and every broken file in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parquet_files import pa, read, rows, saved

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats import flat_parquet
from alpamayo_toy.labels.formats.fields import NAMES
from alpamayo_toy.labels.formats.flat_columns import keys_of
from alpamayo_toy.labels.formats.raw import RawClips, labels_of


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


def test_a_step_in_float32_is_what_it_was_written_as(path: Path) -> None:
    content = rows(2)
    steps = pa.array(np.full(len(content["clip_id"]), 0.1, dtype=np.float32))
    (raw,) = read(saved(path, {**content, "dt": steps}))
    assert set(np.atleast_1d(raw.dt).tolist()) == {0.1}


def test_keys_that_unpack_to_far_more_than_their_file_are_refused(path: Path) -> None:
    """As rows are: the keys of every file of a folder are looked at first."""
    content = rows(1, 1)
    many = {name: [values[0]] * 1000 for name, values in content.items()}
    first = pa.array(np.zeros(1000, dtype=np.int32))
    many["clip_id"] = pa.DictionaryArray.from_arrays(first, pa.array(["x" * 100_000]))
    saved(path, many)
    with pytest.raises(UserError, match="unpacks to"):
        keys_of(path, NAMES)


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
    content["clip_id"] = pa.array(content["clip_id"], pa.large_string())
    try:
        content["pred_xyz"] = pa.array(values, lists)
        saved(path, content)
    except (pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        pytest.skip(f"pyarrow {pa.__version__} writes no such list: {error}")
    (raw,) = read(path)
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
    (raw,) = read(saved(path, {**rows(), "coc": ["one", "['two', 'three']", "a", "b", "c", "c"]}))  # each its own
    assert raw.text is not None
    assert raw.text.tolist() == [["one", "two three"], ["a", "b"], ["c", "c"]]
    assert raw.nested_text is not None
    assert raw.nested_text.tolist() == [True, False, False]


def test_sources_and_steps_are_read(path: Path) -> None:
    content = {**rows(), "source": ["a", "a", None, None, "b", "b"], "dt": [0.1] * 4 + [0.2] * 2}
    first, second = read(saved(path, content))
    assert first.source.tolist() == ["a", "labels.parquet"]
    assert (first.dt, second.dt) == (0.1, 0.2)


def test_a_sample_that_is_there_twice(path: Path) -> None:
    content = {**rows(3, 2), "sample_idx": [0, 0, 0, 1, 0, 1]}
    error, raw = flat_parquet.clips(saved(path, content))
    assert isinstance(raw, RawClips)
    assert "clip c0 has sample_idx 0 twice" in str(error)
    assert raw.clip_id.tolist() == ["c1", "c2"]
    content = {name: [*values[:4], values[3], *values[4:]] for name, values in rows(3, 2).items()}
    (whole,) = read(saved(path, content))
    assert whole.again is not None
    assert whole.again.tolist() == [False, True, False]
    assert whole.teacher.shape == (3, 2, 8, 3)


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
