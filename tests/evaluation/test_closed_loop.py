"""Closed loop: against a slow plain loop, against the teacher's own drive, and to the bit against one plan."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from taught import stirred
from torch import Tensor

from alpamayo_toy.evaluation.closed_loop import (
    Situation,
    drive,
    scene_of,
    steady_driver,
    straight_driver,
    student_driver,
    tracker_driver,
)
from alpamayo_toy.evaluation.config import DriveOptions
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.kinematics.trajectory import Scene
from alpamayo_toy.metrics.driving import along_a_path, plan_jump
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.student import Student, build_student
from alpamayo_toy.teachers.cars import Cars
from alpamayo_toy.teachers.config import RoadConfig, SyntheticConfig
from alpamayo_toy.teachers.roads import Roads, allowed_speed
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.teachers.tracker import track

DT = 0.1


def cars(n: int = 6, seed: int = 0) -> Cars:
    """Set down in float32, driven in float64."""
    made = SyntheticTeacher(RoadConfig()).cars(n, torch.Generator().manual_seed(seed), 12.0).to(torch.float64)
    return replace(made, roads=replace(made.roads, speed=allowed_speed(made.roads.kappa, made.roads.limit)))


def student() -> Student:
    labels = SyntheticTeacher(RoadConfig(), SyntheticConfig(history=True)).labels(8, 2, 0)
    return stirred(build_student(StudentConfig(), labels, labels.scene(), "euler", 0))


@pytest.mark.slow
def test_the_tracker_drives_what_the_teacher_drives() -> None:
    here = cars()
    found = drive(tracker_driver(4, DT), here, DriveOptions(seconds=8.0), "euler", DT)
    state = torch.zeros(6, 1, 4, dtype=torch.float64)
    state[:, 0, 3] = here.v0
    _, states, _ = track(here.roads, state, here.along[:, None], here.last[:, None], here.wait[:, None], None, 80, DT)
    torch.testing.assert_close(found.states, states[:, 0], rtol=0, atol=1e-6)
    assert found.jump.max() < 1.0  # what comes into sight changes a plan's end alone


@pytest.mark.parametrize("options", [DriveOptions(seconds=1.0, delay=2), DriveOptions(seconds=1.0, noise=0.5)])
def test_a_driver_goes_on_from_what_it_asked_for_last_not_from_what_came_of_it(options: DriveOptions) -> None:
    here, asked, begun = cars(2), list[Tensor](), list[Tensor]()

    def driver(scene: Scene, now: Situation) -> Tensor:
        begun.append(now.last)
        asked.append(torch.full((2, 8, 2), 0.01 * (1 + len(asked)), dtype=torch.float64))
        return asked[-1]

    drive(driver, here, options, "euler", DT)
    assert len(asked) == 10
    torch.testing.assert_close(begun, [here.last, *(plan[:, 0] for plan in asked[:-1])])


def test_who_waits_waits_less_by_every_step_that_is_driven() -> None:
    here, seen = cars(1), []

    def asked(scene: Scene, now: Situation) -> Tensor:
        seen.append(now.wait.item())
        return torch.zeros(1, 8, 2, dtype=torch.float64)

    drive(asked, replace(here, wait=torch.full_like(here.wait, 1.2)), DriveOptions(seconds=2.0, every=5), "euler", DT)
    assert seen == pytest.approx([1.2, 0.7, 0.2, 0.0])


def test_asked_once_it_is_the_plan_to_the_bit() -> None:
    here = SyntheticTeacher(RoadConfig()).cars(6, torch.Generator().manual_seed(1), 12.0)
    mind = student()
    with torch.no_grad():
        state = torch.cat([torch.zeros(6, 3), here.v0[:, None]], -1)
        scene = scene_of(Situation(here, state, here.along, here.last, here.wait), here.history)
        plan = mind(scene).trajectories[:, 0]
    found = drive(student_driver(mind), here, DriveOptions(seconds=6.4, every=64), "euler", DT)
    assert torch.equal(found.states, plan)
    assert torch.equal(found.plan, plan[..., :2])
    assert bool(found.jump.isnan().all())


@pytest.mark.parametrize(("every", "delay", "integrator"), [(1, 0, "euler"), (3, 2, "trapezoid"), (5, 1, "euler")])
def test_it_is_the_plain_loop(every: int, delay: int, integrator: str) -> None:
    here, steps = cars(3), 23

    def wave(scene: Scene, now: Situation) -> Tensor:
        """Actions that depend on all that is seen."""
        assert scene.route is not None
        assert scene.history is not None
        t = torch.arange(6, dtype=torch.float64)
        bend = scene.route[:, 3, 1:] / 50 + scene.history[:, 0, 1:2] / 20 + t / 500
        return torch.stack([(5 - scene.v0)[:, None] * 0.3 + t / 10, bend.clamp(-0.2, 0.2)], -1)

    options = DriveOptions(seconds=steps * DT, every=every, delay=delay)
    found = drive(wave, here, options, integrator, DT)
    for i in range(3):
        one = here.select(torch.tensor([i]))
        x, y, yaw, v = 0.0, 0.0, 0.0, float(one.v0)
        past = [tuple(pose) for pose in one.history[0].tolist()]
        along, last = one.along, one.last
        line = [one.last[0].tolist()] * delay
        for step in range(steps):
            if step % every == 0:
                now = Situation(one, torch.tensor([[x, y, yaw, v]], dtype=torch.float64), along, last, one.wait)
                line += wave(scene_of(now, torch.tensor([past], dtype=torch.float64)), now)[0, :every].tolist()
            action = torch.tensor([[line.pop(0)]], dtype=torch.float64)
            assert found.actions[i, step].tolist() == pytest.approx(action[0, 0].tolist(), abs=1e-5)  # as it is applied
            dx, dy, turn, v = UnicycleRollout(DT, integrator)(action, torch.tensor([v], dtype=torch.float64))[
                0, 0
            ].tolist()
            cos, sin = float(torch.tensor(yaw).double().cos()), float(torch.tensor(yaw).double().sin())
            x, y, yaw = x + cos * dx - sin * dy, y + sin * dx + cos * dy, yaw + turn
            past = [*past[1:], (x, y, yaw, v)]
            place, beside, _ = one.roads.path.locate(torch.tensor([[[x, y]]], dtype=torch.float64), along[:, None])
            along = place[:, 0]
            assert found.states[i, step].tolist() == pytest.approx([x, y, yaw, v], abs=1e-5)
            assert float(found.beside[i, step]) == pytest.approx(float(beside), abs=1e-5)


def test_a_straight_driver_goes_straight_and_a_steady_one_keeps_its_speed() -> None:
    here = cars()
    options = DriveOptions(seconds=5.0)
    straight = drive(straight_driver(1), here, options, "euler", DT)
    expected = here.v0[:, None] * DT * torch.arange(1, 51, dtype=torch.float64)
    torch.testing.assert_close(straight.states[..., 0], expected)
    assert straight.states[..., 1:3].abs().max() == 0
    planned = drive(straight_driver(4), here, DriveOptions(seconds=1.0, every=2), "euler", DT)
    ahead = 2 * torch.arange(5)[:, None] + torch.arange(1, 5)  # steps from the start, of every asking's plan
    torch.testing.assert_close(planned.plans[..., 0], here.v0[:, None, None] * DT * ahead)
    assert planned.jump.max() < 1e-9  # each goes on with the one before it
    steady = drive(steady_driver(1, DT), here, options, "euler", DT)
    torch.testing.assert_close(steady.states[..., 3], here.v0[:, None].expand(-1, 50), rtol=0, atol=1e-9)
    assert steady.beside[:, -1].abs().max() < 1.0


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.05, 0.3]))
def test_noise_is_a_function_of_the_seed(seed: int, noise: float) -> None:
    options = DriveOptions(seconds=1.0, noise=noise)
    first, again = (drive(tracker_driver(1, DT), cars(3), options, "euler", DT, seed) for _ in range(2))
    assert torch.equal(first.states, again.states)
    other = drive(tracker_driver(1, DT), cars(3), options, "euler", DT, seed + 1)
    assert not torch.equal(first.states, other.states)


def test_a_student_is_not_shown_what_it_has_no_input_for() -> None:
    labels = SyntheticTeacher(RoadConfig()).labels(8, 2, 0)
    few = replace(labels, context=None, context_names=())
    mind = stirred(build_student(StudentConfig(), few, few.scene(), "euler", 0))
    here = SyntheticTeacher(RoadConfig()).cars(4, torch.Generator().manual_seed(1), 12.0)
    found = drive(student_driver(mind), here, DriveOptions(seconds=0.5), "euler", DT)
    assert bool(found.states.isfinite().all())


def test_a_plan_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="a plan of 2 steps cannot be driven for 5"):
        drive(straight_driver(2), cars(), DriveOptions(every=5), "euler", DT)


def test_what_a_drive_is_judged_by() -> None:
    beside = torch.tensor([[0.5, -2.1, 0.0, 0.3], [1.0, 1.0, -1.0, 1.0]])
    found = along_a_path(
        torch.tensor([0.5, 0.0]),
        torch.tensor([[1.0, 2, 3, 4], [0.0, 0, 5, 9]]),
        beside,
        torch.tensor([[0.0, 0, 0, -0.2]] * 2),
    )
    assert found["left_corridor"].tolist() == [1.0, 0.0]
    assert found["lateral_rms"][1] == 1.0
    assert found["lateral_end"].tolist() == pytest.approx([0.3, 1.0])
    assert found["heading_end"].tolist() == pytest.approx([0.2, 0.2])
    assert found["progress"].tolist() == [3.5, 9.0]
    line = torch.stack([torch.arange(8.0), torch.zeros(8)], -1)
    assert float(plan_jump(line, line + torch.tensor([2.0, 0.5]), 2)) == pytest.approx(0.5)
    assert bool(plan_jump(line, line, 8).isnan())


def test_on_a_road_that_comes_back_to_itself_a_car_is_where_it_has_driven_to() -> None:
    """Round and round a circle of 20 m: after 130 m the car is in its second lap, 4.3 m beyond its road's beginning."""
    shape, ten = (1, 601), torch.tensor([10.0], dtype=torch.float64)
    roads = Roads.of(torch.full(shape, 1 / 20, dtype=torch.float64), ten.expand(shape), ten)
    at, heading = roads.path.at(torch.tensor([[130.0]], dtype=torch.float64))
    pose = torch.cat([at[:, 0], heading], -1)
    zero = torch.zeros(1, dtype=torch.float64)
    last, past = torch.tensor([[0.0, 1 / 20]], dtype=torch.float64), torch.zeros(1, 16, 4, dtype=torch.float64)
    here = Cars(roads.moved(pose), zero + 130, ten, last, past, zero, torch.tensor([-1]))
    found = drive(steady_driver(1, DT), here, DriveOptions(seconds=3.0), "euler", DT)
    driven = 130 + torch.arange(1, 31, dtype=torch.float64)[None]
    torch.testing.assert_close(found.along, driven, rtol=0, atol=0.5)
    assert found.beside.abs().max() < 0.5
    assert found.heading_error.abs().max() < 0.1


