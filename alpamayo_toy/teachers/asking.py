"""Asker: asks a model for clips. What fails is asked again, what is too much for its memory in smaller pieces."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from alpamayo_toy.errors import UserError, out_of_memory
from alpamayo_toy.failures import pause_s, why
from alpamayo_toy.kinematics.draws import mixed
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.formats import drives
from alpamayo_toy.labels.formats.raw import labels_of
from alpamayo_toy.labels.stored.building import clip_digests
from alpamayo_toy.teachers.alpamayo import Model

NEEDED = ("pred_xyz", "ego_history_xyz", "ego_future_xyz")
SAMPLE_AXES = {"pred_xyz": -3, "pred_rot": -4}  # of the K samples, behind any number of leading ones
STOP_AFTER = 20  # failures in a row
Clip = tuple[str, int]
"""clip_id and t0_us"""


class GaveUp(UserError):
    """It is not the clips: to ask on is of no use."""


@dataclass
class Asker:
    """Asks a model for so many samples of each clip, at_once of them in a call (None: all).

    A clip's samples follow from seed, clip_id, t0 and the size of the pieces, not from what was asked before it. A
    failed clip is asked retry times more, after a pause where a hub is busy. After stop_after failures in a row:
    GaveUp, naming the first.
    """

    model: Model
    name: str
    samples: int
    seed: int
    at_once: int | None = None
    retry: int = 0
    stop_after: int = STOP_AFTER
    in_a_row: list[UserError] = field(default_factory=list)
    too_many: set[int] = field(default_factory=set)  # samples at once, that the user was told of

    def labels(self, clips: Sequence[Clip], again: bool = False) -> Iterator[Labels | UserError]:
        """The labels of each clip, or why there are none. Raises GaveUp; again: not for clips that failed before."""
        for clip in clips:
            try:
                made = self._labels(clip)
            except GaveUp:
                raise
            except UserError as error:
                self.in_a_row += [] if again else [error]
                yield error
                if not again and len(self.in_a_row) == self.stop_after:
                    many = f"{self.stop_after} clips in a row failed" if self.stop_after > 1 else "a clip failed"
                    raise GaveUp(
                        f"{many}, first {self.in_a_row[0]}; what is done is kept, and the same command goes on from "
                        "there (--retry N asks each again, --stop-after N goes on for longer)"
                    ) from None
                continue
            self.in_a_row.clear()
            yield from made

    def _labels(self, clip: Clip) -> list[Labels]:
        """Raises UserError where it cannot be made, GaveUp for answers that no set can be made of."""
        answer = self._answer(clip)
        content = {key: value.numpy() if isinstance(value, torch.Tensor) else value for key, value in answer.items()}
        missing = [key for key in NEEDED if key not in content]
        if missing:
            raise GaveUp(f"{self.name}: its answers hold no {missing[0]}, which a set needs")
        where = Path(self.name)
        found = drives.clips({**content, "clip_id": clip[0], "t0_us": clip[1]}, where)
        return [labels_of(raw, where) for raw in found]

    def _answer(self, clip: Clip) -> dict[str, Any]:
        """Raises UserError where all attempts failed."""
        failed, pause = "", 0.0
        for attempt in range(self.retry + 1):
            if pause:
                tqdm.write(f"waiting {pause:.0f} s: {failed}", file=sys.stderr)
                time.sleep(pause)
            try:
                return self._in_pieces(clip)
            except Exception as error:  # somebody else's code: one clip must not cost a night
                failed, pause = why(error), pause_s(error, attempt)
        raise UserError(f"{self.name}: clip {clip[0]} at t0 {clip[1]} us: {failed}")

    def _in_pieces(self, clip: Clip) -> dict[str, Any]:
        """Its answer, asked for in pieces that are halved where they do not fit into memory."""
        digest = int(clip_digests([clip[0]], np.array([clip[1]]))[0])
        size, done = min(self.at_once or self.samples, self.samples), 0
        answers: list[dict[str, Any]] = []
        while done < self.samples:
            count = min(size, self.samples - done)
            try:
                answers.append(self.model.predict(*clip, count, mixed(self.seed, digest, done)))
            except Exception as error:
                if count == 1 or not out_of_memory(error):
                    raise
                size = (count + 1) // 2
            else:
                done += count
                continue
            torch.cuda.empty_cache()  # outside of the handler, whose traceback holds what lies there
            if count not in self.too_many:
                self.too_many.add(count)
                said = f"{count} samples at once are too much for the GPU's memory, asking for {size}"
                tqdm.write(f"{said}; --at-once {size} saves the attempts", file=sys.stderr)
        return joined(answers)


def joined(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """The answers for a clip's pieces as one: samples and texts one after another, the recording of the first."""
    if len(answers) == 1:
        return answers[0]
    together = dict(answers[0])
    for name, axis in SAMPLE_AXES.items():
        if name in together:
            together[name] = torch.cat([torch.as_tensor(answer[name]) for answer in answers], axis)
    if "cot" in together:
        together["cot"] = [text for answer in answers for text in np.ravel(np.array(answer["cot"], dtype=object))]
    return together
