"""A student as a distribution: every number by a plain loop, the teacher's own beside it, and who lies is caught."""

from typing import Any

import numpy as np
import pytest
import torch
from composed import scenario_config
from taught import stirred

from alpamayo_toy.evaluation.distribution import distribution, equal_draws, leave_one_out, noise_for, weighted_draws
from alpamayo_toy.evaluation.reference import Reference, build_reference
from alpamayo_toy.kinematics.manoeuvres import Scenario, classify
from alpamayo_toy.kinematics.recovery import label_actions
from alpamayo_toy.metrics.comfort import from_actions, passes
from alpamayo_toy.metrics.distribution import energy_score, medoids, off_the_crowd, within_region
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.student import Student, build_student
from alpamayo_toy.teachers.config import SyntheticConfig
from alpamayo_toy.teachers.synthetic import SyntheticTeacher

FEW = SyntheticConfig(reveal="speed", scenes=64, val_scenes=8)


@pytest.fixture(scope="module")
def reference() -> Reference:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("alpamayo_toy.evaluation.reference.DRIVERS", 512)  # as users have it
        return build_reference(SyntheticTeacher(scenario_config("ALL"), FEW), 0, crowd=4)


def made(config: StudentConfig) -> Student:
    labels = SyntheticTeacher(scenario_config("ALL"), FEW).training(0)
    return stirred(build_student(config, labels, labels.scene(), "euler", 0))


def found(student: Student, reference: Reference) -> dict[str, Any]:
    return distribution(student, reference, torch.arange(len(reference.labels)))[0]


def test_a_teacher_that_hides_its_intention_is_drawn_from_all_of_its_scenes(reference: Reference) -> None:
    """Fresh drivers of a hidden scene do what the whole mixture does at that speed, and the student is told nothing."""
    assert bool((reference.scene.scenario == -1).all())
    assert reference.scene.context is None
    assert reference.scene.route is None
    assert reference.crowd is not None
    assert reference.crowd.shape == (4, 512, 64, 4)
    for clip in range(4):
        v0 = reference.labels.v0[clip]
        kinds = classify(reference.crowd[clip], v0.expand(512)).unique()
        assert len(kinds) >= (1 if v0 == 0 else 4)
        start = reference.crowd[clip, :, 0, 3]
        assert float((start - v0).abs().max()) < 0.5  # all begin at the speed that is told


