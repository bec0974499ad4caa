"""Options of a run: what scripts/train.py and scripts/batch.py take, and what a checkpoint remembers of it."""

import json
import re
from dataclasses import asdict, dataclass, field, fields
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from alpamayo_toy.errors import UserError, require, shortened
from alpamayo_toy.students import config as students
from alpamayo_toy.students.config import HUGE, LARGEST, LossConfig, OwnLossConfig, OwnStudentConfig, StudentConfig
from alpamayo_toy.teachers import config as teachers
from alpamayo_toy.teachers.config import (
    MISSING,
    MOST_STATES,
    MixtureConfig,
    ScenarioConfig,
    SyntheticConfig,
    check_device,
    check_time,
)

MOST_STEPS = 10**9  # of a run
MOST_OPTIONS = 4096  # in a group or a list of a saved config


@dataclass
class OptimizerConfig:
    """AdamW under warm-up and cosine decay."""

    lr: float = 5e-3  # the full learning rate
    weight_decay: float = 1e-4  # AdamW's
    warmup_steps: int = 100  # until the full learning rate, which a cosine then takes to 0
    beta2: float = 0.999  # AdamW's, of the squared gradients
    clip_norm: float = 1.0  # of the gradient
    ema_decay: float = 0.995  # of the averaged weights, which are the ones validated and kept

    def __post_init__(self) -> None:
        require(self.lr > 0, "optimizer.lr", "> 0", self.lr)
        require(self.lr <= HUGE, "optimizer.lr", f"at most {HUGE:g}", self.lr)
        require(
            0 <= self.weight_decay <= HUGE, "optimizer.weight_decay", f">= 0 and at most {HUGE:g}", self.weight_decay
        )
        require(self.warmup_steps >= 0, "optimizer.warmup_steps", ">= 0", self.warmup_steps)
        require(self.warmup_steps <= MOST_STEPS, "optimizer.warmup_steps", f"at most {MOST_STEPS}", self.warmup_steps)
        require(0 <= self.beta2 < 1, "optimizer.beta2", "in [0, 1)", self.beta2)
        clips = 0 < self.clip_norm <= HUGE
        require(clips, "optimizer.clip_norm", f"> 0 and at most {HUGE:g}", self.clip_norm)
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
    threads: int = 1  # of PyTorch on a CPU; two make 1.2 times the steps, and other bits
    bf16: bool = False  # autocast for the student; the rollout stays in float32
    init_from: str | None = None  # a run's folder, a checkpoint or hf://user/name, whose student this run begins with
    processes: int = 1  # that train one student together, each on its share of a batch; of several machines: torchrun
    resume: str | None = None  # a run's folder or latest, continued with its saved config

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "val_every", "log_every", "threads", "processes"):
            require(getattr(self, name) >= 1, f"trainer.{name}", ">= 1", getattr(self, name))
        most = {"steps": MOST_STEPS, "val_every": MOST_STEPS, "log_every": MOST_STEPS}
        most |= {"batch_size": 10**6, "threads": 256, "processes": 256, "pictures": 1000}
        for name, limit in most.items():
            require(getattr(self, name) <= limit, f"trainer.{name}", f"at most {limit}", getattr(self, name))
        check_shares(self.batch_size, self.processes)
        require(self.best in ("ade", "drive"), "trainer.best", "ade or drive", self.best)
        require(self.pictures >= 0, "trainer.pictures", ">= 0", self.pictures)
        check_device(self.device, "trainer.device")


OWN = ("student", "student.module", "loss", "loss.module")
"""What a run with a class or a loss of one's own is given again when it is continued."""

RESUMABLE = (
    "trainer.resume",
    "trainer.steps",
    "trainer.device",
    "trainer.threads",
    "trainer.processes",
    "trainer.log_every",
    "trainer.pictures",
)
"""What may be overridden when a run is continued: nothing that would change the weights of the steps to come. With
fewer steps it ends sooner, steps beyond those that were planned are a round of learning rates of their own."""


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
        for group in ("scenario", "teacher", "student", "loss"):
            value, kinds = getattr(self, group), tuple(_schemas(group).values())
            names = " or ".join(_schemas(group))
            require(isinstance(value, kinds) or value == MISSING, group, f"options of {names}", value)
        if isinstance(self.student, StudentConfig):
            size, most = self.student.size(self.horizon), f"{LARGEST} weights or fewer"
            lower = f"of {most}: lower student.width, student.layers, student.modes or horizon"
            require(size <= LARGEST, "student", lower, size)
        if isinstance(self.teacher, SyntheticConfig):
            states = self.teacher.scenes * self.teacher.samples * self.horizon
            lower = f"few enough for {MOST_STATES} states: lower teacher.scenes, teacher.samples or horizon"
            require(states <= MOST_STATES, "teacher.scenes", lower, states)
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
        require(self.seeds <= 10_000, "seeds", "at most 10000", self.seeds)
        require(self.workers <= 256, "workers", "at most 256", self.workers)
        require(trainer.resume is None, "trainer.resume", "left alone: a batch has resume=", trainer.resume)
        require(trainer.processes == 1, "trainer.processes", "left alone: a batch has workers=", trainer.processes)
        if not self.train:
            path = getattr(self.teacher, "path", None)
            require(path is None, "teacher", "synthetic with train=false: rollouts are of scenarios", path)