def test_noise_is_a_share_of_each_action_to_either_side() -> None:
    """Of 20 actions of 60 cars that ask for 1 m/s^2 and nothing else: 1 + 0.1 N(0, 1)."""
    here = SyntheticTeacher(RoadConfig(bends=0)).cars(60, torch.Generator().manual_seed(0), 5.0).to(torch.float64)
    asked = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(60, 1, 2)
    found = drive(lambda scene, now: asked, here, DriveOptions(seconds=2.0, noise=0.1), "euler", DT)
    off = found.actions[..., 0] - 1
    assert float(off.mean()) == pytest.approx(0, abs=0.01)
    assert float(off.std()) == pytest.approx(0.1, abs=0.01)
    assert not found.actions[..., 1].any()


def test_of_the_first_eight_cars_every_plan_is_kept_and_the_shares_of_a_step_that_is_cut_are_not_driven() -> None:
    here = cars(10)
    found = drive(straight_driver(5), here, DriveOptions(seconds=1.2, every=5), "euler", DT)
    assert found.plans.shape == (8, 3, 5, 2)
    assert found.plan.shape == (10, 5, 2)
    assert found.states.shape == (*found.actions.shape[:2], 4) == (10, 12, 4)


def test_beside_and_heading_are_told_to_the_left_of_the_road() -> None:
    """A car that turns left off a straight road."""
    here = SyntheticTeacher(RoadConfig(bends=0)).cars(3, torch.Generator().manual_seed(0), 5.0).to(torch.float64)
    left = torch.tensor([0.0, 0.1], dtype=torch.float64).expand(3, 1, 2)
    moving = replace(here, v0=torch.full_like(here.v0, 5.0))
    found = drive(lambda scene, now: left, moving, DriveOptions(seconds=2.0), "euler", DT)
    turned = found.heading_error[:, -1] - found.heading_error[:, 0]
    assert turned.tolist() == pytest.approx([5 * 0.1 * 1.9] * 3, abs=1e-6)
    assert bool((found.beside[:, -1] > found.beside[:, 0] + 3).all())


def test_who_steers_along_the_road_goes_on_from_the_last_curvature() -> None:
    """In a bend of 0.1 1/m that one is in already: a wheel that began straight would be turned by 0.015 1/m a step."""
    shape, five = (1, 201), torch.tensor([5.0], dtype=torch.float64)
    roads = Roads.of(torch.full(shape, 0.1, dtype=torch.float64), five.expand(shape), five)
    zero, past = torch.zeros(1, dtype=torch.float64), torch.zeros(1, 16, 4, dtype=torch.float64)
    here = Cars(roads, zero, five, torch.tensor([[1.0, 0.1]], dtype=torch.float64), past, zero, torch.tensor([-1]))
    found = drive(steady_driver(1, DT), here, DriveOptions(seconds=0.2), "euler", DT)
    assert found.actions[0].flatten().tolist() == pytest.approx([0.0, 0.1, 0.0, 0.1], abs=5e-3)
