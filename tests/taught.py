"""Labels of the synthetic teacher, and students that have learnt nothing of them yet."""

from functools import cache

import torch
from composed import scenario_config

from alpamayo_toy import Labels, Scenario
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.student import Student, build_student
from alpamayo_toy.teachers.config import SyntheticConfig
from alpamayo_toy.teachers.synthetic import SyntheticTeacher

NAMES = [s.name for s in Scenario]
FEW = SyntheticConfig(val_scenes=32)


@cache
def made(name: str, n: int = 400, reveal: str = "scene") -> Labels:
    """Scenes at their very beginning, or with reveal="all" anywhere. Made once and shared: not to be changed."""
    return SyntheticTeacher(scenario_config(name), SyntheticConfig(reveal=reveal)).labels(n, 6, 0)


def left(n: int = 32, reveal: str = "all") -> Labels:
    return SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(reveal=reveal)).labels(n, 3, 0)


def built(config: StudentConfig | None = None, labels: Labels | None = None) -> Student:
    labels = labels or left()
    return build_student(config or StudentConfig(), labels, labels.scene(), "euler", 0)


def stirred(student: Student) -> Student:
    """The same student with an output layer that is not zero any more."""
    output = student.head[-1]
    assert isinstance(output, torch.nn.Linear)
    torch.nn.init.normal_(output.weight, generator=torch.Generator().manual_seed(0))
    return student
