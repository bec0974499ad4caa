"""Options of a run: what scripts/train.py and scripts/batch.py take, and what a checkpoint remembers of it."""

import json
import re
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from typing import Any

from alpamayo_toy.errors import UserError, require
from alpamayo_toy.students import config as students
from alpamayo_toy.students.config import LossConfig, OwnLossConfig, OwnStudentConfig, StudentConfig
from alpamayo_toy.teachers import config as teachers
from alpamayo_toy.teachers.config import MISSING, MixtureConfig, ScenarioConfig, check_time


@dataclass
class OptimizerConfig:
    """AdamW under warm-up and cosine decay."""

    lr: float = 5e-3  # the full learning rate
    weight_decay: float = 1e-4  # AdamW's
    warmup_steps: int = 100  # until the full learning rate, which a cosine then takes to 0
    clip_norm: float = 1.0  # of the gradient
    ema_decay: float = 0.995  # of the averaged weights, which are the ones validated and kept

    def __post_init__(self) -> None:
        require(self.lr > 0 and isfinite(self.lr), "optimizer.lr", "> 0", self.lr)
        require(self.weight_decay >= 0, "optimizer.weight_decay", ">= 0", self.weight_decay)
        require(self.warmup_steps >= 0, "optimizer.warmup_steps", ">= 0", self.warmup_steps)
        require(self.clip_norm > 0, "optimizer.clip_norm", "> 0", self.clip_norm)
        require(0 <= self.ema_decay < 1, "optimizer.ema_decay", "in [0, 1)", self.ema_decay)


@dataclass
class TrainerConfig:
    """How long, where, and how often one looks."""

    steps: int = 4000  # batches that are learnt from
    batch_size: int = 256  # clips; each brings all its samples
    val_every: int = 500  # steps between validations, each with a checkpoint
    log_every: int = 25  # steps between points of the curves
    best: str = (
        "ade"  # the best validation: by ade, of several trajectories the energy score, or drive, a closed loop's
    )
    pictures: int = 6  # how many times pictures are drawn over a run, the last one included
    device: str = "auto"  # auto, cpu, cuda, cuda:1
    threads: int = 1  # of PyTorch on a CPU; one is fastest for a student this small
    bf16: bool = False  # autocast for the student; the rollout stays in float32
    init_from: str | None = None  # a run's folder or a checkpoint, whose student this run begins with
    resume: str | None = None  # a run's folder or latest, continued with its saved config

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "val_every", "log_every", "threads"):
            require(getattr(self, name) >= 1, f"trainer.{name}", ">= 1", getattr(self, name))
        require(self.best in ("ade", "drive"), "trainer.best", "ade or drive", self.best)
        require(self.pictures >= 0, "trainer.pictures", ">= 0", self.pictures)
        base, _, number = self.device.partition(":")
        known = self.device in ("auto", "cpu", "cuda") or (base == "cuda" and number.isdigit())
        require(known, "trainer.device", "auto, cpu, cuda or cuda:N", self.device)


OWN = ("student", "student.module", "loss", "loss.module")
"""What a run with a class or a loss of one's own is given again when it is continued."""

RESUMABLE = (
    "trainer.resume",
    "trainer.steps",
    "trainer.device",
    "trainer.threads",
    "trainer.log_every",
    "trainer.pictures",
)
"""What may be overridden when a run is continued: nothing that would change the weights of the steps to come."""


@dataclass
class TrainConfig:
    """python scripts/train.py"""

    scenario: Any = MISSING  # what the synthetic teacher drives
    teacher: Any = MISSING  # who makes the labels
    student: Any = MISSING  # what predicts actions, StudentConfig() by default
    loss: Any = MISSING  # what it is punished for, LossConfig() by default
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)  # AdamW under warm-up and cosine decay
    trainer: TrainerConfig = field(default_factory=TrainerConfig)  # how long, where, and how often one looks
    horizon: int = 64  # steps of a trajectory
    dt: float = 0.1  # s, of a step
    seed: int = 0  # of weights, scenes and batches
    name: str = ""  # of the run, in its folder, in TensorBoard and on pages; default: the time

    def __post_init__(self) -> None:
        check_time(self.horizon, self.dt, self.seed)
        check_name(self.name)
        if self.student == MISSING:
            self.student = StudentConfig()
        if self.loss == MISSING:
            self.loss = LossConfig()
        if isinstance(self.loss, LossConfig):
            parts = len(self.loss.horizon)
            actions = self.loss.action == 0 or getattr(self.student, "output", "actions") == "actions"
            require(
                actions,
                "loss.action",
                f"0 where student.output={getattr(self.student, 'output', '')}",
                self.loss.action,
            )
            require(parts <= self.horizon, "loss.horizon", f"of at most {self.horizon} stretches, one a step", parts)


