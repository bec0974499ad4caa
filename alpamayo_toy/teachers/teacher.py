"""Teacher: whoever makes labels, and build_teacher() that makes the one of a config."""

from alpamayo_toy.errors import require
from alpamayo_toy.kinematics.trajectory import DT, HORIZON
from alpamayo_toy.teachers.config import MixtureConfig, RoadConfig, ScenarioConfig, SyntheticConfig
from alpamayo_toy.teachers.files import FileTeacher, StoredTeacher, file_teacher
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.training.config import TrainConfig

MOST_A_STEP = 3.0  # m that a car moves: where one has come to is looked for within 4 m

Teacher = SyntheticTeacher | FileTeacher | StoredTeacher


def build_teacher(config: TrainConfig) -> Teacher:
    """The teacher that a config describes. Raises UserError for a label file that does not fit."""
    if isinstance(config.teacher, SyntheticConfig):
        return synthetic_teacher(config.scenario, config.teacher, config.horizon, config.dt)
    return file_teacher(config.teacher, config.horizon, config.dt)


def synthetic_teacher(
    scenario: ScenarioConfig | MixtureConfig | RoadConfig,
    config: SyntheticConfig,
    horizon: int = HORIZON,
    dt: float = DT,
) -> SyntheticTeacher:
    """The teacher of a scenario, of a mixture or of roads. Raises UserError for what its tracker cannot drive."""
    if isinstance(scenario, RoadConfig):
        require(config.reveal == "all", "teacher.reveal", "all with scenario=ROAD, which shows the road", config.reveal)
    require(dt <= 0.2, "dt", "<= 0.2 s with a synthetic teacher: its tracker must see where it comes", dt)
    most = MOST_A_STEP / dt
    require(
        scenario.fastest <= most, "scenario", f"of at most {most:g} m/s with dt={dt:g}", f"{scenario.fastest:g} m/s"
    )
    return SyntheticTeacher(scenario, config, horizon, dt)
