"""read(): any label file or folder, its layout told from what is in it."""

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.formats import (
    clip_json,
    community_npz,
    drives,
    egomotion,
    flat_parquet,
    labels_npz,
    results_json,
    sample_pt,
)
from alpamayo_toy.labels.formats.raw import GATHERED, RawClips, check_labels, gathered
from alpamayo_toy.labels.stored import label_set
from alpamayo_toy.labels.untrusted.archive import read_npz, read_pt
from alpamayo_toy.labels.untrusted.parquet_file import columns
from alpamayo_toy.labels.untrusted.texts import one_line

Part = RawClips | Labels | UserError
"""What reading yields: clips as the file has them, labels of our own making, or why a clip could not be read."""

FORMATS = {
    "set": "the project's own folder",
    "labels_npz": "the project's own one file",
    "results_json": "JSON list with pred_xyz",
    "clip_json": "JSON with predicted_xyz, one clip or results",
    "community_npz": "npz with clip_ids and trajectory_xyz",
    "drives": "npz or .pt with ego_history_xyz and ego_future_xyz",
    "sample_pt": ".pt with pred_xyz",
    "flat_parquet": "Parquet with a row per clip, t0 and sample",
    "egomotion": "PhysicalAI-AV egomotion Parquet",
}
SUFFIXES = (".json", ".npz", ".pt", ".parquet")


def read(path: Path, told: str = "auto") -> Iterator[Part]:
    """The clips of a file or folder, in batches as they come; told names one of FORMATS. Raises UserError."""
    try:
        for part in _parts(path, told):
            yield UserError(one_line(str(part))) if isinstance(part, UserError) else part
    except UserError as error:
        raise UserError(one_line(str(error))) from None


def _parts(path: Path, told: str) -> Iterator[Part]:
    if told not in ("auto", *FORMATS):
        raise UserError(f"there is no label format {told}; known: auto, {', '.join(FORMATS)}")
    if not path.exists():
        raise UserError(f"there is no label file {path}")
    files = files_of(path)
    for file in files:
        try:
            yield from _set(file, told) if label_set.is_set(file) else _file(file, told)
        except UserError as error:
            if len(files) == 1:
                raise
            yield error


