"""generate(): a teacher runs over clips, and its labels become a set as they come; a killed run goes on."""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from tqdm import tqdm

from alpamayo_toy.config import scenario_named
from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.draws import mixed
from alpamayo_toy.kinematics.trajectory import HORIZON, Labels
from alpamayo_toy.labels.stored.building import Builder, claimed, finish, shared_facts
from alpamayo_toy.labels.stored.index import FORMAT, is_set
from alpamayo_toy.labels.stored.label_set import SHARD_BYTES, LabelSet, Shard, open_set
from alpamayo_toy.teachers.alpamayo import WEIGHTS, AlpamayoModel, Model, Origin
from alpamayo_toy.teachers.asking import STOP_AFTER, Asker, Clip, GaveUp
from alpamayo_toy.teachers.config import SyntheticConfig
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.teachers.teacher import synthetic_teacher
from alpamayo_toy.views.progress import Bar

DRIVEN = 3  # how the synthetic teacher drives; a set that an earlier one began is not gone on with
SYNTHETIC_TRAJECTORIES = 2**19  # that are driven at once
MODEL_CLIPS = 32  # that a large model has done before they are on disk
MAX_SAMPLES = 4096  # a clip
OF_A_MODEL = "clip_list model package attention revision data_revision cache offline at_once retry stop_after"
"""Options that mean nothing to the synthetic teacher."""


@dataclass(frozen=True)
class Piece:
    """So many clips of a set, by a key that stands for them; work makes them, or says why one could not be made.

    rest is the piece of those that are not among what is there, None where all are or can never be made.
    """

    key: str
    clips: int
    work: Callable[[], Iterator[Labels | UserError]]
    rest: Callable[[set[Clip]], "Piece | None"] = lambda there: None


def generate(options: argparse.Namespace, out: Path, share: tuple[int, int]) -> LabelSet | None:
    """The set that the options of `labels.py generate` describe, this share of it; None where it has none.

    Raises UserError.
    """
    if options.samples > MAX_SAMPLES:
        raise UserError(f"--samples must be at most {MAX_SAMPLES} (got {options.samples})")
    if options.teacher == "synthetic":
        given = [name for name in OF_A_MODEL.split() if getattr(options, name) not in (None, False)]
        if given:
            raise UserError(f"--{given[0].replace('_', '-')} is for --teacher alpamayo, which is not given")
        return synthetic(options.scenario, options.clips, options.samples, options.seed, out, share)
    if options.clip_list is None:
        raise UserError("--teacher alpamayo needs --clip-list FILE, a text file with 'clip_id t0_us' per line")
    clips, weights = listed(options.clip_list), options.model or WEIGHTS
    origin = Origin(options.revision, options.data_revision, options.cache, options.offline)
    model = AlpamayoModel(weights, options.package, options.attention, origin)
    name = f"{weights}@{options.revision}" if options.revision else weights
    how = options.at_once, options.retry or 0, options.stop_after or STOP_AFTER
    return by_model(model, name, clips, options.samples, options.seed, out, share, *how)


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
    model: Model,
    name: str,
    clips: list[Clip],
    samples: int,
    seed: int,
    out: Path,
    share: tuple[int, int],
    at_once: int | None = None,
    retry: int = 0,
    stop_after: int = STOP_AFTER,
) -> LabelSet | None:
    """The model's own trajectories for clips, its recorded drives as ground truth and history.

    A clip that it fails at, or answers with NaN, is named, counted and asked again by the next run; where all of them
    fail, or stop_after in a row, UserError. How else it is asked: Asker.
    """
    asker = Asker(model, name, samples, seed, at_once, retry, stop_after)
    mine = clips[share[0] - 1 :: share[1]]
    pieces = [_asked(asker, mine[i : i + MODEL_CLIPS]) for i in range(0, len(mine), MODEL_CLIPS)]
    return _written(pieces, out, {"name": name, "seed": seed, "samples": samples, "list": _key(clips)})


