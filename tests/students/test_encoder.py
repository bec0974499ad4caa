"""The encoder: only its inputs matter, what is not shown is learned, constants do not explode."""

from dataclasses import replace

import pytest
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


def test_history_enters_as_speeds_less_that_at_t0_and_turns_from_pose_to_pose() -> None:
    """In standard deviations, however small: a car that turns by 0.01 rad a step turns."""
    history = torch.zeros(2, 3, 4)
    history[0, :, 3], history[1, :, 3] = torch.tensor([5.0, 6.0, 8.0]), torch.tensor([9.0, 8.0, 8.0])
    history[0, :, 2] = torch.tensor([-0.03, -0.02, 0.0])
    history[..., :2] = 7.0
    encoder = built(labels=replace(left(2), history=history)).encoder
    mean, std = encoder.get_buffer("history_mean"), encoder.get_buffer("history_std")
    torch.testing.assert_close(mean, torch.tensor([-1.0, -1.0, 0.0, 0.005, 0.01]))
    torch.testing.assert_close(std, torch.tensor([2.0, 1.0, 1.0, 0.005, 0.01]))


def test_an_input_that_no_clip_has_leaves_finite_statistics() -> None:
    labels = left(3)
    told = torch.tensor([[torch.nan, 1.0], [torch.nan, 1.00005], [torch.nan, 0.99995]])
    encoder = built(labels=replace(labels, context=told, context_names=("never", "hardly"))).encoder
    assert encoder.get_buffer("context_mean").tolist() == pytest.approx([0.0, 1.0])
    assert encoder.get_buffer("context_std").tolist() == [1.0, 1.0]


def test_every_manoeuvre_that_training_did_not_show_is_named_and_no_input_that_is_not_looked_at() -> None:
    labels = left(8)
    student, scene = built(labels=labels), labels.scene()
    every = replace(scene, scenario=torch.arange(8))
    found = student.encoder.foreign(every, labels.context_names)
    assert list(found) == [f"scenario {one.name}" for one in Scenario if one != Scenario.LEFT]
    assert student.encoder.foreign(replace(scene, scenario=torch.full((8,), -1)), labels.context_names) == {}
    blind = built(StudentConfig(inputs=["v0"]), labels).encoder
    assert scene.context is not None
    assert blind.foreign(replace(every, context=scene.context + 1e6), labels.context_names) == {}
