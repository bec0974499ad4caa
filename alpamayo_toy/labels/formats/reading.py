"""read(): any label file or folder, its layout told from what is in it."""

import os
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from alpamayo_toy.errors import UserError
from alpamayo_toy.hints import lying_near
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.formats import egomotion, flat_columns, flat_parquet, labels_npz
from alpamayo_toy.labels.formats.clips import clips
from alpamayo_toy.labels.formats.containers import (
    KEY_SUFFIX,
    NoLabels,
    beside_npy,
    document,
    history_file,
    is_teacher,
    named,
    rows,
    unpacked,
)
from alpamayo_toy.labels.formats.families import families
from alpamayo_toy.labels.formats.fields import Names, parsed
from alpamayo_toy.labels.formats.layouts import FORMATS, LAYOUTS, SUFFIXES
from alpamayo_toy.labels.formats.raw import GATHERED, RawClips, check_labels, gathered
from alpamayo_toy.labels.formats.records import SHOWN, candidates, has_drive, has_teacher, records
from alpamayo_toy.labels.stored.index import INDEX, is_set
from alpamayo_toy.labels.stored.label_set import open_set
from alpamayo_toy.labels.untrusted.memory import PACKED
from alpamayo_toy.labels.untrusted.parquet_file import columns
from alpamayo_toy.labels.untrusted.texts import one_line, shown
from alpamayo_toy.processes import in_processes
from alpamayo_toy.views.progress import Over

Part = RawClips | Labels | UserError
"""What reading yields: clips as the file has them, labels of our own making, or why a clip could not be read; NoLabels
for a file of a folder that holds none."""

PIECE_BYTES = 8 << 20  # of files that a process reads at once


@dataclass(frozen=True)
class Source:
    """A label file or set; shards: the files that hold further samples of its clips."""

    path: Path
    shards: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path, *self.shards)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.stat().st_size for file in self.files)


def read(what: Path | Collection[Source], told: str = "auto") -> Iterator[Part]:
    """The clips of a file or folder, in batches as they come; told names one of FORMATS. Raises UserError.

    Behind the format, told may say what names mean: "auto,teacher=my_key,dt=0.5".
    """
    try:
        for part in _parts(what, told):
            yield _in_one_line(part) if isinstance(part, UserError) else part
    except UserError as error:
        raise _in_one_line(error) from None


def _in_one_line(error: UserError) -> UserError:
    if not isinstance(error, NoLabels):
        error.args = (one_line(str(error)),)
        return error
    return NoLabels(error.path, one_line(error.args[1]))


def _parts(what: Path | Collection[Source], told: str) -> Iterator[Part]:
    yield from _of(files_of(what, told) if isinstance(what, Path) else what, *_told(told))


def _of(sources: Collection[Source], layout: str, names: Names) -> Iterator[Part]:
    aside: list[NoLabels] = []
    for source in sources:
        try:
            if is_set(source.path):
                yield from _set(source.path, layout)
            else:
                for part in _file(source, layout, names):
                    yield _from(part, source)
        except NoLabels as error:
            aside.append(error)
            if len(sources) > 1:
                yield error
        except UserError as error:
            if len(sources) == 1:
                raise
            yield error
    if len(aside) == len(sources):
        raise max(aside, key=lambda error: "--map" in str(error))


def _told(told: str) -> tuple[str, Names]:
    layout, names = parsed(told)
    if layout not in ("auto", *FORMATS):
        raise UserError(f"there is no label format {layout}; known: auto, {', '.join(FORMATS)}")
    return layout, names


def _from(part: Part, source: Source) -> Part:
    """A part that remembers which file it came from."""
    if not isinstance(part, RawClips):
        return part
    return replace(part, origin=np.full(len(part), str(source.path), dtype=object))


