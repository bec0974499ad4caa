"""Records of a few exact rollouts, and how each container holds them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from written import CLIPS, K, N, driven, past

from alpamayo_toy import Labels

XYZ, TURNED, V0 = driven()
PAST, PAST_TURNED = past(V0)
TEXTS = [[f"clip {i} sample {k}" for k in range(K)] for i in range(N)]
SECOND = 1_000_000  # us


def rows(**fields: Any) -> list[dict[str, Any]]:
    """An object a clip; a function gives the i-th one's value."""
    first: dict[str, Any] = {"clip_id": lambda i: CLIPS[i], "t0_us": lambda i: i * SECOND}
    return [{key: value(i) if callable(value) else value for key, value in (first | fields).items()} for i in range(N)]


def samples(**fields: Any) -> list[dict[str, Any]]:
    """An object a clip and sample."""
    return [
        {"clip_id": CLIPS[i], "t0_us": i * SECOND, "sample_idx": k, "pred_xyz": XYZ[i, k], "cot": TEXTS[i][k], **fields}
        for i in range(N)
        for k in range(K)
    ]


def as_lists(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def js(content: Any, name: str = "labels.json") -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(json.dumps(content, default=as_lists))


def lines(content: list[Any], name: str = "labels.jsonl") -> Callable[[Path], object]:
    text = "\n".join(json.dumps(row, default=as_lists) for row in content)
    return lambda folder: (folder / name).write_text(text + "\n\n")


def npz(**arrays: Any) -> Callable[[Path], object]:
    return lambda folder: np.savez(folder / "labels.npz", **arrays)


def pt(content: Any, name: str = "labels.pt") -> Callable[[Path], object]:
    return lambda folder: torch.save(content, folder / name)


def parquet(name: str = "labels.parquet", **columns: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), folder / name)

    return write


def together(*writers: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [write(folder) for write in writers]


def check_clips(labels: Labels, has: set[str], name: str) -> None:
    some = slice(1, 2) if "one" in has else slice(0, N)
    order = np.argsort(labels.clip_id)
    if name != "what models return":
        assert labels.clip_id[order].tolist() == CLIPS[some]
    assert labels.t0_us[order].tolist() == [i * SECOND for i in range(N)][some]
    assert labels.dt == 0.1
    assert labels.teacher.shape == (len(order), K, 64, 4)
    assert np.abs(labels.teacher[order][..., :2].numpy() - XYZ[some, ..., :2]).max() < 1e-5
    assert (labels.v0[order] - V0[some]).abs().max() < 2e-3
    assert (labels.ground_truth is not None) == ("truth" in has)
    assert (labels.history is not None) == ("past" in has)
    if "texts" in has:
        assert labels.text is not None
        assert labels.text[order].tolist() == TEXTS[some]
    else:
        assert labels.text is None or labels.text.shape == (len(order),)
