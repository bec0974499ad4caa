"""Builder: clips come in, shards of a label set go out; and the index that makes a set of shards."""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from alpamayo_toy.errors import UserError
from alpamayo_toy.files import locked, naming, partial_of, write_json
from alpamayo_toy.hints import command_name
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.stored.index import INDEX, is_set, write_index
from alpamayo_toy.labels.stored.label_set import DTYPES, SHARD_BYTES, STRINGS, LabelSet, ShardWriter, facts_of, open_set

SHAPE = ("samples", "horizon", "dt")
COMMON = (*SHAPE, "fields", "history_poses", "texts", "context_names", "scenario_source", "route_source", "left_out")
ORPHANS = 30  # s that those of a killed run are waited for, who have 3 to end


class Builder:
    """Writes what it is given as shards <key>-000, <key>-001, ... of a set; those that are there already stay.

    The key must stand for the content, so that a killed run goes on where it was. Clips of other facts begin a new
    shard.
    """

    def __init__(self, out: Path, key: str) -> None:
        self.shards, self.key = out / "shards", key
        self.entries: list[dict[str, Any]] = []
        self.common: dict[str, Any] | None = None
        self._writer: ShardWriter | None = None
        self._there = 0  # rows to come that an earlier run has written

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._close()
        elif self._writer is not None:
            self._writer.drop()

    def add(self, labels: Labels) -> None:
        """Clips in their order. Raises UserError where K, T or dt are others than before."""
        start = 0
        while start < len(labels):
            if self._there == 0 and self._writer is None:
                self._begin(facts_of(labels), labels.source[0])
            if self._there:
                taken = min(self._there, len(labels) - start)
                self._there -= taken
            else:
                assert self._writer is not None
                if facts_of(labels) != self._writer.common:
                    self._close()
                    continue
                room = max(1, SHARD_BYTES // (labels.teacher[0].numel() * 4)) - self._writer.clips
                taken = min(room, len(labels) - start)
                whole = taken == len(labels)
                self._writer.add(labels if whole else labels.select(torch.arange(start, start + taken)))
                if taken == room:
                    self._close()
            start += taken

    def reuse(self) -> bool:
        """Take the shards that an earlier run has written for this key, if it has finished them."""
        record, index = self.shards / f".{self.key}.json", self.shards.parent
        if record.exists():
            names = json.loads(record.read_bytes())["shards"]
        elif is_set(index):
            names = [e["name"] for e in open_set(index).facts["shards"] if e["name"].startswith(f"{self.key}-")]
        else:
            names = []
        found = [json.loads((self.shards / name / "shard.json").read_bytes()) for name in names]
        self.entries = [noted["entry"] for noted in found]
        self.common = shared_facts([noted["common"] for noted in found], self.key) if found else None
        return bool(found)

    def done(self) -> None:
        """Note that all shards of this key are written."""
        write_json(self.shards / f".{self.key}.json", {"shards": [entry["name"] for entry in self.entries]})

    def _begin(self, facts: dict[str, Any], where: object) -> None:
        self.common = facts if self.common is None else shared_facts([self.common, facts], where)
        folder = self.shards / f"{self.key}-{len(self.entries):03d}"
        noted = folder / "shard.json"
        if noted.exists():
            self.entries.append(json.loads(noted.read_bytes())["entry"])
            self._there = self.entries[-1]["clips"]
        else:
            self._writer = ShardWriter(folder, facts)

    def _close(self) -> None:
        if self._writer is not None:
            try:
                self.entries.append(self._writer.close())
            finally:
                self._writer.drop()
                self._writer = None


def shared_facts(facts: list[dict[str, Any]], where: object) -> dict[str, Any]:
    """What the parts of a set have together. Raises UserError for other shapes and for routes of several sources.

    History, context, route and text may be lacking in some parts, whose clips then have none. Left out is ground
    truth that not all have, and history or context of several shapes.
    """
    first = facts[0]
    for other in facts[1:]:
        if any(other[name] != first[name] for name in SHAPE):
            mine, theirs = ([part[name] for name in SHAPE] for part in (first, other))
            raise UserError(f"{where} has K, T, dt = {theirs}, the clips before it {mine}; a set has one of each")
    sources = sorted({str(part.get("route_source", "")) for part in facts} - {""})
    if len(sources) > 1:
        raise UserError(f"{where}: routes are of several sources, {' and '.join(sources)}; a set has one of them")
    having = {name: [part for part in facts if name in part["fields"]] for name in (*DTYPES, *STRINGS)}
    poses = {part["history_poses"] for part in having["history"]}
    contexts = {tuple(part["context_names"]) for part in having["context"]}
    lost = {name for part in facts for name in part["left_out"]}
    lost |= {"history"} if len(poses) > 1 else set()
    lost |= {"context"} if len(contexts) > 1 else set()
    lost |= {"ground_truth"} if 0 < len(having["ground_truth"]) < len(facts) else set()
    kept = [name for name, parts in having.items() if parts and name not in lost]
    return {
        **{name: first[name] for name in SHAPE},
        "fields": kept,
        "history_poses": max(poses) if "history" in kept else 0,
        "context_names": list(max(contexts)) if "context" in kept else [],
        "texts": max(part.get("texts", 1) for part in facts),
        "scenario_source": "future" if any(part["scenario_source"] == "future" for part in facts) else "file",
        "route_source": "".join(sources),
        "left_out": sorted(lost),
    }


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Make the folder of a set to come, and keep others from writing it meanwhile.

    What a process of a killed run still writes is waited for. Raises UserError where another process writes it, or
    where it holds what is no set, which finish() might remove.
    """
    if out.is_dir() and not is_set(out):
        known = ("shards", partial_of(out / INDEX).name)
        strange = [p.name for p in sorted(out.iterdir()) if p.name not in known and not p.name.startswith("part-")]
        shards = sorted((out / "shards").iterdir()) if (out / "shards").is_dir() else []
        strange += [p.name for p in shards if not p.name.startswith(".") and not (p / "shard.json").is_file()]
        if strange:
            raise UserError(
                f"{out} holds {strange[0]} and is no label set; name a set, or a folder that is not there yet"
            )
    torch.set_num_threads(1)  # another order of summing gives other bytes
    (out / "shards").mkdir(parents=True, exist_ok=True)
    with locked(out):
        with locked(out / "shards", seconds=ORPHANS):
            pass
        yield


def at_work(out: Path) -> AbstractContextManager[None]:
    """What a process writes in it is waited for by the next run, should this one be killed."""
    return locked(out / "shards", shared=True, seconds=ORPHANS)


def finish(
    out: Path,
    common: dict[str, Any],
    entries: list[dict[str, Any]],
    sources: list[dict[str, Any]],
    dropped: dict[str, int],
) -> LabelSet:
    """Write labels.json, with which the new set replaces an old one, then remove what is no part of it.

    sources says where the clips come from, dropped how many were left behind for which reason.
    """
    write_index(out, common, entries, {"sources": sources, "dropped": dropped})
    listed = {entry["name"] for entry in entries}
    for leftover in (out / "shards").iterdir():
        if leftover.name not in listed:
            if leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()
    return open_set(out)


def clip_digests(names: Iterable[str], t0_us: np.ndarray) -> np.ndarray:
    """64 bits (N,) uint64 for each (clip_id, t0_us)."""
    pairs = zip(names, t0_us.tolist(), strict=True)
    said = (f"{name}\0{t0}".encode(errors="backslashreplace") for name, t0 in pairs)
    joined = b"".join(hashlib.blake2b(each, digest_size=8).digest() for each in said)
    return np.frombuffer(joined, dtype="<u8")


class Repeated(NamedTuple):
    """Rows (n,) of a part whose (clip_id, t0_us) came before, and the part and row where it did."""

    rows: np.ndarray
    first_part: np.ndarray
    first_row: np.ndarray


def repeated_rows(keys: list[tuple[list[str], np.ndarray]]) -> list[Repeated]:
    """What stands in an earlier row or part already, for each part's clip_id and t0_us."""
    digests = [clip_digests(names, t0_us) for names, t0_us in keys]
    starts = np.concatenate([[0], np.cumsum([len(part) for part in digests])])
    _, first, inverse = np.unique(np.concatenate(digests), return_index=True, return_inverse=True)
    origin = first[inverse]
    found = []
    for start, end in pairwise(starts.tolist()):
        rows = np.flatnonzero(origin[start:end] != np.arange(start, end))
        before = origin[start + rows]
        part = np.searchsorted(starts, before, side="right") - 1
        found.append(Repeated(rows, part, before - starts[part]))
    return found


def merge(paths: list[Path], out: Path) -> LabelSet:
    """Several sets as one, by hard links: nothing is copied where one file system holds them all.

    Raises UserError where shapes differ or a clip stands in two of them.
    """
    for path in paths:
        if not is_set(path):
            raise UserError(f"{path} is no label set; make one of it with {command_name('labels')} convert")
    sets = [open_set(path) for path in paths]
    for part in sets[1:]:
        mine, theirs = ([one.facts[name] for name in SHAPE] for one in (sets[0], part))
        if theirs != mine:
            raise UserError(f"{part.folder} has K, T, dt = {theirs}, {sets[0].folder} {mine}; a set has one of each")
    common = shared_facts(
        [{name: part.facts[name] for name in COMMON if name in part.facts} for part in sets], "one of them"
    )
    for part, again in zip(sets, repeated_rows([part.keys() for part in sets]), strict=True):
        if len(again.rows):
            names, t0_us = part.keys()
            row = int(again.rows[0])
            raise UserError(f"{part.folder}: clip {names[row]} at t0 {t0_us[row]} us is in another of these sets too")
    with claimed(out):
        listed = {entry["name"] for part in sets for entry in part.facts["shards"]}
        if is_set(out) and not {entry["name"] for entry in open_set(out).facts["shards"]} <= listed:
            raise UserError(f"{out} is a set with clips of its own; name another folder to merge into")
        entries = []
        for part in sets:
            for shard, entry in zip(part.shards, part.facts["shards"], strict=True):
                _link(shard.folder, out / "shards" / entry["name"])
                entries.append(entry)
        sources = [source for part in sets for source in part.facts["sources"]]
        return finish(out, common, entries, sources, summed([part.facts["dropped"] for part in sets]))


def summed(counts: list[dict[str, int]]) -> dict[str, int]:
    """Counts by name, added up."""
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(sorted(total.items()))


def _link(source: Path, target: Path) -> None:
    if target.exists():
        if (target / "shard.json").read_bytes() != (source / "shard.json").read_bytes():
            raise UserError(f"{source} and {target} have one name and other clips; merge into another folder")
        return
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for file in sorted(source.iterdir()):
            try:
                os.link(file, partial / file.name)
            except OSError:  # another file system, or one without links
                with naming(target / file.name):
                    shutil.copyfile(file, partial / file.name)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
