"""Options of scripts/eval.py and scripts/rollout.py."""

from dataclasses import dataclass, field
from typing import Any

from alpamayo_toy.errors import require
from alpamayo_toy.teachers.config import MISSING, FileConfig, check_time


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
        require(len(self.compare) != 1, "compare", "two runs' folders or more ('compare=[A,B]')", self.compare)
        for name in ("checkpoint", "scenario", "teacher", "seed") if self.compare else ():
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

    scenario: Any = MISSING
    horizon: int = 64
    dt: float = 0.1
    seed: int = 0
    plot: bool = True

    def __post_init__(self) -> None:
        check_time(self.horizon, self.dt, self.seed)


SCHEMAS = {"eval": EvalConfig, "rollout": RolloutConfig}
"""What the YAML of these commands may fill."""
