"""Alpamayo's results as JSON: a list of clips with pred_xyz [K][T][3] and often gt_xyz [T][3], clip_id, t0_us, cot."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.raw import RawClips
from alpamayo_toy.labels.untrusted.arrays import integer, name_of, points
from alpamayo_toy.labels.untrusted.texts import flat_text


def matches(content: object) -> bool:
    return isinstance(content, list)


def clips(content: Any, path: Path) -> Iterator[RawClips | UserError]:
    """Every clip of the list by itself; a UserError in place of one that cannot be read."""
    if not content:
        raise UserError(f"{path} holds no clips")
    if not all(isinstance(clip, dict) for clip in content):
        raise UserError(f"{path}: expected a list of clips, each an object with pred_xyz")
    for i, clip in enumerate(content):
        try:
            name = name_of(f"{path}: clip_id", clip.get("clip_id", f"{path.stem}-{i}"), i)
            yield _clip(clip, name, path)
        except UserError as error:
            yield error


def _clip(clip: dict[str, Any], name: str, path: Path) -> RawClips:
    if "pred_xyz" not in clip:
        raise UserError(f"{path}: clip {name} has no pred_xyz")
    teacher = points(f"{path}: pred_xyz of clip {name}", clip["pred_xyz"], 3, "[K][T][3]")
    truth = None
    if "gt_xyz" in clip:
        truth = points(f"{path}: gt_xyz of clip {name}", clip["gt_xyz"], 2, "[T][3]")
        if len(truth) != teacher.shape[1]:
            raise UserError(f"{path}: clip {name}: gt_xyz has {len(truth)} steps, pred_xyz {teacher.shape[1]}")
    return single(path, name, clip.get("t0_us", 0), teacher[None], clip.get("cot"), ground_truth=truth)


def single(path: Path, name: str, t0_us: object, teacher: np.ndarray, text: object, **rest: Any) -> RawClips:
    """One clip, teacher (1, K, T, 3); rest are further fields without the axis of clips. Raises UserError."""
    try:
        flat, nested = flat_text(text)
    except ValueError as error:
        raise UserError(f"{path}: the text of clip {name} {error}") from None
    arrays: dict[str, Any] = {
        key: value[None] if isinstance(value, np.ndarray) else value for key, value in rest.items()
    }
    return RawClips(
        clip_id=np.array([name]),
        source=np.array([path.name]),
        t0_us=np.array([integer(f"{path}: t0_us of clip {name}", t0_us)]),
        teacher=teacher,
        text=np.array([flat], dtype=object),
        nested_text=np.array([nested]),
        **arrays,
    )
