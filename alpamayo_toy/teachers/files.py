"""FileTeacher and StoredTeacher: somebody else's labels, in memory or on disk, and their held-out clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.trajectory import UNKNOWN_SCENARIO, Labels, Scene
from alpamayo_toy.labels.fingerprint import Fingerprint, digests
from alpamayo_toy.labels.held_out import fits, is_held, parted, split_by_time, split_hash
from alpamayo_toy.labels.loading import load_labels
from alpamayo_toy.labels.stored.building import clip_digests
from alpamayo_toy.labels.stored.index import is_set
from alpamayo_toy.labels.stored.label_set import BATCH, LabelSet, open_set
from alpamayo_toy.teachers.augment import chosen_samples, mirrored, picked, with_mirror_images
from alpamayo_toy.teachers.config import FileConfig
from alpamayo_toy.teachers.route_errors import displaced, with_route_errors

IN_MEMORY = 512 << 20  # bytes of trajectories; a larger set on disk is read batch by batch
STATISTICS = 32_768  # clips of such a set that means and standard deviations are taken from
VALIDATION = 8192  # held-out clips of such a set that are looked at


@dataclass(frozen=True)
class FileTeacher:
    """Somebody else's labels, split into training and held-out clips by a hash of the clip id.

    split is "clip", "time" where a file of few drives would leave a side empty, or "file" where a second one is given.
    validation has all samples of a clip, whatever is trained on. fingerprint: of both as they were read.
    """

    train: Labels
    validation: Labels
    oracle: bool = False
    split: str = "clip"
    fingerprint: Fingerprint | None = None

    def training(self, seed: int) -> Labels:
        """The labels that a student learns from; the split is the clips' own, no seed moves it."""
        return self.train

    def clip_ids(self) -> np.ndarray:
        """The clips or drives that are trained on, (N,) str."""
        return self.train.clip_id


