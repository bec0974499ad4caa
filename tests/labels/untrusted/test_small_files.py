"""Small files that ask for much memory or time: one line says so, before it is taken."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parquet_files import pa, pq

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.untrusted.memory import check_unpacked

FEW = 500_000
IDS, TWO = np.array(["a"]), np.array(["a", "b"])


def npz(**arrays: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.savez_compressed(folder / "labels.npz", **arrays)
        return folder / "labels.npz"

    return write


def objects(item: object) -> np.ndarray:
    array = np.empty(FEW, dtype=object)
    array[:] = [item] * FEW
    return array


def parquet(**columns: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        rows = len(columns["pred_xyz"])
        keys = {"clip_id": [f"c{i}" for i in range(rows)], "t0_us": [0] * rows, "sample_idx": [0] * rows}
        pq.write_table(pa.table({**keys, **columns}), folder / "labels.parquet", compression="zstd", store_schema=False)
        return folder / "labels.parquet"

    return write


def lists(rows: int, length: int) -> Any:
    ends = np.arange(rows + 1, dtype=np.int32) * length
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(np.zeros(rows * length, dtype=np.float32)))


def json_in_a_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "labels.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.json", "[" + " " * 30_000_000 + "]")
    return folder / "labels.zip"


def packed_twice(folder: Path) -> Path:
    """An npz of 14 MB, all of it zeros, that might unpack to 20 times as much where it lies by itself."""
    more = io.BytesIO()
    np.save(more, np.zeros(1_800_000))
    with zipfile.ZipFile(npz(clip_id=IDS, teacher=np.zeros((1, 400, 4000, 2), np.uint8))(folder), "a") as archive:
        archive.writestr("more.npy", more.getvalue(), zipfile.ZIP_STORED)
    with zipfile.ZipFile(folder / "labels.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "labels.npz", "labels.npz")
    return folder / "labels.zip"


def tensor(folder: Path) -> Path:
    torch.save({"clip_id": "a", "pred_xyz": torch.zeros(1, 5000, 40, 3, dtype=torch.uint8)}, folder / "labels.pt")
    return folder / "labels.pt"


def steps(folder: Path) -> Path:
    (folder / "labels.json").write_text(json.dumps([{"clip_id": "a", "pred_xyz": [[[0, 0]] * 4097]}]))
    return folder / "labels.json"


PLAIN = np.zeros((1, 1, 64, 2), np.float32)
TIMES = "bytes and unpacks to .* and more, over 20 times as many"
SHAPES = "at most 4096 samples of 4096 steps are read"
TEXTS = "at most 100000 characters|at most 100000 are read"
BOMBS = {
    "bytes that become float64": (npz(clip_id=IDS, teacher=np.zeros((1, 400, 4000, 2), np.uint8)), TIMES),
    "a member that is no label": (npz(clip_id=IDS, teacher=PLAIN, more=np.zeros(3_000_000, np.bool_)), TIMES),
    "many clips": (npz(clip_ids=np.array(["a"] * 10_000), pred_xyz=np.zeros((10_000, 1, 5, 64, 3), np.uint8)), TIMES),
    "steps": (npz(clip_id=IDS, teacher=np.zeros((1, 1, 4097, 2), np.float32)), SHAPES),
    "samples": (npz(clip_id=IDS, teacher=np.zeros((1, 4097, 4, 2), np.float32)), SHAPES),
    "history": (npz(clip_id=IDS, teacher=PLAIN, history=np.zeros((1, 4097, 4), np.float32)), SHAPES),
    "a text": (npz(clip_id=IDS, teacher=PLAIN, text=np.array(["x" * 100_001])), TEXTS),
    "a text as an object": (
        npz(clip_id=TWO, teacher=PLAIN.repeat(2, 0), text=np.array(["x" * 100_001, ""], dtype=object)),
        TEXTS,
    ),
    "objects": (npz(clip_id=objects([]), teacher=PLAIN), TIMES),
    "rows": (parquet(pred_xyz=lists(40_000, 192)), TIMES),
    "a row": (parquet(pred_xyz=lists(1, 3 * 2**20)), TIMES),
    "rows of one text": (parquet(pred_xyz=lists(200, 192), coc=["x" * 99_999] * 200), TIMES),
    "steps of a row": (parquet(pred_xyz=lists(1, 3 * 4097)), SHAPES),
    "a text of a row": (parquet(pred_xyz=lists(1, 192), coc=["x" * 100_001]), TEXTS),
    "packed": (json_in_a_zip, TIMES),
    "packed twice": (packed_twice, TIMES),
    "samples of a tensor": (tensor, SHAPES),
    "steps of a list": (steps, SHAPES),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_file_that_asks_for_much_is_one_line(kind: str, tmp_path: Path) -> None:
    write, says = BOMBS[kind]
    path = write(tmp_path)
    assert path.stat().st_size < 1_300_000
    with pytest.raises(UserError, match=says) as caught:
        load_labels(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_unpacked_may_be_twenty_times_the_file_and_twenty_megabytes_always(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(2 << 20))
    check_unpacked(path, 40 << 20)
    with pytest.raises(UserError, match="over 20 times"):
        check_unpacked(path, (40 << 20) + 1)
    path.write_bytes(b"")
    check_unpacked(path, 20 << 20)
    with pytest.raises(UserError, match="over 20 times"):
        check_unpacked(path, (20 << 20) + 1)
