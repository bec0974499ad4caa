"""Options of the students and of what they are punished for: student= and loss=."""

from dataclasses import dataclass, field

from alpamayo_toy.errors import require

HUGE = 1e38  # no option of training is larger than what float32 holds
LARGEST = 2**27  # weights of a student, half a GiB
OUTPUTS = ("actions", "waypoints", "residuals", "differences")
INPUTS = ("scenario", "v0", "history", "context", "route")
HUB_NAME = r"[\w-][\w.-]*/[\w-][\w.-]*"  # user/name, in ASCII


@dataclass
class StudentConfig:
    """A multilayer perceptron from the scene to modes of actions. Options of another student extend this class."""

    embedding: int = 128  # width of the scenario embedding, what the encoder hands to the head
    width: int = 256  # of the hidden layers
    layers: int = 2  # hidden layers of the head
    inputs: list[str] = field(default_factory=lambda: list(INPUTS))  # what it may look at; the rest is masked
    output: str = "actions"  # or what they are compared with: waypoints, residuals or differences (heads/waypoints.py)
    modes: int = 1  # K, the trajectories that it answers with, each with a probability
    spread: bool = False  # whether each mode is a distribution to draw from, not one trajectory alone
    hide: float = 0.05  # how often training hides all but v0, each by itself, so that 'missing' is learned

    def __post_init__(self) -> None:
        for name in ("embedding", "width", "layers", "modes"):
            require(getattr(self, name) >= 1, f"student.{name}", ">= 1", getattr(self, name))
        for name, most in (("embedding", 8192), ("width", 8192), ("layers", 64)):
            require(getattr(self, name) <= most, f"student.{name}", f"at most {most}", getattr(self, name))
        require(set(self.inputs) <= set(INPUTS), "student.inputs", f"among {', '.join(INPUTS)}", self.inputs)
        require(self.output in OUTPUTS, "student.output", f"one of {', '.join(OUTPUTS)}", self.output)
        actions = self.output == "actions" or not self.spread
        require(actions, "student.spread", "false where student.output is no actions, of which it is made", self.spread)
        require(self.modes <= 64, "student.modes", "<= 64", self.modes)
        require(0 <= self.hide < 1, "student.hide", "in [0, 1)", self.hide)

    def size(self, horizon: int) -> int:
        """About how many weights its layers have, to be refused before there are any."""
        outputs = self.modes * 2 * horizon
        return self.embedding * self.width + (self.layers - 1) * self.width**2 + self.width * outputs


@dataclass
class LossConfig:
    """Weights of the loss terms, a term of weight 0 is not computed; and how they are taken."""

    position: float = 1.0  # the energy score in metres; of one trajectory its mean distance
    action: float = 1.0  # smooth L1 on normalised actions, of the mode that is nearest to each of the teacher's samples
    winner: float = 0.5  # of several modes: distance in metres of the nearest one, and cross-entropy of which that is
    samples: int = 2  # draws of each mode that has a spread
    horizon: list[float] = field(default_factory=lambda: [1.0])  # how much each equal stretch of the horizon counts

    def __post_init__(self) -> None:
        for name in ("position", "action", "winner"):
            value = getattr(self, name)
            require(value >= 0, f"loss.{name}", ">= 0", value)
            require(value <= HUGE, f"loss.{name}", f"at most {HUGE:g}", value)
        require(self.position + self.action > 0, "loss", "at least one weight > 0", vars(self))
        require(self.samples >= 2, "loss.samples", ">= 2, which a mode's width takes", self.samples)
        require(self.samples <= 1024, "loss.samples", "at most 1024", self.samples)
        counted = all(isinstance(w, int | float) and 0 <= w <= HUGE for w in self.horizon)
        require(counted and sum(self.horizon) > 0, "loss.horizon", "weights >= 0, one of them above", self.horizon)


@dataclass
class OwnStudentConfig:
    """A class of the user's own, which a checkpoint never names: it is given each time."""

    module: str = ""  # FILE.py:CLASS, of an nn.Module
    hide: float = 0.05  # how often training hides all but v0, each by itself

    def __post_init__(self) -> None:
        require(0 <= self.hide < 1, "student.hide", "in [0, 1)", self.hide)


@dataclass
class OwnLossConfig:
    """A function of the user's own, in place of loss_terms()."""

    module: str = ""  # FILE.py:FUNCTION
    samples: int = 2  # draws of each mode that has a spread

    def __post_init__(self) -> None:
        require(
            2 <= self.samples <= 1024, "loss.samples", ">= 2, which a mode's width takes, and <= 1024", self.samples
        )


SCHEMAS = {
    "student/mlp": StudentConfig,
    "student/custom": OwnStudentConfig,
    "loss/default": LossConfig,
    "loss/custom": OwnLossConfig,
}
"""What YAML of these groups may fill, by the name that its defaults list gives."""
