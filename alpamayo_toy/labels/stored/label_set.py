"""The label set on disk: labels.json beside folders of memory-mapped .npy files, one folder a shard of clips.

A set may be larger than memory: rows are read where they are asked for. Strings are UTF-8 bytes one after another with
their ends beside them, so that no clip pays for the longest. README.md of labels, "The label set".
"""

import hashlib
import os
import shutil
import struct
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.files import naming, remove_folder, write_json
from alpamayo_toy.kinematics.manoeuvres import STANDSTILL
from alpamayo_toy.kinematics.recovery import label_actions
from alpamayo_toy.kinematics.trajectory import ROUTE_POINTS, Labels
from alpamayo_toy.labels.stored.index import facts_in, reading_set
from alpamayo_toy.labels.untrusted.archive import HEADER_FAULTS
from alpamayo_toy.labels.untrusted.arrays import names

SHARD_BYTES = 1 << 30  # of trajectories in a shard: every shard costs a batch a few microseconds
HEADER_BYTES = 128  # of a .npy file of ours
DTYPES: dict[str, np.dtype[Any]] = {
    "t0_us": np.dtype("<i8"),
    "v0": np.dtype("<f8"),
    "teacher": np.dtype("<f4"),
    "scenario": np.dtype("<i8"),
    "ground_truth": np.dtype("<f4"),
    "history": np.dtype("<f4"),
    "context": np.dtype("<f4"),
    "route": np.dtype("<f4"),
}
TORCH_DTYPES = {"<f4": torch.float32, "<f8": torch.float64, "<i8": torch.int64}
STRINGS = ("clip_id", "source", "v0_source", "text")
FILLED = ("history", "context", "route", "text")
"""Fields that some shards of a set may lack: their clips have NaN or an empty text there."""
BATCH = 512  # clips that batches() reads at once: what is made of more falls out of the cache
FILES_A_SHARD, OTHER_FILES = 16, 200  # that are open at once


def open_set(path: Path) -> "LabelSet":
    """The set in a folder. Raises UserError where the index or a shard's header is not what it should be."""
    folder = path if path.is_dir() else path.parent
    facts = facts_in(folder)
    with reading_set(folder):
        return LabelSet.mapped(folder, facts)