def files_of(path: Path, told: str = "auto") -> list[Source]:
    """The label files and sets in a folder in the order of their names, or the path itself. Raises UserError if none.

    Hidden ones are left aside, and what only goes with another file; links to folders are followed. Files that share
    clips, sample by sample, are one.
    """
    meanings = _told(told)[1]
    if not path.exists():
        raise UserError(f"there is no label file {path}{lying_near(path)}")
    if is_set(path) or not path.is_dir():
        return [Source(path)]
    found: list[Path] = []
    walked: set[str] = set()
    for folder, inside, names in os.walk(path, onerror=_refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in walked:  # a link that leads back
            inside.clear()
        elif is_set(Path(folder)):
            found.append(Path(folder))
            inside.clear()
        else:
            found += [Path(folder, name) for name in names if not name.startswith(".")]
            inside[:] = [name for name in inside if not name.startswith(".")]
        walked.add(real)
    files = [file for file in sorted(found) if file.is_dir() or file.suffix.lower() in SUFFIXES]
    arrays = [file for file in files if file.suffix.lower() == ".npy" and is_teacher(file, meanings)]
    beside = {other for file in arrays for other in beside_npy(file, meanings)}
    files = [file for file in files if file.is_dir() or (file.is_file() and file not in beside)]
    files = [file for file in files if file.suffix.lower() != ".npz" or not _only_history(file)]
    if not files:
        raise UserError(f"{path} holds no label file; known: {', '.join(SUFFIXES)}")
    shards = families(files, meanings) if len(files) > 1 else {}
    hidden = {shard for others in shards.values() for shard in others}
    return [Source(file, tuple(shards.get(file, ()))) for file in files if file not in hidden]


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read: {error.strerror}") from None


def files_besides(paths: list[Path], out: Path, told: str = "auto") -> list[tuple[Source, str]]:
    """The files of all paths, each once, and the names that a set remembers them by; none of what lies in out.

    Raises UserError where nothing is left.
    """
    found: dict[Path, tuple[Source, str]] = {}
    for path in paths:
        for source in files_of(path, told):
            if not source.path.resolve().is_relative_to(out.resolve()):
                found.setdefault(source.path.resolve(), (source, name_in_set(source.path, path)))
    if not found:
        raise UserError(f"{', '.join(map(str, paths))}: nothing is left to read beside {out} itself")
    return list(found.values())


def name_in_set(file: Path, given: Path) -> str:
    """How a set remembers a file: relative to what was named on the command line."""
    return file.name if file == given else str(Path(given.resolve().name) / file.relative_to(given))


def parts_of(what: Path | Collection[Source], told: str = "auto") -> Iterator[Part]:
    """read(), with single clips gathered into batches; what was read before an error is not lost."""
    waiting: list[RawClips] = []
    clips_waiting = 0
    try:
        for part in read(what, told):
            if not isinstance(part, RawClips):
                yield part
                continue
            waiting.append(part)
            clips_waiting += len(part)
            if clips_waiting >= GATHERED:
                yield from gathered(waiting)
                waiting.clear()
                clips_waiting = 0
    except UserError:
        yield from gathered(waiting)
        raise
    yield from gathered(waiting)


def parts_from_processes(sources: Sequence[Source], told: str, workers: int) -> Iterator[Part]:
    """parts_of(), files read by so many processes; what is wrong with one of several files is a part."""
    pieces: list[list[Source]] = [[]]
    for source in sources:
        if sum(one.size for one in pieces[-1]) > PIECE_BYTES:
            pieces.append([])
        pieces[-1].append(source)
    aside: list[NoLabels] = []
    other = False
    results = in_processes(_whole, [(piece, told) for piece in pieces], workers)
    for parts in Over(results, len(pieces), "part", "reading"):
        if isinstance(parts, Exception):
            raise parts
        for part in parts:
            aside += [part] if isinstance(part, NoLabels) else []
            other |= not isinstance(part, NoLabels)
            yield part
    if aside and not other:
        raise aside[0]


def _whole(sources: list[Source], told: str) -> list[Part]:
    """All parts of some files, for a process of its own."""
    parts: list[Part] = []
    try:
        for part in parts_of(sources, told):
            parts.append(part)
    except UserError as error:
        if len(sources) == 1:
            parts.append(error)
    return parts


def read_together(source: Source, told: str = "auto") -> list[Path]:
    """The files whose bytes decide what reading one gives: itself and what lies beside it; of a set, its index."""
    if source.path.is_dir():
        return [source.path / INDEX]
    beside = [history_file(source.path), *beside_npy(source.path, parsed(told)[1])]
    return [*source.files, *(file for file in beside if file is not None)]


def _set(path: Path, told: str) -> Iterator[Labels]:
    expect(path, told, "set")
    for labels in open_set(path).batches():
        check_labels(labels, path)
        yield labels


def _file(source: Source, told: str, names: Names) -> Iterator[Part]:
    path = source.path
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            yield from _parquet(source, told, names)
        elif suffix == ".zip":
            yield from _zip(path, told, names)
        elif suffix in SUFFIXES:
            if suffix == ".npy" and not is_teacher(path, names):
                raise NoLabels(path, f"is an array of a name that is not known; say it: --map teacher={path.stem}")
            content = named(document(path, names), path.stem)
            for shard in source.shards:
                more = document(shard, names)
                content = [*_listed(content), *_listed(more)]
            yield from _document(path, told, names, content)
        else:
            raise UserError(f"{path}: cannot read {suffix or 'a file without suffix'}; known: {', '.join(SUFFIXES)}")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply") from None
    except ValueError as error:  # what Labels finds wrong
        raise error if isinstance(error, UserError) else UserError(f"{path}: {error}") from None


def _listed(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _document(path: Path, told: str, names: Names, content: Any) -> Iterator[Part]:
    if path.suffix.lower() == ".npz":
        if labels_npz.is_history(content):
            raise UserError(f"{path} holds a history only; name the labels beside it")
        if labels_npz.matches(content) and not names.by_hand:
            expect(path, told, "labels_npz")
            yield labels_npz.read(content, path)
            return
    teacher = has_teacher(content, names)
    if not teacher and not has_drive(content, names):
        raise _nothing(path, content, names)
    for i, item in enumerate(content if isinstance(content, list) else ()):
        if not isinstance(item, dict):
            yield UserError(f"{path}: entry {i} is no object with pred_xyz or ego_future_xyz")
    json_layout = "results_json" if isinstance(content, list) else "clip_json"
    found = LAYOUTS.get(path.suffix.lower(), json_layout) if teacher else "drives"
    expect(path, told, "drives" if told == "drives" and has_drive(content, names) else found)
    stem = path.parent.name if path.suffix.lower() == ".npy" else path.stem
    yield from clips(records(content, names, stem), names, path)


def _nothing(path: Path, content: Any, names: Names) -> NoLabels:
    """What to say of a file without trajectories: what it has, and how to say what is meant."""
    if isinstance(content, list | tuple) and not content:
        return NoLabels(path, "holds no clips")
    wanted = "expected a list of clips, each an object with pred_xyz"
    if _is_referred(path):
        return NoLabels(path, "holds arrays that a file of rows beside it names; name that file, or the folder")
    first = next((item for item in content if isinstance(item, dict)), None) if isinstance(content, list) else content
    keys = f"the keys {', '.join(sorted(map(str, first))[:8])}" if isinstance(first, dict) else "such content"
    tracks = {name.rsplit(".", 1)[-1]: f"{shown(name)} {shape}" for name, shape in candidates(content, names)}
    if not tracks:
        return NoLabels(path, f"holds no trajectories, only {keys}; {wanted} [K][T][3] in metres: export that")
    may = f"{', '.join(list(tracks.values())[:SHOWN])} may be trajectories: --map teacher={shown(next(iter(tracks)))}"
    return NoLabels(path, f"has no layout that is known, but {keys}; {may}; {wanted}")


def _is_referred(path: Path) -> bool:
    """Whether rows beside an npz name its arrays."""
    beside = [file for file in path.parent.iterdir() if file.suffix.lower() in (".json", ".jsonl")]
    if path.suffix.lower() != ".npz":
        return False
    with suppress(OSError):
        return any(KEY_SUFFIX.encode() in file.open("rb").read(1 << 16) for file in beside)
    return False


def _parquet(source: Source, told: str, names: Names) -> Iterator[Part]:
    path = source.path
    kinds = columns(path)
    if egomotion.matches(kinds):
        expect(path, told, "egomotion")
        yield from egomotion.clips(path)
        return
    if flat_columns.matches(kinds, names):
        expect(path, told, "flat_parquet")
        yield from flat_parquet.clips(path, source.shards, names)
        return
    batches = rows(path, kinds, names)
    first = next(batches, [])
    if not has_teacher(first, names) and not has_drive(first, names):
        raise _nothing(path, first[0] if first else {}, names)
    expect(path, told, "rows_parquet")
    every = chain(first, (row for batch in batches for row in batch))
    yield from clips(records(every, names, path.stem), names, path)


def _zip(path: Path, told: str, names: Names) -> Iterator[Part]:
    if path in PACKED:
        raise UserError(f"{path} is a zip in a zip; unpack it yourself")
    with unpacked(path) as folder:
        try:
            for part in _of(files_of(folder), told, names):
                if isinstance(part, NoLabels):
                    continue
                yield UserError(str(part).replace(str(folder), str(path))) if isinstance(part, UserError) else part
        except UserError as error:
            said = str(error).replace(str(folder), str(path))
            if isinstance(error, NoLabels):
                raise NoLabels(path, f"holds no labels: {said}") from None
            raise UserError(said) from None


def expect(path: Path, told: str, found: str) -> None:
    """Raise UserError where a layout was told and another found."""
    if told not in ("auto", "zip", found):
        raise UserError(f"{path} is {FORMATS[found]} ({found}), not {told}")


def _only_history(path: Path) -> bool:
    """The second file of the community's pair, told by the names of its arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            return labels_npz.is_history([name.removesuffix(".npy") for name in archive.namelist()])
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # reading it will say what is wrong
