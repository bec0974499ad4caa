"""load_labels(): any label file or folder in memory."""

import warnings
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.formats.containers import Failed, NoLabels
from alpamayo_toy.labels.formats.raw import RawClips, gathered, labels_of
from alpamayo_toy.labels.formats.reading import read
from alpamayo_toy.labels.repeats import Seen
from alpamayo_toy.labels.untrusted.texts import one_line


def load_labels(path: str | Path, told: str = "auto") -> Labels:
    """Read any supported label file or folder into memory; told names its layout where it should not be guessed.

    Behind the layout, told may say what names mean: "auto,teacher=my_key,dt=0.5". A clip that comes twice with the same
    numbers is kept once, and one whose row holds no trajectories is left out with a warning. Raises UserError naming
    file and clip for anything that cannot be learnt from; `scripts/labels.py convert` drops such clips instead.
    """
    try:
        return _loaded(Path(path), told)
    except UserError as error:
        raise UserError(one_line(str(error))) from None


def _loaded(path: Path, told: str) -> Labels:
    parts: list[Labels] = []
    waiting: list[RawClips] = []
    failed: list[Failed] = []
    for part in read(path, told):
        if isinstance(part, NoLabels):
            continue
        if isinstance(part, Failed):
            failed.append(part)
            continue
        if isinstance(part, UserError):
            raise part
        if isinstance(part, RawClips):
            waiting.append(part)
        else:
            parts.append(part)
    parts += [labels_of(raw, path) for raw in gathered(waiting)]
    if failed and not parts:
        raise failed[0]
    if failed:
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        warnings.warn(f"{path}: {failed[0]}{more} and is left out, not all clips have it", stacklevel=3)
    return _without_repeats(joined(parts, path), path)


def joined(parts: list[Labels], path: Path) -> Labels:
    """Several label sets as one. Raises UserError for other shapes, and for routes of several sources.

    Clips without history, context, route or text have NaN or "" there. Ground truth that not all have is left out,
    and so is history or context of several shapes, with a warning.
    """
    first = parts[0]
    for part in parts[1:]:
        mine, theirs = tuple(first.teacher.shape[1:3]), tuple(part.teacher.shape[1:3])
        if theirs != mine or part.dt != first.dt:
            raise UserError(
                f"{path}: clip {part.clip_id[0]} has K, T = {theirs} with steps of {part.dt} s,"
                f" clip {first.clip_id[0]} has {mine} with {first.dt} s; convert keeps one kind"
            )
    if len(parts) == 1:
        return first
    sources = sorted({part.route_source for part in parts} - {""})
    if len(sources) > 1:
        raise UserError(
            f"{path}: routes are of several sources, {' and '.join(sources)}; keep them in files of their own"
        )
    found: dict[str, Any] = {"route_source": "".join(sources)}
    if len({part.text.ndim for part in parts if part.text is not None}) > 1:
        parts = [replace(part, text=_for_each_sample(part.text, first.teacher.shape[1])) for part in parts]
    for field in fields(Labels):
        values = [getattr(part, field.name) for part in parts]
        given = [value for value in values if isinstance(value, Tensor | np.ndarray)]
        if not given:
            continue
        fits = len({value.shape[1:] for value in given}) == 1
        fits &= field.name != "context" or len({part.context_names for part in parts if part.context is not None}) == 1
        fits &= field.name != "ground_truth" or len(given) == len(parts)
        if fits:
            found[field.name] = _stacked([_or_unknown(part, field.name, given[0]) for part in parts])
        else:
            found[field.name] = None
            warnings.warn(f"{path}: {field.name} is left out, not all clips have it in one shape", stacklevel=3)
    names = [part.context_names for part in parts if part.context is not None]
    found["context_names"] = names[0] if found.get("context") is not None else ()
    if len({part.scenario_source for part in parts}) > 1:
        found["scenario_source"] = "future"
    return replace(first, **found)


def _for_each_sample(text: np.ndarray | None, k: int) -> np.ndarray | None:
    """Texts (N, K) of those that clips have one of."""
    return text if text is None or text.ndim == 2 else text[:, None].repeat(k, 1)


def _or_unknown(part: Labels, name: str, like: Tensor | np.ndarray) -> Tensor | np.ndarray:
    """A field, or as many rows of NaN or "" where the part has none."""
    value: Tensor | np.ndarray | None = getattr(part, name)
    if value is not None:
        return value
    if isinstance(like, Tensor):
        return like.new_full((len(part), *like.shape[1:]), torch.nan)
    return np.full((len(part), *like.shape[1:]), "", dtype=like.dtype)


def _stacked(values: list[Any]) -> Tensor | np.ndarray:
    return torch.cat(values) if isinstance(values[0], Tensor) else np.concatenate(values)


def _without_repeats(labels: Labels, path: Path) -> Labels:
    """Every (clip, t0) once. Raises UserError where two of them differ."""
    keys = list(zip(labels.clip_id.tolist(), labels.t0_us.tolist(), strict=True))
    repeated, duplicate = Seen().again(keys, labels.teacher.numpy())
    if duplicate.any():
        clip, t0 = keys[int(duplicate.argmax())]
        raise UserError(
            f"{path}: clip {clip} at t0 {t0} us comes twice with different trajectories;"
            " keep one, or number its samples (sample_idx)"
        )
    return labels.select(torch.from_numpy(np.flatnonzero(~repeated))) if repeated.any() else labels
