"""generate(): a teacher runs over clips, and its labels become a set as they come; a killed run goes on."""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from alpamayo_toy.config import scenario_named
from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.draws import mixed
from alpamayo_toy.kinematics.trajectory import HORIZON, Labels
from alpamayo_toy.labels.formats import drives
from alpamayo_toy.labels.formats.raw import labels_of
from alpamayo_toy.labels.stored.building import Builder, claimed, finish, shared_facts
from alpamayo_toy.labels.stored.label_set import FORMAT, SHARD_BYTES, LabelSet, is_set, open_set
from alpamayo_toy.teachers.alpamayo import AlpamayoModel, Model
from alpamayo_toy.teachers.config import SyntheticConfig
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.teachers.teacher import synthetic_teacher

DRIVEN = 3  # how the synthetic teacher drives; a set that an earlier one began is not gone on with
SYNTHETIC_TRAJECTORIES = 2**19  # that are driven at once
MODEL_CLIPS = 32  # that a large model has done before they are on disk
MAX_SAMPLES = 4096  # a clip


@dataclass(frozen=True)
class Piece:
    """So many clips of a set, by a key that stands for them; work makes them, or says why one could not be made."""

    key: str
    clips: int
    work: Callable[[], Iterator[Labels | UserError]]


def generate(options: argparse.Namespace, out: Path, share: tuple[int, int]) -> LabelSet | None:
    """The set that the options of `labels.py generate` describe, this share of it; None where it has none.

    Raises UserError.
    """
    if options.samples > MAX_SAMPLES:
        raise UserError(f"--samples must be at most {MAX_SAMPLES} (got {options.samples})")
    if options.teacher == "synthetic":
        return synthetic(options.scenario, options.clips, options.samples, options.seed, out, share)
    if options.clip_list is None:
        raise UserError("--teacher alpamayo needs --clip-list FILE, a text file with 'clip_id t0_us' per line")
    clips = listed(options.clip_list)
    return by_model(AlpamayoModel(options.model), options.model, clips, options.samples, options.seed, out, share)


def synthetic(scenario: str, clips: int, samples: int, seed: int, out: Path, share: tuple[int, int]) -> LabelSet | None:
    """Scenes of a scenario in configs/scenario, each driven so many times; what a scene is, is their context."""
    teacher = synthetic_teacher(scenario_named(scenario), SyntheticConfig())
    size = max(1, SHARD_BYTES // (samples * HORIZON * 16))
    pieces = []
    for start in list(range(0, clips, size))[share[0] - 1 :: share[1]]:
        end = min(start + size, clips)
        key = _key("synthetic", DRIVEN, repr(teacher.scenario), seed, start, end, samples)
        pieces.append(Piece(key, end - start, partial(_driven, teacher, samples, seed, start, end)))
    said = {
        "name": f"synthetic {scenario}",
        "seed": seed,
        "samples": samples,
        "list": _key(DRIVEN, repr(teacher.scenario)),
    }
    return _written(pieces, out, said)


def _driven(teacher: SyntheticTeacher, samples: int, seed: int, start: int, end: int) -> Iterator[Labels]:
    size = max(1, SYNTHETIC_TRAJECTORIES // samples)
    for first in range(start, end, size):
        yield teacher.labels(min(size, end - first), samples, mixed(seed, first)).listed()


def by_model(
    model: Model, name: str, clips: list[tuple[str, int]], samples: int, seed: int, out: Path, share: tuple[int, int]
) -> LabelSet | None:
    """The model's own trajectories for clips (clip_id, t0_us), its recorded drives as ground truth and history.

    A clip that it fails at, or answers with NaN, is dropped, named and counted; where all of them fail, UserError.
    """
    mine = clips[share[0] - 1 :: share[1]]
    pieces = []
    for i in range(0, len(mine), MODEL_CLIPS):
        group = mine[i : i + MODEL_CLIPS]
        work = partial(_asked, model, name, group, samples, seed)
        pieces.append(Piece(_key(name, group, samples, seed), len(group), work))
    return _written(pieces, out, {"name": name, "seed": seed, "samples": samples, "list": _key(clips)})


def _asked(
    model: Model, name: str, group: list[tuple[str, int]], samples: int, seed: int
) -> Iterator[Labels | UserError]:
    """The model's answers for a few clips."""
    for clip_id, t0_us in group:
        try:
            answer = model.predict(clip_id, t0_us, samples, mixed(seed, t0_us))
        except Exception as error:  # somebody else's code: one clip must not cost a night
            yield UserError(f"{name}: clip {clip_id} at t0 {t0_us} us: {type(error).__name__}: {str(error)[:200]}")
            continue
        content = {key: value.numpy() if isinstance(value, torch.Tensor) else value for key, value in answer.items()}
        missing = [key for key in ("pred_xyz", "ego_history_xyz", "ego_future_xyz") if key not in content]
        if missing:
            raise UserError(f"{name}: its answers hold no {missing[0]}, which a set needs")
        try:
            for raw in drives.clips({**content, "clip_id": clip_id, "t0_us": t0_us}, Path(name)):
                yield labels_of(raw, Path(name))
        except UserError as error:
            yield error


def listed(path: Path) -> list[tuple[str, int]]:
    """'clip_id t0_us' lines; t0 is 5.1 s, as in NVIDIA's example, where it is not said. Raises UserError."""
    found = []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if len(words) > 2 or (len(words) == 2 and not words[1].isdecimal()):
            raise UserError(f"{path}, line {number}: must be 'clip_id' or 'clip_id t0_us' (got {line[:60]!r})")
        found.append((words[0], int(words[1]) if len(words) == 2 else 5_100_000))
    found = list(dict.fromkeys(found))
    if not found:
        raise UserError(f"{path} lists no clips")
    return found


def _written(pieces: Sequence[Piece], out: Path, source: dict[str, Any]) -> LabelSet | None:
    """Each piece of work a shard; those that an earlier run has written are not done again."""
    if not pieces:
        return None
    wanted = sum(piece.clips for piece in pieces)
    if is_set(out):
        there = open_set(out).facts["sources"]
        if not all({**mine, **source} == mine and mine["clips"] <= wanted for mine in there):
            raise UserError(f"{out} is a set of other clips; name another folder for {wanted} of {source['name']}")
    common: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    failed: list[UserError] = []
    with claimed(out):
        for piece in tqdm(pieces, unit="shard", disable=None):
            builder = Builder(out, piece.key)
            if not builder.reuse():
                failed += _write(piece, builder)
            common += [builder.common] if builder.common else []
            entries += builder.entries
        if not entries:
            raise failed[0]
        got = sum(entry["clips"] for entry in entries)
        dropped = {"unreadable": wanted - got} if wanted > got else {}
        return finish(out, shared_facts(common, out), entries, [{**source, "clips": wanted, "kept": got}], dropped)


def _write(piece: Piece, builder: Builder) -> list[UserError]:
    """The shards of a piece, noted as done unless none of its clips could be made; why some could not."""
    failed: list[UserError] = []
    with builder:
        for labels in piece.work():
            if isinstance(labels, UserError):
                failed.append(labels)
                tqdm.write(f"left out: {labels}", file=sys.stderr)
            else:
                builder.add(labels)
    if builder.entries:
        builder.done()
    return failed


def _key(*said: object) -> str:
    return hashlib.sha256(json.dumps([FORMAT, *said]).encode()).hexdigest()[:16]
