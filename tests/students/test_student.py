"""The student: bounded, at the mean of its labels before it has learnt anything."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from taught import built, left, stirred

from alpamayo_toy import ActionSpace, Labels
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.student import Student, build_student


def test_it_starts_at_the_mean_action_of_its_labels() -> None:
    labels = left()
    student = built(labels=labels)
    prediction = student(labels.scene())
    actions, trajectory = prediction.actions, prediction.trajectories
    assert actions.shape == (32, 1, 64, 2)
    assert trajectory.shape == (32, 1, 64, 4)
    space = ActionSpace.fit(labels)
    assert torch.allclose(actions, space.mean.expand_as(actions), atol=1e-3)
    assert torch.equal(student.action_space.std, space.std)


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


@pytest.mark.parametrize(
    ("options", "several", "follows"),
    [
        ({}, False, True),
        ({"modes": 2}, True, True),
        ({"spread": True}, True, True),
        ({"inputs": ["scenario", "v0"]}, False, False),
    ],
)
def test_what_a_student_is_follows_from_its_options(options: dict[str, Any], several: bool, follows: bool) -> None:
    labels = left(2)
    assert labels.route is not None
    student = built(StudentConfig(**options), labels)
    assert (student.several, student.follows_a_route) == (several, follows)
    assert not built(StudentConfig(), replace(labels, route=None)).follows_a_route


def test_a_shape_makes_the_same_student_again() -> None:
    labels = left(2).with_teacher(left(2).teacher[:, :, :40])
    labels = replace(labels, dt=0.2, history=torch.zeros(2, 5, 4))
    student = build_student(StudentConfig(), labels, labels.scene(), "trapezoid", 0)
    names = list(labels.context_names)
    wanted = {"horizon": 40, "dt": 0.2, "integrator": "trapezoid", "history_steps": 5, "context_names": names}
    assert student.shape == {**wanted, "route_points": 20}


def test_a_history_of_another_length_is_unknown() -> None:
    labels = replace(left(2), history=torch.zeros(2, 5, 4))
    student = built(labels=labels)
    scene = labels.scene()
    assert student.known_of(scene, labels.context_names).history is scene.history
    longer = replace(scene, history=torch.zeros(2, 6, 4))
    assert student.known_of(longer, labels.context_names).history is None


def test_weights_follow_from_the_seed_and_no_other_draw_does() -> None:
    labels = left(2)

    def first(seed: int) -> torch.Tensor:
        made = build_student(StudentConfig(width=8, embedding=8), labels, labels.scene(), "euler", seed)
        weight: torch.Tensor = made.head[0].weight
        return weight

    torch.manual_seed(7)
    before = torch.rand(3)
    torch.manual_seed(7)
    weights = [first(seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.rand(3), before)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
