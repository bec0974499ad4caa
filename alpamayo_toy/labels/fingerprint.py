"""Fingerprint: which clips a student learnt from and which were held out, by their names and by their numbers."""

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.kinematics.trajectory import Labels

PARKED_M = 1e-3  # a path that comes no further is many a clip's
CLIP, WINDOW, PATH, ALL = range(4)


@dataclass(frozen=True)
class Fingerprint:
    """trained (N, 4), held (M, 4) int64: of each clip a digest of its id, of id and t0, of its first sample's
    waypoints, 0 where it is parked, and of every number that the file gives of it and a student learns from.
    """

    trained: Tensor
    held: Tensor

    @classmethod
    def of(cls, trained: Labels, held: Labels) -> Self:
        """Of labels as they were read, before samples are chosen or mirrored."""
        return cls(digests(trained), digests(held))

    def differs(self, now: Self, in_order: bool) -> str:
        """What is different now, in a few words: which clips, or with in_order the order of those to train on."""
        if torch.equal(self.trained, now.trained) and torch.equal(self.held, now.held):
            return ""
        before, after = ({row[WINDOW]: tuple(row) for row in both.tolist()} for both in (self._all, now._all))
        gone, new = before.keys() - after.keys(), after.keys() - before.keys()
        other = [window for window in before.keys() & after.keys() if before[window] != after[window]]
        counted = {"gone": len(gone), "with other numbers": len(other), "new": len(new)}
        said = [f"{count} {what}" for what, count in counted.items() if count]
        if said:
            return f"{len(before)} clips then, {', '.join(said)}"
        if len(self.trained) != len(now.trained) or set(self.trained[:, WINDOW].tolist()) != set(
            now.trained[:, WINDOW].tolist()
        ):
            return "other clips of it are held out"
        return "its clips stand in another order" if in_order and not torch.equal(self.trained, now.trained) else ""

    def learnt(self, labels: Labels, names: bool = True) -> np.ndarray:
        """(N,) bool: which clips were trained on, by what their first sample drives, and by their id with names."""
        rows = digests(labels)
        known = torch.isin(rows[:, PATH], self.trained[:, PATH]) & (rows[:, PATH] != 0)
        if names:
            known |= torch.isin(rows[:, CLIP], self.trained[:, CLIP])
        return known.numpy()

    @property
    def _all(self) -> Tensor:
        return torch.cat([self.trained, self.held])


def digests(labels: Labels) -> Tensor:
    """(N, 4) int64, as Fingerprint has them.

    Nothing that is worked out goes in, such as headings, speeds or a scenario read off the future: another version of
    this project, or another machine, may give them other last digits.
    """
    paths = _written(labels.teacher[..., :2])
    given = [_written(value) for value in (labels.context, labels.route) if value is not None]
    given += [] if labels.history is None else [_written(labels.history[..., :2])]
    given += [labels.scenario.numpy()] if labels.scenario_source == "file" else []
    v0, stated = _written(labels.v0), labels.v0_source == "file"
    parked = np.abs(paths[:, 0]).max((1, 2)) < PARKED_M
    rows = []
    for i, (clip, t0) in enumerate(zip(labels.clip_id.tolist(), labels.t0_us.tolist(), strict=True)):
        name = clip.encode(errors="backslashreplace")
        numbers = [paths[i].tobytes(), *(value[i].tobytes() for value in given), v0[i].tobytes() if stated[i] else b""]
        path = bytes(8) if parked[i] else _digest(paths[i, 0].tobytes())
        rows.append(_digest(name) + _digest(name + b"\0%d" % t0) + path + _digest(*numbers))
    return torch.from_numpy(np.frombuffer(b"".join(rows), dtype="<i8").reshape(-1, 4).astype(np.int64))


def _written(values: Tensor) -> np.ndarray:
    """Numbers as a file may round them: in float32, one zero and one NaN."""
    rounded = torch.where(values.isnan(), torch.nan, values.float()) + 0.0
    return np.ascontiguousarray(rounded.numpy())


def _digest(*parts: bytes) -> bytes:
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        found.update(part)
    return found.digest()
