"""Clips out of records; the samples of one clip, wherever they stand in a file, put together."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.containers import Unsaid
from alpamayo_toy.labels.formats.fields import Names
from alpamayo_toy.labels.formats.one_record import OneRecord
from alpamayo_toy.labels.formats.raw import RawClips
from alpamayo_toy.labels.formats.records import Record


def clips(records: Iterator[Record], names: Names, path: Path) -> Iterator[RawClips | UserError]:
    """The clips of all records of a file, samples of one clip and t0 put together; a UserError for what cannot be.

    Raises Unsaid for what a user must say about the whole file.
    """
    samples: dict[tuple[str, int], list[tuple[int, RawClips]]] = {}
    for i, record in enumerate(records):
        try:
            raw, sample = OneRecord(record, names, path, i).clips()
        except Unsaid:
            raise
        except UserError as error:
            yield error
            continue
        if sample is None:
            yield raw
            continue
        for row in range(len(raw)):
            one = raw.select(np.array([row])) if len(raw) > 1 else raw
            samples.setdefault((str(raw.clip_id[row]), int(raw.t0_us[row])), []).append((int(sample[row]), one))
    for key, found in samples.items():
        try:
            yield together(key, found, path)
        except UserError as error:
            yield error


def together(key: tuple[str, int], found: list[tuple[int, RawClips]], path: Path) -> RawClips:
    """One clip of its samples (number, clip of one sample or more), in their order; the same one twice counts once.

    Raises UserError for two samples of one number that differ, and for other steps.
    """
    kept: dict[int, RawClips] = {}
    for number, raw in sorted(found, key=lambda one: one[0]):
        if number in kept and not np.array_equal(kept[number].teacher, raw.teacher, equal_nan=True):
            raise UserError(
                f"{path}: clip {key[0]} has sample {number} at t0 {key[1]} us twice with other trajectories; keep one"
            )
        kept.setdefault(number, raw)
    parts = list(kept.values())
    first = parts[0]
    for raw in parts[1:]:
        if raw.shape[1] != first.shape[1] or raw.dt != first.dt or (raw.rotation is None) != (first.rotation is None):
            raise UserError(f"{path}: clip {key[0]} at t0 {key[1]} us has samples of other steps, or some rotations")
    return first.with_samples(parts, again=len(kept) < len(found))
