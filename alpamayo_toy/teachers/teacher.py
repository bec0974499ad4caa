"""Teacher: whoever makes labels, and build_teacher() that makes the one of a config."""

from alpamayo_toy.errors import require
from alpamayo_toy.kinematics.trajectory import DT, HORIZON
from alpamayo_toy.teachers.config import MixtureConfig, RoadConfig, ScenarioConfig, SyntheticConfig
from alpamayo_toy.teachers.files import FileTeacher, StoredTeacher, file_teacher
from alpamayo_toy.teachers.road_teacher import RoadTeacher
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.training.config import TrainConfig

Teacher = SyntheticTeacher | RoadTeacher | FileTeacher | StoredTeacher


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
) -> SyntheticTeacher | RoadTeacher:
    """The teacher of a scenario, of a mixture or of roads."""
    if isinstance(scenario, RoadConfig):
        require(
            config.reveal == "all", "teacher.reveal", "all with scenario=ROAD: its route shows the road", config.reveal
        )
        require(dt <= 0.2, "dt", "<= 0.2 s with scenario=ROAD: the tracker must see where it comes", dt)
        return RoadTeacher(scenario, config, horizon, dt)
    return SyntheticTeacher(scenario, config, horizon, dt)
