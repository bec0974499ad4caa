"""Teacher: whoever makes labels, and build_teacher() that makes the one of a config."""

from alpamayo_toy.teachers.config import SyntheticConfig
from alpamayo_toy.teachers.files import FileTeacher, StoredTeacher, file_teacher
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.training.config import TrainConfig

Teacher = SyntheticTeacher | FileTeacher | StoredTeacher


def build_teacher(config: TrainConfig) -> Teacher:
    """The teacher that a config describes. Raises UserError for a label file that does not fit."""
    if isinstance(config.teacher, SyntheticConfig):
        return SyntheticTeacher(config.scenario, config.teacher, config.horizon, config.dt)
    return file_teacher(config.teacher, config.horizon, config.dt)
