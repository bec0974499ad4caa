"""The student: bounded, zero at the start, honest about what it is not shown, and able to reach the teacher's floor."""

from dataclasses import replace

import pytest
import torch
from composed import scenario_config
from hypothesis import given, settings
from hypothesis import strategies as st

from alpamayo_toy import Labels, Scenario
from alpamayo_toy.kinematics.recovery import label_actions
from alpamayo_toy.students.config import LossConfig, StudentConfig
from alpamayo_toy.students.losses import loss_terms, weighted
from alpamayo_toy.students.student import Student, build_student
from alpamayo_toy.teachers.synthetic import SyntheticTeacher


def left(n: int = 32) -> Labels:
    return SyntheticTeacher(scenario_config("LEFT")).labels(n, 3, 0)


def built(config: StudentConfig | None = None, labels: Labels | None = None) -> Student:
    labels = labels or left()
    return build_student(config or StudentConfig(), labels, labels.scene(), "euler", 0)


def stirred(student: Student) -> Student:
    """The same student with an output layer that is not zero any more."""
    output = student.head[-1]
    assert isinstance(output, torch.nn.Linear)
    torch.nn.init.normal_(output.weight, generator=torch.Generator().manual_seed(0))
    return student


def test_it_starts_at_the_mean_action_of_its_labels() -> None:
    labels = left()
    student = built(labels=labels)
    actions, trajectory = student(labels.scene())
    assert actions.shape == (32, 1, 64, 2)
    assert trajectory.shape == (32, 1, 64, 4)
    assert torch.allclose(actions, student.action_space.mean.expand_as(actions), atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0, 1e4), v0=st.floats(-1, 60))
def test_actions_stay_inside_the_bounds(scale: float, v0: float) -> None:
    labels = left(4)
    student = stirred(built(labels=labels))
    student.head[-1].weight.data *= scale
    scene = replace(labels.scene(), v0=torch.full((4,), v0))
    actions, trajectory = student(scene)
    assert bool(student.action_space.within_bounds(actions).all())
    assert bool(trajectory.isfinite().all())


def test_only_its_inputs_matter() -> None:
    scene = left().scene()
    other = replace(
        scene, scenario=scene.scenario + 1, context=scene.context * 2 if scene.context is not None else None
    )
    blind, seeing = stirred(built(StudentConfig(inputs=["v0"]))), stirred(built())
    assert torch.equal(blind.act(scene), blind.act(other))
    assert not torch.equal(seeing.act(scene), seeing.act(other))


def test_unknown_inputs_are_learned_and_not_a_number() -> None:
    labels = left()
    student = stirred(built(labels=labels))
    scene = labels.scene()
    hidden = replace(scene, scenario=torch.full_like(scene.scenario, -1), context=torch.full((32, 7), torch.nan))
    absent = replace(hidden, context=None)
    assert torch.equal(student.act(hidden), student.act(absent))
    assert bool(student.act(hidden).isfinite().all())
    student.act(hidden).sum().backward()
    for name in ("context", "history"):
        grad = student.encoder.missing[name].grad
        assert grad is not None
        assert bool((grad != 0).all())
    unknown = student.encoder.scenario.weight.grad
    assert unknown is not None
    assert bool((unknown[len(Scenario)] != 0).all())
    assert bool((unknown[: len(Scenario)] == 0).all())


def test_a_constant_input_does_not_explode_elsewhere() -> None:
    stops = SyntheticTeacher(scenario_config("STOP")).labels(32, 1, 0)
    student = stirred(built(labels=stops))
    assert bool(student.act(left().scene()).isfinite().all())


def test_loss_terms_are_what_they_say() -> None:
    labels = left(5)
    student = built(labels=labels)
    actions, trajectory = student(labels.scene())
    targets = label_actions(labels.teacher, labels.v0[:, None].expand(-1, 3), 0.1, "euler")
    config = LossConfig(position=2.0, action=0.5)
    terms = loss_terms(config, student.action_space, actions, trajectory, targets, labels.teacher)
    position = torch.stack([(trajectory[:, 0] - labels.teacher[:, k])[..., :2].norm(dim=-1) for k in range(3)]).mean()
    assert terms["position"].item() == pytest.approx(position.item(), rel=1e-5)
    z = student.action_space.normalize(actions) - student.action_space.normalize(targets)
    smooth = torch.where(z.abs() < 1, z**2 / 2, z.abs() - 0.5).mean()
    assert terms["action"].item() == pytest.approx(smooth.item(), rel=1e-5)
    assert weighted(config, terms).item() == pytest.approx(2 * position.item() + 0.5 * smooth.item(), rel=1e-5)
    alone = loss_terms(LossConfig(action=0), student.action_space, actions, trajectory, targets, labels.teacher)
    assert set(alone) == {"position"}
