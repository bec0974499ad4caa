"""Clips that come again: the one rule of what a repetition is."""

import hashlib
from collections.abc import Iterable

import numpy as np

Key = tuple[str, int]


def digest(teacher: np.ndarray) -> bytes:
    """What two trajectories (K, T, >= 2) share where their waypoints are the same in float32."""
    waypoints = np.ascontiguousarray(teacher[..., :2], dtype=np.float32)
    return hashlib.blake2b(repr(waypoints.shape).encode() + waypoints.tobytes(), digest_size=16).digest()


class Seen:
    """The clips so far, about 300 bytes each: one of a clip id and t0 that came before is repeated, and may be left
    out, where its waypoints are the same, and a duplicate, one of which is wrong, where they are not."""

    def __init__(self) -> None:
        self._digests: dict[Key, bytes] = {}

    def again(self, keys: Iterable[Key], teacher: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(repeated, duplicate), each (N,) bool, of clips by (clip_id, t0_us); the new ones are remembered."""
        repeated, duplicate = np.zeros((2, len(teacher)), dtype=bool)
        for i, key in enumerate(keys):
            found = digest(teacher[i])
            known = self._digests.setdefault(key, found)
            repeated[i] = known is not found and known == found
            duplicate[i] = known != found
        return repeated, duplicate
