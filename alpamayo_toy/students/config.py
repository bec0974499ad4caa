"""Options of the students and of what they are punished for: student= and loss=."""

from dataclasses import dataclass, field, fields
from math import isfinite

from alpamayo_toy.errors import require

INPUTS = ("scenario", "v0", "history", "context", "route")


@dataclass
class StudentConfig:
    """A multilayer perceptron from the scene to actions. Options of another student extend this class."""

    embedding: int = 128  # width of the scenario embedding, what the encoder hands to the head
    width: int = 256  # of the hidden layers
    layers: int = 2  # hidden layers of the head
    inputs: list[str] = field(default_factory=lambda: list(INPUTS))  # what it may look at; the rest is masked
    hide: float = 0.05  # how often training hides all but v0, each by itself, so that 'missing' is learned

    def __post_init__(self) -> None:
        for name in ("embedding", "width", "layers"):
            require(getattr(self, name) >= 1, f"student.{name}", ">= 1", getattr(self, name))
        require(set(self.inputs) <= set(INPUTS), "student.inputs", f"among {', '.join(INPUTS)}", self.inputs)
        require(0 <= self.hide < 1, "student.hide", "in [0, 1)", self.hide)


@dataclass
class LossConfig:
    """Weights of the loss terms; a term of weight 0 is not computed."""

    position: float = 1.0  # mean distance in metres
    action: float = 1.0  # smooth L1 on normalised actions

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            require(value >= 0 and isfinite(value), f"loss.{f.name}", ">= 0", value)
        require(self.position + self.action > 0, "loss", "at least one weight > 0", vars(self))


SCHEMAS = {"student/mlp": StudentConfig, "loss/default": LossConfig}
"""What YAML of these groups may fill, by the name that its defaults list gives."""
