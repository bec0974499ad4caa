"""Options of the teachers: the last value that each takes, and the first that it does not."""

from typing import Any

import pytest

from alpamayo_toy.errors import UserError
from alpamayo_toy.teachers.config import (
    FileConfig,
    MixtureConfig,
    RoadConfig,
    ScenarioConfig,
    SyntheticConfig,
    check_device,
    check_seed,
    check_time,
    drawn_between,
)
from alpamayo_toy.teachers.teacher import synthetic_teacher

STEADY: dict[str, Any] = {"name": "LEFT", "speed_mps": 5.0, "final_speed_mps": 5.0}
FAST: dict[str, Any] = {"speed_change_s": 60.0}
SCENARIO: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"weight": 1e6}, {"weight": 1.01e6}),
    ({"weight": 1e-6}, {"weight": 0.0}),
    ({"speed_mps": 60, "final_speed_mps": 60}, {"speed_mps": 60.1, "final_speed_mps": 60}),
    ({"speed_mps": 0, "final_speed_mps": 0}, {"speed_mps": -0.1, "final_speed_mps": 0}),
    ({**FAST, "final_speed_mps": 60}, {**FAST, "final_speed_mps": 60.1}),
    ({"speed_onset_s": [0, 60]}, {"speed_onset_s": [0, 60.1]}),
    ({"speed_change_s": [0.1, 60]}, {"speed_change_s": [0.09, 60]}),
    ({"turn_angle_deg": [-720, 720]}, {"turn_angle_deg": [-721, 0]}),
    ({"turn_angle_deg": 720}, {"turn_angle_deg": 721}),
    ({"lane_offset_m": [-50, 50]}, {"lane_offset_m": 50.1}),
    ({"lane_offset_m": -50}, {"lane_offset_m": -50.1}),
    ({"steer_onset_s": 60}, {"steer_onset_s": 60.1}),
    ({"steer_s": [0.1, 60]}, {"steer_s": 60.1}),
    # 1.5 times the change of speed over its time is what it begins with: 4 m/s^2 at most
    ({"final_speed_mps": 0, "speed_change_s": 1.875}, {"final_speed_mps": 0, "speed_change_s": 1.87}),
    ({"final_speed_mps": 10, "speed_change_s": 1.875}, {"final_speed_mps": 10, "speed_change_s": 1.87}),
    (
        {"speed_mps": [5, 9], "final_speed_mps": [1, 5], "speed_change_s": [3, 9]},
        {"speed_mps": [5, 9], "final_speed_mps": [1, 5], "speed_change_s": [2.9, 9]},
    ),
    (
        {"speed_mps": [1, 5], "final_speed_mps": [5, 9], "speed_change_s": [3, 9]},
        {"speed_mps": [1, 5], "final_speed_mps": [5, 9], "speed_change_s": [2.9, 9]},
    ),
]
ROAD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"bends": 0}, {"bends": -1}),
    ({"bends": 1000}, {"bends": 1001}),
    ({"radius_m": [4, 1e4]}, {"radius_m": [3.9, 10]}),
    ({"radius_m": 1e4}, {"radius_m": 1.01e4}),
    ({"turn_deg": 360}, {"turn_deg": 361}),
    ({"straight_m": 1e4}, {"straight_m": 1.01e4}),
    ({"straight_m": 0.1}, {"straight_m": 0}),
    ({"speed_limit_mps": 60}, {"speed_limit_mps": 61}),
    ({"from_rest": 0.0}, {"from_rest": -0.01}),
    ({"from_rest": 1.0}, {"from_rest": 1.01}),
]
SYNTHETIC: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"scenes": 1}, {"scenes": 0}),
    ({"scenes": 10**7}, {"scenes": 10**7 + 1}),
    ({"samples": 1}, {"samples": 0}),
    ({"samples": 1000}, {"samples": 1001}),
    ({"val_scenes": 10**5}, {"val_scenes": 10**5 + 1}),
    ({"start_offset_m": 2}, {"start_offset_m": 2.1}),
    ({"start_heading_rad": 0}, {"start_heading_rad": -0.1}),
]
FILE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"val_fraction": 0.2, "fold": 4}, {"val_fraction": 0.2, "fold": 5}),
    ({"val_fraction": 1 / 3, "fold": 2}, {"val_fraction": 1 / 3, "fold": 3}),
    ({"val_fraction": 0.3, "fold": 2}, {"val_fraction": 0.3, "fold": 3}),
    ({"val_fraction": 1e-6}, {"val_fraction": 0.9e-6}),
    ({"val_fraction": 0.99}, {"val_fraction": 1.0}),
    ({"route_error_m": 10}, {"route_error_m": 10.1}),
    ({"integrator": "euler"}, {"integrator": "rk4"}),
    ({"samples": "medoid"}, {"samples": "median"}),
]
ENDS = [
    *((ScenarioConfig, STEADY, *pair) for pair in SCENARIO),
    *((RoadConfig, {}, *pair) for pair in ROAD),
    *((SyntheticConfig, {}, *pair) for pair in SYNTHETIC),
    *((FileConfig, {"path": "x.json"}, *pair) for pair in FILE),
]