@dataclass(frozen=True)
class StoredTeacher:
    """A label set too large for memory: read from disk batch by batch, its statistics from a sample of it.

    rows (N,) are those to train on. validation is the 8192 held-out clips with the lowest hashes.
    """

    stored: LabelSet
    rows: np.ndarray
    validation: Labels
    config: FileConfig
    split: str = "clip"

    @property
    def oracle(self) -> bool:
        return self.config.oracle

    @property
    def mirror(self) -> bool:
        """Whether each clip's mirror image is trained on as well."""
        return self.config.mirror and "context" not in self.stored.facts["fields"]

    @cached_property
    def _digests(self) -> np.ndarray:
        """What the routes' errors are drawn by, (N,) uint64 for all clips of the set."""
        return clip_digests(*self.stored.keys())

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Of the clips to train on and those to look at: all of them are read for it."""
        parts = [digests(self.stored.select(rows)) for rows in np.array_split(self.rows, -(-len(self.rows) // BATCH))]
        return Fingerprint(torch.cat(parts), digests(self.validation))

    def __len__(self) -> int:
        return len(self.rows) * (2 if self.mirror else 1)

    def training(self, seed: int) -> Labels:
        """Clips at random, for statistics alone."""
        rows = np.random.default_rng(seed).choice(self.rows, min(len(self.rows), STATISTICS), replace=False)
        labels = with_route_errors(self.stored.select(np.sort(rows)), self.config.route_error_m, self.config.path)
        labels = chosen_samples(labels, self.config.samples)
        return with_mirror_images(labels) if self.mirror else labels

    def clip_ids(self) -> np.ndarray:
        """The clips or drives that are trained on, (N,) str."""
        names: np.ndarray = np.array(self.stored.keys()[0])[self.rows]
        return names

    def batch(self, index: Tensor) -> tuple[Scene, Tensor]:
        """The scenes and trajectories (B, K, T, 4) at index; those beyond the clips are mirror images."""
        numbers = index.numpy()
        rows = self.stored.numbers(self.rows[numbers % len(self.rows)])
        teacher = picked(rows["teacher"], rows["v0"], self.config.samples, self.stored.facts["dt"])
        scenario, history, route = rows["scenario"], rows.get("history"), rows.get("route")
        if route is not None and self.config.route_error_m:
            route = displaced(route, self._digests[self.rows[numbers % len(self.rows)]], self.config.route_error_m)
        if self.mirror:
            parts = mirrored(scenario, history, route, teacher, index >= len(self.rows))
            scenario, history, route, teacher = parts
        if self.stored.facts["scenario_source"] == "future" and not self.oracle:
            scenario = torch.full_like(scenario, UNKNOWN_SCENARIO)
        return Scene(scenario, rows["v0"].float(), history, rows.get("context"), route), teacher


def file_teacher(config: FileConfig, horizon: int, dt: float) -> FileTeacher | StoredTeacher:
    """The labels that a config names, on disk where they are a set too large for memory. Raises UserError."""
    path = Path(config.path)
    if is_set(path) and config.format in ("auto", "set"):
        stored = open_set(path)
        if stored.nbytes > IN_MEMORY:
            return _stored_teacher(stored, config, horizon, dt)
    return _file_teacher(config, horizon, dt)


def _loaded(path: str, told: str) -> Labels:
    """A label file; what labels.py calls --map is an option of the teacher here."""
    try:
        return load_labels(path, told)
    except UserError as error:
        raise UserError(str(error).replace("--map ", "teacher.map=")) from None


def _file_teacher(config: FileConfig, horizon: int, dt: float) -> FileTeacher:
    labels = with_route_errors(_loaded(config.path, config.told), config.route_error_m, config.path)
    _check_time(config.path, (labels.horizon, labels.dt), (horizon, dt))
    kind, (train, validation) = "clip", parted(labels, _held(labels.clip_id, config))
    if config.val_path:
        kind, train, validation = "file", labels, _held_out(config, labels.clip_id, horizon, dt)
    elif config.val_clips == "" and (len(train) == 0 or len(validation) == 0):
        by_time = split_by_time(labels, config.val_fraction)
        if all(len(side) for side in by_time):
            kind, (train, validation) = "time", by_time
    if len(train) == 0 or len(validation) == 0:
        raise UserError(
            f"{config.path}: {len(labels)} clips split into {len(train)} to train on and {len(validation)} held out;"
            " change teacher.val_fraction or teacher.val_clips, name teacher.val_path, or bring more clips"
        )
    fingerprint = Fingerprint.of(train, validation)
    train = chosen_samples(train, config.samples)
    if config.mirror and train.context is None:
        train = with_mirror_images(train)
    return FileTeacher(train, validation, config.oracle, kind, fingerprint)


def _stored_teacher(stored: LabelSet, config: FileConfig, horizon: int, dt: float) -> StoredTeacher:
    _check_time(config.path, (stored.facts["horizon"], stored.facts["dt"]), (horizon, dt))
    names = stored.keys()[0]
    if config.val_path:
        validation = _held_out(config, np.array(names), horizon, dt)
        return StoredTeacher(stored, np.arange(len(stored)), validation, config, "file")
    inside = _held(np.array(names), config)
    held, rows = np.flatnonzero(inside), np.flatnonzero(~inside)
    if len(held) == 0 or len(rows) == 0:
        raise UserError(
            f"{config.path}: no clip is left to train on, or none held out;"
            " change teacher.val_fraction or teacher.val_clips"
        )
    validation = with_route_errors(stored.select(_lowest(names, held)), config.route_error_m, config.path)
    return StoredTeacher(stored, rows, validation, config)


def _held(names: np.ndarray, config: FileConfig) -> np.ndarray:
    """(N,) bool: which clips are held out. Raises UserError where none fits teacher.val_clips."""
    if config.val_clips == "":
        return is_held(names, config.val_fraction, config.fold)
    held = np.array([fits(str(name), config.val_clips) for name in names])
    if not held.any():
        raise UserError(
            f"{config.path}: no clip fits teacher.val_clips={config.val_clips}; one of its ids is {names[0]}"
        )
    return held


def _held_out(config: FileConfig, training: np.ndarray, horizon: int, dt: float) -> Labels:
    """The labels of val_path, of a large set the 8192 clips with the lowest hashes. Raises UserError for known ones."""
    path = Path(config.val_path)
    if is_set(path):
        stored = open_set(path)
        labels = stored.select(_lowest(stored.keys()[0], np.arange(len(stored))))
    else:
        labels = _loaded(config.val_path, f"auto,{config.map}")
    labels = with_route_errors(labels, config.route_error_m, config.val_path)
    _check_time(config.val_path, (labels.horizon, labels.dt), (horizon, dt))
    known = np.intersect1d(labels.clip_id, training)
    if len(known):
        raise UserError(f"{config.val_path}: {len(known)} of its clips are in {config.path} too, such as {known[0]}")
    return labels


def _lowest(names: Sequence[str], rows: np.ndarray) -> np.ndarray:
    """The rows to look at, in rising order: those with the lowest hashes, so that it is the same ones every time."""
    place = [split_hash(names[row]) for row in rows]
    return np.sort(rows[np.argsort(place, kind="stable")[:VALIDATION]])


def _check_time(path: str, found: tuple[int, float], wanted: tuple[int, float]) -> None:
    if found[0] != wanted[0]:
        raise UserError(f"{path} has trajectories of {found[0]} steps, the run wants horizon={wanted[0]}")
    if abs(found[1] - wanted[1]) > 1e-9:
        raise UserError(f"{path} has steps of {found[1]} s, the run wants dt={wanted[1]}")
