"""Options of scripts/eval.py, scripts/rollout.py and scripts/drive.py."""

from dataclasses import dataclass, field
from typing import Any

from alpamayo_toy.errors import require
from alpamayo_toy.teachers.config import LONGEST, MISSING, FileConfig, check_seed, check_time

HIDDEN = ("history", "context", "route")  # what drive.py can keep from a student


@dataclass
class OwnClass:
    """The class of a student of one's own, which its checkpoint does not name: student.module=mine.py:MyStudent."""

    module: str = ""  # FILE.py:CLASS, the one that it was trained with


@dataclass
class EvalConfig:
    """python scripts/eval.py"""

    checkpoint: str = ""  # a run's folder, a checkpoint file, a released folder, hf://user/name, or latest
    compare: list[str] = field(default_factory=list)  # runs' folders, put side by side in place of a checkpoint
    scenario: Any = None  # another one than it was trained on
    teacher: Any = None  # other labels
    output: str | None = None  # where metrics.json goes; default: beside the checkpoint's run
    predictions: str | None = None  # a file, .npz or .parquet, for what it predicts of each clip
    device: str = "auto"  # auto, cpu, cuda, cuda:1
    plot: bool = True  # pictures, and report.html
    seed: int | None = None  # default: the run's own, whose validation scenes were never trained on
    student: OwnClass = field(default_factory=OwnClass)  # of one's own
    crowd: int = 64  # clips of which a teacher that hides its intention is asked 512 times, to know where nobody drives

    def __post_init__(self) -> None:
        if self.seed is not None:
            check_seed(self.seed)
        known = self.predictions is None or self.predictions.endswith((".npz", ".parquet"))
        require(known, "predictions", "a file that ends in .npz or .parquet", self.predictions)
        require(0 <= self.crowd <= 100_000, "crowd", ">= 0 clips and at most 100000", self.crowd)
        require(len(self.compare) != 1, "compare", "two runs' folders or more ('compare=[A,B]')", self.compare)
        for name in ("checkpoint", "scenario", "teacher", "seed", "predictions") if self.compare else ():
            value = getattr(self, name)
            require(value in ("", None), name, "left out beside compare=[A,B]", getattr(value, "name", value))
        if not self.compare:
            wanted = "a run's folder (checkpoint=outputs/...), or else compare=[A,B]"
            require(self.checkpoint != "", "checkpoint", wanted, self.checkpoint)
        if isinstance(self.teacher, FileConfig):
            scenario, held = getattr(self.scenario, "name", self.scenario), self.teacher.val_path
            require(self.scenario is None, "scenario", "left out beside teacher=file", scenario)
            require(held == "", "teacher.val_path", "left out: teacher.path is what is scored", held)


@dataclass
class RolloutConfig:
    """python scripts/rollout.py"""

    scenario: Any = MISSING  # what is driven
    horizon: int = 64  # steps
    dt: float = 0.1  # s, of a step
    seed: int = 0  # of the scene and its driver
    plot: bool = True  # pictures

    def __post_init__(self) -> None:
        check_time(self.horizon, self.dt, self.seed)
        given = self.scenario is not None
        require(given, "scenario", "one of configs/scenario (scenario=LEFT)", self.scenario)


@dataclass
class DriveOptions:
    """How a closed loop is driven: drive=."""

    scenes: int = 300  # roads
    seconds: float = 20.0  # of a drive
    every: int = 1  # steps between askings
    delay: int = 0  # steps that actions arrive late
    noise: float = 0.0  # standard deviation of actions, as a share of themselves
    offset_m: float = 0.0  # so far to the left of where it would, each car begins
    integrator: str | None = None  # the world's; default: the student's own

    def __post_init__(self) -> None:
        require(1 <= self.scenes <= 100_000, "drive.scenes", ">= 1 and at most 100000", self.scenes)
        require(0 < self.seconds <= 60, "drive.seconds", "> 0 and at most 60", self.seconds)
        require(self.every >= 1, "drive.every", ">= 1 step", self.every)
        require(self.every <= LONGEST, "drive.every", f"at most {LONGEST} steps", self.every)
        require(0 <= self.delay <= 10, "drive.delay", "between 0 and 10 steps", self.delay)
        require(0 <= self.noise <= 1, "drive.noise", "between 0 and 1", self.noise)
        require(-5 <= self.offset_m <= 5, "drive.offset_m", "between -5 and 5 m", self.offset_m)
        known = (None, "euler", "trapezoid")
        require(self.integrator in known, "drive.integrator", "euler or trapezoid", self.integrator)

    def steps(self, dt: float) -> int:
        """Of a drive, at least the two that a jerk takes."""
        return max(2, round(self.seconds / dt))


@dataclass
class DriveConfig:
    """python scripts/drive.py"""

    checkpoint: str = ""  # a run's folder, a checkpoint file, a released folder, hf://user/name, or latest
    scenario: Any = None  # other than it was trained on
    drive: DriveOptions = field(default_factory=DriveOptions)  # how it is driven
    hide: list[str] = field(default_factory=list)  # inputs that the student is not shown
    student: OwnClass = field(default_factory=OwnClass)  # of one's own
    blind: bool = False  # drive a student that knows no route all the same
    output: str | None = None  # where drive.json goes; default: beside the checkpoint's run
    device: str = "auto"  # auto, cpu, cuda, cuda:1
    plot: bool = True  # pictures, a film and drive.html
    seed: int | None = None  # of the roads; default: the run's own, whose roads for this were never trained on

    def __post_init__(self) -> None:
        require(self.checkpoint != "", "checkpoint", "a run's folder (checkpoint=outputs/...)", self.checkpoint)
        require(set(self.hide) <= set(HIDDEN), "hide", f"among {', '.join(HIDDEN)}", self.hide)
        if self.seed is not None:
            check_seed(self.seed)


SCHEMAS = {"eval": EvalConfig, "rollout": RolloutConfig, "drive": DriveConfig, "drive/default": DriveOptions}
"""What the YAML of these commands may fill."""
