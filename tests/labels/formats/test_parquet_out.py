"""Labels written as Parquet are read again, the same bytes every time."""

from pathlib import Path

import numpy as np
import pytest
import torch
from parquet_files import labels, pq, read

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats import flat_columns, parquet_out
from alpamayo_toy.labels.formats.raw import labels_of
from alpamayo_toy.labels.untrusted import parquet_file


def test_what_is_written_is_read_again(path: Path) -> None:
    given = labels()
    parquet_out.write([given], path)
    (raw,) = read(path)
    assert flat_columns.matches(parquet_file.columns(path))
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
