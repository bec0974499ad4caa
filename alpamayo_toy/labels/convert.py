"""convert(): any number of label files into one set on disk; interrupted runs continue, the same input gives the same
bytes, and many processes or machines can each do a share."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from alpamayo_toy.errors import UserError
from alpamayo_toy.files import write_json
from alpamayo_toy.labels import flat_parquet, labels_npz
from alpamayo_toy.labels.building import Builder, claim, finish, repeated_rows, shared_facts
from alpamayo_toy.labels.check import Check
from alpamayo_toy.labels.label_set import FORMAT, LabelSet, Shard, file_digest
from alpamayo_toy.labels.raw import RawClips, as_raw, gathered, labels_of
from alpamayo_toy.labels.reading import Part, files_of, read
from alpamayo_toy.trajectory import Labels

UNIT_BYTES = 64 << 20  # small files are worked on together up to that size
UNIT_FILES = 256


@dataclass(frozen=True)
class Unit:
    """Files that are worked on together: their names as the set remembers them, and what their clips must be like."""

    files: tuple[Path, ...]
    names: tuple[str, ...]
    told: str
    samples: int
    horizon: int
    dt: float
    strict: bool

    def key(self) -> str:
        """16 hex digits that stand for names, content and options."""
        said = [FORMAT, self.told, self.samples, self.horizon, self.dt, self.names, [_digest(f) for f in self.files]]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def convert(
    paths: list[Path],
    out: Path,
    told: str = "auto",
    strict: bool = False,
    share: tuple[int, int] = (1, 1),
    workers: int = 1,
) -> LabelSet | None:
    """Write the sound clips of all files as a set, this process's share (i of n) of them; None where it has no share.

    What a killed run of the same call left is used. Clips with errors are dropped and counted in labels.json, with
    strict the first one ends it. A set that is there stays whole until the new one replaces it. Raises UserError.
    """
    units = _units(paths, told, strict)[share[0] - 1 :: share[1]]
    if not units:
        return None
    claim(out)
    records = _records(units, out, workers)
    kept = [record for record in records if record["shards"]]
    if not kept:
        raise UserError(f"{out}: no sound clip in {', '.join(p.name for p in paths)}; see scripts/labels.py check")
    common = shared_facts([record["common"] for record in kept], out)
    entries = [entry for record in kept for entry in record["shards"]]
    dropped = _sum_of([record["dropped"] for record in records])
    entries, again = _once(out, common, entries)
    if again:
        dropped["repeated"] = dropped.get("repeated", 0) + again
    sources = [source for record in records for source in record["sources"]]
    return finish(out, common, entries, {"sources": sources, "dropped": dropped})


def parts_of(path: Path, told: str = "auto") -> Iterator[RawClips | Labels | UserError]:
    """read(), with single clips gathered into batches."""
    waiting: list[RawClips] = []

    def several(parts: Iterator[Part]) -> Iterator[Part]:
        for part in parts:
            if isinstance(part, RawClips):
                waiting.append(part)
                if sum(map(len, waiting)) < 1024:
                    continue
                yield from gathered(waiting)
                waiting.clear()
            else:
                yield part
        yield from gathered(waiting)

    yield from several(read(path, told))


def _units(paths: list[Path], told: str, strict: bool) -> list[Unit]:
    """The pieces of work, the same for every share."""
    files = [(file, _name(file, path)) for path in paths for file in files_of(path)]
    samples, horizon, dt = _first_shape([file for file, _ in files], told)
    units: list[Unit] = []
    group: list[tuple[Path, str]] = []
    size = 0
    for file, name in files:
        weight = UNIT_BYTES if file.is_dir() else file.stat().st_size
        if group and (size + weight > UNIT_BYTES or len(group) >= UNIT_FILES):
            units.append(_unit(group, told, samples, horizon, dt, strict))
            group, size = [], 0
        group.append((file, name))
        size += weight
    units.append(_unit(group, told, samples, horizon, dt, strict))
    return units


def _unit(group: list[tuple[Path, str]], told: str, samples: int, horizon: int, dt: float, strict: bool) -> Unit:
    return Unit(tuple(f for f, _ in group), tuple(n for _, n in group), told, samples, horizon, dt, strict)


def _name(file: Path, given: Path) -> str:
    """How the set remembers a file: relative to what was named on the command line."""
    return file.name if file == given else str(Path(given.name) / file.relative_to(given))


def _first_shape(files: list[Path], told: str) -> tuple[int, int, float]:
    """K, T and dt of the first clip that can be read, which all others must share."""
    why = None
    for file in files:
        try:
            for part in read(file, told):
                if isinstance(part, UserError):
                    why = why or part
                elif len(part):
                    samples, horizon = part.teacher.shape[1:3]
                    return samples, horizon, part.dt
        except UserError as error:
            why = why or error
    raise why or UserError(f"{files[0]} holds no clips")


def _records(units: list[Unit], out: Path, workers: int) -> list[dict[str, Any]]:
    """What became of each unit; those that an earlier run has finished are not done again."""
    bar = tqdm(total=len(units), unit="file" if all(len(u.files) == 1 for u in units) else "part", disable=None)
    found = []
    if workers == 1 or len(units) == 1:
        for unit in units:
            found.append(_done(unit, out))
            bar.update()
    else:
        with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_one_thread) as pool:
            for record in pool.map(_done, units, [out] * len(units)):
                found.append(record)
                bar.update()
    bar.close()
    return found


def _one_thread() -> None:
    torch.set_num_threads(1)


def _done(unit: Unit, out: Path) -> dict[str, Any]:
    """The record of a unit: from an earlier run if its shards are there, else by doing it now."""
    torch.set_num_threads(1)  # another order of summing gives other bytes
    key = unit.key()
    path = out / "shards" / f".{key}.json"
    if path.exists():
        record: dict[str, Any] = json.loads(path.read_bytes())
        if all((out / "shards" / entry["name"] / "shard.json").exists() for entry in record["shards"]):
            return record
    dropped: dict[str, int] = {}
    check = Check(unit.names[0], unit.horizon, unit.dt)
    with Builder(out, key) as builder:
        sources = [
            {"name": name, "sha256": _digest(file), **_build(builder, file, unit, check, dropped)}
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
        "dropped": _sum_of([dropped, counts]),
    }
    write_json(path, record)
    return record


def _build(builder: Builder, file: Path, unit: Unit, check: Check, dropped: dict[str, int]) -> dict[str, int]:
    """Put the sound clips of a file into the set; how many it has and how many were kept."""
    clips, kept = 0, 0
    for part in _read(file, unit.told, alone=len(unit.files) == 1 or unit.strict):
        if isinstance(part, UserError):
            if unit.strict:
                raise part
            clips += 1
            dropped["unreadable"] = dropped.get("unreadable", 0) + 1
            continue
        sound = _sound(part, check, unit, dropped)
        if unit.strict and len(sound) < len(part):
            raise UserError(f"{file}: {_first_error(check)}")
        if len(sound):
            builder.add(labels_of(sound, file) if isinstance(sound, RawClips) else sound)
        clips, kept = clips + len(part), kept + len(sound)
    return {"clips": clips, "kept": kept}


def _read(file: Path, told: str, alone: bool) -> Iterator[Part]:
    """The clips of a file; one broken file among many is a clip that cannot be read."""
    try:
        yield from parts_of(file, told)
    except UserError as error:
        if alone:
            raise
        yield error


def _sound(part: RawClips | Labels, check: Check, unit: Unit, dropped: dict[str, int]) -> RawClips | Labels:
    """The clips that can be learnt from and fit into the set."""
    raw = as_raw(part) if isinstance(part, Labels) else part
    if raw.teacher.shape[1] != unit.samples:
        dropped["samples"] = dropped.get("samples", 0) + len(raw)
        keep = np.zeros(len(raw), dtype=bool)
    else:
        keep = check.add(raw)
    if isinstance(part, RawClips):
        return part.select(keep)
    return part.select(torch.from_numpy(np.flatnonzero(keep)))


def _first_error(check: Check) -> str:
    for code, found in {**check.report()["errors"], **check.report()["warnings"]}.items():
        if found["clips"] and (code == "repeated" or code in check.report()["errors"]):
            return f"clip {found['clips'][0]}: {found['says']}"
    return "clips with another number of samples than the first"


def _once(out: Path, common: dict[str, Any], entries: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Shards without the clips that an earlier shard holds already, and how many those were."""
    shards = [Shard.opened(out, entry, common) for entry in entries]
    found, count = [], 0
    for entry, shard, rows in zip(entries, shards, repeated_rows([s.keys() for s in shards]), strict=True):
        if len(rows) == 0:
            found.append(entry)
            continue
        count += len(rows)
        left = np.setdiff1d(np.arange(entry["clips"]), rows)
        if len(left):
            mark = hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()[:8]
            name = f"{entry['name']}-{mark}"
            with Builder(out, name) as builder:
                builder.add(LabelSet(out, common, [shard]).select(left))
            found += builder.entries
    return found, count


