"""Label files as their writers write them, of a few exact rollouts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alpamayo_toy import UnicycleRollout

N, K = 4, 3
CLIPS = [f"clip-{i}" for i in range(N)]


def driven() -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """Exact trapezoid rollouts (N, K, 64, 3), their rotations, their v0, one of them from rest."""
    v0 = torch.linspace(0, 9, N, dtype=torch.float64)
    actions = torch.zeros(N, K, 64, 2, dtype=torch.float64)
    actions[..., 0] = torch.linspace(0.2, 0.4, K, dtype=torch.float64)[:, None]
    actions[..., 1] = torch.linspace(-0.02, 0.02, N, dtype=torch.float64)[:, None, None]
    states = UnicycleRollout(0.1, "trapezoid")(actions, v0[:, None])
    xyz = states[..., :3].clone()
    xyz[..., 2] = 0
    yaw = states[..., 2]
    rotation = torch.zeros(*yaw.shape, 3, 3, dtype=torch.float64)
    rotation[..., 0, 0] = rotation[..., 1, 1] = yaw.cos()
    rotation[..., 1, 0], rotation[..., 0, 1], rotation[..., 2, 2] = yaw.sin(), -yaw.sin(), 1
    return xyz.numpy(), rotation.numpy(), v0


def past(v0: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Straight histories (N, 16, 3) at constant speed."""
    xyz = np.zeros((N, 16, 3))
    xyz[..., 0] = v0.numpy()[:, None] * np.linspace(-1.5, 0, 16)
    return xyz, np.tile(np.eye(3), (N, 16, 1, 1))


def results_json(folder: Path) -> Path:
    xyz, _, _ = driven()
    clips = [
        {"clip_id": CLIPS[i], "t0_us": i, "pred_xyz": xyz[i].tolist(), "gt_xyz": xyz[i, 0].tolist(), "cot": [["go"]]}
        for i in range(N)
    ]
    (folder / "results.json").write_text(json.dumps(clips))
    return folder / "results.json"


def clip_jsons(folder: Path) -> Path:
    xyz, rotation, _ = driven()
    clips = [
        {
            "clip_id": CLIPS[i],
            "t0_us": i,
            "chain_of_causation": "go",
            "trajectory": {
                "num_waypoints": 64,
                "duration_sec": 6.4,
                "predicted_xyz": xyz[i, 0].tolist(),
                "predicted_rotation": rotation[i, 0].tolist(),
            },
        }
        for i in range(N)
    ]
    for clip in clips:
        (folder / f"{clip['clip_id']}.json").write_text(json.dumps(clip))
    (folder / "summary.json").write_text(json.dumps({"average_ADE": 1.0, "results": clips}))
    return folder


def community(folder: Path, **changes: Any) -> Path:
    """The community's pair of files, in the first of which these arrays are others."""
    xyz, rotation, v0 = driven()
    history, turned = past(v0)
    history[1:3], turned[1:3] = 0, 0
    labels: dict[str, Any] = {
        "clip_ids": np.array(CLIPS, dtype=object),
        "t0_us": np.arange(N),
        "trajectory_xyz": xyz[:, 0].astype(np.float32),
        "trajectory_rot": rotation[:, 0].astype(np.float32),
        "coc_texts": np.array(["go"] * N, dtype=object),
        "coc_embeddings": np.zeros((N, 384), dtype=np.float32),
    }
    np.savez(folder / "train_labels.npz", **{**labels, **changes})
    np.savez(folder / "train_ego_history.npz", ego_history_xyz=history, ego_history_rot=turned)
    return folder


def recorded(n: int = 3) -> dict[str, Any]:
    """Straight drives at 1 to n m/s, as they lie in an npz."""
    steps = np.arange(-15, 65)[None, :, None] * np.arange(1, n + 1)[:, None, None]
    xyz = (steps * [0.1, 0, 0]).astype(np.float32)
    rotation = np.broadcast_to(np.eye(3, dtype=np.float32), (n, 80, 3, 3))
    return {
        "ego_history_xyz": xyz[:, :16],
        "ego_history_rot": rotation[:, :16],
        "ego_future_xyz": xyz[:, 16:],
        "ego_future_rot": rotation[:, 16:],
    }


def clips(n: int = 3, k: int = 2, horizon: int = 64) -> list[dict[str, Any]]:
    """Alpamayo-like JSON: exact trapezoid rollouts, one of them from rest."""
    v0 = torch.linspace(0, 10, n, dtype=torch.float64)
    actions = torch.zeros(n, k, horizon, 2, dtype=torch.float64)
    actions[..., 0] = torch.linspace(0.2, 0.5, k, dtype=torch.float64)[:, None]
    actions[..., 1] = 0.01
    xyz = UnicycleRollout(0.1, "trapezoid")(actions, v0[:, None])[..., :3].clone()
    xyz[..., 2] = 0
    return [
        {"clip_id": f"clip-{i}", "pred_xyz": xyz[i].tolist(), "gt_xyz": xyz[i, 0].tolist(), "cot": f"text {i}"}
        for i in range(n)
    ]
