"""Clips as they were read, sound and with everything that a file can have, and what the check says of them."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from alpamayo_toy import UnicycleRollout
from alpamayo_toy.labels.formats.raw import RawClips
from alpamayo_toy.labels.soundness.check import Check


def driven(actions: np.ndarray, v0: np.ndarray, dt: float = 0.1, **rest: Any) -> RawClips:
    """Clips of actions (N, K, T, 2) from v0 (N,), as exact rollouts with rotations."""
    start = torch.from_numpy(np.asarray(v0, dtype=np.float64)).unsqueeze(1).expand(actions.shape[:2])
    states = UnicycleRollout(dt, "trapezoid")(torch.from_numpy(actions), start).numpy()
    n = len(actions)
    points = np.concatenate([states[..., :2], np.zeros_like(states[..., :1])], -1)
    names = np.array([f"clip-{i}" for i in range(n)])
    return RawClips(names, names, np.zeros(n, dtype=np.int64), points, turned(states[..., 2]), dt=dt, **rest)


def turned(yaw: np.ndarray) -> np.ndarray:
    """(...) rad -> (..., 3, 3)"""
    matrices = np.zeros((*np.shape(yaw), 3, 3))
    matrices[..., 0, 0] = matrices[..., 1, 1] = np.cos(yaw)
    matrices[..., 1, 0], matrices[..., 0, 1], matrices[..., 2, 2] = np.sin(yaw), -np.sin(yaw), 1.0
    return matrices


def waves(n: int, samples: int = 2, horizon: int = 64) -> np.ndarray:
    """Mild steering and pedals (N, K, T, 2), to both sides."""
    t = np.arange(horizon) / 10
    phase = np.random.default_rng(0).uniform(0, 6, (n, samples, 1, 2))
    return np.sin(t[:, None] + phase) * np.array([0.8, 0.03])


def past(v: np.ndarray, steps: int = 16) -> np.ndarray:
    """A straight history (N, H, 3) at constant speeds."""
    back = np.arange(-steps + 1, 1) * 0.1
    return np.stack([v[:, None] * back, 0 * v[:, None] * back, 0 * v[:, None] * back], -1)


def sound(n: int = 3) -> RawClips:
    """Clips at 8, 9, ... m/s with everything that a file can have."""
    v0 = 8.0 + np.arange(n)
    raw = driven(waves(n), v0, history=past(v0), history_rotation=turned(np.zeros((n, 16))))
    text, nested = np.array(["Keep the lane."] * n), np.zeros(n, dtype=bool)
    assert raw.rotation is not None
    truth = {"ground_truth": raw.teacher[:, 1], "ground_truth_rotation": raw.rotation[:, 1]}
    return replace(raw, text=text, nested_text=nested, **truth)


def judged(*batches: RawClips, **settings: Any) -> dict[str, Any]:
    check = Check("file", **settings)
    for raw in batches:
        assert check.add(raw).shape == (len(raw),)
    report = check.report()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["verdict"] == ("sound", "warnings", "unusable")[check.verdict]
    return report


def codes(report: dict[str, Any]) -> dict[str, int]:
    return {code: entry["count"] for code, entry in {**report["errors"], **report["warnings"]}.items()}
