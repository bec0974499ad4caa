"""Options of the teachers: scenario= and teacher=."""

import re
from dataclasses import dataclass, field
from typing import Any

from alpamayo_toy.errors import require

LONGEST = 4096  # steps of a horizon or a history
DT_S = (0.001, 10.0)  # s that a step may take
MOST_STATES = 2**28  # of a synthetic teacher's labels in training, 4 GiB
MISSING = "???"  # OmegaConf's mark of a value that must be given
TAKEN = ("ALL", "ROAD", "FILE", "UNKNOWN")  # names that mean something else

WITHIN = {
    "speed_mps": (0, 60),
    "final_speed_mps": (0, 60),
    "speed_onset_s": (0, 60),
    "speed_change_s": (0.1, 60),
    "turn_angle_deg": (-720, 720),
    "lane_offset_m": (-50, 50),
    "steer_onset_s": (0, 60),
    "steer_s": (0.1, 60),
}
"""What a line of a scenario may be."""


def drawn_between(name: str, value: Any) -> tuple[float, float]:
    """(low, high) of a range; a single number is both."""
    pair = list(value) if isinstance(value, list | tuple) else [value, value]
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < 1e300 for x in pair)
    require(len(pair) == 2 and numbers, name, "a number or a range [low, high]", value)
    return float(pair[0]), float(pair[1])


@dataclass
class ScenarioConfig:
    """One manoeuvre: each line a number or a range [low, high] that scenes draw from uniformly."""

    name: str = MISSING  # what its labels carry: a Scenario, or a name of one's own
    weight: float = 1.0  # how often, beside the other parts of a mixture
    speed_mps: Any = 0.0  # at t0
    final_speed_mps: Any = 0.0  # at the end of the change
    speed_onset_s: Any = 0.0  # when the speed begins to change
    speed_change_s: Any = 5.0  # how long it takes
    turn_angle_deg: Any = 0.0  # of the heading, left positive
    lane_offset_m: Any = 0.0  # of a lane change, left positive
    steer_onset_s: Any = 0.0  # when turn or lane change begin
    steer_s: Any = 5.0  # how long they take

    def __post_init__(self) -> None:
        named = re.fullmatch(r"[A-Z][A-Z0-9_]*", self.name) and self.name not in TAKEN
        require(bool(named), "scenario.name", f"capitals as in ROUNDABOUT, and none of {', '.join(TAKEN)}", self.name)
        require(0 < self.weight <= 1e6, "scenario.weight", "> 0 and at most 1e6", self.weight)
        for name, (least, most) in WITHIN.items():
            low, high = self.range(name)
            require(low <= high, f"scenario.{name}", "a range [low, high] with low <= high", [low, high])
            require(low >= least, f"scenario.{name}", f">= {least:g}", low)
            require(high <= most, f"scenario.{name}", f"<= {most:g}", high)
        v0, v1 = self.range("speed_mps"), self.range("final_speed_mps")
        hardest = 1.5 * max(v0[1] - v1[0], v1[1] - v0[0]) / self.range("speed_change_s")[0]  # m/s^2, when it begins
        require(hardest <= 4, "scenario.speed_change_s", "long enough for 4 m/s^2 at most", f"{hardest:.1f} m/s^2")

    def range(self, name: str) -> tuple[float, float]:
        """(low, high) of a parameter; a single number is both."""
        return drawn_between(f"scenario.{name}", getattr(self, name))

    @property
    def fastest(self) -> float:
        """m/s that any of its scenes is planned with."""
        return max(self.range("speed_mps")[1], self.range("final_speed_mps")[1])


@dataclass
class RoadConfig:
    """Random roads, for a student that follows a route: each range [low, high] drawn from uniformly."""

    name: str = "ROAD"  # what its labels carry
    bends: int = 6  # of a road
    radius_m: Any = field(default_factory=lambda: [8.0, 60.0])  # of a bend
    turn_deg: Any = field(default_factory=lambda: [20.0, 110.0])  # to either side
    straight_m: Any = field(default_factory=lambda: [5.0, 65.0])  # before each bend
    speed_limit_mps: Any = field(default_factory=lambda: [6.0, 14.0])  # of a road
    from_rest: float = 0.15  # share of scenes that begin at standstill

    def __post_init__(self) -> None:
        require(self.name == "ROAD", "scenario.name", "ROAD", self.name)
        require(0 <= self.bends <= 1000, "scenario.bends", ">= 0 and at most 1000", self.bends)
        for name in ("radius_m", "turn_deg", "straight_m", "speed_limit_mps"):
            low, high = self.range(name)
            require(0 < low <= high, f"scenario.{name}", "> 0, a range [low, high] with low <= high", [low, high])
        for name, most in (("radius_m", 1e4), ("turn_deg", 360), ("straight_m", 1e4), ("speed_limit_mps", 60)):
            require(self.range(name)[1] <= most, f"scenario.{name}", f"at most {most:g}", self.range(name)[1])
        tightest = self.range("radius_m")[0]
        require(tightest >= 4, "scenario.radius_m", ">= 4 m, what a car can turn", tightest)
        require(0 <= self.from_rest <= 1, "scenario.from_rest", "between 0 and 1", self.from_rest)

    def range(self, name: str) -> tuple[float, float]:
        """(low, high) of a parameter; a single number is both."""
        return drawn_between(f"scenario.{name}", getattr(self, name))

    @property
    def fastest(self) -> float:
        """m/s that is allowed on any of its roads."""
        return self.range("speed_limit_mps")[1]


