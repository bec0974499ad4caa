"""Roads and who drives on them: geometry in closed form, speeds against a slow loop, comfort, what is seen."""

import math
from dataclasses import replace

import pytest
import torch
from composed import train_config

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.reference import build_reference
from alpamayo_toy.kinematics.rollout import UnicycleRollout
from alpamayo_toy.metrics.comfort import from_actions, passes
from alpamayo_toy.teachers.cars import ROAD_CONTEXT
from alpamayo_toy.teachers.config import RoadConfig, SyntheticConfig
from alpamayo_toy.teachers.roads import BRAKING, SIDEWAYS, SIGHT, SPACING, Roads, allowed_speed, draw_roads
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.teachers.teacher import build_teacher
from alpamayo_toy.teachers.tracker import track

FEW = SyntheticConfig(scenes=64, val_scenes=24)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_constant_curvature_is_a_circle() -> None:
    kappa = torch.full((1, 201), 1 / 20, dtype=torch.float64)
    ten = torch.tensor([10.0], dtype=torch.float64)
    roads = Roads.of(kappa, ten.expand(1, 201), ten)
    s = torch.arange(201, dtype=torch.float64) * SPACING
    torch.testing.assert_close(roads.path.heading[0], s / 20)
    torch.testing.assert_close(roads.path.points[0, :, 0], 20 * (s / 20).sin())
    torch.testing.assert_close(roads.path.points[0, :, 1], 20 * (1 - (s / 20).cos()))


def test_bends_turn_as_far_and_as_sharply_as_they_are_drawn() -> None:
    one = RoadConfig(bends=1, turn_deg=90.0, radius_m=20.0, straight_m=[10.0, 40.0])
    roads = draw_roads(one, 200, 480.0, generator())
    turned = roads.path.heading[:, -1].abs()
    torch.testing.assert_close(turned, torch.full((200,), math.pi / 2), rtol=0, atol=2e-3)
    torch.testing.assert_close(roads.kappa.abs().amax(-1), torch.full((200,), 1 / 20))
    left = (roads.path.heading[:, -1] > 0).double().mean()
    assert 0.4 < left < 0.6
    first = (roads.kappa.abs() > 0).double().argmax(-1) * SPACING
    assert 10 <= first.min() < 12
    assert 38 < first.max() <= 41


def test_the_speed_is_that_of_a_slow_loop() -> None:
    roads = draw_roads(RoadConfig(), 20, 480.0, generator())
    for i in range(3):
        v = [min(float(roads.limit[i]), math.sqrt(SIDEWAYS / max(abs(float(k)), 1e-6))) for k in roads.kappa[i]]
        for j in reversed(range(len(v) - 1)):
            v[j] = min(v[j], math.sqrt(v[j + 1] ** 2 + 2 * BRAKING * SPACING))
        assert roads.speed[i].tolist() == pytest.approx(v, abs=2e-3)


def test_a_bend_is_approached_with_one_and_a_half_metres_per_second_squared() -> None:
    kappa = torch.zeros(1, 6, dtype=torch.float64)
    kappa[:, -1] = 0.1
    v = allowed_speed(kappa, torch.tensor([50.0], dtype=torch.float64))[0]
    torch.testing.assert_close(v[0] ** 2 - v[-1] ** 2, torch.tensor(2 * 1.5 * 5 * SPACING, dtype=torch.float64))


def test_what_is_seen_is_the_road_itself_and_then_straight_on() -> None:
    roads = draw_roads(RoadConfig(), 50, 480.0, generator())
    along = torch.linspace(0, 390, 50)
    seen = roads.seen(along)
    ahead = along[:, None] + torch.tensor([0.0, 10.0, SIGHT - 2 * SPACING])
    for whole, part in zip(roads.path.at(ahead), seen.path.at(ahead), strict=True):
        torch.testing.assert_close(whole, part)
    torch.testing.assert_close(roads.read(roads.kappa, ahead), seen.read(seen.kappa, ahead))
    assert bool((seen.read(seen.speed, ahead) >= roads.read(roads.speed, ahead) - 1e-3).all())
    near = along[:, None] + torch.tensor([0.0, 5.0])  # from 14 m/s it takes less than the rest to brake for any bend
    torch.testing.assert_close(seen.read(seen.speed, near), roads.read(roads.speed, near), rtol=0, atol=1e-3)


