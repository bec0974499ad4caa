"""Who makes the labels: SyntheticTeacher from scenarios, FileTeacher from somebody else's file."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.action_space import regularised_states
from alpamayo_toy.config import FileConfig, MixtureConfig, ScenarioConfig, SyntheticConfig, TrainConfig
from alpamayo_toy.data import mixed
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels import load_labels, split, split_by_time, split_hash
from alpamayo_toy.labels.label_set import LabelSet, is_set, open_set
from alpamayo_toy.metrics import medoid
from alpamayo_toy.rollout import UnicycleRollout
from alpamayo_toy.scenarios import DRIVER, PARAMETERS, Scenario, drive
from alpamayo_toy.trajectory import DT, HORIZON, UNKNOWN_SCENARIO, Labels, Scene

DRIVER_LIMIT = 2.5  # standard deviations: nobody drives further off
MIRRORED: dict[int, int] = {
    Scenario.LEFT: Scenario.RIGHT,
    Scenario.RIGHT: Scenario.LEFT,
    Scenario.LANE_CHANGE_LEFT: Scenario.LANE_CHANGE_RIGHT,
    Scenario.LANE_CHANGE_RIGHT: Scenario.LANE_CHANGE_LEFT,
}
IN_MEMORY = 512 << 20  # bytes of trajectories; a larger set on disk is read batch by batch
STATISTICS = 32_768  # clips of such a set that means and standard deviations are taken from
VALIDATION = 8192  # held-out clips of such a set that are looked at
CHUNK = 4096  # trajectories made at once, so that intermediate tensors stay in the cache


@dataclass(frozen=True)
class SyntheticTeacher:
    """Draws scenes of a scenario (or a mixture) and drives each with a human's variation.

    Everything is a function of (configuration, seed); trajectories are float32, rolled out by euler.
    """

    scenario: ScenarioConfig | MixtureConfig
    config: SyntheticConfig = field(default_factory=SyntheticConfig)
    horizon: int = HORIZON
    dt: float = DT
    oracle: bool = False  # the scenario is its own to tell

    def training(self, seed: int) -> Labels:
        """The labels that a student learns from."""
        return self.labels(self.config.scenes, self.config.samples, mixed(seed, 1))

    @property
    def parts(self) -> list[ScenarioConfig]:
        return [self.scenario] if isinstance(self.scenario, ScenarioConfig) else list(self.scenario.parts.values())

    def scenes(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n scenes: their scenario (n,) and their parameters (n, 8)."""
        weights = torch.tensor([part.weight for part in self.parts])
        return self._drawn(torch.multinomial(weights, n, replacement=True, generator=generator), generator)

    def redrawn(self, scenario: Tensor, v0: Tensor, generator: torch.Generator) -> Tensor:
        """Other parameters (n, 8) that go with the same scenario (n,) and v0 (n,), by the teacher's own odds."""
        low, high = self._ranges()
        names = torch.tensor([Scenario[part.name] for part in self.parts])
        density = torch.tensor([part.weight for part in self.parts]) / (high[:, 0] - low[:, 0]).clamp(min=1e-6)
        fits = (v0[:, None] >= low[:, 0] - 1e-6) & (v0[:, None] <= high[:, 0] + 1e-6) & (scenario[:, None] == names)
        part = torch.multinomial(density * fits, 1, generator=generator)[:, 0]
        scenes = self._drawn(part, generator)[1]
        scenes[:, 0] = v0
        return scenes

    def driven(self, scenes: Tensor, generator: torch.Generator) -> Tensor:
        """One driver each: scenes (..., 8) -> trajectories (..., T, 4)."""
        rollout = UnicycleRollout(self.dt, "euler")
        driver = torch.randn(*scenes.shape[:-1], len(DRIVER), generator=generator).clamp(-DRIVER_LIMIT, DRIVER_LIMIT)
        made = torch.empty(*scenes.shape[:-1], self.horizon, 4)
        chunks = (t.flatten(0, -2).split(CHUNK) for t in (scenes, driver))
        for out, scene, person in zip(made.flatten(0, -3).split(CHUNK), *chunks, strict=True):
            out.copy_(rollout(drive(scene, person, self.horizon, self.dt), scene[:, 0]))
        return made

    def labels(self, n: int, samples: int, seed: int) -> Labels:
        """n clips with K samples each; with reveal=all the parameters, without v0, are the context."""
        reveal = self.config.reveal == "all"
        generator = torch.Generator().manual_seed(seed)
        scenario, scenes = self.scenes(n, generator)
        teacher = self.driven(scenes.unsqueeze(1).expand(-1, samples, -1), generator)
        return Labels(
            clip_id=np.array([f"synthetic-{seed}-{i}" for i in range(n)]),
            t0_us=torch.zeros(n, dtype=torch.int64),
            v0=scenes[:, 0].clone(),
            teacher=teacher,
            scenario=scenario,
            source=np.full(n, "synthetic"),
            v0_source=np.full(n, "file"),
            scenario_source="file",
            context=scenes[:, 1:].clone() if reveal else None,
            context_names=PARAMETERS[1:] if reveal else (),
            dt=self.dt,
        )

    def fresh(self, labels: Labels, samples: int, seed: int) -> Tensor:
        """New drivers (N, samples, T, 4) for its own labels' scenes; what is not revealed is drawn again for each."""
        generator = torch.Generator().manual_seed(seed)
        if labels.context is not None:
            scenes = torch.cat([labels.v0.unsqueeze(-1), labels.context], -1).unsqueeze(1).expand(-1, samples, -1)
        else:
            many = [t.repeat_interleave(samples) for t in (labels.scenario, labels.v0)]
            scenes = self.redrawn(many[0], many[1], generator).unflatten(0, (len(labels), samples))
        return self.driven(scenes, generator)

    def _ranges(self) -> tuple[Tensor, Tensor]:
        pairs = torch.tensor([[part.range(name) for name in PARAMETERS] for part in self.parts])
        return pairs[..., 0], pairs[..., 1]

    def _drawn(self, part: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        low, high = (side[part] for side in self._ranges())
        names = torch.tensor([int(Scenario[p.name]) for p in self.parts])
        return names[part], low + (high - low) * torch.rand(len(part), len(PARAMETERS), generator=generator)


@dataclass(frozen=True)
class FileTeacher:
    """Somebody else's labels, split into training and held-out clips by a hash of the clip id.

    split is "clip", "time" where a file of few drives would leave a side empty, or "file" where a second one is given.
    validation has all samples of a clip, whatever is trained on.
    """

    train: Labels
    validation: Labels
    oracle: bool = False
    split: str = "clip"

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

    def __len__(self) -> int:
        return len(self.rows) * (2 if self.mirror else 1)

    def training(self, seed: int) -> Labels:
        """Clips at random, for statistics alone."""
        rows = np.random.default_rng(seed).choice(self.rows, min(len(self.rows), STATISTICS), replace=False)
        labels = chosen_samples(self.stored.select(np.sort(rows)), self.config.samples)
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
        scenario, history = rows["scenario"], rows.get("history")
        if self.mirror:
            scenario, history, teacher = mirrored(scenario, history, teacher, index >= len(self.rows))
        if self.stored.facts["scenario_source"] == "future" and not self.oracle:
            scenario = torch.full_like(scenario, UNKNOWN_SCENARIO)
        return Scene(scenario, rows["v0"].float(), history, rows.get("context")), teacher


def build_teacher(config: TrainConfig) -> SyntheticTeacher | FileTeacher | StoredTeacher:
    """The teacher that a config describes. Raises UserError for a label file that does not fit."""
    if isinstance(config.teacher, SyntheticConfig):
        return SyntheticTeacher(config.scenario, config.teacher, config.horizon, config.dt)
    path = Path(config.teacher.path)
    if is_set(path) and config.teacher.format in ("auto", "set"):
        stored = open_set(path)
        if stored.nbytes > IN_MEMORY:
            return _stored_teacher(stored, config.teacher, config.horizon, config.dt)
    return _file_teacher(config.teacher, config.horizon, config.dt)


def _file_teacher(config: FileConfig, horizon: int, dt: float) -> FileTeacher:
    labels = load_labels(config.path, config.format)
    _check_time(config.path, (labels.horizon, labels.dt), (horizon, dt))
    kind, (train, validation) = "clip", split(labels, config.val_fraction)
    if config.val_path:
        kind, train, validation = "file", labels, _held_out(config, labels.clip_id, horizon, dt)
    elif len(train) == 0 or len(validation) == 0:
        by_time = split_by_time(labels, config.val_fraction)
        if all(len(side) for side in by_time):
            kind, (train, validation) = "time", by_time
    if len(train) == 0 or len(validation) == 0:
        raise UserError(
            f"{config.path}: {len(labels)} clips split into {len(train)} to train on and {len(validation)} held out;"
            " change teacher.val_fraction, name teacher.val_path, or bring more clips"
        )
    train = chosen_samples(train, config.samples)
    if config.mirror and train.context is None:
        train = with_mirror_images(train)
    return FileTeacher(train, validation, config.oracle, kind)


def _stored_teacher(stored: LabelSet, config: FileConfig, horizon: int, dt: float) -> StoredTeacher:
    _check_time(config.path, (stored.facts["horizon"], stored.facts["dt"]), (horizon, dt))
    names = stored.keys()[0]
    if config.val_path:
        validation = _held_out(config, np.array(names), horizon, dt)
        return StoredTeacher(stored, np.arange(len(stored)), validation, config, "file")
    place = np.array([split_hash(name) for name in names])
    held = np.flatnonzero(place < config.val_fraction)
    rows = np.flatnonzero(place >= config.val_fraction)
    if len(held) == 0 or len(rows) == 0:
        raise UserError(f"{config.path}: no clip is left to train on, or none held out; change teacher.val_fraction")
    return StoredTeacher(stored, rows, stored.select(_lowest(place, held)), config)


def _held_out(config: FileConfig, training: np.ndarray, horizon: int, dt: float) -> Labels:
    """The labels of val_path, of a large set the 8192 clips with the lowest hashes. Raises UserError for known ones."""
    path = Path(config.val_path)
    if is_set(path):
        stored = open_set(path)
        place = np.array([split_hash(name) for name in stored.keys()[0]])
        labels = stored.select(_lowest(place, np.arange(len(stored))))
    else:
        labels = load_labels(path)
    _check_time(config.val_path, (labels.horizon, labels.dt), (horizon, dt))
    known = np.intersect1d(labels.clip_id, training)
    if len(known):
        raise UserError(f"{config.val_path}: {len(known)} of its clips are in {config.path} too, such as {known[0]}")
    return labels


def _lowest(place: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows to look at, in rising order: those with the lowest hashes, so that it is the same ones every time."""
    return np.sort(rows[np.argsort(place[rows], kind="stable")[:VALIDATION]])


def _check_time(path: str, found: tuple[int, float], wanted: tuple[int, float]) -> None:
    if found[0] != wanted[0]:
        raise UserError(f"{path} has trajectories of {found[0]} steps, the run wants horizon={wanted[0]}")
    if abs(found[1] - wanted[1]) > 1e-9:
        raise UserError(f"{path} has steps of {found[1]} s, the run wants dt={wanted[1]}")


def chosen_samples(labels: Labels, which: str) -> Labels:
    """The same clips with the samples that are to be trained on."""
    return labels.with_teacher(picked(labels.teacher, labels.v0, which, labels.dt))


def picked(teacher: Tensor, v0: Tensor, which: str, dt: float) -> Tensor:
    """all (N, K, T, 4), or one of them (N, 1, T, 4): first, medoid, or mean, whose speeds from v0 (N,) are anew.

    A mean of samples is no trajectory that anybody would drive where they disagree.
    """
    if which == "all" or teacher.shape[1] == 1:
        return teacher
    if which == "first":
        return teacher[:, :1]
    if which == "medoid":
        return teacher.gather(1, medoid(teacher)[:, None, None, None].expand(-1, 1, *teacher.shape[2:]))
    mean = teacher.double().mean(1, keepdim=True)
    return regularised_states(mean[..., :2], mean[..., 2], v0.double().unsqueeze(1), dt)[1].to(teacher.dtype)


def with_mirror_images(labels: Labels) -> Labels:
    """Every clip twice, the second time with left and right exchanged; without ground truth, which nobody trains on."""
    n = len(labels)
    twice = labels.select(torch.arange(n).repeat(2))
    scenario, history, teacher = mirrored(twice.scenario, twice.history, twice.teacher, torch.arange(2 * n) >= n)
    return replace(twice, scenario=scenario, history=history, teacher=teacher, ground_truth=None)


def mirrored(
    scenario: Tensor, history: Tensor | None, teacher: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Left and right exchanged where mask (N,) is true: scenario (N,), history (N, H, 4), teacher (N, K, T, 4)."""
    signs = torch.where(mask[:, None], torch.tensor([1.0, -1.0, -1.0, 1.0]), 1.0)
    other = torch.tensor([MIRRORED.get(number, number) for number in (*range(len(Scenario)), UNKNOWN_SCENARIO)])
    past = None if history is None else history * signs[:, None].to(history.dtype)
    turned = torch.where(mask, other[scenario], scenario)
    return turned, past, teacher * signs[:, None, None].to(teacher.dtype)