@pytest.mark.parametrize(("kind", "rest", "taken", "refused"), ENDS)
def test_an_option_is_taken_up_to_its_end(
    kind: Any, rest: dict[str, Any], taken: dict[str, Any], refused: dict[str, Any]
) -> None:
    kind(**{**rest, **taken})
    with pytest.raises(UserError, match=r" must be "):
        kind(**{**rest, **refused})


def test_times_seeds_and_devices_end_where_they_are_said_to() -> None:
    for horizon, dt, seed in ((4, 0.001, 0), (4096, 10.0, 2**31 - 1)):
        check_time(horizon, dt, seed)
    for wrong in ((3, 0.1, 0), (4097, 0.1, 0), (64, 0.0009, 0), (64, 10.1, 0), (64, 0.1, 2**31), (64, 0.1, -1)):
        with pytest.raises(UserError):
            check_time(*wrong)
    check_seed(2**31 - 1)
    for device in ("auto", "cpu", "cuda", "cuda:0", "cuda:999"):
        check_device(device, "device")
    for device in ("cuda:1000", "cuda:", "CPU", "mps", "cuda:-1"):
        with pytest.raises(UserError, match="device must be auto, cpu, cuda or cuda:N"):
            check_device(device, "device")


def test_a_range_is_a_number_or_two_and_nothing_that_only_looks_like_it() -> None:
    assert drawn_between("x", 3) == (3.0, 3.0)
    assert drawn_between("x", [1, 2.5]) == (1.0, 2.5)
    for wrong in (True, [1, True], [1], [1, 2, 3], "3", [1, None], float("inf"), [0, 1e300]):
        with pytest.raises(UserError, match=r"x must be a number or a range \[low, high\]"):
            drawn_between("x", wrong)


def test_the_fastest_of_a_mixture_is_its_fastest_part_whenever_it_drives_so() -> None:
    slow, late = ScenarioConfig(**STEADY), ScenarioConfig("START", speed_mps=0.0, final_speed_mps=[5.0, 8.0])
    early = ScenarioConfig("STOP", speed_mps=[5.0, 9.0], final_speed_mps=0.0)
    assert [part.fastest for part in (slow, late, early)] == [5.0, 8.0, 9.0]
    for parts in ({"a": slow, "b": late, "c": early}, {"c": early, "a": slow}):
        assert MixtureConfig(parts).fastest == 9.0


def test_a_tracker_is_asked_for_nothing_that_it_could_not_see_coming() -> None:
    """3 m a step and 0.2 s at most."""
    for limit, dt in ((30.0, 0.1), (15.0, 0.2), (60.0, 0.05)):
        assert synthetic_teacher(RoadConfig(speed_limit_mps=limit), SyntheticConfig(), 8, dt).dt == dt
        if limit < 60:
            with pytest.raises(UserError, match=rf"scenario must be of at most {limit:g} m/s with dt={dt:g}"):
                synthetic_teacher(RoadConfig(speed_limit_mps=limit + 0.1), SyntheticConfig(), 8, dt)
    with pytest.raises(UserError, match=r"dt must be <= 0\.2 s with a synthetic teacher"):
        synthetic_teacher(RoadConfig(), SyntheticConfig(), 8, 0.21)
