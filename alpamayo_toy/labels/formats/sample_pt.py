"""A clip per .pt file: pred_xyz (1, 1, K, T, 3), pred_rot (1, 1, K, T, 3, 3), cot in nested lists."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.raw import RawClips
from alpamayo_toy.labels.formats.results_json import single
from alpamayo_toy.labels.untrusted.arrays import numbers, points, rotations, without_leading_ones


def matches(names: Collection[str]) -> bool:
    return "pred_xyz" in names and "ego_history_xyz" not in names


def clips(content: dict[str, Any], path: Path) -> Iterator[RawClips]:
    """The one clip; its name is the file's unless it says another. Raises UserError."""
    where = f"{path}: pred_xyz"
    array = without_leading_ones(numbers(where, content["pred_xyz"]), 3)
    teacher = points(where, array, 3, "(1, 1, K, T, 3)")
    rotation = content.get("pred_rot")
    if rotation is not None:
        rotation = without_leading_ones(numbers(f"{path}: pred_rot", rotation), 4)
    truth = content.get("gt_xyz")
    if truth is not None:
        truth = points(f"{path}: gt_xyz", without_leading_ones(numbers(f"{path}: gt_xyz", truth), 2), 2, "(T, 3)")
        if len(truth) != teacher.shape[1]:
            raise UserError(f"{path}: gt_xyz has {len(truth)} steps, pred_xyz {teacher.shape[1]}")
    name = content.get("clip_id", path.stem)
    while isinstance(name, list) and len(name) == 1:
        name = name[0]
    yield single(
        path,
        str(name)[:200],
        content.get("t0_us", 0),
        teacher[None],
        content.get("cot"),
        rotation=rotations(f"{path}: pred_rot", rotation, teacher),
        ground_truth=truth,
    )
