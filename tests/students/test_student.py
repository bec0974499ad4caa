"""The student: bounded, at the mean of its labels before it has learnt anything."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from taught import built, left, stirred

from alpamayo_toy import Labels
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.student import Student


def test_it_starts_at_the_mean_action_of_its_labels() -> None:
    labels = left()
    student = built(labels=labels)
    prediction = student(labels.scene())
    actions, trajectory = prediction.actions, prediction.trajectories
    assert actions.shape == (32, 1, 64, 2)
    assert trajectory.shape == (32, 1, 64, 4)
    assert torch.allclose(actions, student.action_space.mean.expand_as(actions), atol=1e-3)


@pytest.fixture(scope="module")
def wild() -> tuple[Student, Labels]:
    """A student whose outputs are anything, and four clips."""
    labels = left(4)
    return stirred(built(labels=labels)), labels


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0, 1e4), v0=st.floats(-1, 60))
def test_actions_stay_inside_the_bounds(wild: tuple[Student, Labels], scale: float, v0: float) -> None:
    student, labels = wild
    stirred(student).head[-1].weight.data *= scale
    scene = replace(labels.scene(), v0=torch.full((4,), v0))
    prediction = student(scene)
    actions, trajectory = prediction.actions, prediction.trajectories
    assert bool(student.action_space.within_bounds(actions).all())
    assert bool(trajectory.isfinite().all())


def test_a_students_size_by_hand() -> None:
    """From embedding to width, once more, and to 2 numbers a step of each mode."""
    assert StudentConfig(embedding=2, width=4, layers=2, modes=3).size(5) == 2 * 4 + 4 * 4 + 4 * 3 * 2 * 5