def test_at_a_roads_end_the_last_of_it_is_seen() -> None:
    roads = draw_roads(RoadConfig(), 4, 300.0, generator())
    seen = roads.seen(torch.full((4,), 290.0))
    assert torch.equal(seen.path.points[:, -1], roads.path.points[:, -1])
    assert float(seen.kappa[:, -1].abs().max()) == 0


def test_roads_are_long_enough_for_the_drive() -> None:
    cars = SyntheticTeacher(RoadConfig(bends=0, speed_limit_mps=16.0)).cars(40, generator(), 60.0)
    assert bool((cars.roads.path.distance[:, -1] - cars.along > 16 * 60 + SIGHT).all())


@pytest.mark.slow
def test_the_tracker_keeps_its_lane_in_comfort() -> None:
    cars = SyntheticTeacher(RoadConfig()).cars(60, generator(), 20.0)
    state = torch.cat([torch.zeros(60, 3), cars.v0[:, None]], -1)[:, None]
    actions, states, along = track(
        cars.roads, state, cars.along[:, None], cars.last[:, None], cars.wait[:, None], None, 200, 0.1
    )
    rolled = UnicycleRollout(0.1, "euler")(actions[:, 0], cars.v0)
    torch.testing.assert_close(rolled, states[:, 0], rtol=0, atol=2e-2)
    beside = cars.roads.path.locate(states[:, 0, 60:, :2])[1]
    assert beside.abs().max() < 0.5
    assert passes(from_actions(actions[:, 0], states[:, 0], cars.v0, 0.1, "euler"))["all"].double().mean() > 0.95
    assert bool((along[:, 0, -1] > along[:, 0, 0] + 20).all())


def test_the_tracker_does_not_weave_at_any_speed_that_is_allowed() -> None:
    fast = RoadConfig(bends=0, speed_limit_mps=30.0, from_rest=0.0)
    cars = SyntheticTeacher(fast).cars(20, generator(), 20.0)
    state = torch.cat([torch.zeros(20, 3), cars.v0[:, None]], -1)[:, None]
    states = track(cars.roads, state, cars.along[:, None], cars.last[:, None], cars.wait[:, None], None, 200, 0.1)[1]
    beside = cars.roads.path.locate(states[:, 0, 100:, :2])[1]
    assert states[:, 0, -1, 3].min() > 25
    assert beside.abs().max() < 0.05


@pytest.mark.slow
def test_scenes_begin_anywhere_beside_the_lane_and_some_stand() -> None:
    labels = SyntheticTeacher(RoadConfig(), SyntheticConfig(history=True)).labels(600, 1, 0)
    assert labels.route is not None
    assert labels.history is not None
    assert 0.5 < labels.route[:, 0].norm(dim=-1).square().mean().sqrt() < 0.9
    stands = labels.v0 < 1e-3
    assert 0.08 < stands.double().mean() < 0.22
    torch.testing.assert_close(labels.history[stands][..., :3], torch.zeros_like(labels.history[stands][..., :3]))
    assert bool((labels.teacher[stands][:, 0, -1, 3] > 2).all())
    assert labels.history[:, -1, :3].abs().max() < 1e-4
    torch.testing.assert_close(labels.history[:, -1, 3], labels.v0)


def test_the_mirrored_road_is_driven_by_mirrored_actions() -> None:
    cars = SyntheticTeacher(RoadConfig()).cars(20, generator(), 5.0).to(torch.float64)
    roads = cars.roads
    speed = allowed_speed(roads.kappa, roads.limit)
    flip = torch.tensor([1.0, -1.0], dtype=torch.float64)
    path = replace(roads.path, points=roads.path.points * flip, heading=-roads.path.heading)
    other = replace(roads, path=path, kappa=-roads.kappa, speed=speed)
    state = torch.cat([torch.zeros(20, 3), cars.v0[:, None]], -1)[:, None].double()
    last, along, wait = cars.last[:, None], cars.along[:, None], cars.wait[:, None]
    found = track(replace(roads, speed=speed), state, along, last, wait, None, 50, 0.1)[0]
    mirrored = track(other, state, along, last * flip, wait, None, 50, 0.1)[0]
    torch.testing.assert_close(mirrored, found * flip)