@torch.no_grad()
@pytest.mark.parametrize("config", [StudentConfig(), StudentConfig(modes=3), StudentConfig(modes=3, spread=True)])
def test_the_numbers_by_a_plain_loop(config: StudentConfig, reference: Reference) -> None:
    student, teacher = made(config), reference.labels.teacher
    said = found(student, reference)
    generator = torch.Generator().manual_seed(0)
    modes, drawn = weighted_draws(student, reference.scene, noise_for(student, len(reference.scene), 64, generator))
    samples = equal_draws(student, reference.scene, 64, generator)
    draws = drawn.actions.shape[1] // config.modes
    energies = [energy_score(drawn.trajectories[i], teacher[i], drawn.probabilities[i], draws).item() for i in range(8)]
    energy = said["energy"]
    assert isinstance(energy, dict)
    assert energy["student"]["mean"] == pytest.approx(sum(energies) / 8, rel=1e-4)
    assert reference.others is not None
    own = [energy_score(reference.others[i], teacher[i]).item() for i in range(8)]
    assert energy["teacher"]["mean"] == pytest.approx(sum(own) / 8, rel=1e-4)
    best = said["min_ade_of_likeliest"]
    assert isinstance(best, dict)
    assert list(best) == [str(k + 1) for k in range(config.modes)]
    for k in range(config.modes):
        errors = []
        for i in range(8):
            likely = modes.probabilities[i].argsort(descending=True)[: k + 1]
            apart = (modes.trajectories[i, likely, None] - teacher[i])[..., :2].norm(dim=-1).mean(-1)
            errors.append(apart.amin(0).mean())
        assert best[str(k + 1)] == pytest.approx(float(torch.stack(errors).mean()), rel=1e-4)
    shares = said["manoeuvres"]
    assert isinstance(shares, dict)
    kinds = classify(samples.trajectories, reference.scene.v0.unsqueeze(-1).expand(samples.trajectories.shape[:2]))
    for scenario in Scenario:
        mine = shares["student"][scenario.name]
        assert mine == pytest.approx(float((kinds == int(scenario)).float().mean()), abs=1e-6)
    v0 = reference.scene.v0.unsqueeze(-1)
    of_each = [classify(some, v0.expand(some.shape[:2])) for some in (samples.trajectories, teacher, reference.others)]
    counted = [torch.stack([(k == int(scenario)).float().mean(1) for scenario in Scenario], 1) for k in of_each]
    theirs = dict(zip((scenario.name for scenario in Scenario), counted[1].mean(0).tolist(), strict=True))
    assert shares["teacher"] == pytest.approx(theirs, abs=1e-6)
    for name, some in (("total_variation", counted[0]), ("teacher_total_variation", counted[2])):
        assert shares[name] == pytest.approx(float((some - counted[1]).abs().sum(1).mean() / 2), abs=1e-6)
    for who, some in (("student", samples.trajectories), ("teacher", teacher)):
        apart = (some - some.mean(1, keepdim=True))[..., :2].norm(dim=-1).mean((0, 1))
        assert said["spread"][who]["3.0"] == pytest.approx(float(apart[29]), rel=1e-4, abs=1e-6)
    driven = {"student": (samples.actions, samples.trajectories)}
    driven["teacher"] = (label_actions(teacher, v0.expand(8, 64), 0.1, "euler"), teacher)
    for who, (acted, some) in driven.items():
        comfortable = passes(from_actions(acted, some, v0.expand(some.shape[:2]), 0.1, "euler"))["all"]
        assert said["comfort"][who] == pytest.approx(float(comfortable.float().mean()), abs=1e-6)
    taught = (driven["teacher"][0][..., 0].diff(dim=-1) / 0.1).abs().flatten(1)
    assert said["jerk_p95"]["teacher"] == pytest.approx(np.percentile(taught.numpy(), 95, axis=1).mean(), rel=1e-4)
    if config.spread:
        held = [within_region(samples.trajectories, teacher, share).float().mean() for share in (0.5, 0.9)]
        assert said["regions"] == pytest.approx(dict(zip(("0.5", "0.9"), map(float, held), strict=True)), abs=1e-6)
    jerk = (samples.actions[..., 0].diff(dim=-1) / 0.1).abs().flatten(1)
    assert said["jerk_p95"]["student"] == pytest.approx(np.percentile(jerk.numpy(), 95, axis=1).mean(), rel=1e-4)
    assert (said["calibration_error"] is None) is (config.modes == 1)
    assert (said["regions"] is None) is not config.spread
    assert said["samples"] == (64 if config.modes > 1 else 1)
    crowd = said["crowd"]
    assert isinstance(crowd, dict)
    few, many = teacher[:4], reference.crowd
    assert many is not None
    mine, p = modes.trajectories[:4], modes.probabilities[:4]
    drawn = equal_draws(student, reference.scene.select(torch.arange(4)), 64, torch.Generator().manual_seed(0))
    off = [off_the_crowd(some, many).float().mean() for some in (drawn.trajectories, few)]
    astray = (off_the_crowd(mine, many).float() * p).sum(-1).mean()
    shares = dict(zip(("samples", "teacher", "modes"), map(float, (*off, astray)), strict=True))
    assert crowd["nobody_drives_there"] == pytest.approx(shares, abs=1e-6)
    six = torch.stack([many[i, medoids(many[i : i + 1, :256], 6)[0][0]] for i in range(4)])
    for name, answers in (("modes", mine), ("six_medoids_of_the_teacher", six)):
        apart = (answers[:, :, None] - few[:, None])[..., :2].norm(dim=-1).mean(-1)
        assert crowd["min_ade"][name] == pytest.approx(float(apart.amin(1).mean()), rel=1e-4)
    assert crowd["nobody_drives_there"]["teacher"] < 0.1 < crowd["nobody_drives_there"]["samples"]
    assert crowd["min_ade"]["modes"] > crowd["min_ade"]["six_medoids_of_the_teacher"]


def test_who_is_surer_than_he_may_be_is_caught(reference: Reference) -> None:
    """Two modes so far aside that each has its half of the drivers: half and half is right, nine to one is not."""
    student = made(StudentConfig(modes=2))
    output = student.head[-1]
    assert isinstance(output, torch.nn.Linear)

    def error(logit: float) -> object:
        with torch.no_grad():
            output.weight.zero_()
            output.bias.zero_()
            output.bias[256] = logit
        return found(student, reference)["calibration_error"]

    even, sure = error(0.0), error(2.2)
    assert isinstance(even, float)
    assert isinstance(sure, float)
    assert sure > 0.2 > even


def test_of_a_file_each_sample_is_left_out_once() -> None:
    teacher = torch.randn(3, 5, 9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = []
    for left in range(5):
        others = [k for k in range(5) if k != left]
        plain.append(energy_score(teacher[:, others], teacher[:, [left]]))
    torch.testing.assert_close(leave_one_out(teacher), torch.stack(plain).mean(0))


def test_the_crowd_is_of_the_scenes_that_are_held_out() -> None:
    teacher = SyntheticTeacher(scenario_config("ALL"), FEW)
    labels, _ = teacher.held_out(4, 0)
    speeds = teacher.crowd(3, 16, 0)[:, :, 0, 3].median(1).values
    torch.testing.assert_close(speeds, labels.v0[:3], rtol=0, atol=0.5)


def test_of_each_of_many_modes_two_are_drawn_so_that_they_can_be_told_apart(reference: Reference) -> None:
    student = made(StudentConfig(modes=64, spread=True))
    few = reference.scene.select(torch.arange(2))
    with torch.no_grad():
        _, drawn = weighted_draws(student, few, noise_for(student, 2, 24, torch.Generator().manual_seed(0)))
    assert drawn.actions.shape[:2] == (2, 2 * 64)
