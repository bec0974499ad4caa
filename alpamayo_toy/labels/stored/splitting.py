"""split_set(): a label set as train, val and test, stable when clips are added, or by patterns of clip ids."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from alpamayo_toy import __version__
from alpamayo_toy.errors import UserError
from alpamayo_toy.files import partial_of, remove_folder
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.formats.containers import Failed, NoLabels
from alpamayo_toy.labels.formats.raw import RawClips, labels_of
from alpamayo_toy.labels.formats.reading import files_besides, parts_of, read_together
from alpamayo_toy.labels.held_out import fits, split_hash
from alpamayo_toy.labels.repeats import Seen
from alpamayo_toy.labels.stored.building import Builder, claimed, finish
from alpamayo_toy.labels.stored.index import FORMAT, INDEX, is_set
from alpamayo_toy.labels.stored.label_set import file_digest, open_set

SIDES = ("train", "val", "test")


@dataclass(frozen=True)
class ByHash:
    """The side of a clip by the hash of its id: so many of all to val and test, the rest to train."""

    val: float
    test: float

    def side(self, clip_id: str) -> str:
        place = split_hash(clip_id)
        return "test" if place < self.test else "val" if place < self.test + self.val else "train"

    def unused(self) -> list[str]:
        return []


@dataclass(frozen=True)
class ByPattern:
    """The side of a clip by ids or shell patterns of them, such as drive_0[67]; what none fits is train."""

    val: tuple[str, ...]
    test: tuple[str, ...]
    used: set[str] = field(default_factory=set, compare=False, repr=False)

    def side(self, clip_id: str) -> str:
        """Raises UserError for a clip that fits both."""
        fitting = {
            name: [one for one in given if fits(clip_id, one)]
            for name, given in (("val", self.val), ("test", self.test))
        }
        if all(fitting.values()):
            raise UserError(f"clip {clip_id} fits a pattern of val and one of test")
        self.used.update(fitting["val"], fitting["test"])
        return next((name for name, found in fitting.items() if found), "train")

    def unused(self) -> list[str]:
        """The patterns that fitted no clip."""
        return [one for one in (*self.val, *self.test) if one not in self.used]


def split_set(path: Path, out: Path, told: str, rule: ByHash | ByPattern) -> dict[str, int]:
    """Write out/train, out/val, out/test; how many clips each got.

    A split that is there is replaced, any other set is left alone. Raises UserError, also for a pattern that fits no
    clip, and for a clip that comes twice with other trajectories, which convert would drop.
    """
    if path.resolve().is_relative_to(out.resolve()):
        raise UserError(f"{path} lies in {out}; split into another folder")
    files = files_besides([path], out, told)
    digests = [file_digest(part) for file, _ in files for part in read_together(file, told)]
    said = [FORMAT, __version__, [name for _, name in files], digests, told, repr(rule)]
    key = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
    with ExitStack() as claims:
        for side in SIDES:
            claims.enter_context(_side(out / side, side))
        builders = {side: Builder(out / side, key) for side in SIDES}
        with ExitStack() as stack:
            for builder in builders.values():
                stack.enter_context(builder)
            seen = Seen()
            for part in parts_of([source for source, _ in files], told):
                if isinstance(part, NoLabels | Failed):
                    continue
                if isinstance(part, UserError):
                    raise part
                labels = _once(labels_of(part, path) if isinstance(part, RawClips) else part, seen, path)
                place = np.array([rule.side(str(name)) for name in labels.clip_id])
                for side, builder in builders.items():
                    builder.add(labels.select(torch.from_numpy(np.flatnonzero(place == side))))
        if rule.unused():
            raise UserError(f"{path}: no clip fits {rule.unused()[0]}; look at the clip ids")
        for side in SIDES:  # a split that is stopped between its sides is none
            (out / side / INDEX).unlink(missing_ok=True)
        for side, builder in builders.items():
            if builder.common is not None:
                finish(out / side, builder.common, builder.entries, [{"name": path.name, "split": side}], {})
            else:
                remove_folder(out / side)  # of an earlier split, whose clips are on other sides now
    return {side: sum(entry["clips"] for entry in builder.entries) for side, builder in builders.items()}


def _once(labels: Labels, seen: Seen, path: Path) -> Labels:
    """The clips that did not come before. Raises UserError for one that did with other trajectories."""
    keys = list(zip(labels.clip_id.tolist(), labels.t0_us.tolist(), strict=True))
    repeated, duplicate = seen.again(keys, labels.teacher.numpy())
    if duplicate.any():
        clip, t0 = keys[int(duplicate.argmax())]
        raise UserError(f"{path}: clip {clip} at t0 {t0} us comes twice with different trajectories; convert it first")
    return labels.select(torch.from_numpy(np.flatnonzero(~repeated)))


@contextmanager
def _side(folder: Path, side: str) -> Iterator[None]:
    """The folder of one side, taken away again where it is new and the split cannot be made."""
    new = not folder.exists()
    if is_set(folder):
        foreign = any(source.get("split") != side for source in open_set(folder).facts["sources"])
    else:
        own = ("shards", partial_of(folder / INDEX).name)
        foreign = folder.is_dir() and any(part.name not in own for part in folder.iterdir())
    if foreign:
        raise UserError(f"{folder} holds what no split has made; name another folder")
    try:
        with claimed(folder):
            yield
    except UserError:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise
