"""What a student predicts, as a file: each trajectory beside its clip, its number and its probability."""

from pathlib import Path

import numpy as np
import pytest
import torch
from places import DATA

from alpamayo_toy import load_labels
from alpamayo_toy.evaluation.predictions import write_predictions
from alpamayo_toy.kinematics.trajectory import Prediction


def predicted() -> Prediction:
    """Two modes of three clips in which every number is another one."""
    actions = torch.arange(3 * 2 * 5 * 2.0).reshape(3, 2, 5, 2)
    odds = torch.tensor([[0.25, 0.75], [0.5, 0.5], [0.875, 0.125]])
    return Prediction(actions, 1000 + torch.arange(3 * 2 * 5 * 4.0).reshape(3, 2, 5, 4), odds.log())


def test_a_row_of_parquet_is_a_mode_of_a_clip(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    labels, made = load_labels(DATA / "labels.npz").select(torch.tensor([4, 2, 9])), predicted()
    write_predictions(tmp_path / "out.parquet", labels, made)
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["sample_idx"] for row in rows] == [0, 1] * 3
    assert [row["clip_id"] for row in rows] == np.repeat(labels.clip_id, 2).tolist()
    assert [row["t0_us"] for row in rows] == labels.t0_us.repeat_interleave(2).tolist()
    assert [row["v0"] for row in rows] == labels.v0.repeat_interleave(2).tolist()
    assert [row["probability"] for row in rows] == pytest.approx([0.25, 0.75, 0.5, 0.5, 0.875, 0.125])
    for i, row in enumerate(rows):
        assert [row["a"], row["kappa"]] == made.actions[i // 2, i % 2].T.tolist()
        assert [row[name] for name in ("x", "y", "yaw", "v")] == made.trajectories[i // 2, i % 2].T.tolist()
        assert row["dt"] == labels.dt


def test_arrays_stand_in_the_order_of_the_clips(tmp_path: Path) -> None:
    labels, made = load_labels(DATA / "labels.npz").select(torch.tensor([4, 2, 9])), predicted()
    write_predictions(tmp_path / "out.npz", labels, made)
    with np.load(tmp_path / "out.npz") as found:
        assert found["clip_id"].tolist() == labels.clip_id.tolist()
        assert found["t0_us"].tolist() == labels.t0_us.tolist()
        assert found["v0"].tolist() == labels.v0.tolist()
        assert float(found["dt"]) == labels.dt
        for name in ("actions", "trajectories", "probabilities"):
            assert np.array_equal(found[name], getattr(made, name).numpy())
