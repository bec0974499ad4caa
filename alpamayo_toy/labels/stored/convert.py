"""convert(): any number of label files into one set on disk; interrupted runs continue, the same input gives the same
bytes, and many processes or machines can each do a share."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alpamayo_toy import __version__
from alpamayo_toy.errors import UserError
from alpamayo_toy.files import write_json
from alpamayo_toy.hints import command_name
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.formats import labels_npz, parquet_out
from alpamayo_toy.labels.formats.containers import NoLabels
from alpamayo_toy.labels.formats.raw import RawClips, as_raw
from alpamayo_toy.labels.formats.reading import Part, Source, files_besides, parts_of, read, read_together
from alpamayo_toy.labels.repeats import digest
from alpamayo_toy.labels.routes import with_routes
from alpamayo_toy.labels.soundness.check import ERRORS, WARNINGS, Check
from alpamayo_toy.labels.stored.building import Builder, at_work, claimed, finish, repeated_rows, shared_facts, summed
from alpamayo_toy.labels.stored.index import FORMAT, facts_in, is_set
from alpamayo_toy.labels.stored.label_set import LabelSet, file_digest
from alpamayo_toy.processes import Killed, in_processes
from alpamayo_toy.views.progress import Over

UNIT_BYTES = 64 << 20  # small files are worked on together up to that size
UNIT_FILES = 4096


@dataclass(frozen=True)
class Unit:
    """Files that are worked on together: their names as the set remembers them, and what their clips must be like."""

    files: tuple[Source, ...]
    names: tuple[str, ...]
    told: str
    samples: int
    horizon: int
    dt: float
    strict: bool
    alone: bool  # the command names this one file and no other
    routes: str  # what they are cut from: recorded, future, or empty for none

    @cached_property
    def key(self) -> str:
        """16 hex digits that stand for names, content, options and the version of what reads them."""
        content = [[file_digest(part) for part in read_together(file, self.told)] for file in self.files]
        said = [FORMAT, __version__, self.told, self.samples, self.horizon, self.dt, self.names, content, self.strict]
        said += [self.routes] if self.routes else []
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def convert(
    paths: list[Path],
    out: Path,
    told: str = "auto",
    strict: bool = False,
    share: tuple[int, int] = (1, 1),
    workers: int = 1,
    whole: Path | None = None,
    routes: str = "",
) -> LabelSet | None:
    """Write the sound clips of all files as a set, this process's share (i of n) of them; None where it has no share.

    whole is the folder that all shares lie in; nothing in it, or in out, is an input. routes is the
    source of the routes that clips get, if any.

    What a killed run of the same call left is used. Clips with errors are dropped and counted in labels.json, with
    strict the first one ends it. A set of these files that is there stays whole until the new one replaces it, any
    other set is left alone. Raises UserError.
    """
    units = _units(paths, whole or out, told, strict, routes)[share[0] - 1 :: share[1]]
    if not units:
        return None
    _require_same_files(out, units)
    with claimed(out):
        records = _records(units, out, workers)
        kept = [record for record in records if record["shards"]]
        if not kept:
            said = [source.get("unreadable", source.get("aside")) for record in records for source in record["sources"]]
            why = [reason for reason in said if reason]
            reason = why[0] if why else f"see {command_name('labels')} check"
            raise UserError(f"{out}: no sound clip in {', '.join(p.name for p in paths)}: {reason}")
        common = shared_facts([record["common"] for record in kept], out)
        entries, again = _once(out, common, [entry for record in kept for entry in record["shards"]], strict)
        sources = [source for record in records for source in record["sources"]]
        return finish(out, common, entries, sources, summed([*(record["dropped"] for record in records), again]))


def _require_same_files(out: Path, units: list[Unit]) -> None:
    """Raise UserError where a set is there of which some files are none of these."""
    if not is_set(out):
        return
    mine = {name for unit in units for name in unit.names}
    others = [source["name"] for source in facts_in(out)["sources"] if source["name"] not in mine]
    if others:
        raise UserError(f"{out} is a set of {others[0]} too, which is none of these files; name another folder")


def _units(paths: list[Path], out: Path, told: str, strict: bool, routes: str) -> list[Unit]:
    """The pieces of work, the same for every share; what lies in out is none of it."""
    files = files_besides(paths, out, told)
    samples, horizon, dt = _first_shape([file for file, _ in files], told)
    groups: list[list[tuple[Source, str]]] = [[]]
    size = 0
    for file, name in files:
        weight = UNIT_BYTES if file.path.is_dir() else file.size
        if groups[-1] and (size + weight > UNIT_BYTES or len(groups[-1]) >= UNIT_FILES):
            groups.append([])
            size = 0
        groups[-1].append((file, name))
        size += weight
    columns = [tuple(zip(*group, strict=True)) for group in groups]
    alone = len(files) == 1
    return [Unit(some, names, told, samples, horizon, dt, strict, alone, routes) for some, names in columns]


def _first_shape(files: list[Source], told: str) -> tuple[int, int, float]:
    """K, T and dt of the first clip that can be read, which all others must share."""
    why = None
    for file in files:
        try:
            for part in read([file], told):
                if isinstance(part, UserError):
                    why = why or part
                elif len(part):
                    samples, horizon = part.teacher.shape[1:3]
                    return samples, horizon, part.dt
        except UserError as error:
            why = why or error
    raise why or UserError(f"{files[0].path} holds no clips")


def _records(units: list[Unit], out: Path, workers: int) -> list[dict[str, Any]]:
    """What became of each unit; those that an earlier run has finished are not done again, equal ones are done once."""
    once = list({unit.key: unit for unit in units}.values())
    found = {}
    name = "file" if all(len(unit.files) == 1 for unit in units) else "part"
    for unit, record in zip(once, Over(_in_turn(once, out, workers), len(once), name, "converting"), strict=True):
        found[unit.key] = record
    return [found[unit.key] for unit in once]


def _in_turn(units: list[Unit], out: Path, workers: int) -> Iterator[dict[str, Any]]:
    if workers == 1 or len(units) == 1:
        yield from (_done(unit, out) for unit in units)
        return
    for record in in_processes(_done, [(unit, out) for unit in units], workers):
        if isinstance(record, Killed):
            raise UserError(f"{out}: {record}; the same command with fewer --workers goes on")
        if isinstance(record, Exception):
            raise record
        yield record


def _done(unit: Unit, out: Path) -> dict[str, Any]:
    """The record of a unit: from an earlier run if its shards are there, else by doing it now."""
    with at_work(out):
        return _record(unit, out)


def _record(unit: Unit, out: Path) -> dict[str, Any]:
    torch.set_num_threads(1)  # another order of summing gives other bytes
    key = unit.key
    path = out / "shards" / f".{key}.json"
    if path.exists():
        record: dict[str, Any] = json.loads(path.read_bytes())
        if all((out / "shards" / entry["name"] / "shard.json").exists() for entry in record["shards"]):
            return record
    dropped: dict[str, int] = {}
    check = Check(unit.names[0], unit.horizon, unit.dt)
    with Builder(out, key) as builder:
        sources = [
            {"name": name, "sha256": file_digest(read_together(file)[0]), **_build(builder, file, unit, check, dropped)}
            for file, name in zip(unit.files, unit.names, strict=True)
        ]
    counts = {code: found["count"] for code, found in check.report()["errors"].items()}
    repeated = check.report()["warnings"].get("repeated", {}).get("count", 0)
    if repeated:
        counts["repeated"] = repeated
    record = {
        "common": builder.common,
        "shards": builder.entries,
        "sources": sources,
        "dropped": summed([dropped, counts]),
    }
    write_json(path, record)
    return record


def _build(builder: Builder, source: Source, unit: Unit, check: Check, dropped: dict[str, int]) -> dict[str, Any]:
    """Put the sound clips of a file into the set; how many it has, how many were kept, why one could not be read."""
    clips, kept, file = 0, 0, source.path
    why: dict[str, str] = {}
    parts = _read(source, unit.told, alone=unit.alone or unit.strict)
    for part in with_routes(parts, file, unit.routes) if unit.routes else parts:
        if isinstance(part, NoLabels):
            why["aside"] = str(part)
            continue
        if isinstance(part, UserError):
            if unit.strict:
                raise part
            clips += 1
            dropped["unreadable"] = dropped.get("unreadable", 0) + 1
            why.setdefault("unreadable", str(part))
            continue
        sound = _sound(part, check, unit, dropped)
        taken = 0 if sound is None else len(sound)
        if unit.strict and taken < len(part):
            raise UserError(f"{file}: {_first_error(check)}")
        if sound is not None:
            builder.add(sound)
        clips, kept = clips + len(part), kept + taken
    if clips and str(file) in check.summaries():
        return {"clips": 0, "kept": 0, "aside": f"{file} holds nothing but clips of other files"}
    return {"clips": clips, "kept": kept, **why}


def _read(source: Source, told: str, alone: bool) -> Iterator[Part]:
    """The clips of a file; one broken file among many is a clip that cannot be read."""
    try:
        yield from parts_of([source], told)
    except UserError as error:
        if alone and not isinstance(error, NoLabels):
            raise
        yield error


def _sound(part: RawClips | Labels, check: Check, unit: Unit, dropped: dict[str, int]) -> Labels | None:
    """The clips that can be learnt from and fit into the set; None without one."""
    raw = as_raw(part) if isinstance(part, Labels) else part
    if raw.teacher.shape[1] != unit.samples:
        dropped["samples"] = dropped.get("samples", 0) + len(raw)
        return None
    keep, labels = check.judged(raw)
    if labels is None or isinstance(part, RawClips):
        return labels
    return part.select(torch.from_numpy(np.flatnonzero(keep)))


def _first_error(check: Check) -> str:
    for code, found in {**check.report()["errors"], **check.report()["warnings"]}.items():
        if found["clips"] and (code == "repeated" or code in check.report()["errors"]):
            return f"clip {found['clips'][0]}: {found['says']}"
    return "clips with another number of samples than the first"


def _once(
    out: Path, common: dict[str, Any], entries: list[dict[str, Any]], strict: bool
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Shards without the clips that an earlier shard holds already, and how many of those there were.

    They are repeated where their trajectories are the same, and duplicates, one of which is wrong, where they differ.
    Raises UserError for one of these with strict.
    """
    shards = LabelSet.mapped(out, {**common, "shards": entries}).shards
    found, counts = [], {"repeated": 0, "duplicate": 0}
    for entry, shard, again in zip(entries, shards, repeated_rows([s.keys() for s in shards]), strict=True):
        if len(again.rows) == 0:
            found.append(entry)
            continue
        for row, part, first in zip(*(column.tolist() for column in again), strict=True):
            same = digest(shard.arrays["teacher"][row]) == digest(shards[part].arrays["teacher"][first])
            counts["repeated" if same else "duplicate"] += 1
            if strict:
                name, said = shard.strings("clip_id", np.array([row]))[0], {**ERRORS, **WARNINGS}
                raise UserError(f"clip {name}: {said['repeated' if same else 'duplicate']}")
        left = np.setdiff1d(np.arange(entry["clips"]), again.rows)
        if len(left):
            mark = hashlib.sha256(again.rows.astype("<i8").tobytes()).hexdigest()[:8]
            with Builder(out, f"{entry['name']}-{mark}") as builder:
                builder.add(LabelSet(out, common, [shard]).select(left))
            found += builder.entries
    return found, {code: count for code, count in counts.items() if count}


def write_one_file(
    paths: list[Path], out: Path, told: str, strict: bool, workers: int, routes: str = ""
) -> dict[str, Any]:
    """The sound clips of all files as one labels.npz or flat Parquet; what labels.json says of a set. Raises UserError.

    Parquet holds no context and no routes.
    """
    folder = out.with_name(f".{out.name}.set")  # one name: what a killed run leaves, the next one goes on with
    if out.exists() and not is_set(folder):  # with it: of a run that was killed at its end
        raise UserError(f"{out} is there already; name another file")
    try:
        made = convert(paths, folder, told, strict, workers=workers, routes=routes)
        assert made is not None  # all of it is this process's share
        if out.suffix.lower() == ".npz":
            labels_npz.write(made.select(np.arange(len(made))), out)
        else:
            parquet_out.write(made.batches(), out)
    except UserError as error:
        raise UserError(str(error).replace(str(folder), str(out))) from None
    gone = folder / ".shards"  # all at once, and labels.json last: what a killed run leaves is a set to the next one
    shutil.rmtree(gone, ignore_errors=True)
    (folder / "shards").rename(gone)
    shutil.rmtree(gone)
    shutil.rmtree(folder)
    return made.facts
