"""The encoder: only its inputs matter, what is not shown is learned, constants do not explode."""

from dataclasses import replace

import torch
from composed import scenario_config
from taught import built, left, stirred

from alpamayo_toy import Scenario
from alpamayo_toy.kinematics.route import straight_ahead
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.teachers.synthetic import SyntheticTeacher


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
    hidden = replace(scene, scenario=torch.full_like(scene.scenario, -1), context=torch.full((32, 9), torch.nan))
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


def test_a_route_that_is_not_known_is_missing_and_not_straight_ahead() -> None:
    labels = left()
    ahead = straight_ahead(labels.v0) + torch.randn(32, 20, 2, generator=torch.Generator().manual_seed(0))
    labels = replace(labels, route=ahead)
    student = stirred(built(labels=labels))
    scene = labels.scene()
    nowhere = replace(scene, route=torch.full_like(ahead, torch.nan))
    straight = replace(scene, route=straight_ahead(labels.v0).expand(32, -1, -1))
    assert torch.equal(student.act(nowhere), student.act(replace(scene, route=None)))
    assert not torch.equal(student.act(nowhere), student.act(straight))
    assert not torch.equal(student.act(scene), student.act(straight))
    cut = replace(scene, route=ahead.index_fill(1, torch.arange(12, 20), torch.nan))
    assert bool(student.act(cut).isfinite().all())
    assert torch.equal(student.act(student.known_of(scene, labels.context_names)), student.act(scene))
    blind = built(labels=replace(labels, route=None))
    assert blind.known_of(scene, labels.context_names).route is None


def test_its_context_is_found_by_name() -> None:
    labels = left()
    assert labels.context is not None
    few = replace(labels, context=labels.context[:, 4:6], context_names=labels.context_names[4:6])
    student = stirred(built(labels=few))
    shown = student.known_of(labels.scene(), labels.context_names)
    assert shown.context is not None
    assert torch.equal(shown.context, labels.context[:, 4:6])
    half = student.known_of(few.scene(), ("turn_angle_deg", "speed_mps")).context
    assert half is not None
    assert torch.equal(half[:, 0], labels.context[:, 4])
    assert bool(half[:, 1].isnan().all())
    swapped = student.known_of(few.scene(), tuple(reversed(few.context_names))).context
    assert swapped is not None
    assert torch.equal(swapped, labels.context[:, [5, 4]])


def test_a_constant_input_does_not_explode_elsewhere() -> None:
    stops = SyntheticTeacher(scenario_config("STOP")).labels(32, 1, 0)
    student = stirred(built(labels=stops))
    assert bool(student.act(left().scene()).isfinite().all())


def test_one_scene_among_others_that_is_unlike_training_is_named() -> None:
    labels = left()
    student, scene = built(labels=labels), labels.scene()
    assert scene.context is not None
    assert student.encoder.foreign(scene, labels.context_names) == {}
    said = "more than 10 standard deviations from the training scenes; cut off there"
    fast = replace(scene, v0=scene.v0.index_fill(0, torch.tensor([3]), 1e4))
    assert student.encoder.foreign(fast, labels.context_names) == {"v0": f"v0: {said}"}
    context = scene.context.clone()
    context[7, labels.context_names.index("turn_angle_deg")] = -1e6
    found = student.encoder.foreign(replace(scene, context=context), labels.context_names)
    assert found == {"turn_angle_deg": f"turn_angle_deg: {said}"}


def test_statistics_are_those_of_the_clips_that_have_an_input() -> None:
    """Context of 1 and 5 and one that is unknown: mean 3, standard deviation 2; numbers are told in these."""
    labels = left(3)
    told = torch.tensor([[1.0, 5.0], [torch.nan, 5.0], [5.0, 5.0]])
    student = built(labels=replace(labels, context=told, context_names=("some", "constant")))
    encoder = student.encoder
    assert encoder.get_buffer("context_mean").tolist() == [3.0, 5.0]
    assert encoder.get_buffer("context_std").tolist() == [2.0, 1.0]  # a constant keeps its own scale
    asked = encoder._standardised("context", torch.tensor([[7.0, 5.5], [-200.0, torch.nan]]), 2)
    assert asked[0].tolist() == [2.0, 0.5]
    assert asked[1].tolist() == [-10.0, 0.0]  # cut off; learned where it is unknown
