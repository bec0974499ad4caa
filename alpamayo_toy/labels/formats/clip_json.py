"""A clip per JSON file: trajectory.predicted_xyz (T, 3), predicted_rotation (T, 3, 3), chain_of_causation.

A summary that wraps such clips under "results" is read as well.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.trajectory import DT
from alpamayo_toy.labels.formats.raw import RawClips
from alpamayo_toy.labels.formats.results_json import single
from alpamayo_toy.labels.untrusted.arrays import name_of, points, rotations


def matches(content: object) -> bool:
    return isinstance(content, dict) and bool({"trajectory", "predicted_xyz", "results"} & set(content))


def clips(content: Any, path: Path) -> Iterator[RawClips | UserError]:
    """The clip, or every clip of "results"; a UserError in place of one that cannot be read."""
    found = content.get("results", [content])
    if not isinstance(found, list) or not found or not all(isinstance(clip, dict) for clip in found):
        raise UserError(f"{path}: results must be a list of clips, each with trajectory.predicted_xyz")
    for i, clip in enumerate(found):
        otherwise = path.stem if found is not content.get("results") else f"{path.stem}-{i}"
        try:
            name = name_of(f"{path}: clip_id", clip.get("clip_id", otherwise), i)
            yield _clip(clip, name, path)
        except UserError as error:
            yield error


def _clip(clip: dict[str, Any], name: str, path: Path) -> RawClips:
    trajectory = clip.get("trajectory", clip)
    if not isinstance(trajectory, dict) or "predicted_xyz" not in trajectory:
        raise UserError(f"{path}: clip {name} has no trajectory.predicted_xyz")
    teacher = points(f"{path}: predicted_xyz of clip {name}", trajectory["predicted_xyz"], 2, "[T][3]")
    rotation = rotations(f"{path}: predicted_rotation of clip {name}", trajectory.get("predicted_rotation"), teacher)
    return single(
        path,
        name,
        clip.get("t0_us", 0),
        teacher[None, None],
        clip.get("chain_of_causation"),
        rotation=None if rotation is None else rotation[None],
        dt=_step(trajectory, len(teacher), path, name),
    )


def _step(trajectory: dict[str, Any], steps: int, path: Path, name: str) -> float:
    """Seconds between waypoints, from duration_sec where it is said."""
    duration = trajectory.get("duration_sec", steps * DT)
    if not isinstance(duration, int | float) or not 0 < duration < 1e9:
        raise UserError(f"{path}: duration_sec of clip {name} must be a number of seconds (got {str(duration)[:40]!r})")
    return round(duration / steps, 6)
