"""Which clips are held out: by a hash of their id, by a pattern of it, or by time."""

import hashlib
from fnmatch import fnmatchcase

import numpy as np
import torch

from alpamayo_toy.kinematics.trajectory import Labels

PAST_S = 1.5  # s, of history that a window shows before t0 where its clips say no other


def split(labels: Labels, val_fraction: float, fold: int = 0) -> tuple[Labels, Labels]:
    """(train, validation) by a hash of the clip id: a clip stays on its side whatever is added to the set."""
    return parted(labels, is_held(labels.clip_id, val_fraction, fold))


def parted(labels: Labels, held: np.ndarray) -> tuple[Labels, Labels]:
    """(train, validation), held (N,) bool the clips of the latter."""
    train, validation = (labels.select(torch.from_numpy(np.flatnonzero(side))) for side in (~held, held))
    return train, validation


def fits(clip_id: str, pattern: str) -> bool:
    """Whether it is that id, or fits that shell pattern, such as drive_0[67]."""
    return clip_id == pattern or fnmatchcase(clip_id, pattern)


def split_by_time(labels: Labels, val_fraction: float) -> tuple[Labels, Labels]:
    """(train, validation) where hashing leaves a side empty: the last share of each drive's time is held out.

    Windows that share a moment with a held-out one, their history and the horizon included, are left out.
    """
    past = PAST_S if labels.history is None else (labels.history.shape[1] - 1) * labels.dt
    reach = round((labels.horizon * labels.dt + past) * 1e6)
    times = labels.t0_us.numpy()
    train, held = np.zeros(len(labels), dtype=bool), np.zeros(len(labels), dtype=bool)
    for clip in np.unique(labels.clip_id):
        mine = labels.clip_id == clip
        first, last = times[mine].min(), times[mine].max()
        border = last - val_fraction * (last - first)
        held |= mine & (times > border)
        train |= mine & (times <= border - reach)
    sides = (torch.from_numpy(np.flatnonzero(side)) for side in (train, held))
    return labels.select(next(sides)), labels.select(next(sides))


def is_held(clip_id: np.ndarray, val_fraction: float, fold: int = 0) -> np.ndarray:
    """(N,) bool: whether a clip's hash lies in this share of [0, 1), the first one being fold 0."""
    place = np.array([split_hash(str(clip)) for clip in clip_id])
    inside: np.ndarray = (place >= fold * val_fraction) & (place < (fold + 1) * val_fraction)
    return inside


def split_hash(clip_id: str) -> float:
    """A clip's place in [0, 1): the first 8 bytes of SHA-256 of its id."""
    return int.from_bytes(hashlib.sha256(clip_id.encode(errors="backslashreplace")).digest()[:8], "big") / 2**64
