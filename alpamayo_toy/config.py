"""Every option of the project as a dataclass, with its check. YAML in configs/ only picks and fills.

Hydra is imported where it is registered and read, so that importing a config needs none.
"""

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from datetime import datetime
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from alpamayo_toy.errors import UserError

MISSING = "???"  # OmegaConf's mark of a value that must be given
SCENARIOS = ("STRAIGHT", "LEFT", "RIGHT", "STOP", "START", "LANE_CHANGE_LEFT", "LANE_CHANGE_RIGHT", "U_TURN")
Config = TypeVar("Config")


def _require(holds: bool, key: str, wanted: str, got: object) -> None:
    if not holds:
        raise UserError(f"{key} must be {wanted} (got {got!r})")


@dataclass
class ScenarioConfig:
    """One manoeuvre: each line a number or a range [low, high] that scenes draw from uniformly."""

    name: str = MISSING  # the Scenario that its labels carry
    weight: float = 1.0  # how often, beside the other parts of a mixture
    speed_mps: Any = 0.0  # at t0
    final_speed_mps: Any = 0.0
    speed_onset_s: Any = 0.0  # when the speed begins to change
    speed_change_s: Any = 5.0  # how long it takes
    turn_angle_deg: Any = 0.0  # left positive
    lane_offset_m: Any = 0.0  # left positive
    steer_onset_s: Any = 0.0  # when turn or lane change begin
    steer_s: Any = 5.0  # how long they take

    def __post_init__(self) -> None:
        _require(self.name in SCENARIOS, "scenario.name", f"one of {', '.join(SCENARIOS)}", self.name)
        _require(self.weight > 0, "scenario.weight", "> 0", self.weight)
        for f in fields(self)[2:]:
            low, high = self.range(f.name)
            positive = f.name in ("speed_change_s", "steer_s")
            if f.name not in ("turn_angle_deg", "lane_offset_m"):
                _require(low > 0 if positive else low >= 0, f"scenario.{f.name}", "> 0" if positive else ">= 0", low)
            _require(low <= high, f"scenario.{f.name}", "a range [low, high] with low <= high", [low, high])

    def range(self, name: str) -> tuple[float, float]:
        """(low, high) of a parameter; a single number is both."""
        value = getattr(self, name)
        pair = list(value) if isinstance(value, list | tuple) else [value, value]
        numbers = all(isinstance(x, int | float) and not isinstance(x, bool) and isfinite(x) for x in pair)
        _require(len(pair) == 2 and numbers, f"scenario.{name}", "a number or a range [low, high]", value)
        return float(pair[0]), float(pair[1])


@dataclass
class MixtureConfig:
    """Several manoeuvres, each drawn as often as its weight says."""

    parts: dict[str, ScenarioConfig] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(len(self.parts) > 0, "scenario.parts", "at least one scenario", self.parts)


@dataclass
class SyntheticConfig:
    """A teacher made of scenarios."""

    scenes: int = 8192  # to train on
    samples: int = 6  # drivers per scene
    val_scenes: int = 512
    reveal: str = "all"  # all: a student sees the scene's drawn parameters; none: only scenario and v0
    integrator: str = "euler"

    def __post_init__(self) -> None:
        _require(self.scenes >= 1, "teacher.scenes", ">= 1", self.scenes)
        _require(self.samples >= 1, "teacher.samples", ">= 1", self.samples)
        _require(self.val_scenes >= 1, "teacher.val_scenes", ">= 1", self.val_scenes)
        _require(self.reveal in ("all", "none"), "teacher.reveal", "all or none", self.reveal)
        _require(
            self.integrator == "euler", "teacher.integrator", "euler: the scenarios are made with it", self.integrator
        )


@dataclass
class FileConfig:
    """A teacher whose labels were written by somebody else's model."""

    path: str = ""
    format: str = "auto"  # the file's layout, where it should not be guessed (labels.py convert --help)
    samples: str = "all"  # of a clip's K: all, first, medoid (nearest to the others) or mean are trained on
    val_fraction: float = 0.2  # of the clips, chosen by a hash of the clip id
    val_path: str = ""  # labels to hold out in place of that share (labels.py split makes such)
    oracle: bool = False  # a student sees the scenario even where it was read off the future
    mirror: bool = True  # train on every clip's mirror image as well, unless it has a context of its own
    integrator: str = "trapezoid"  # Alpamayo's

    def __post_init__(self) -> None:
        _require(self.path != "", "teacher.path", "a label file (teacher.path=labels.json)", self.path)
        known = ("all", "first", "medoid", "mean")
        _require(self.samples in known, "teacher.samples", f"one of {', '.join(known)}", self.samples)
        _require(0 < self.val_fraction < 1, "teacher.val_fraction", "between 0 and 1", self.val_fraction)
        _require(self.integrator in ("euler", "trapezoid"), "teacher.integrator", "euler or trapezoid", self.integrator)


