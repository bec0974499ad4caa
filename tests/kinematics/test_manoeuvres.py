"""Which manoeuvre a trajectory is: the one that its driver was told."""

import pytest
from taught import NAMES, made

from alpamayo_toy.kinematics.manoeuvres import classify


@pytest.mark.parametrize("name", NAMES)
def test_classify_recovers_the_teachers_own_scenario(name: str) -> None:
    labels = made(name)
    found = classify(labels.teacher, labels.v0[:, None].expand(-1, 6))
    assert (found == labels.scenario[:, None]).double().mean() >= 0.95
