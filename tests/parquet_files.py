"""Parquet files of labels and of columns by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.formats import flat_parquet
from alpamayo_toy.labels.formats.raw import RawClips

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