INPUTS = ("scenario", "v0", "history", "context")


@dataclass
class StudentConfig:
    """A multilayer perceptron from the scene to actions."""

    embedding: int = 128  # width of the scenario embedding, what the encoder hands to the head
    width: int = 256  # of the hidden layers
    layers: int = 2  # hidden layers of the head
    inputs: list[str] = field(default_factory=lambda: list(INPUTS))  # what it may look at; the rest is masked
    hide: float = 0.05  # how often training hides scenario, history, context each, so that 'missing' is learned

    def __post_init__(self) -> None:
        for name in ("embedding", "width", "layers"):
            _require(getattr(self, name) >= 1, f"student.{name}", ">= 1", getattr(self, name))
        _require(set(self.inputs) <= set(INPUTS), "student.inputs", f"among {', '.join(INPUTS)}", self.inputs)
        _require(0 <= self.hide < 1, "student.hide", "in [0, 1)", self.hide)


@dataclass
class LossConfig:
    """Weights of the loss terms; a term of weight 0 is not computed."""

    position: float = 1.0  # mean distance in metres
    action: float = 0.1  # smooth L1 on normalised actions

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            _require(value >= 0 and isfinite(value), f"loss.{f.name}", ">= 0", value)
        _require(self.position + self.action > 0, "loss", "at least one weight > 0", vars(self))


@dataclass
class OptimizerConfig:
    """AdamW under warm-up and cosine decay."""

    lr: float = 2e-3
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    clip_norm: float = 1.0  # of the gradient
    ema_decay: float = 0.995  # of the averaged weights, which are the ones validated and kept

    def __post_init__(self) -> None:
        _require(self.lr > 0 and isfinite(self.lr), "optimizer.lr", "> 0", self.lr)
        _require(self.weight_decay >= 0, "optimizer.weight_decay", ">= 0", self.weight_decay)
        _require(self.warmup_steps >= 0, "optimizer.warmup_steps", ">= 0", self.warmup_steps)
        _require(self.clip_norm > 0, "optimizer.clip_norm", "> 0", self.clip_norm)
        _require(0 <= self.ema_decay < 1, "optimizer.ema_decay", "in [0, 1)", self.ema_decay)


