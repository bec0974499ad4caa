"""Which clips are held out: by a hash of their id, or by time."""

import hashlib

import numpy as np
import torch

from alpamayo_toy.kinematics.trajectory import Labels

PAST_S = 1.5  # s, of history that a window shows before t0


def split(labels: Labels, val_fraction: float, fold: int = 0) -> tuple[Labels, Labels]:
    """(train, validation) by a hash of the clip id: a clip stays on its side whatever is added to the set."""
    place = np.array([split_hash(str(clip)) for clip in labels.clip_id])
    held = torch.from_numpy(is_held(place, val_fraction, fold))
    return labels.select((~held).nonzero()[:, 0]), labels.select(held.nonzero()[:, 0])


def split_by_time(labels: Labels, val_fraction: float) -> tuple[Labels, Labels]:
    """(train, validation) where hashing leaves a side empty: the last share of each drive's time is held out.

    Windows that share a moment with a held-out one, 1.5 s of history and the horizon included, are left out.
    """
    reach = int((labels.horizon * labels.dt + PAST_S) * 1e6)
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


def is_held(place: np.ndarray, val_fraction: float, fold: int) -> np.ndarray:
    """(N,) bool: whether clips at these places (N,) in [0, 1) are in this share of them, the first one being fold 0."""
    inside: np.ndarray = (place >= fold * val_fraction) & (place < (fold + 1) * val_fraction)
    return inside


def split_hash(clip_id: str) -> float:
    """A clip's place in [0, 1): the first 8 bytes of SHA-256 of its id."""
    return int.from_bytes(hashlib.sha256(clip_id.encode(errors="backslashreplace")).digest()[:8], "big") / 2**64