def files_of(path: Path) -> list[Path]:
    """The label files and sets in a folder in the order of their names, or the path itself. Raises UserError if none.

    Hidden ones are left aside; links to folders are followed.
    """
    if label_set.is_set(path) or not path.is_dir():
        return [path]
    found: list[Path] = []
    walked: set[str] = set()
    for folder, inside, names in os.walk(path, onerror=_refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in walked:  # a link that leads back
            inside.clear()
        elif label_set.is_set(Path(folder)):
            found.append(Path(folder))
            inside.clear()
        else:
            found += [Path(folder, name) for name in names if not name.startswith(".")]
            inside[:] = [name for name in inside if not name.startswith(".")]
        walked.add(real)
    files = [file for file in sorted(found) if file.is_dir() or file.suffix.lower() in SUFFIXES]
    labels = [file for file in files if file.is_dir() or (file.is_file() and not _only_history(file))]
    if not labels:
        raise UserError(f"{path} holds no label file; known: {', '.join(SUFFIXES)}")
    return labels


def _refuse(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read: {error.strerror}") from None


def files_besides(paths: list[Path], out: Path) -> list[tuple[Path, str]]:
    """The files of all paths, each once, and the names that a set remembers them by; none of what lies in out.

    Raises UserError where nothing is left.
    """
    found: dict[Path, tuple[Path, str]] = {}
    for path in paths:
        for file in files_of(path):
            if not file.resolve().is_relative_to(out.resolve()):
                found.setdefault(file.resolve(), (file, name_in_set(file, path)))
    if not found:
        raise UserError(f"{', '.join(map(str, paths))}: nothing is left to read beside {out} itself")
    return list(found.values())


def name_in_set(file: Path, given: Path) -> str:
    """How a set remembers a file: relative to what was named on the command line."""
    return file.name if file == given else str(Path(given.resolve().name) / file.relative_to(given))


def parts_of(path: Path, told: str = "auto") -> Iterator[Part]:
    """read(), with single clips gathered into batches; what was read before an error is not lost."""
    waiting: list[RawClips] = []
    try:
        for part in read(path, told):
            if not isinstance(part, RawClips):
                yield part
                continue
            waiting.append(part)
            if sum(map(len, waiting)) >= GATHERED:
                yield from gathered(waiting)
                waiting.clear()
    except UserError:
        yield from gathered(waiting)
        raise
    yield from gathered(waiting)


def read_together(file: Path) -> list[Path]:
    """The files whose bytes decide what reading one gives: itself and what lies beside it; of a set, its index."""
    if file.is_dir():
        return [file / label_set.INDEX]
    beside = community_npz.history_file(file)
    return [file] if beside is None else [file, beside]


def _set(path: Path, told: str) -> Iterator[Labels]:
    expect(path, told, "set")
    for labels in label_set.open_set(path).batches():
        check_labels(labels, path)
        yield labels


def _file(path: Path, told: str) -> Iterator[Part]:
    suffix = path.suffix.lower()
    try:
        if suffix == ".json":
            content = _json(path)
            yield from _matching(path, told, content, {"results_json": results_json, "clip_json": clip_json})
        elif suffix == ".npz":
            yield from _arrays(path, told)
        elif suffix == ".pt":
            yield from _tensors(path, told)
        elif suffix == ".parquet":
            names = columns(path)
            found = {"flat_parquet": flat_parquet, "egomotion": egomotion}
            chosen = next((name for name, reader in found.items() if reader.matches(names)), None)
            if chosen is None:
                raise UserError(f"{path}: no layout known has the columns {', '.join(sorted(names)[:8])}")
            expect(path, told, chosen)
            yield from found[chosen].clips(path)
        else:
            raise UserError(f"{path}: cannot read {suffix or 'a file without suffix'}; known: {', '.join(SUFFIXES)}")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply") from None
    except ValueError as error:  # what Labels finds wrong
        raise error if isinstance(error, UserError) else UserError(f"{path}: {error}") from None


def _matching(path: Path, told: str, content: Any, readers: dict[str, Any]) -> Iterator[Part]:
    """The clips by the first reader that knows the content."""
    for name, reader in readers.items():
        if reader.matches(content):
            expect(path, told, name)
            yield from reader.clips(content, path)
            return
    keys = f"the keys {', '.join(sorted(map(str, content))[:8])}" if isinstance(content, dict) else "such content"
    raise UserError(f"{path}: no layout known has {keys}; expected a list of clips, each an object with pred_xyz")


def expect(path: Path, told: str, found: str) -> None:
    """Raise UserError where a layout was told and another found."""
    if told not in ("auto", found):
        raise UserError(f"{path} is {FORMATS[found]} ({found}), not {told}")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON, perhaps cut off: {str(error)[:200]}") from None


def _arrays(path: Path, told: str) -> Iterator[Part]:
    content = read_npz(path)
    if community_npz.is_history(content):
        raise UserError(f"{path} holds a history only; name the labels beside it")
    if labels_npz.matches(content) or not (community_npz.matches(content) or drives.matches(content)):
        expect(path, told, "labels_npz")
        yield labels_npz.read(content, path)
        return
    yield from _matching(path, told, content, {"community_npz": community_npz, "drives": drives})


def _tensors(path: Path, told: str) -> Iterator[Part]:
    content = read_pt(path)
    for i, clip in enumerate(content if isinstance(content, list) else [content]):
        if not isinstance(clip, dict):
            raise UserError(f"{path}: entry {i} is no dictionary with pred_xyz or ego_future_xyz")
        yield from _matching(path, told, clip, {"sample_pt": sample_pt, "drives": drives})


def _only_history(path: Path) -> bool:
    """The second file of the community's pair, told by the names of its arrays."""
    if path.suffix.lower() != ".npz":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return community_npz.is_history([name.removesuffix(".npy") for name in archive.namelist()])
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # reading it will say what is wrong
