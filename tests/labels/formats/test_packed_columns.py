"""Parquet columns whose numbers are bytes of numpy.save or JSON in a text: read as lists are, or refused by name."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError

pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")

TIME = np.arange(1, 65) / 10
SAMPLES = np.stack([np.stack([speed * TIME, 0.01 * speed * TIME**2, 0 * TIME], -1) for speed in (8.0, 9.0)])
"""Two samples of one clip (2, 64, 3)."""


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def spelled(array: np.ndarray) -> str:
    return json.dumps(array.tolist())


def written(path: Path, **columns: Any) -> Path:
    table = {"clip_id": ["a", "b"], "gt_xyz": [SAMPLES[0].tolist()] * 2, **columns}
    pq.write_table(pa.table({name: values for name, values in table.items() if values is not None}), path)
    return path


@pytest.mark.parametrize("pack", [saved, spelled])
def test_packed_numbers_are_those_of_lists(pack: Callable[[np.ndarray], Any], tmp_path: Path) -> None:
    listed = load_labels(written(tmp_path / "lists.parquet", pred_xyz=[SAMPLES.tolist(), SAMPLES[::-1].tolist()]))
    packed = load_labels(
        written(
            tmp_path / "packed.parquet",
            pred_xyz=[pack(SAMPLES), pack(SAMPLES[::-1].copy())],
            gt_xyz=[pack(SAMPLES[0])] * 2,
            clip_id=[b"a", b"b"],
            front_camera=[b"\xff\xd8 a picture, which is left unread"] * 2,
        )
    )
    assert packed.clip_id.tolist() == listed.clip_id.tolist()
    assert torch.equal(packed.teacher, listed.teacher)
    assert packed.ground_truth is not None
    assert listed.ground_truth is not None
    assert torch.equal(packed.ground_truth, listed.ground_truth)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (SAMPLES.tobytes(), "pred_xyz holds bare bytes, whose shape nobody says"),
        (saved(SAMPLES)[:-8], "pred_xyz is no whole array of numbers"),
        (saved(SAMPLES)[:60], "pred_xyz is no valid npy file"),
        (saved(np.array([{"a": 1}], dtype=object)), "pred_xyz is no whole array of numbers"),
    ],
)
def test_other_bytes_are_named(value: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        load_labels(written(tmp_path / "bytes.parquet", pred_xyz=[value, value]))


def test_a_text_that_is_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pred_xyz of clip a is not a regular array of numbers"):
        load_labels(written(tmp_path / "text.parquet", pred_xyz=["[[1, 2", "straight on"]))
