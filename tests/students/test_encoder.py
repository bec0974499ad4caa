"""The encoder: only its inputs matter, what is not shown is learned, constants do not explode."""

from dataclasses import replace

import torch
from composed import scenario_config
from taught import built, left, stirred

from alpamayo_toy import Scenario
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
