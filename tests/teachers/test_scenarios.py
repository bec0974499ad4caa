"""Scenarios as courses: closed forms against sums, what is left of a cut scene, comfort, the scale of the variation."""

import math
from dataclasses import replace

import pytest
import torch
from composed import scenario_config
from hypothesis import given, settings
from hypothesis import strategies as st
from taught import NAMES, made
from torch import Tensor

from alpamayo_toy import Labels
from alpamayo_toy.teachers.config import SyntheticConfig
from alpamayo_toy.teachers.roads import SPACING
from alpamayo_toy.teachers.scenarios import CONTEXT, PARAMETERS, Course
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.teachers.tracker import MAX_CURVATURE, MAX_CURVATURE_RATE, track

BEFORE = 40.0


def courses(name: str, n: int = 50) -> Course:
    """Scenes of a scenario in float64."""
    _, scene = SyntheticTeacher(scenario_config(name))._drawn(n, torch.Generator().manual_seed(3))
    return Course.of(scene.double(), BEFORE)


def states(labels: Labels) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """v and yaw with t0 in front, a, kappa in float64, (N, K, T + 1) and (N, K, T)."""
    trajectory, v0 = labels.teacher.double(), labels.v0.double()
    v = torch.cat([v0[:, None, None].expand(*trajectory.shape[:2], 1), trajectory[..., 3]], -1)
    yaw = torch.cat([torch.zeros_like(v[..., :1]), trajectory[..., 2]], -1)
    kappa = torch.where(v[..., :-1] > 1e-2, yaw.diff(dim=-1) / (v[..., :-1] * 0.1), 0.0)
    return v, yaw, v.diff(dim=-1) / 0.1, kappa


