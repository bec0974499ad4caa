"""Alpamayo's results as JSON: a list of clips with pred_xyz [K][T][3] and often gt_xyz [T][3], clip_id, cot."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.waypoints import labels_of
from alpamayo_toy.trajectory import Labels


def read(path: Path) -> Labels:
    """Every clip of the list, K and T alike in all. Raises UserError naming the file and the clip."""
    try:
        clips = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON, perhaps cut off: {error}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(clips, list) or not all(isinstance(clip, dict) for clip in clips):
        raise UserError(f"{path}: expected a list of clips, each an object with pred_xyz")
    if not clips:
        raise UserError(f"{path} holds no clips")
    clip_id = np.array([str(clip.get("clip_id", f"{path.stem}-{i}")) for i, clip in enumerate(clips)])
    predicted = [_points(path, name, clip, "pred_xyz", 3) for name, clip in zip(clip_id, clips, strict=True)]
    teacher = _stacked(path, clip_id, predicted, "pred_xyz")
    ground_truth = None
    if all("gt_xyz" in clip for clip in clips):
        truths = [_points(path, name, clip, "gt_xyz", 2) for name, clip in zip(clip_id, clips, strict=True)]
        ground_truth = _stacked(path, clip_id, truths, "gt_xyz")
        if ground_truth.shape[1] != teacher.shape[2]:
            raise UserError(f"{path}: gt_xyz has {ground_truth.shape[1]} steps, pred_xyz {teacher.shape[2]}")
    text = np.array([str(clip.get("cot", "")) for clip in clips])
    t0_us = torch.tensor([_integer(path, name, clip) for name, clip in zip(clip_id, clips, strict=True)])
    return labels_of(path, clip_id, teacher, ground_truth, text=text, t0_us=t0_us)


def _points(path: Path, name: str, clip: dict[str, Any], key: str, dims: int) -> Tensor:
    """clip[key] as (..., 2) of that many dimensions, z left aside."""
    if key not in clip:
        raise UserError(f"{path}: clip {name} has no {key}")
    try:
        points = torch.tensor(clip[key], dtype=torch.float64)
    except (ValueError, TypeError):
        raise UserError(f"{path}: {key} of clip {name} is not a regular array of numbers") from None
    if points.dim() != dims or points.shape[-1] not in (2, 3) or 0 in points.shape:
        wanted = "[K][T][3]" if dims == 3 else "[T][3]"
        raise UserError(f"{path}: {key} of clip {name} must have shape {wanted} (got {list(points.shape)})")
    return points[..., :2]


def _stacked(path: Path, clip_id: np.ndarray, points: list[Tensor], key: str) -> Tensor:
    for name, p in zip(clip_id, points, strict=True):
        if p.shape != points[0].shape:
            wanted, got = list(points[0].shape[:-1]), list(p.shape[:-1])
            raise UserError(f"{path}: {key} of clip {name} has shape {got}, clip {clip_id[0]} has {wanted}")
    return torch.stack(points)


def _integer(path: Path, name: str, clip: dict[str, Any]) -> int:
    t0 = clip.get("t0_us", 0)
    if not isinstance(t0, int):
        raise UserError(f"{path}: t0_us of clip {name} must be an integer (got {t0!r})")
    return t0
