"""Batches of small seeds: their options, and what two of them have not in common."""

import json
from pathlib import Path
from typing import Any

import torch
from composed import composed

from alpamayo_toy.training.config import BatchConfig

SMALL = (
    "trainer=smoke",
    "trainer.pictures=0",
    "teacher.scenes=64",
    "teacher.val_scenes=8",
    "student.width=32",
    "student.embedding=16",
)
RESUMED = ("config.json", "best.pt", "last.pt")  # hold that it was continued, and where


def batch_config(*overrides: str, options: tuple[str, ...] = SMALL) -> BatchConfig:
    made: BatchConfig = composed("batch", BatchConfig, *options, *overrides)
    return made


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def apart(one: Path, other: Path, besides: tuple[str, ...] = ()) -> list[str]:
    """The files of two batches that are not the same bytes in both, but for what has a date in it."""
    dated = ("events.", "run.json")
    names = {
        str(path.relative_to(folder))
        for folder in (one, other)
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith((*dated, *besides)) and ".hydra" not in str(path)
    }
    assert len(names) >= 8
    mine, theirs = (
        {name: (folder / name).read_bytes() for name in names if (folder / name).exists()} for folder in (one, other)
    )
    return sorted(name for name in names if mine.get(name) != theirs.get(name))


def weights_apart(one: Path, other: Path, seeds: tuple[int, ...] = (0, 1, 2)) -> float:
    """The largest difference between the tensors in two batches' checkpoints, weights, averages and optimizer alike."""

    def tensors(content: Any) -> list[torch.Tensor]:
        if isinstance(content, torch.Tensor):
            return [content]
        return [t for value in content.values() for t in tensors(value)] if isinstance(content, dict) else []

    apart = []
    for file in [f"seed-{seed}/checkpoints/{name}.pt" for seed in seeds for name in ("best", "last")]:
        mine, theirs = (torch.load(folder / file, weights_only=True) for folder in (one, other))
        assert mine["config"]["seed"] == theirs["config"]["seed"]
        assert mine["step"] == theirs["step"]
        pairs = list(zip(tensors(mine), tensors(theirs), strict=True))
        assert len(pairs) > 10
        apart += [float((a.double() - b.double()).abs().max()) for a, b in pairs if a.numel()]
    return max(apart)
