"""A stand-in for NVIDIA's model."""

from typing import Any

import torch
from written import driven, past

CLIPS = [(f"clip-{i}", 5_100_000 + i) for i in range(4)]


class Recorded:
    """A model of the documented interface that gives recorded answers, and counts how often it is asked."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.asked: list[str] = []
        self.fails_at = fails_at

    def predict(self, clip_id: str, t0_us: int, samples: int, seed: int) -> dict[str, Any]:
        if self.fails_at == len(self.asked):
            raise KeyboardInterrupt
        self.asked.append(clip_id)
        xyz, rotation, v0 = driven()
        history, turned = past(v0)
        i = t0_us - CLIPS[0][1]
        return {
            "pred_xyz": torch.tensor(xyz[i])[None, None, :samples],
            "pred_rot": torch.tensor(rotation[i])[None, None, :samples],
            "cot": [[f"text {i}"]],
            "ego_history_xyz": torch.tensor(history[i])[None, None],
            "ego_history_rot": torch.tensor(turned[i])[None, None],
            "ego_future_xyz": torch.tensor(xyz[i, 0])[None, None],
            "ego_future_rot": torch.tensor(rotation[i, 0])[None, None],
        }
