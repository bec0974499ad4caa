"""The community's npz: clip_ids, t0_us, trajectory_xyz (N, T, 3), trajectory_rot, coc_texts, and the history beside it.

The history lies in a second file, x_ego_history.npz beside x_labels.npz, joined row by row; rows of zeros stand for a
failed download. coc_embeddings are left aside: they are made from the teacher's own words about the future.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.raw import RawClips
from alpamayo_toy.labels.untrusted.archive import read_npz
from alpamayo_toy.labels.untrusted.arrays import integers, names, numbers, points, rotations
from alpamayo_toy.labels.untrusted.texts import flat_text

HISTORY = ("ego_history_xyz", "ego_history_rot")


def matches(names: Collection[str]) -> bool:
    return {"clip_ids", "trajectory_xyz"} <= set(names)


def is_history(names: Collection[str]) -> bool:
    """The file beside the labels, which holds no labels of its own."""
    return HISTORY[0] in names and set(names) <= set(HISTORY)


def clips(content: dict[str, Any], path: Path) -> Iterator[RawClips]:
    """All clips at once, one sample each. Raises UserError for arrays whose rows do not match."""
    for key in ("clip_ids", "coc_texts"):
        if not isinstance(content.get(key, []), list) and content[key].ndim != 1:
            raise UserError(f"{path}: {key} must have one text for each clip (got {content[key].shape})")
    clip_id = names(f"{path}: clip_ids", content["clip_ids"])
    n = len(clip_id)
    teacher = points(f"{path}: trajectory_xyz", content["trajectory_xyz"], 3, "(N, T, 3)")
    rotation = rotations(f"{path}: trajectory_rot", content.get("trajectory_rot"), teacher)
    t0_us = integers(f"{path}: t0_us", content.get("t0_us", np.zeros(n, dtype=np.int64)))
    texts = content.get("coc_texts", [""] * n)
    history = _history(path)
    rows = {"trajectory_xyz": teacher, "t0_us": t0_us, "coc_texts": texts, "the history file": history[0]}
    for key, value in rows.items():
        if value is not None and len(value) != n:
            raise UserError(f"{path}: {n} clip_ids but {len(value)} rows in {key}; rows are joined by their place")
    try:
        flat = [flat_text(text) for text in texts]
    except ValueError as error:
        raise UserError(f"{path}: coc_texts: {error}") from None
    yield RawClips(
        clip_id=clip_id,
        source=np.full(n, path.name),
        t0_us=t0_us,
        teacher=teacher[:, None],
        rotation=None if rotation is None else rotation[:, None],
        history=history[0],
        history_rotation=history[1],
        text=np.array([text for text, _ in flat], dtype=object),
        nested_text=np.array([nested for _, nested in flat]),
    )


def history_file(path: Path) -> Path | None:
    """The history that lies beside the labels, if there is one."""
    beside = path.with_name(path.name.replace("labels", "ego_history"))
    return beside if path.suffix.lower() == ".npz" and beside != path and beside.exists() else None


def _history(path: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    beside = history_file(path)
    if beside is None:
        return None, None
    content = read_npz(beside)
    if not is_history(content):
        raise UserError(f"{beside} is no history file; it must hold {' and '.join(HISTORY)}")
    history = points(f"{beside}: {HISTORY[0]}", numbers(f"{beside}: {HISTORY[0]}", content[HISTORY[0]]), 3, "(N, H, 3)")
    return history, rotations(f"{beside}: {HISTORY[1]}", content.get(HISTORY[1]), history)