@dataclass
class TrainerConfig:
    """How long, where, and how often one looks."""

    steps: int = 4000
    batch_size: int = 256  # clips; each brings all its samples
    val_every: int = 500  # steps between validations, each with a checkpoint
    log_every: int = 25  # steps between points of the curves
    pictures: int = 6  # how many times pictures are drawn over a run, the last one included
    device: str = "auto"  # auto, cpu, cuda, cuda:1
    threads: int = 1  # of PyTorch on a CPU; one is fastest for a student this small
    bf16: bool = False  # autocast for the student; the rollout stays in float32
    resume: str | None = None  # a run's folder, continued with its saved config

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "val_every", "log_every", "threads"):
            _require(getattr(self, name) >= 1, f"trainer.{name}", ">= 1", getattr(self, name))
        _require(self.pictures >= 0, "trainer.pictures", ">= 0", self.pictures)
        base, _, number = self.device.partition(":")
        known = self.device in ("auto", "cpu", "cuda") or (base == "cuda" and number.isdigit())
        _require(known, "trainer.device", "auto, cpu, cuda or cuda:N", self.device)


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

    scenario: Any = MISSING
    teacher: Any = MISSING
    student: StudentConfig = field(default_factory=StudentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    horizon: int = 64  # steps
    dt: float = 0.1  # s
    seed: int = 0

    def __post_init__(self) -> None:
        _check_time(self.horizon, self.dt, self.seed)


@dataclass
class BatchConfig(TrainConfig):
    """python scripts/batch.py: a TrainConfig, and how often"""

    seeds: int = 8  # seed, seed + 1, ...
    train: bool = True  # false: no student, one synthetic rollout per seed
    vectorized: bool = False  # all seeds of a small student side by side, without pictures
    resume: str | None = None  # a batch's folder, continued with its saved config

    def __post_init__(self) -> None:
        super().__post_init__()
        trainer = self.trainer
        _require(self.seeds >= 1, "seeds", ">= 1", self.seeds)
        _require(trainer.resume is None, "trainer.resume", "left alone: a batch has resume=", trainer.resume)
        if not self.train:
            path = getattr(self.teacher, "path", None)
            _require(path is None, "teacher", "synthetic with train=false: rollouts are of scenarios", path)
            _require(not self.vectorized, "vectorized", "false with train=false: there is nothing to train", True)
        if self.vectorized:
            _require(not trainer.bf16, "trainer.bf16", "false with vectorized=true", trainer.bf16)


@dataclass
class EvalConfig:
    """python scripts/eval.py"""

    checkpoint: str = ""  # a run's folder or a checkpoint file
    compare: list[str] = field(default_factory=list)  # runs' folders, put side by side in place of a checkpoint
    scenario: Any = None  # another one than it was trained on
    teacher: Any = None  # other labels
    output: str | None = None  # where metrics.json goes; default: beside the checkpoint's run
    device: str = "auto"
    plot: bool = True
    seed: int | None = None  # default: the run's own, whose validation scenes were never trained on

    def __post_init__(self) -> None:
        _require(len(self.compare) != 1, "compare", "two runs' folders or more ('compare=[A,B]')", self.compare)
        for name in ("checkpoint", "scenario", "teacher", "seed") if self.compare else ():
            value = getattr(self, name)
            _require(value in ("", None), name, "left out beside compare=[A,B]", getattr(value, "name", value))
        if not self.compare:
            wanted = "a run's folder (checkpoint=outputs/...), or else compare=[A,B]"
            _require(self.checkpoint != "", "checkpoint", wanted, self.checkpoint)
        if isinstance(self.teacher, FileConfig):
            scenario, held = getattr(self.scenario, "name", self.scenario), self.teacher.val_path
            _require(self.scenario is None, "scenario", "left out beside teacher=file", scenario)
            _require(held == "", "teacher.val_path", "left out: teacher.path is what is scored", held)


@dataclass
class RolloutConfig:
    """python scripts/rollout.py"""

    scenario: Any = MISSING
    horizon: int = 64
    dt: float = 0.1
    seed: int = 0
    plot: bool = True

    def __post_init__(self) -> None:
        _check_time(self.horizon, self.dt, self.seed)


def _check_time(horizon: int, dt: float, seed: int) -> None:
    _require(horizon >= 4, "horizon", ">= 4 steps", horizon)
    _require(dt > 0 and isfinite(dt), "dt", "> 0 s", dt)
    _require(0 <= seed < 2**31, "seed", "between 0 and 2^31 - 1", seed)


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """A config as plain nested types, as checkpoints hold it."""
    return asdict(config)


def from_dict(saved: dict[str, Any]) -> TrainConfig:
    """The config that to_dict() wrote."""
    rest = dict(saved)
    scenario, teacher = rest.pop("scenario"), rest.pop("teacher")
    parts = {name: ScenarioConfig(**part) for name, part in scenario.get("parts", {}).items()}
    return TrainConfig(
        scenario=MixtureConfig(parts) if parts else ScenarioConfig(**scenario),
        teacher=FileConfig(**teacher) if "path" in teacher else SyntheticConfig(**teacher),
        student=StudentConfig(**rest.pop("student")),
        loss=LossConfig(**rest.pop("loss")),
        optimizer=OptimizerConfig(**rest.pop("optimizer")),
        trainer=TrainerConfig(**rest.pop("trainer")),
        **rest,
    )


def _run_folder(job: str, teacher: str, scenario: str, resume: str | None) -> str:
    """outputs/<job>/<scenario>/<time>, FILE for a label file's run; a continued run stays in its folder."""
    name = "FILE" if teacher == "file" else scenario
    return resume or f"outputs/{job}/{name}/{datetime.now():%Y-%m-%d_%H-%M-%S}"


def _eval_folder(
    checkpoint: str, scenario: str | None, labels: str | None, seed: int | None, output: str | None
) -> str:
    """<run>/eval/<what it is scored on>, or where told; outputs/eval/<time> where there is no such run."""
    if output:
        return output
    path = Path(checkpoint)
    run = path.parent.parent if path.is_file() else path
    if not checkpoint or not path.exists():
        return f"outputs/eval/{datetime.now():%Y-%m-%d_%H-%M-%S}"
    name = Path(labels).stem if labels else scenario or "held_out"
    return str(run / "eval" / (name if seed is None else f"{name}_seed{seed}"))


def register() -> None:
    """Make the schemas known to Hydra, under schema/..., where they do not show up as choices."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    OmegaConf.register_new_resolver(
        "hydra_notes", lambda resume: ".hydra-resumed" if resume else ".hydra", replace=True
    )
    OmegaConf.register_new_resolver("eval_folder", _eval_folder, replace=True)
    store = ConfigStore.instance()
    store.store(group="schema", name="train", node=TrainConfig)
    store.store(group="schema", name="batch", node=BatchConfig)
    store.store(group="schema", name="eval", node=EvalConfig)
    store.store(group="schema", name="rollout", node=RolloutConfig)
    store.store(group="schema/scenario", name="single", node=ScenarioConfig)
    store.store(group="schema/scenario", name="mixture", node=MixtureConfig)
    store.store(group="schema/teacher", name="synthetic", node=SyntheticConfig)
    store.store(group="schema/teacher", name="file", node=FileConfig)
    store.store(group="schema/student", name="mlp", node=StudentConfig)
    store.store(group="schema/loss", name="default", node=LossConfig)
    store.store(group="schema/optimizer", name="adamw", node=OptimizerConfig)
    store.store(group="schema/trainer", name="default", node=TrainerConfig)


def scenario_named(name: str) -> ScenarioConfig | MixtureConfig:
    """What configs/scenario/<name>.yaml describes. Raises UserError with one line."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException

    register()
    try:
        with initialize_config_dir(str(Path(__file__).parents[1] / "configs"), version_base="1.3"):
            composed = compose("rollout", overrides=[f"scenario={name}"])
    except HydraException as error:
        raise UserError(one_line(error)) from None
    scenario: ScenarioConfig | MixtureConfig = validate(composed, RolloutConfig).scenario
    return scenario


def validate(config: Any, schema: type[Config]) -> Config:
    """A composed Hydra config as its dataclass, every check passed. Raises UserError with one line, naming the key."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _refuse_unknown_keys(config, "")
    try:
        made = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise UserError(one_line(error)) from None
    assert isinstance(made, schema)
    return made


def _refuse_unknown_keys(node: Any, prefix: str) -> None:
    """`+scenrio=LEFT` and `++optimizer.lrr=1` add keys that a structured config would silently carry along."""
    from omegaconf import DictConfig, OmegaConf

    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing():
        return
    kind = OmegaConf.get_type(node)
    known = [f.name for f in fields(kind)] if isinstance(kind, type) and is_dataclass(kind) else None
    for key in map(str, node):
        if known is not None and key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"known here: {', '.join(known)}"
            raise UserError(f"there is no option {prefix}{key}; {hint}")
        if not OmegaConf.is_missing(node, key):
            _refuse_unknown_keys(node[key], f"{prefix}{key}.")


def one_line(error: Exception) -> str:
    """What a Hydra or OmegaConf exception says, in one line, with the option that was probably meant."""
    text = str(error)
    if text.startswith("Could not override '"):
        key = text.split("'")[1]
        close = get_close_matches(key, _options(), n=1)
        return f"there is no option {key}" + (f"; did you mean {close[0]}?" if close else "")
    if text.startswith("Error merging override ") and error.__cause__ is not None:
        return f"{text.removeprefix('Error merging override ')}: {str(error.__cause__).splitlines()[0]}"
    return " ".join(text.partition("Config search path")[0].split())


def _options() -> list[str]:
    """Every option of every command, dotted as on the command line."""
    groups: dict[str, tuple[Any, ...]] = {
        "scenario": (ScenarioConfig,),
        "teacher": (SyntheticConfig, FileConfig),
        "student": (StudentConfig,),
        "loss": (LossConfig,),
        "optimizer": (OptimizerConfig,),
        "trainer": (TrainerConfig,),
    }
    nested = [f"{group}.{f.name}" for group, kinds in groups.items() for kind in kinds for f in fields(kind)]
    return nested + [f.name for kind in (BatchConfig, EvalConfig, RolloutConfig) for f in fields(kind)]