@dataclass
class MixtureConfig:
    """Several manoeuvres, each drawn as often as its weight says."""

    parts: dict[str, ScenarioConfig] = field(default_factory=dict)  # scenario.parts.LEFT.turn_angle_deg=90 changes one

    def __post_init__(self) -> None:
        require(len(self.parts) > 0, "scenario.parts", "at least one scenario", self.parts)

    @property
    def fastest(self) -> float:
        """m/s that any of its scenes is planned with."""
        return max(part.fastest for part in self.parts.values())


@dataclass
class SyntheticConfig:
    """A teacher made of scenarios."""

    scenes: int = 8192  # to train on
    samples: int = 6  # drivers per scene
    val_scenes: int = 512  # held out
    reveal: str = "all"  # all: route and what is left to do, anywhere; at a scene's beginning: scene, none, speed
    start_offset_m: float = 0.7  # standard deviation, beside the lane, 1.5 s before t0
    start_heading_rad: float = 0.06  # standard deviation, there
    history: bool = False  # a student that sees its own past copies it, which costs it the lane where actions are late
    integrator: str = "euler"  # the one that the scenarios are made with

    def __post_init__(self) -> None:
        require(self.scenes >= 1, "teacher.scenes", ">= 1", self.scenes)
        require(self.samples >= 1, "teacher.samples", ">= 1", self.samples)
        require(self.val_scenes >= 1, "teacher.val_scenes", ">= 1", self.val_scenes)
        for name, most in (("scenes", 10**7), ("samples", 1000), ("val_scenes", 10**5)):
            require(getattr(self, name) <= most, f"teacher.{name}", f"at most {most}", getattr(self, name))
        known = ("all", "scene", "none", "speed")
        require(self.reveal in known, "teacher.reveal", f"one of {', '.join(known)}", self.reveal)
        for name in ("start_offset_m", "start_heading_rad"):
            require(0 <= getattr(self, name) <= 2, f"teacher.{name}", "between 0 and 2", getattr(self, name))
        require(
            self.integrator == "euler", "teacher.integrator", "euler: the scenarios are made with it", self.integrator
        )


@dataclass
class FileConfig:
    """A teacher whose labels were written by somebody else's model."""

    path: str = ""  # a label file, a folder of them, or a set
    format: str = "auto"  # the file's layout, where it should not be guessed (labels.py convert --help)
    map: str = ""  # what names in the file mean by hand, such as "teacher=my_key,dt=0.5"
    samples: str = "all"  # of a clip's K: all, first, medoid (nearest to the others) or mean are trained on
    val_fraction: float = 0.2  # of the clips, chosen by a hash of the clip id
    fold: int = 0  # which share of the clips: with 0.2 of them held out there are five, 0 to 4
    val_clips: str = ""  # an id or a pattern of ids, such as drive_0[67], to hold out in place of that share
    val_path: str = ""  # labels to hold out in place of that share (labels.py split makes such)
    oracle: bool = False  # a student sees the scenario even where it was read off the future
    mirror: bool = True  # train on every clip's mirror image as well, unless it has a context of its own
    route_error_m: float = 0.0  # rms of a smooth sideways error of the routes, as of a map's lane centres
    integrator: str = "trapezoid"  # Alpamayo's

    def __post_init__(self) -> None:
        require(self.path != "", "teacher.path", "a label file (teacher.path=labels.json)", self.path)
        known = ("all", "first", "medoid", "mean")
        require(self.samples in known, "teacher.samples", f"one of {', '.join(known)}", self.samples)
        require(0 < self.val_fraction < 1, "teacher.val_fraction", "between 0 and 1", self.val_fraction)
        require(self.val_fraction >= 1e-6, "teacher.val_fraction", "at least 1e-6", self.val_fraction)
        last = int(1 / self.val_fraction + 1e-9) - 1
        require(
            self.val_clips == "" or self.val_path == "",
            "teacher.val_clips",
            "left out beside teacher.val_path",
            self.val_clips,
        )
        require(0 <= self.fold <= last, "teacher.fold", f"between 0 and {last}, whole shares of the clips", self.fold)
        require(0 <= self.route_error_m <= 10, "teacher.route_error_m", "between 0 and 10 m", self.route_error_m)
        require(self.integrator in ("euler", "trapezoid"), "teacher.integrator", "euler or trapezoid", self.integrator)

    @property
    def told(self) -> str:
        """What load_labels is told of the file: its layout and names."""
        return f"{self.format},{self.map}" if self.map else self.format


def check_time(horizon: int, dt: float, seed: int) -> None:
    require(horizon >= 4, "horizon", ">= 4 steps", horizon)
    require(horizon <= LONGEST, "horizon", f"at most {LONGEST} steps", horizon)
    require(dt > 0, "dt", "> 0 s", dt)
    require(DT_S[0] <= dt <= DT_S[1], "dt", f"between {DT_S[0]:g} and {DT_S[1]:g} s", dt)
    check_seed(seed)


def check_device(device: str, option: str) -> None:
    known = re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", device) is not None
    require(known, option, "auto, cpu, cuda or cuda:N", device)


def check_seed(seed: int) -> None:
    require(0 <= seed < 2**31, "seed", "between 0 and 2^31 - 1", seed)


SCHEMAS = {
    "scenario/single": ScenarioConfig,
    "scenario/mixture": MixtureConfig,
    "scenario/road": RoadConfig,
    "teacher/synthetic": SyntheticConfig,
    "teacher/file": FileConfig,
}
"""What YAML of these groups may fill, by the name that its defaults list gives."""