@dataclass
class BatchConfig(TrainConfig):
    """python scripts/batch.py: a TrainConfig, and how often"""

    seeds: int = 8  # seed, seed + 1, ...
    train: bool = True  # false: no student, one synthetic rollout per seed
    workers: int = 1  # processes that train seeds at once
    resume: str | None = None  # a batch's folder or latest, continued with its saved config

    def __post_init__(self) -> None:
        super().__post_init__()
        trainer = self.trainer
        require(self.seeds >= 1, "seeds", ">= 1", self.seeds)
        require(self.workers >= 1, "workers", ">= 1", self.workers)
        require(trainer.resume is None, "trainer.resume", "left alone: a batch has resume=", trainer.resume)
        if not self.train:
            path = getattr(self.teacher, "path", None)
            require(path is None, "teacher", "synthetic with train=false: rollouts are of scenarios", path)


def check_name(name: str) -> None:
    """A name becomes that of a folder."""
    known = re.fullmatch(r"(\w[\w.-]{0,79})?", name)
    require(bool(known), "name", "letters, digits, '.', '-' and '_', at most 80", name)


TAKEN_OUT = {"vectorized": "vectorized was taken out: batch.py trains seeds in processes with workers=N"}
"""Options that there were once, and what one is told who gives them."""


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """A config as plain nested types, as checkpoints hold it; a group that its options do not tell names its schema.

    Strings are new ones: pickle writes which of them are one object, and equal configs are to give equal bytes.
    """
    saved: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    for group, options in saved.items():
        made = getattr(config, group)
        if isinstance(options, dict) and type(_restored(group, options)) is not type(made):
            options["schema"] = next(name for name, kind in _schemas(group).items() if kind is type(made))
    return saved


def from_dict(saved: dict[str, Any]) -> TrainConfig:
    """The config that to_dict() wrote, options that are younger than it at their defaults. Raises UserError."""
    made: dict[str, Any] = {
        name: _restored(name, value) if isinstance(value, dict) else value for name, value in _of_today(saved).items()
    }
    unknown = sorted(set(made) - {field.name for field in fields(TrainConfig)})
    if unknown:
        raise UserError(f"there is no option {unknown[0]}")
    return TrainConfig(**made)


def given_again(saved: TrainConfig, config: TrainConfig, keys: list[str]) -> None:
    """Put the classes and functions of one's own that a command line names into a saved config. Raises UserError."""
    for group in ("student", "loss"):
        mine, theirs = getattr(saved, group), getattr(config, group)
        own = isinstance(mine, OwnStudentConfig | OwnLossConfig)
        named = [key for key in keys if key in OWN and key.partition(".")[0] == group]
        if named and not (own and type(mine) is type(theirs)):
            raise UserError(f"{named[0]} cannot change when a run is continued")
        if own:
            if not named:
                raise UserError(
                    f"the run has a {group} of its own; name it again: {group}=custom {group}.module=FILE.py:NAME"
                )
            mine.module = theirs.module


def _of_today(saved: dict[str, Any]) -> dict[str, Any]:
    """A config with the synthetic teacher's options under the names that they have now.

    Before it had `history`, all scenes were shown at their beginning, and roads alone had starts of their own.
    """
    scenario, teacher = saved.get("scenario"), saved.get("teacher")
    if not isinstance(teacher, dict) or not isinstance(scenario, dict):
        return saved
    if "scenes" not in teacher or "history" in teacher:
        return saved
    own = ("start_offset_m", "start_heading_rad", "history")
    given = {name: scenario[name] for name in own if name in scenario}
    told = {} if "bends" in scenario or teacher.get("reveal") == "none" else {"reveal": "scene"}
    rest = {name: value for name, value in scenario.items() if name not in given}
    return {**saved, "scenario": rest, "teacher": {**teacher, "history": False, **told, **given}}


def _restored(group: str, saved: dict[str, Any]) -> Any:
    """A group's options: of the schema that is named, or the first that knows them all.

    What file a module was in is forgotten: nothing that was saved says what is to be executed.
    """
    if "parts" in saved:
        return MixtureConfig({name: ScenarioConfig(**part) for name, part in saved["parts"].items()})
    options = {name: "" if name == "module" else value for name, value in saved.items() if name != "schema"}
    for name, kind in _schemas(group).items():
        if saved.get("schema", name) == name and set(options) <= {field.name for field in fields(kind)}:
            return kind(**options)
    raise UserError(f"no {group} has the options {', '.join(saved)}")


def _schemas(group: str) -> dict[str, type[Any]]:
    """What a group can be, by the name of its schema."""
    known: dict[str, type[Any]] = {**teachers.SCHEMAS, **students.SCHEMAS, **SCHEMAS}
    return {name.partition("/")[2]: kind for name, kind in known.items() if name.startswith(f"{group}/")}


SCHEMAS = {
    "optimizer/adamw": OptimizerConfig,
    "trainer/default": TrainerConfig,
    "train": TrainConfig,
    "batch": BatchConfig,
}
"""What YAML of these groups and commands may fill, by the name that its defaults list gives."""