def check_shares(batch_size: int, processes: int) -> None:
    """Raise UserError where a batch cannot be shared out equally."""
    multiple = f"a multiple of the {processes} processes, which share it"
    require(batch_size % processes == 0, "trainer.batch_size", multiple, batch_size)


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
    """The config that to_dict() wrote, options that are younger than it at their defaults.

    Raises UserError, naming the key, for what is unknown, of another type or out of its range, and for a whole group
    that is missing.
    """
    _require_plain(saved, "the config")
    made = dict(_of_today(saved))
    groups = [field.name for field in fields(TrainConfig) if _schemas(field.name)]
    for name in groups:
        if name not in ("scenario", "teacher") or made.get(name) != MISSING:
            _require_plain(made.get(name), name)
            made[name] = _restored(name, made[name])
    plain = {name: value for name, value in made.items() if name not in groups}
    return TrainConfig(**{**made, **_typed(TrainConfig, plain, "")})


def lacking(saved: dict[str, Any], config: TrainConfig) -> list[str]:
    """The options that a saved config does not name, and that the config made of it has at their defaults."""
    before = _of_today(saved)
    whole = to_dict(config)
    return [
        name if name == group else f"{group}.{name}"
        for group, options in whole.items()
        for name in (options if isinstance(options, dict) and "parts" not in options else [group])
        if name not in (before.get(group, {}) if name != group else before) and name != "schema"
    ]


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
    if group == "scenario" and "parts" in saved:
        parts = saved["parts"]
        _require_plain(parts, "scenario.parts")
        for name, part in parts.items():
            _require_plain(part, f"scenario.parts.{name}")
        return MixtureConfig(
            {name: ScenarioConfig(**_typed(ScenarioConfig, parts[name], f"scenario.parts.{name}.")) for name in parts}
        )
    options = {name: value for name, value in saved.items() if name != "schema"}
    kinds, named = _schemas(group), saved.get("schema")
    if named is not None:
        require(isinstance(named, str) and named in kinds, f"{group}.schema", " or ".join(kinds), shortened(named))
        kinds = {named: kinds[named]}
    # the first that knows them all, or else as many as any
    kind = max(kinds.values(), key=lambda kind: sum(name in _hints(kind) for name in options))
    typed = _typed(kind, options, f"{group}.")
    return kind(**{name: "" if name == "module" else value for name, value in typed.items()})


def _hints(kind: type[Any]) -> dict[str, Any]:
    """The types of a dataclass's options."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _require_plain(found: Any, what: str) -> None:
    """Options by their names."""
    plain = isinstance(found, dict) and len(found) <= MOST_OPTIONS and all(type(name) is str for name in found)
    require(plain, what if what.isprintable() else shortened(what), "options by their names", shortened(found))


def _typed(kind: type[Any], options: dict[str, Any], prefix: str) -> dict[str, Any]:
    """A dataclass's options. Raises UserError for an unknown one and for one of another type."""
    hints = _hints(kind)
    for name, value in options.items():
        if name not in hints:
            raise UserError(f"there is no option {prefix}{name if name.isidentifier() else shortened(name)}")
        if not _fits(value, hints[name]):
            wanted = getattr(hints[name], "__name__", str(hints[name]))
            words = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false"}
            raise UserError(f"{prefix}{name} must be {words.get(wanted, str(hints[name]))} (got {shortened(value)})")
    return options


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an option's type; of Any, a plain one or a list of such."""
    if isinstance(hint, UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if hint is Any:
        inner = value if isinstance(value, list | tuple) else [value]
        return len(inner) <= MOST_OPTIONS and all(_fits(item, bool | int | float | str | None) for item in inner)
    if get_origin(hint) is list:
        listed = isinstance(value, list | tuple) and len(value) <= MOST_OPTIONS
        return listed and all(_fits(item, get_args(hint)[0]) for item in value)
    if type(value) is int:
        return hint in (int, float) and abs(value) < 2**63
    return type(value) is hint


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