def test_everything_is_a_function_of_the_seed() -> None:
    teacher = SyntheticTeacher(RoadConfig(), FEW)
    first, again = teacher.training(3), teacher.training(3)
    assert torch.equal(first.teacher, again.teacher)
    assert first.route is not None
    assert again.route is not None
    assert torch.equal(first.route, again.route)
    assert not torch.equal(first.teacher, teacher.training(4).teacher)


@pytest.mark.slow
def test_the_floor_is_what_drivers_differ_by() -> None:
    reference = build_reference(
        build_teacher(train_config("scenario=ROAD", "teacher.val_scenes=24", "teacher.scenes=64")), 0
    )
    assert 0.6 < float(reference.floor.mean()) < 2.0
    assert reference.labels.teacher.shape == (24, 64, 64, 4)
    assert reference.labels.context_names == ROAD_CONTEXT
    assert reference.labels.history is None
    past = train_config("scenario=ROAD", "teacher.history=true", "teacher.val_scenes=24", "teacher.scenes=64")
    reference = build_reference(build_teacher(past), 0)
    assert reference.labels.history is not None
    assert reference.training is not None  # which baselines learn from


def test_nothing_that_decides_can_be_hidden() -> None:
    with pytest.raises(UserError, match=r"teacher\.reveal must be all with scenario=ROAD"):
        build_teacher(train_config("scenario=ROAD", "teacher.reveal=none"))


@pytest.mark.parametrize("limit", [math.nan, 10.0])
def test_no_slope_asks_for_a_limit_to_be_reached(limit: float) -> None:
    """From 4 to 5 m/s and back, from point to point: v^2 rises and falls by 9."""
    speed = torch.tensor([[4.0, 5.0, 4.0, 4.0]], dtype=torch.float64)
    roads = Roads.of(torch.zeros_like(speed), speed, torch.tensor([limit], dtype=torch.float64))
    slope = 9 / (2 * SPACING)
    assert roads.slope()[0].tolist() == pytest.approx([slope if math.isnan(limit) else 0.0, -slope, 0.0, 0.0])