def _asked(asker: Asker, group: list[Clip], again: bool = False) -> Piece:
    """A few clips, and what is left of them once some are there."""

    def rest(there: set[Clip]) -> Piece | None:
        left = [clip for clip in group if clip not in there]
        return _asked(asker, left, again=True) if left else None

    key = _key(asker.name, group, asker.samples, asker.seed)
    return Piece(key, len(group), partial(asker.labels, group, again), rest)


def listed(path: Path) -> list[Clip]:
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
        if len(words) > 2 or (len(words) == 2 and not re.fullmatch("[0-9]{1,18}", words[1])):
            raise UserError(f"{path}, line {number}: must be 'clip_id' or 'clip_id t0_us' (got {line[:60]!r})")
        found.append((words[0], int(words[1]) if len(words) == 2 else 5_100_000))
    found = list(dict.fromkeys(found))
    if not found:
        raise UserError(f"{path} lists no clips")
    return found


def _written(pieces: Sequence[Piece], out: Path, source: dict[str, Any]) -> LabelSet | None:
    """Each piece of work a shard; of those that an earlier run has written, only what it failed at is done again."""
    if not pieces:
        return None
    wanted = sum(piece.clips for piece in pieces)
    facts = open_set(out).facts if is_set(out) else {"sources": [], "shards": []}
    if not all({**mine, **source} == mine and mine.get("clips", 0) <= wanted for mine in facts["sources"]):
        raise UserError(f"{out} is a set of other clips; name another folder for {wanted} of {source['name']}")
    common: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    failed: list[UserError] = []
    with claimed(out), Bar(wanted, "clip", "asking the teacher") as bar:
        noted = _noted(out, facts["shards"])
        for piece in pieces:
            left: Piece | None = piece
            while left:
                builder = Builder(out, left.key)
                found = left.key in noted and builder.reuse()
                if not found:
                    failed += _write(left, builder)
                common += [builder.common] if builder.common else []
                entries += builder.entries
                left = _rest(left, builder, out) if found else None
            bar.update(piece.clips)
        if not entries:
            raise failed[0]
        got = sum(entry["clips"] for entry in entries)
        dropped = {"failed": wanted - got} if wanted > got else {}
        return finish(out, shared_facts(common, out), entries, [{**source, "clips": wanted, "kept": got}], dropped)


def _noted(out: Path, entries: list[dict[str, Any]]) -> set[str]:
    """The keys of the pieces that earlier runs have written, of those of a finished set too, which are noted anew.

    Builder would look for each of them, and for each that is not there, in the whole set.
    """
    for key, group in groupby(entries, lambda entry: str(entry["name"]).rpartition("-")[0]):
        builder = Builder(out, key)
        builder.entries = list(group)
        builder.done()
    return {path.stem.removeprefix(".") for path in (out / "shards").glob(".*.json")}


def _rest(piece: Piece, builder: Builder, out: Path) -> Piece | None:
    """What an earlier run has failed at."""
    if sum(entry["clips"] for entry in builder.entries) == piece.clips:
        return None
    assert builder.common is not None
    keys = [Shard.opened(out, entry, builder.common).keys() for entry in builder.entries]
    return piece.rest({clip for names, t0_us in keys for clip in zip(names, t0_us.tolist(), strict=True)})


def _write(piece: Piece, builder: Builder) -> list[UserError]:
    """The shards of a piece, noted as done unless none of its clips could be made; why some could not.

    Where asking on is of no use, GaveUp, once those are written that were made before.
    """
    failed: list[UserError] = []
    gave_up: GaveUp | None = None
    with builder:
        try:
            for labels in piece.work():
                if isinstance(labels, UserError):
                    failed.append(labels)
                    tqdm.write(f"left out: {labels}", file=sys.stderr)
                else:
                    builder.add(labels)
        except GaveUp as error:
            gave_up = error
    if builder.entries:
        builder.done()
    if gave_up is not None:
        raise gave_up
    return failed


def _key(*said: object) -> str:
    return hashlib.sha256(json.dumps([FORMAT, *said]).encode()).hexdigest()[:16]