@dataclass(frozen=True)
class Shard:
    """One folder of arrays with the same number of rows, mapped, not read."""

    folder: Path
    clips: int
    arrays: dict[str, np.ndarray]

    @classmethod
    def opened(cls, out: Path, entry: dict[str, Any], facts: dict[str, Any]) -> "Shard":
        """The shard of a set that an entry of labels.json names. Raises UserError."""
        folder, clips = out / "shards" / entry["name"], entry["clips"]
        if not isinstance(clips, int) or clips < 1 or folder.parent.name != "shards" or folder.name.startswith("."):
            raise UserError(f"{folder} is no shard of {clips} clips")
        if any(Path(name).name != name or "\0" in name for name in entry["files"].keys() | {entry["name"]}):
            raise UserError(f"{folder}: its name or those of its files lead elsewhere")
        shapes = shapes_of(facts)
        present = [name for name in facts["fields"] if name not in FILLED or f"{name}.npy" in entry["files"]]
        arrays = {name: _mapped(folder / f"{name}.npy") for name in present if name in DTYPES}
        for name, array in arrays.items():
            if array.shape != (clips, *shapes[name]) or array.dtype != DTYPES[name]:
                wanted = f"{(clips, *shapes[name])} {DTYPES[name]}"
                raise UserError(f"{folder / name}.npy must hold {wanted} (it has {array.shape} {array.dtype})")
        for name in STRINGS:
            if name in present:
                letters, ends = _mapped(folder / f"{name}.npy"), _mapped(folder / f"{name}_ends.npy")
                texts = facts.get("texts", 1) if name == "text" else 1
                sound = ends.shape in ((clips,), (clips * texts,)) and ends.dtype == np.int64 and letters.ndim == 1
                if not sound or ends[-1] != len(letters) or letters.dtype != np.uint8:
                    raise UserError(f"{folder / name}.npy does not hold {clips} strings")
                arrays[name], arrays[f"{name}_ends"] = letters, ends
        return cls(folder, clips, arrays)

    def strings(self, name: str, rows: np.ndarray, each: int = 1) -> list[str]:
        """A field of so many strings a clip at rows (n,), one behind the other; empty where the shard lacks it."""
        if name not in self.arrays:
            return [""] * len(rows) * each
        letters, ends = self.arrays[name], self.arrays[f"{name}_ends"]
        own = len(ends) // self.clips
        rows = (rows[:, None] * own + np.arange(own).repeat(each // own)).ravel()
        starts, stops = np.where(rows > 0, ends[rows - 1], 0), ends[rows]
        try:
            if ((starts < 0) | (stops < starts)).any():
                raise ValueError("they do not rise")
            return [letters[a:b].tobytes().decode() for a, b in zip(starts, stops, strict=True)]
        except ValueError as error:
            raise UserError(f"{self.folder / name}.npy does not hold the strings that its ends say: {error}") from None

    def keys(self) -> tuple[list[str], np.ndarray]:
        """clip_id and t0_us of its clips."""
        return self.strings("clip_id", np.arange(self.clips)), np.asarray(self.arrays["t0_us"])


def _allow_open_files(count: int) -> None:
    """A mapped array keeps its file open: let this process have so many, as far as the system's hard limit allows."""
    try:
        import resource
    except ImportError:  # not a Unix: there is no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + OTHER_FILES if hard == resource.RLIM_INFINITY else min(count + OTHER_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _mapped(path: Path) -> np.ndarray:
    """The file as an array that is read page by page; never a pickle."""
    mode: Literal["r"] | None = "r"
    if path.stat().st_size == HEADER_BYTES:  # mmap takes no empty array: a header and nothing behind it
        mode = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a header that looks as if Python 2 had written it
            mapped: np.ndarray = np.load(path, mmap_mode=mode, allow_pickle=False)
    except HEADER_FAULTS as error:
        raise UserError(f"{path} is no array of a label set: {error!r:.200}") from None
    return mapped


@dataclass(frozen=True)
class LabelSet:
    """A label set that stays on disk. facts is what labels.json says."""

    folder: Path
    facts: dict[str, Any]
    shards: list[Shard]

    @classmethod
    def mapped(cls, folder: Path, facts: dict[str, Any]) -> Self:
        """The set that an index describes. Raises UserError where a shard is not what it says."""
        _allow_open_files(FILES_A_SHARD * len(facts["shards"]))
        return cls(folder, facts, [Shard.opened(folder, entry, facts) for entry in facts["shards"]])

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.shards else 0

    def __reduce__(self) -> tuple[object, ...]:
        """Another process opens the set anew."""
        return open_set, (self.folder,)

    @property
    def nbytes(self) -> int:
        """Of the trajectories, which are nearly all of it."""
        return len(self) * int(self.facts["samples"]) * int(self.facts["horizon"]) * 16

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([shard.clips for shard in self.shards])

    def numbers(self, index: np.ndarray, fields: Iterable[str] = tuple(DTYPES)) -> dict[str, Tensor]:
        """Rows (B,) of fields of numbers, in that order; rows in rising order are read fastest.

        Raises IndexError for a row that is not there.
        """
        if len(index) and (index.min() < 0 or index.max() >= len(self)):
            raise IndexError(f"rows must lie in 0 to {len(self) - 1} (got {index.min()} to {index.max()})")
        order = np.argsort(index, kind="stable")
        rising = bool((order == np.arange(len(index))).all())
        pieces = self._pieces(index[order])
        found, shapes = {}, shapes_of(self.facts)
        for name in fields:
            if name not in self.facts["fields"]:
                continue
            rows = torch.empty(len(index), *shapes[name], dtype=TORCH_DTYPES[DTYPES[name].str])
            for shard, places, inside in pieces:
                if name in shard.arrays:
                    np.take(shard.arrays[name], inside, axis=0, out=rows.numpy()[places], mode="clip")
                else:
                    rows[places] = torch.nan
            if not rising:
                rows = torch.empty_like(rows).index_copy_(0, torch.from_numpy(order), rows)
            found[name] = rows
        return found

    def select(self, index: np.ndarray) -> Labels:
        """Rows (B,) as Labels, in that order."""
        texts: dict[str, Any] = {}
        for name in STRINGS:
            if name in self.facts["fields"]:
                order = np.argsort(index, kind="stable")
                pieces = self._pieces(index[order])
                each = self.facts.get("texts", 1) if name == "text" else 1
                read = [text for shard, _, rows in pieces for text in shard.strings(name, rows, each)]
                texts[name] = np.empty((len(index), each), dtype=object)
                texts[name][order] = np.array(read, dtype=object).reshape(-1, each)
                texts[name] = texts[name] if each > 1 else texts[name][:, 0]
                if name != "text":  # one long text must not make all of them long
                    texts[name] = names(f"{self.folder}: {name}", texts[name])
        rows: dict[str, Any] = {**self.numbers(index), **texts}
        try:
            return Labels(
                **rows,
                scenario_source=self.facts["scenario_source"],
                route_source=self.facts.get("route_source", ""),  # which sets of earlier versions do not say
                context_names=tuple(self.facts["context_names"]),
                dt=self.facts["dt"],
            )
        except ValueError as error:
            raise UserError(f"{self.folder}: {error}") from None

    def batches(self, size: int = BATCH) -> Iterator[Labels]:
        """All clips in their order."""
        for start in range(0, len(self), size):
            yield self.select(np.arange(start, min(start + size, len(self))))

    def keys(self) -> tuple[list[str], np.ndarray]:
        """clip_id (N,) and t0_us (N,) of all clips."""
        pairs = [shard.keys() for shard in self.shards]
        return [name for names, _ in pairs for name in names], np.concatenate([t0_us for _, t0_us in pairs])

    def damaged(self) -> list[str]:
        """The files whose bytes are not those that labels.json vouches for."""
        files = [(s.folder / n, digest) for s, e in self._entries() for n, digest in e["files"].items()]
        return [str(path.relative_to(self.folder)) for path, digest in files if not _is(path, digest)]

    def _entries(self) -> Iterable[tuple[Shard, dict[str, Any]]]:
        return zip(self.shards, self.facts["shards"], strict=True)

    def _pieces(self, index: np.ndarray) -> list[tuple[Shard, slice, np.ndarray]]:
        """For each shard that holds some of the rising rows: their places in the batch and their rows inside it."""
        borders = np.searchsorted(index, self._ends)
        found, first, start = [], 0, 0
        for shard, border, end in zip(self.shards, borders.tolist(), self._ends.tolist(), strict=True):
            if border > first:
                found.append((shard, slice(first, border), index[first:border] - start))
            first, start = border, end
        return found


def _is(path: Path, digest: str) -> bool:
    try:
        return file_digest(path) == digest
    except OSError:
        return False


def shapes_of(facts: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape of each field's rows."""
    horizon = facts["horizon"]
    return {
        **dict.fromkeys(("t0_us", "v0", "scenario"), ()),
        "teacher": (facts["samples"], horizon, 4),
        "ground_truth": (horizon, 4),
        "history": (facts["history_poses"], 4),
        "context": (len(facts["context_names"]),),
        "route": (ROUTE_POINTS, 2),
    }


def facts_of(labels: Labels) -> dict[str, Any]:
    """What every shard of a set has in common with these clips."""
    present = [name for name in (*DTYPES, *STRINGS) if getattr(labels, name) is not None]
    return {
        "samples": labels.teacher.shape[1],
        "horizon": labels.horizon,
        "dt": labels.dt,
        "fields": present,
        "history_poses": 0 if labels.history is None else labels.history.shape[1],
        "context_names": list(labels.context_names),
        "texts": 1 if labels.text is None or labels.text.ndim == 1 else labels.text.shape[1],
        "scenario_source": labels.scenario_source,
        "route_source": labels.route_source,
        "left_out": [],
    }


class ShardWriter:
    """Clips with the same facts as a folder, which is there whole or not at all; row after row, little in memory."""

    def __init__(self, folder: Path, common: dict[str, Any]) -> None:
        self.folder, self.common, self.clips = folder, common, 0
        self._partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        self._files: dict[str, BinaryIO] = {}
        self._lengths = dict.fromkeys(STRINGS, 0)  # letters so far
        self._sums: list[dict[str, list[float]]] = []
        self._v0_sources: dict[str, int] = {}

    def add(self, labels: Labels) -> None:
        """Append the clips."""
        for name in self.common["fields"]:
            value = getattr(labels, name)
            if name in STRINGS:
                encoded = [str(text).encode(errors="backslashreplace") for text in value.ravel()]
                ends = self._lengths[name] + np.cumsum([len(e) for e in encoded], dtype=np.int64)
                self._lengths[name] = int(ends[-1])
                self._append(name, np.frombuffer(b"".join(encoded), dtype=np.uint8))
                self._append(f"{name}_ends", ends)
            else:
                self._append(name, value.numpy().astype(DTYPES[name]))
        for source in labels.v0_source.tolist():
            self._v0_sources[source] = self._v0_sources.get(source, 0) + 1
        self._sums.append(action_sums(labels))
        self.clips += len(labels)

    def close(self) -> dict[str, Any]:
        """Put the folder in its place; its entry for labels.json."""
        for name, file in self._files.items():
            rows = self._lengths.get(name, self.clips * (self.common.get("texts", 1) if name == "text_ends" else 1))
            with naming(self.folder / f"{name}.npy"):
                file.seek(0)
                file.write(_header(name, rows, self.common))
                file.flush()
                os.fsync(file.fileno())
                file.close()
        entry = {
            "name": self.folder.name,
            "clips": self.clips,
            "v0_sources": dict(sorted(self._v0_sources.items())),
            "actions": {name: [sum(s[name][i] for s in self._sums) for i in range(3)] for name in ("a", "kappa")},
            "files": {path.name: file_digest(path) for path in sorted(self._partial.iterdir())},
        }
        write_json(self._partial / "shard.json", {"entry": entry, "common": self.common})
        if self.folder.exists():
            remove_folder(self.folder)
        self._partial.rename(self.folder)
        return entry

    def drop(self) -> None:
        """Leave nothing behind."""
        for file in self._files.values():
            with suppress(OSError):  # a full disk refuses the last buffer again
                file.close()
        shutil.rmtree(self._partial, ignore_errors=True)

    def _append(self, name: str, array: np.ndarray) -> None:
        if name not in self._files:
            self._files[name] = (self._partial / f"{name}.npy").open("wb")
            self._files[name].write(bytes(HEADER_BYTES))  # written in the end, when the number of rows is known
        with naming(self.folder / f"{name}.npy"):
            self._files[name].write(np.ascontiguousarray(array).data)


def _header(name: str, rows: int, common: dict[str, Any]) -> bytes:
    """The header of a .npy file (format 1.0), padded to HEADER_BYTES."""
    if name in DTYPES:
        dtype, shape = DTYPES[name], (rows, *shapes_of(common)[name])
    else:
        dtype, shape = np.dtype("<i8" if name.endswith("_ends") else "|u1"), (rows,)
    said = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", HEADER_BYTES - 10) + said.ljust(HEADER_BYTES - 11).encode() + b"\n"


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def action_sums(labels: Labels) -> dict[str, list[float]]:
    """[count, sum, sum of squares] of a, and of kappa where the car moves faster than 0.6 m/s, to be added up."""
    v0 = labels.v0.unsqueeze(-1).expand(labels.teacher.shape[:2])
    actions = label_actions(labels.teacher, v0, labels.dt).double()
    v = torch.cat([v0.unsqueeze(-1), labels.teacher[..., 3]], -1).abs()
    moving = (v[..., 1:] > STANDSTILL) & (v[..., :-1] > STANDSTILL)
    found = {"a": actions[..., 0].flatten(), "kappa": actions[..., 1][moving]}
    return {name: [len(x), float(x.sum()), float(x.square().sum())] for name, x in found.items()}