def _digest(file: Path) -> str:
    """Of a file's bytes; of a set, its index, which vouches for the rest."""
    return file_digest(file / "labels.json" if file.is_dir() else file)


def _sum_of(counts: list[dict[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in counts:
        for name, count in part.items():
            found[name] = found.get(name, 0) + count
    return {name: found[name] for name in sorted(found)}


def split_set(path: Path, out: Path, told: str, val: float, test: float) -> dict[str, int]:
    """out/train, out/val, out/test by the hash of the clip id; how many clips each got. Raises UserError."""
    from alpamayo_toy.labels import split_hash

    torch.set_num_threads(1)  # another order of summing gives other bytes
    source = [_digest(file) for file in files_of(path)]
    key = hashlib.sha256(json.dumps([FORMAT, source, told, val, test]).encode()).hexdigest()[:16]
    sides = {"test": (0.0, test), "val": (test, test + val), "train": (test + val, 1.0)}
    for side in sides:
        claim(out / side)
    with ExitStack() as stack:
        builders = {side: stack.enter_context(Builder(out / side, key)) for side in sides}
        for part in parts_of(path, told):
            if isinstance(part, UserError):
                raise part
            labels = labels_of(part, path) if isinstance(part, RawClips) else part
            place = np.array([split_hash(str(name)) for name in labels.clip_id])
            for side, (low, high) in sides.items():
                builders[side].add(labels.select(torch.from_numpy(np.flatnonzero((place >= low) & (place < high)))))
    counts = {}
    for side, builder in builders.items():
        counts[side] = sum(entry["clips"] for entry in builder.entries)
        if builder.common is not None:
            rest = {"sources": [{"name": path.name, "split": side}], "dropped": {}}
            finish(out / side, builder.common, builder.entries, rest)
        else:
            shutil.rmtree(out / side)  # of an earlier split, whose clips are on other sides now
    return counts


def write_one_file(paths: list[Path], out: Path, told: str, strict: bool) -> int:
    """The sound clips of all files as one labels.npz or flat Parquet; how many. Raises UserError."""
    if out.exists():
        raise UserError(f"{out} is there already; name another file")
    with TemporaryDirectory(dir=out.parent if out.parent.exists() else None, prefix=f".{out.name}.") as folder:
        made = convert(paths, Path(folder), told, strict)
        assert made is not None  # all of it is this process's share
        if out.suffix == ".parquet":
            flat_parquet.write(made.batches(), out)
        else:
            labels_npz.write(made.select(np.arange(len(made))), out)
    return len(made)