@pytest.mark.parametrize("name", NAMES)
def test_distance_is_the_sum_of_speed_and_time_its_inverse(name: str) -> None:
    scenes = courses(name)
    t = torch.linspace(-2, 12, 14001, dtype=torch.float64).expand(50, -1)
    v, s = scenes.speed(t), scenes.distance(t)
    summed = torch.cat([torch.zeros(50, 1), ((v[:, 1:] + v[:, :-1]) / 2 * 1e-3).cumsum(-1)], -1)
    torch.testing.assert_close(s - s[:, :1], summed, rtol=0, atol=1e-4)
    moving = v > 0.3
    back = scenes.time_at(s)
    assert float((back - t)[moving].abs().max()) < 0.02


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(NAMES), st.floats(0.0, 1.0))
def test_what_is_left_of_a_scene_is_a_scene(name: str, share: float) -> None:
    scenes = courses(name, 20)
    now = share * scenes.end
    left = scenes.left(scenes.begin + scenes.distance(now), (scenes.scene[:, 2] - now).clamp(min=0))
    left[:, 0] = scenes.speed(now.unsqueeze(-1))[:, 0]  # told is the road's speed, its mean over 0.8 s
    after = torch.linspace(0, 8, 81, dtype=torch.float64)
    rest = replace(scenes, scene=torch.cat([left[:, :3], left[:, 3:4].clamp(min=1e-3), left[:, 4:8]], -1))
    moved = now[:, None] + after
    torch.testing.assert_close(rest.speed(after.expand(20, -1)), scenes.speed(moved), rtol=0, atol=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_to_turn_and_to_stop_is_what_the_road_says(name: str) -> None:
    scenes = courses(name)
    roads = scenes.roads(300.0)
    along = (scenes.begin + scenes.distance(0.4 * scenes.end)).unsqueeze(-1)
    left = dict(zip(CONTEXT, scenes.left(along[:, 0], torch.zeros(50)).unbind(-1), strict=True))
    torch.testing.assert_close(left["speed_mps"], roads.read(roads.speed, along)[:, 0], rtol=0, atol=0.05)
    _, heading = roads.path.at(along)
    turn, turned = torch.deg2rad(left["turn_angle_deg"]), roads.path.heading[:, -1] - heading[:, 0]
    if not name.startswith("LANE"):
        torch.testing.assert_close(turned, turn, rtol=0, atol=5e-3)
    else:  # sideways, in the direction of the lane
        gone = roads.path.points[:, -1, 1] - roads.path.at(along)[0][:, 0, 1]
        torch.testing.assert_close(gone, left["lane_offset_m"], rtol=0, atol=0.15)
    stands = scenes.scene[:, 1] == 0
    assert torch.equal(left["stop_m"].isnan(), ~stands)
    to_line = scenes.begin + scenes.distance(scenes.done) - along[:, 0]
    torch.testing.assert_close(left["stop_m"][stands], to_line[stands])
    line = (scenes.begin + scenes.distance(scenes.done))[stands] / SPACING
    torch.testing.assert_close(line, line.round())  # a point of the road


@pytest.mark.parametrize("name", NAMES)
def test_no_road_is_sharper_than_a_car_can_be_steered(name: str) -> None:
    sharp = courses(name).scene * torch.tensor([1.5, 1.5, 1, 1, 2, 3, 1, 0.5], dtype=torch.float64)
    roads = Course.of(sharp, BEFORE).roads(300.0)
    assert float(roads.kappa.abs().max()) <= MAX_CURVATURE + 1e-9
    rate = roads.kappa.diff(dim=-1).abs() / SPACING * (roads.speed[:, 1:] + roads.speed[:, :-1]) / 2
    assert float(rate.max()) <= MAX_CURVATURE_RATE + 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_drivers_are_comfortable(name: str) -> None:
    for reveal in ("scene", "all"):
        v, yaw, a, kappa = states(made(name, reveal=reveal))
        rate = yaw.diff(dim=-1) / 0.1
        lateral = v[..., :-1] ** 2 * kappa
        jerk = torch.hypot(a.diff(dim=-1), lateral.diff(dim=-1)) / 0.1
        passed = (
            ((a >= -4.05) & (a <= 2.40)).all(-1)
            & (lateral.abs() <= 4.89).all(-1)
            & (jerk <= 8.37).all(-1)
            & (a.diff(dim=-1).abs() / 0.1 <= 4.13).all(-1)
            & (rate.abs() <= 0.95).all(-1)
            & (rate.diff(dim=-1).abs() / 0.1 <= 1.93).all(-1)
        )
        assert passed.double().mean() >= 0.95


def test_variation_is_of_the_real_teachers_scale() -> None:
    for reveal in ("scene", "all"):
        xy = made("ALL", 2000, reveal).teacher[..., :2]
        spread = (xy - xy.mean(1, keepdim=True)).norm(dim=-1).mean((0, 1))
        for seconds, expected in ((1.0, 0.07), (3.0, 0.63), (6.4, 2.70)):
            assert 0.8 * expected <= float(spread[round(seconds * 10) - 1]) <= 1.2 * expected


def test_manoeuvres_do_what_their_names_say() -> None:
    assert (made("U_TURN").teacher[..., -1, 2] >= torch.deg2rad(torch.tensor(150.0))).double().mean() >= 0.95
    stop = made("STOP")
    assert (stop.teacher[:, :, -1, 3] < 1e-4).double().mean() > 0.995  # some begin late and misjudge it
    assert bool((stop.v0 >= 4).all())
    start = made("START")
    assert bool((start.v0 == 0).all())
    assert bool((start.teacher[:, :, -1, 3] > 2).double().mean() > 0.95)
    assert bool((made("LEFT").teacher[..., -1, 1] > 0).all())
    assert bool((made("RIGHT").teacher[..., -1, 1] < 0).all())
    assert bool((made("ALL").teacher[..., 3] >= 0).all())


def test_who_waits_is_told_by_the_clock() -> None:
    from_rest = Course.of(torch.tensor([[0.0, 6.0, 3.0, 4.0, 60.0, 0.0, 4.0, 5.0]]).double(), BEFORE)
    drawn = from_rest.scene[0].tolist()
    drawn[0] = float(from_rest.smooth_speed(from_rest.scene[:, 2]))  # of the road where it begins to move
    for wait in (3.0, 1.0, 0.0):
        left = from_rest.left(from_rest.begin, torch.tensor([wait]))[0].tolist()
        assert left[:8] == pytest.approx([*drawn[:2], wait, *drawn[3:6], 1.0 + wait, 5.0], abs=1e-6)


def test_a_turn_and_a_shift_together_stay_within_the_limits() -> None:
    both = Course.of(torch.tensor([[3.0, 3.0, 1.0, 4.0, 90.0, 4.0, 0.5, 2.0]]).double(), BEFORE)
    roads = both.roads(200.0)
    assert float(roads.kappa.diff(dim=-1).abs().max()) / SPACING * 3 <= MAX_CURVATURE_RATE
    assert float(both.scene[0, 4]) < 90


@pytest.mark.slow
def test_the_tracker_stops_at_the_line_and_starts_when_it_is_time() -> None:
    for name in ("STOP", "START"):
        cars = SyntheticTeacher(scenario_config(name)).cars(100, torch.Generator().manual_seed(0), 12.0, first=True)
        state = torch.cat([torch.zeros(100, 3), cars.v0[:, None]], -1)[:, None]
        waits, last = cars.wait[:, None], cars.last[:, None]
        _, driven, along = track(cars.roads, state, cars.along[:, None], last, waits, None, 120, 0.1)
        v = driven[:, 0, :, 3]
        if name == "STOP":
            assert float((along[:, 0, -1] - cars.stop_line()).abs().max()) < 0.7
            assert float(v[:, -1].max()) == 0
        else:
            assert cars.course is not None
            rolls = (v > 1e-3).double().argmax(-1) * 0.1
            torch.testing.assert_close(rolls.float(), cars.course.scene[:, 2], rtol=0, atol=0.11)
            torch.testing.assert_close(v[:, -1], cars.course.scene[:, 1], rtol=0, atol=0.05)
            assert bool(cars.stop_line().isnan().all())


def test_names_of_what_is_told() -> None:
    assert CONTEXT[:8] == PARAMETERS
    quarter = Course.of(torch.tensor([[6.0, 6.0, 0.0, 4.0, 90.0, 0.0, 1.0, 4.0]]), BEFORE)
    left = quarter.left(quarter.begin + 18.0, torch.zeros(1))[0]  # 3 s at 6 m/s: half of the turn
    expected = [6.0, 6.0, 0.0, 1.0, 45.0, 0.0, 0.0, 2.0, math.nan]
    assert left.tolist() == pytest.approx(expected, abs=1e-3, nan_ok=True)
    assert SyntheticConfig().reveal == "all"


def course(*scene: float, before: float = BEFORE) -> Course:
    return Course.of(torch.tensor([scene], dtype=torch.float64), before)


def test_a_change_of_speed_ends_softly() -> None:
    """v1 + (v0 - v1) (1 - u)^1.5: of 8 m/s in the middle of 4 s 8 / 2^1.5 are left."""
    stop = course(8.0, 0.0, 1.0, 4.0, 0.0, 0.0, 0.0, 5.0)
    t = torch.tensor([[0.0, 1.0, 3.0, 5.0, 9.0]], dtype=torch.float64)
    assert stop.speed(t)[0].tolist() == pytest.approx([8.0, 8.0, 8 / 2**1.5, 0.0, 0.0])
    assert stop.distance(t)[0].tolist() == pytest.approx([0.0, 8.0, 8 + 8 * 4 / 2.5 * (1 - 2**-2.5), 20.8, 20.8])


def test_the_speed_of_a_road_is_the_mean_over_four_tenths_of_a_second_to_either_side() -> None:
    stop = course(8.0, 0.0, 1.0, 4.0, 0.0, 0.0, 0.0, 5.0)
    for moment in (0.8, 1.0, 3.0, 4.9, 5.2):
        around = moment + torch.linspace(-0.4, 0.4, 8001, dtype=torch.float64)[None]
        found = stop.smooth_speed(torch.tensor([[moment]], dtype=torch.float64))
        assert float(found) == pytest.approx(float(stop.speed(around).mean()), abs=1e-3)


def test_a_turn_winds_up_over_three_tenths_of_its_length() -> None:
    """90 degrees over 24 m: at most pi/2 / 24 / 0.7 1/m, half of it after 3.6 m."""
    turn = course(6.0, 6.0, 0.0, 4.0, 90.0, 0.0, 1.0, 4.0)
    s = torch.tensor([[6.0, 9.6, 13.2, 18.0, 22.8, 26.4, 30.0]], dtype=torch.float64)
    most = math.pi / 2 / 24 / 0.7
    expected = [0.0, most / 2, most, most, most, most / 2, 0.0]
    assert turn.curvature(s)[0].tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("scene", "end"),
    [
        ((6.0, 6.0, 1.0, 2.0, 90.0, 0.0, 1.0, 4.0), 5.0),
        ((6.0, 6.0, 1.0, 2.0, 0.0, 3.0, 1.0, 4.0), 5.0),
        ((6.0, 6.0, 1.0, 7.0, 90.0, 0.0, 1.0, 4.0), 8.0),
        ((6.0, 6.0, 1.0, 2.0, 0.0, 0.0, 1.0, 4.0), 3.0),  # nothing is to be steered
    ],
)
def test_a_scene_is_over_when_all_of_it_has_been_done(scene: tuple[float, ...], end: float) -> None:
    assert course(*scene).end.tolist() == [end]


def test_who_never_moves_turns_nowhere_and_the_moments_of_a_slow_stop_are_told_apart() -> None:
    still = course(0.0, 0.0, 0.0, 4.0, 90.0, 3.0, 0.0, 4.0)
    assert bool(still.roads(20.0).kappa.isfinite().all())
    stop = course(15.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 5.0)
    t = torch.linspace(0, 9, 91, dtype=torch.float64)[None]
    assert float((stop.time_at(stop.distance(t)) - t).abs().max()) < 0.02


def test_a_stop_line_lies_where_the_road_ends_at_rest() -> None:
    """Counted along the road, which begins before the scene does."""
    cars = SyntheticTeacher(scenario_config("STOP")).cars(20, torch.Generator().manual_seed(0), first=True)
    assert cars.course is not None
    line = cars.stop_line().unsqueeze(-1)
    assert float(cars.roads.read(cars.roads.speed, line + 2).max()) < 0.1
    assert float(cars.roads.read(cars.roads.speed, line - 2).min()) > 0.2
    rolls = SyntheticTeacher(scenario_config("LEFT")).cars(5, torch.Generator().manual_seed(0), first=True)
    assert bool(rolls.stop_line().isnan().all())