def on_a_road(kappa: float, slope: float, driver: list[float], steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Actions and states of a driver at 10 m/s on a road of one curvature, whose speed has that slope."""
    s = torch.arange(round(400 / SPACING), dtype=torch.float64) * SPACING
    speed = (100 + 2 * slope * s).clamp(min=0).sqrt()[None]
    roads = Roads.of(torch.full_like(speed, kappa), speed, torch.tensor([math.nan], dtype=torch.float64))
    state = torch.tensor([[[0.0, 0.0, 0.0, 10.0]]], dtype=torch.float64)
    person, zero = torch.tensor([[driver]], dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    last = torch.tensor([[[0.0, kappa]]], dtype=torch.float64)
    actions, states, _ = track(roads, state, zero, last, zero, person, steps, 0.1, free=True)
    return actions[0, 0], states[0, 0]


@pytest.mark.parametrize(
    ("kappa", "slope", "driver", "action"),
    [
        (0.02, 0.0, [0.0, 0.0, 0.0, 0.0], [0.0, 0.02]),
        (0.02, 0.0, [1.0, 0.0, 0.0, 0.0], [0.31, 0.02]),  # grows faster by 3.1 % of 10 m/s a second
        (0.0, -1.0, [0.0, 1.0, 0.0, 0.0], [-1 / 1.06, 0.0]),  # takes the way as 6 % longer
        (0.02, 0.0, [0.0, 0.0, -1.0, 0.0], [0.0, 0.0192]),  # steers 4 % less
    ],
)
def test_a_driver_first_does_what_the_formula_says(
    kappa: float, slope: float, driver: list[float], action: list[float]
) -> None:
    assert on_a_road(kappa, slope, driver, 1)[0][0].tolist() == pytest.approx(action, abs=1e-6)


@pytest.mark.parametrize("side", [1, -1])
def test_who_drifts_does_so_by_half_a_t_squared_and_by_a_metre_at_most(side: int) -> None:
    _, states = on_a_road(0.0, 0.0, [0.0, 0.0, 0.0, 2.5 * side], 200)
    aside = side * states[:, 1]
    assert 0.05 < aside[29] < 0.0375 * 3.0**2  # the line, 0.34 m after 3 s, is followed a little late
    assert aside.max() < 1.05
    assert aside[-50:].tolist() == pytest.approx([1.0] * 50, abs=0.02)


def test_beside_is_to_the_left() -> None:
    cars = SyntheticTeacher(RoadConfig(bends=0)).cars(4, generator(), 5.0)
    here = torch.zeros(4, 1, 2)
    before, after = (some.roads.path.locate(here)[1] for some in (cars, cars.beside(0.7)))
    torch.testing.assert_close(after - before, torch.full((4, 1), 0.7), rtol=0, atol=0.02)
    assert torch.equal(cars.beside(0.7).history, cars.history)


def test_a_column_is_read_linearly_and_held_beyond_its_ends() -> None:
    column = torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float64)
    roads = Roads.of(column * 0, column, torch.tensor([math.nan], dtype=torch.float64))
    along = SPACING * torch.tensor([[-1.0, 0.25, 1.0, 1.5, 2.0, 9.0]], dtype=torch.float64)
    assert roads.read(column, along)[0].tolist() == pytest.approx([0.0, 0.25, 1.0, 2.0, 3.0, 3.0])


def test_a_driver_sees_80_m_ahead_and_6_m_behind_at_points_half_a_metre_apart() -> None:
    roads = draw_roads(RoadConfig(), 3, 300.0, generator())
    assert roads.path.distance[0, :3].tolist() == [0.0, 0.5, 1.0]
    seen = roads.seen(torch.tensor([0.0, 50.0, 100.25]))
    assert seen.path.distance[:, 0].tolist() == [0.0, 44.0, 94.0]
    assert seen.path.distance[:, -1].tolist() == [86.0, 130.0, 180.0]


def test_a_bend_is_driven_with_2_m_per_second_squared_sideways() -> None:
    v = allowed_speed(torch.full((1, 4), -0.02, dtype=torch.float64), torch.tensor([50.0], dtype=torch.float64))
    torch.testing.assert_close(v, torch.full((1, 4), 10.0, dtype=torch.float64))


@pytest.mark.parametrize(
    ("limit", "radius", "rate"),
    [
        (4.0, 20.0, 0.15 / 1.5),  # 1/m/s: the wheel is turned two thirds as fast as one can
        (14.0, 60.0, 4.0 / (2 * 60)),  # fast, 4 m/s^3 sideways at the bend's own speed
    ],
)
def test_a_bend_winds_up_as_fast_as_wheel_and_comfort_allow(limit: float, radius: float, rate: float) -> None:
    one = RoadConfig(bends=1, turn_deg=100.0, radius_m=radius, straight_m=10.0, speed_limit_mps=limit)
    roads = draw_roads(one, 2, 300.0, generator())
    steepest = float(roads.kappa.diff(dim=-1).abs().max()) / SPACING
    assert steepest * min(limit, math.sqrt(2 * radius)) == pytest.approx(rate, rel=2e-2)


def test_cars_begin_anywhere_on_the_first_120_m_beside_the_lane_at_any_share_of_the_speed() -> None:
    """1.5 s before t0, with offsets of 0.7 m and headings of 0.06 rad to either side."""
    made = SyntheticTeacher(RoadConfig(bends=0, from_rest=0.0, speed_limit_mps=10.0)).cars(600, generator())
    began = made.along + made.history[:, 0, 0]
    assert float(began.min()) == pytest.approx(0, abs=3)
    assert float(began.max()) == pytest.approx(120, abs=3)
    assert float(began.mean()) == pytest.approx(60, abs=4)
    _, beside, heading = made.roads.path.locate(made.history[:, :1, :2])
    assert float(beside.std()) == pytest.approx(0.7, abs=0.07)
    assert float((made.history[:, 0, 2] - heading[:, 0]).std()) == pytest.approx(0.06, abs=0.006)
    share = made.history[:, 0, 3] / 10
    assert (float(share.min()), float(share.max())) == pytest.approx((0.3, 1.1), abs=0.02)
    standing = SyntheticTeacher(RoadConfig(from_rest=1.0)).cars(5, generator())
    assert not standing.v0.any()
    assert not standing.wait.any()  # who stood until t0 goes then


def test_a_drivers_own_speed_limit_is_what_it_is_told() -> None:
    cars = SyntheticTeacher(RoadConfig(speed_limit_mps=[6.0, 14.0])).cars(5, generator())
    state = torch.cat([torch.zeros(5, 3), cars.v0[:, None]], -1)
    context = cars.scene(state, cars.along, cars.wait, None).context
    assert context is not None
    assert torch.equal(context, cars.roads.limit[:, None])
    assert bool((cars.roads.limit >= 6).all())
