"""What `labels.py check` and `report` do with paths: verdicts over whole files, and a sample of a large set."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.formats.containers import NoLabels
from alpamayo_toy.labels.formats.raw import RawClips, as_raw
from alpamayo_toy.labels.formats.reading import files_of, parts_from_processes, parts_of
from alpamayo_toy.labels.loading import load_labels
from alpamayo_toy.labels.soundness.check import Check, leakage, table
from alpamayo_toy.labels.stored.index import is_set
from alpamayo_toy.labels.stored.label_set import open_set
from alpamayo_toy.labels.untrusted.texts import one_line
from alpamayo_toy.views.progress import Over

IN_PROCESSES = 64 << 20  # bytes of files, from which on it pays to read them in processes
MOST_PROCESSES = 8


def check_paths(paths: list[Path], told: str, strict: bool, splits: bool) -> tuple[int, str, dict[str, Any]]:
    """(exit code, text, report) of all paths together, the worst verdict counting. Raises UserError with strict."""
    reports, texts, code = [], [], 0
    keys: dict[str, list[tuple[str, int]]] = {}
    for path in paths:
        check = Check(path.resolve().name)
        keys[str(path)] = []
        try:
            for raw in _clips(path, told, check):
                keys[str(path)] += zip(raw.clip_id.tolist(), raw.t0_us.tolist(), strict=True) if splits else []
        except UserError as error:
            if len(paths) == 1:
                raise
            check.unreadable(str(error))
        found = check.report()
        if strict and found["errors"]:
            first = next(iter(found["errors"].values()))
            raise UserError(f"{path}: {first['clips'][0]}: {first['says']}")
        reports.append(found)
        texts.append(table(found))
        code = max(code, check.verdict)
    report: dict[str, Any] = {"format": 1, "files": reports}
    if splits:
        report["leakage"] = leakage(keys)
        if report["leakage"]:
            shown = ", ".join(one_line(clip) for clip in report["leakage"][:5])
            texts.append(f"leakage: {len(report['leakage'])} clips are in more than one split: {shown}")
            code = max(code, 1)
    return code, "\n\n".join(texts), report


def _clips(path: Path, told: str, check: Check) -> Iterator[RawClips]:
    """The clips of a file, folder or set once they are checked."""
    sources = files_of(path, told)
    workers = min(os.cpu_count() or 1, MOST_PROCESSES)
    if workers > 1 and len(sources) > 1 and sum(source.size for source in sources) > IN_PROCESSES:
        parts = parts_from_processes(sources, told, workers)
    else:
        parts = parts_of(Over(sources, len(sources), "file", "reading", hidden=len(sources) == 1), told)
    wrong: UserError | None = None
    try:
        for part in parts:
            if isinstance(part, NoLabels):
                check.left_aside(str(part.path), str(part))
            elif isinstance(part, UserError):
                check.unreadable(str(part))
            else:
                raw = part if isinstance(part, RawClips) else as_raw(part)
                check.add(raw)
                yield raw
    except UserError as error:
        wrong = error
    damaged = [file for source in sources if is_set(source.path) for file in open_set(source.path).damaged()]
    if wrong is not None and not damaged:  # else the bytes are what is wrong
        raise wrong
    for file in damaged:
        check.damaged(str(file))


def sampled(path: Path, told: str, most: int, seed: int = 0) -> tuple[Labels, int]:
    """The labels of a file, or so many clips of a larger set at random; and how many clips there are."""
    if not is_set(path):
        labels = load_labels(path, told)
        total = len(labels)
        if total <= most:
            return labels, total
        return labels.select(
            torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:most].sort()[0]
        ), total
    stored = open_set(path)
    rows = np.random.default_rng(seed).choice(len(stored), min(most, len(stored)), replace=False)
    return stored.select(np.sort(rows)), len(stored)
