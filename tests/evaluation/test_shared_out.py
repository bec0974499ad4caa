"""What is watched during training, shared out among ranks: the numbers of one, also where some have nothing to do."""

from typing import Any

import pytest
import torch
from composed import train_config

from alpamayo_toy.evaluation.drives import short_drive
from alpamayo_toy.evaluation.evaluate import scores
from alpamayo_toy.evaluation.reference import build_reference
from alpamayo_toy.ranks import Ranks
from alpamayo_toy.students.student import build_student
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.teachers.teacher import build_teacher

SIZE, CLIPS, ROADS = 4, 3, 2


class Asked(Exception):
    """What a rank has to tell the others."""


class Asking(Ranks):
    def gathered(self, value: Any) -> Any:
        raise Asked(value)


class Told(Ranks):
    parts: tuple[Any, ...] = ()

    def gathered(self, value: Any) -> Any:
        return list(self.parts)


def shared_out(do: Any) -> dict[str, float]:
    """do(ranks) where every rank hears what all of them tell, by the last one."""
    parts = []
    for rank in range(SIZE):
        with pytest.raises(Asked) as asked:
            do(Asking(rank, SIZE))
        parts += asked.value.args
    told = Told(SIZE - 1, SIZE)
    object.__setattr__(told, "parts", tuple(parts))
    found: dict[str, float] = do(told)
    return found


@pytest.mark.parametrize("options", [(), ("student.modes=3", "student.spread=true")], ids=["one", "several"])
def test_more_ranks_than_clips_or_roads_find_what_one_finds(options: tuple[str, ...]) -> None:
    config = train_config("scenario=ROAD", "teacher.scenes=8", f"teacher.val_scenes={CLIPS}", *options)
    teacher = build_teacher(config)
    assert isinstance(teacher, SyntheticTeacher)
    labels = teacher.training(0)
    reference = build_reference(teacher, 0, labels)
    student = build_student(config.student, labels, labels.scene(True).to(torch.float32), "euler", 0)
    assert shared_out(lambda ranks: scores(student, reference, ranks)) == pytest.approx(scores(student, reference))
    cars = teacher.cars(ROADS, torch.Generator().manual_seed(0), 10.0)
    alone = short_drive(student, cars)

    def driven(ranks: Ranks) -> dict[str, float]:
        return short_drive(student, cars.select(ranks.share(torch.arange(ROADS))), ranks)

    assert shared_out(driven) == pytest.approx(alone)
