"""split_set(): a label set as train, val and test, stable when clips are added, or by patterns of clip ids."""

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch

from alpamayo_toy import __version__
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels import split_hash
from alpamayo_toy.labels.building import Builder, claimed, finish
from alpamayo_toy.labels.convert import parts_of
from alpamayo_toy.labels.label_set import FORMAT, file_digest
from alpamayo_toy.labels.raw import RawClips, labels_of
from alpamayo_toy.labels.reading import files_of, read_together

SIDES = ("train", "val", "test")


def by_hash(val: float, test: float) -> Callable[[str], str]:
    """The side of a clip by the hash of its id: so many of all to val and test, the rest to train."""

    def side(clip_id: str) -> str:
        place = split_hash(clip_id)
        return "test" if place < test else "val" if place < test + val else "train"

    return side


def by_pattern(val: list[str], test: list[str]) -> Callable[[str], str]:
    """The side of a clip by shell patterns of clip ids, such as drive_0[67]; what none fits is train."""

    def side(clip_id: str) -> str:
        fits = {name: any(fnmatchcase(clip_id, one) for one in given) for name, given in (("val", val), ("test", test))}
        if all(fits.values()):
            raise UserError(f"clip {clip_id} fits a pattern of val and one of test")
        return next((name for name, found in fits.items() if found), "train")

    return side


def split_set(
    path: Path, out: Path, told: str, side_of: Callable[[str], str], rule: object, needed: tuple[str, ...] = ()
) -> dict[str, int]:
    """Write out/train, out/val, out/test by side_of(clip id); how many clips each got.

    rule stands for side_of in the names of shards, so that a killed run can go on. Raises UserError, also where a side
    that is needed stays empty.
    """
    torch.set_num_threads(1)  # another order of summing gives other bytes
    source = [file_digest(part) for file in files_of(path) for part in read_together(file)]
    key = hashlib.sha256(json.dumps([FORMAT, __version__, source, told, rule]).encode()).hexdigest()[:16]
    with ExitStack() as claims:
        for side in SIDES:
            claims.enter_context(claimed(out / side))
        builders = {side: Builder(out / side, key) for side in SIDES}
        with ExitStack() as stack:
            for builder in builders.values():
                stack.enter_context(builder)
            for part in parts_of(path, told):
                if isinstance(part, UserError):
                    raise part
                labels = labels_of(part, path) if isinstance(part, RawClips) else part
                place = np.array([side_of(str(name)) for name in labels.clip_id])
                for side, builder in builders.items():
                    builder.add(labels.select(torch.from_numpy(np.flatnonzero(place == side))))
        for side in needed:
            if builders[side].common is None:
                raise UserError(f"{path}: no clip is for {side}; look at the clip ids and patterns")
        for side, builder in builders.items():
            if builder.common is not None:
                finish(out / side, builder.common, builder.entries, [{"name": path.name, "split": side}], {})
            else:
                shutil.rmtree(out / side)  # of an earlier split, whose clips are on other sides now
    return {side: sum(entry["clips"] for entry in builder.entries) for side, builder in builders.items()}
