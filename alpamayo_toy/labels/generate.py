"""generate(): a teacher runs over clips, and its labels become a set as they come; a killed run goes on."""

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from alpamayo_toy.config import SyntheticConfig, scenario_named
from alpamayo_toy.data import mixed
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels import drives
from alpamayo_toy.labels.alpamayo_model import AlpamayoModel, Model
from alpamayo_toy.labels.building import Builder, claim, finish, shared_facts
from alpamayo_toy.labels.label_set import FORMAT, SHARD_BYTES, LabelSet
from alpamayo_toy.labels.raw import labels_of
from alpamayo_toy.teachers import SyntheticTeacher
from alpamayo_toy.trajectory import HORIZON, Labels

SYNTHETIC_CLIPS = 65_536  # that are driven at once
MODEL_CLIPS = 32  # that a large model has done before they are on disk


def generate(options: argparse.Namespace, out: Path, share: tuple[int, int]) -> LabelSet:
    """The set that the options of `labels.py generate` describe, this share of it. Raises UserError."""
    if options.teacher == "synthetic":
        return synthetic(options.scenario, options.clips, options.samples, options.seed, out, share)
    if options.clip_list is None:
        raise UserError("--teacher alpamayo needs --clip-list FILE, a text file with 'clip_id t0_us' per line")
    clips = listed(options.clip_list)
    return by_model(AlpamayoModel(options.model), options.model, clips, options.samples, options.seed, out, share)


def synthetic(scenario: str, clips: int, samples: int, seed: int, out: Path, share: tuple[int, int]) -> LabelSet:
    """Scenes of a scenario in configs/scenario, each driven so many times; what a scene is, is their context."""
    teacher = SyntheticTeacher(scenario_named(scenario), SyntheticConfig())
    size = max(1, SHARD_BYTES // (samples * HORIZON * 16))
    pieces = []
    for start in list(range(0, clips, size))[share[0] - 1 :: share[1]]:
        end = min(start + size, clips)
        key = _key("synthetic", repr(teacher.scenario), seed, start, end, samples)
        pieces.append((key, partial(_driven, teacher, samples, seed, start, end)))
    return _written(pieces, out, {"name": f"synthetic {scenario}", "seed": seed})


def _driven(teacher: SyntheticTeacher, samples: int, seed: int, start: int, end: int) -> Iterator[Labels]:
    for first in range(start, end, SYNTHETIC_CLIPS):
        yield teacher.labels(min(SYNTHETIC_CLIPS, end - first), samples, mixed(seed, first))


def by_model(
    model: Model, name: str, clips: list[tuple[str, int]], samples: int, seed: int, out: Path, share: tuple[int, int]
) -> LabelSet:
    """The model's own trajectories for clips (clip_id, t0_us), its recorded drives as ground truth and history."""
    mine = clips[share[0] - 1 :: share[1]]
    pieces = []
    for i in range(0, len(mine), MODEL_CLIPS):
        group = mine[i : i + MODEL_CLIPS]
        pieces.append((_key(name, group, samples, seed), partial(_asked, model, name, group, samples, seed)))
    return _written(pieces, out, {"name": name, "seed": seed})


def _asked(model: Model, name: str, group: list[tuple[str, int]], samples: int, seed: int) -> Iterator[Labels]:
    """The model's answers for a few clips."""
    for clip_id, t0_us in group:
        answer = model.predict(clip_id, t0_us, samples, mixed(seed, t0_us))
        content = {key: value.numpy() if isinstance(value, torch.Tensor) else value for key, value in answer.items()}
        for raw in drives.clips({**content, "clip_id": clip_id, "t0_us": t0_us}, Path(name)):
            yield labels_of(raw, Path(name))


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
    if not found:
        raise UserError(f"{path} lists no clips")
    return found


def _written(
    pieces: Sequence[tuple[str, Callable[[], Iterator[Labels]]]], out: Path, source: dict[str, Any]
) -> LabelSet:
    """Each piece of work a shard; those that an earlier run has written are not done again."""
    if not pieces:
        raise UserError("nothing to do for this share")
    claim(out)
    common: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for key, work in tqdm(pieces, unit="shard", disable=None):
        builder = Builder(out, key)
        if not builder.reuse():
            with builder:
                for labels in work():
                    builder.add(labels)
            builder.done()
        common += [builder.common] if builder.common else []
        entries += builder.entries
    clips = sum(entry["clips"] for entry in entries)
    rest = {"sources": [{**source, "clips": clips, "kept": clips}], "dropped": {}}
    return finish(out, shared_facts(common, out), entries, rest)


def _key(*said: object) -> str:
    return hashlib.sha256(json.dumps([FORMAT, *said]).encode()).hexdigest()[:16]
