"""Labels that are actions: pairs (acceleration, curvature) a step, rolled out from v0 by Alpamayo's trapezoid."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.labels.formats.containers import Unsaid
from alpamayo_toy.labels.formats.fields import Names
from alpamayo_toy.labels.formats.raw import RawClips, history_of, matrices_of
from alpamayo_toy.labels.untrusted.arrays import numbers

LARGEST = (10.0, 0.5)  # m/s^2 and 1/m: beyond them pairs are no actions of a car, but positions or normalised numbers
ANSWER = {"output_text", "request_idx", "batch_idx"}
"""What an answer of TensorRT-Edge-LLM holds beside its pairs, which are actions of Alpamayo's or points of others'."""


def pairs_of(where: str, value: Any) -> np.ndarray:
    """(..., T, 2) as (..., T, 3), a column of zeros behind. Raises UserError for what are no actions."""
    pairs = numbers(where, value)
    if pairs.ndim < 2 or pairs.shape[-1] != 2 or 0 in pairs.shape:
        raise UserError(f"{where} must have shape [K][T][2], acceleration and curvature (got {list(pairs.shape)})")
    if (np.abs(pairs) > LARGEST).any():
        raise Unsaid(
            f"{where} holds pairs beyond {LARGEST[0]:g} m/s^2 or {LARGEST[1]:g} 1/m: are they positions?"
            f" Say it: --map teacher={where.split(': ')[-1].split(' of clip')[0]}"
        )
    return np.concatenate([pairs, np.zeros_like(pairs[..., :1])], -1)


def rolled_out(raw: RawClips, where: str) -> RawClips:
    """Clips whose teacher holds actions (N, K, T, 2) in its first columns, with what they roll out to in its place.

    v0 is the file's, else that of the history. Raises UserError where there is neither.
    """
    v0 = None if raw.v0 is None else torch.from_numpy(raw.v0)
    if v0 is None:
        past = history_of(raw)
        v0 = None if past is None else past[:, -1, 3]
    if v0 is None or not bool(v0.isfinite().all()):
        raise UserError(f"{where} are actions, which need v0 in m/s or a history beside them")
    actions = torch.from_numpy(raw.teacher[..., :2].astype(np.float64))
    states = UnicycleRollout(raw.dt, "trapezoid")(actions, v0.unsqueeze(1).expand(actions.shape[:2])).numpy()
    points = np.concatenate([states[..., :2], np.zeros_like(states[..., :1])], -1)
    return replace(raw, teacher=points, rotation=matrices_of(states[..., 2]), acted=True)


def refuse_unsaid(where: str, values: Mapping[str, Any], names: Names) -> None:
    """Raise Unsaid for the `trajectory` of an answer, which may be actions or points, unless the user says which."""
    keys = {key.rsplit(".", 1)[-1] for key in values}
    if {*ANSWER, "trajectory"} <= keys and not {"actions", "teacher"} & names.by_hand:
        raise Unsaid(
            f"{where}: trajectory may be actions (acceleration, curvature) or points; say which:"
            " --map actions=trajectory, or teacher=trajectory"
        )
