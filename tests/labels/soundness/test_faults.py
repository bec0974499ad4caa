"""Every fault by itself and no other, nothing on clean clips, nothing that crashes."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_clips import codes, driven, judged, past, sound, turned, waves

from alpamayo_toy.labels.formats.raw import RawClips, as_raw, labels_of
from alpamayo_toy.labels.soundness import faults
from alpamayo_toy.labels.soundness.check import ERRORS, WARNINGS, Check, table


def one(clip: RawClips) -> RawClips:
    return replace(clip, clip_id=np.array(["faulty"]))


def with_rows(array: np.ndarray | None, row: tuple[Any, ...], value: object) -> np.ndarray:
    assert array is not None
    changed = array.astype(np.float64)
    changed[row] = value
    return changed


def non_finite() -> RawClips:
    clip = sound(1)
    return replace(clip, teacher=with_rows(clip.teacher, (0, 1, 5, 1), np.nan))


def half_a_history() -> RawClips:
    clip = sound(1)
    return replace(clip, history=with_rows(clip.history, (0, 3), np.nan))


def other_horizon() -> RawClips:
    return driven(waves(1, horizon=60), np.array([8.0]))


def other_time_step() -> RawClips:
    return driven(waves(1), np.array([8.0]), dt=0.2)


def t0_included() -> RawClips:
    clip = sound(1)
    origin = {"teacher": np.zeros((1, 2, 1, 3)), "ground_truth": np.zeros((1, 1, 3))}
    identity = {"rotation": turned(np.zeros((1, 2, 1))), "ground_truth_rotation": turned(np.zeros((1, 1)))}
    rows = {
        name: np.concatenate([first, getattr(clip, name)], axis)[(slice(None),) * axis + (slice(64),)]
        for names, cut in ((origin, -2), (identity, -3))
        for name, first in names.items()
        for axis in [first.ndim + cut]
    }
    return replace(clip, **rows)


def mirror() -> RawClips:
    clip = sound(1)
    return replace(clip, rotation=with_rows(clip.rotation, (..., 1), -np.asarray(clip.rotation)[..., 1]))


def no_rotations() -> RawClips:
    clip = sound(1)
    return replace(clip, rotation=with_rows(clip.rotation, (0, 1, 5), 0.0))


def left_handed() -> RawClips:
    clip = sound(1)
    truth = np.asarray(clip.ground_truth) * [1, -1, 1]
    return replace(clip, teacher=clip.teacher * [1, -1, 1], ground_truth=truth)


def elsewhere() -> RawClips:
    clip = sound(1)
    return replace(clip, teacher=clip.teacher + np.array([50.0, 20.0, 0.0]))


def sideways() -> RawClips:
    """The world's axes: the car faces along y, its rotations say so."""
    clip = sound(1)
    quarter = turned(np.array(math.pi / 2))
    return replace(
        clip,
        teacher=clip.teacher @ quarter.T,
        rotation=quarter @ np.asarray(clip.rotation),
        ground_truth=None,
        ground_truth_rotation=None,
    )


def sideways_without_rotations() -> RawClips:
    return replace(sideways(), rotation=None)


def history_elsewhere() -> RawClips:
    clip = sound(1)
    return replace(clip, history=np.asarray(clip.history) + np.array([0.3, 0.0, 0.0]))


def jump() -> RawClips:
    clip = sound(1)
    return replace(clip, teacher=with_rows(clip.teacher, (0, 0, slice(30, None), 0), clip.teacher[0, 0, 30:, 0] + 8))


def last_jump() -> RawClips:
    clip = sound(1)
    return replace(clip, teacher=with_rows(clip.teacher, (0, 0, -1, 0), clip.teacher[0, 0, -1, 0] + 8))


def outlier() -> RawClips:
    clip = sound(1)
    return replace(clip, teacher=with_rows(clip.teacher, (0, 0, 30, 1), clip.teacher[0, 0, 30, 1] + 3))


def kilometres_of_history() -> RawClips:
    clip = sound(1)
    return replace(clip, history=np.asarray(clip.history) * 1e300)


def impossible_v0() -> RawClips:
    return replace(sound(1), v0=np.array([1e300]))


def standing_still() -> RawClips:
    return driven(np.zeros((1, 2, 64, 2)), np.zeros(1))


def reversing() -> RawClips:
    actions = waves(1) * [0.1, 1.0]
    actions[:, :, :20, 0] -= 2.0
    return driven(actions, np.array([0.5]))


def slipping() -> RawClips:
    """On a course of 0.2 rad with the heading straight on."""
    clip = driven(waves(1) * [1, 0], np.array([8.0]))
    return replace(clip, teacher=clip.teacher @ turned(np.array(0.2)).T)


def v0_history() -> RawClips:
    return replace(sound(1), history=past(np.array([9.5])))


def v0_stated() -> RawClips:
    return replace(sound(1), v0=np.array([6.5]))


def rounded(kind: torch.dtype) -> RawClips:
    clip = replace(sound(1), rotation=None, history=None, history_rotation=None)
    return replace(clip, teacher=torch.from_numpy(clip.teacher).to(kind).double().numpy())


def decimals(places: int) -> RawClips:
    clip = replace(sound(1), rotation=None, history=None, history_rotation=None)
    return replace(clip, teacher=clip.teacher.round(places).astype(np.float32))


def straight_line() -> RawClips:
    return driven(np.zeros((1, 2, 64, 2)), np.array([7.1234567]))


def no_history() -> RawClips:
    clip = sound(1)
    return replace(clip, history=np.zeros((1, 16, 3)), history_rotation=np.zeros((1, 16, 3, 3)))


def bent(radius: float) -> np.ndarray:
    """A route (20, 2) that turns back to the left on a circle and goes straight on."""
    s = np.arange(20) * 80 / 19
    on = np.minimum(s, radius * math.pi)
    x = radius * np.sin(on / radius) + (s - on) * np.cos(on / radius)
    y = radius * (1 - np.cos(on / radius)) + (s - on) * np.sin(on / radius)
    return np.stack([x, y], -1)


def routed(radius: float = 1e6, move: tuple[float, float] = (0, 0), stretch: float = 1.0, end: int = 20) -> RawClips:
    points = bent(radius) * [stretch, 1] + np.array(move)
    points[end:] = np.nan
    return replace(sound(1), route=points[None], route_source="recorded")


FAULTS = {
    "non_finite": [non_finite, half_a_history],
    "horizon": [other_horizon],
    "time_step": [other_time_step],
    "t0_included": [t0_included],
    "not_a_rotation": [mirror, no_rotations],
    "left_handed": [left_handed],
    "frame": [elsewhere, sideways, sideways_without_rotations, history_elsewhere],
    "teleporting": [jump, last_jump, outlier, kilometres_of_history, impossible_v0],
    "duplicate": [lambda: replace(sound(2).select(np.array([1])), clip_id=np.array(["clip-0"]))],
    "repeated": [lambda: sound(1)],
    "standing_still": [standing_still],
    "reversing": [reversing],
    "kinematic_fit": [slipping],
    "v0_history": [v0_history, v0_stated],
    "coarse": [lambda: rounded(torch.bfloat16), lambda: rounded(torch.float16), lambda: decimals(3)],
    "empty_text": [lambda: replace(sound(1), text=np.array([" "]))],
    "nested_text": [lambda: replace(sound(1), nested_text=np.array([True]))],
    "straight_line": [straight_line],
    "repeated_samples": [lambda: replace(sound(1), again=np.array([True]))],
    "no_history": [no_history],
    "route_away": [lambda: routed(move=(3, 4.1)), lambda: routed(move=(-5.1, 0), end=1)],
    "route_jumps": [lambda: routed(stretch=1.51)],
    "route_bends": [lambda: routed(2.0)],
}
EVERY_FAULT = [
    pytest.param(code, make, id=f"{code}-{i}") for code, made in FAULTS.items() for i, make in enumerate(made)
]


@pytest.mark.parametrize(("code", "make"), EVERY_FAULT)
def test_a_fault_is_found_and_no_other(code: str, make: Any) -> None:
    clip = make() if code in ("duplicate", "repeated") else one(make())
    report = judged(sound(3), clip)
    assert codes(report) == {code: 1}
    found = report["errors" if code in ERRORS else "warnings"][code]
    assert found["clips"] == [f"{clip.clip_id[0]} 0"]
    assert report["kept"] == (4 if code in WARNINGS and code != "repeated" else 3)
    assert report["verdict"] == "warnings"
    assert code in table(report)


def test_every_code_has_its_fault() -> None:
    elsewhere_tested = {"damaged", "unreadable", "horizon_unusual", "time_step_unusual", "leakage"}
    assert {*FAULTS, *elsewhere_tested} == {*ERRORS, *WARNINGS}


@pytest.mark.parametrize("with_rotation", [True, False])
def test_clean_clips_are_sound(with_rotation: bool) -> None:
    actions = waves(8)
    v0 = np.array([2.0, 6.0, 15.0, 33.0, 0.0, 9.0, 0.3, 5.0])
    actions[4, ..., 0] = np.linspace(0, 2.5, 64)  # from rest
    actions[5, :, :60, 0], actions[5, :, 60:, 0] = -9 / 6, 0.0  # to a stop, and stays
    actions[6, ..., 0] = 0.0
    actions[6, :, :4, 0], actions[6, :, 30:, 0] = -1.0, 1.0  # rolls back at 0.1 m/s, then leaves
    actions[7, ..., 1] = 0.15  # round and round
    clips = driven(actions, v0)
    if not with_rotation:
        clips = replace(clips, rotation=None)
    check = Check("clean")
    assert check.add(clips).all()
    assert check.verdict == 0
    report = check.report()
    assert codes(report) == {}
    assert report["kinematic_fit"]["max"] < 0.05
    assert "sound" in table(report)


def test_a_parked_car_stands_still_and_nothing_else() -> None:
    zeros = np.zeros(1)
    parked = driven(np.zeros((1, 6, 64, 2)), zeros, history=past(zeros), history_rotation=turned(np.zeros((1, 16))))
    assert codes(judged(parked)) == {"standing_still": 1}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-4, 4), st.floats(-0.15, 0.15)), min_size=8, max_size=8),
    st.floats(0, 30),
    st.sampled_from([4, 8, 64, 65]),
    st.booleans(),
)
def test_clean_rollouts_have_no_errors(pieces: list[tuple[float, float]], v0: float, horizon: int, bare: bool) -> None:
    actions = np.repeat(np.array(pieces), -(-horizon // 8), axis=0)[:horizon]
    v = v0 + np.cumsum(actions[:, 0]) * 0.1
    actions[(v < 0) | (v > 60), 0] = 0.0
    clips = driven(np.stack([actions, actions * [1, -1]])[None], np.array([v0]))
    report = judged(replace(clips, rotation=None) if bare else clips)
    assert report["errors"] == {}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name", ["teacher", "rotation", "ground_truth", "ground_truth_rotation", "history", "history_rotation", "v0"]
)
def test_numbers_that_are_none_drop_their_clip_only(name: str, value: float, capfd: pytest.CaptureFixture[str]) -> None:
    raw = replace(sound(3), v0=np.array([8.0, 9.0, 10.0]))
    array = getattr(raw, name).copy()
    array[(1, *[-1] * (array.ndim - 1))] = value
    check = Check("file")
    assert check.add(replace(raw, **{name: array})).tolist() == [True, False, True]
    assert codes(check.report()) == {"non_finite": 1}
    array[:] = value
    emptied = Check("file")
    missing = name.startswith("history")  # no clip says anything of its past
    assert emptied.add(replace(raw, **{name: array})).tolist() == [missing] * 3
    assert codes(emptied.report()) == {"no_history" if missing else "non_finite": 3}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("scale", [1e-300, 1e4, 1e300])
def test_numbers_of_any_size_are_judged(scale: float, capfd: pytest.CaptureFixture[str]) -> None:
    raw = sound(2)
    for name in ("teacher", "rotation", "ground_truth", "ground_truth_rotation", "history", "history_rotation"):
        judged(replace(raw, **{name: getattr(raw, name) * scale}))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dt", [0.0, -0.1, 1e-300, 1e5, math.nan, math.inf])
def test_a_time_step_must_be_one(dt: float) -> None:
    assert codes(judged(replace(sound(2), dt=dt))) == {"time_step": 2}


@pytest.mark.parametrize("v0", [0.5, 8.0])
def test_a_65th_row_is_t0(v0: float) -> None:
    clip = driven(waves(1) * [0.1, 1.0], np.array([v0]))
    longer = replace(clip, teacher=np.concatenate([np.zeros((1, 2, 1, 3)), clip.teacher], 2), rotation=None)
    assert set(judged(longer)["errors"]) == {"t0_included"}


def test_zeros_for_a_history_are_none_and_labels_come_back_as_clips() -> None:
    raw = sound(3)
    raw = replace(raw, history=with_rows(raw.history, (1,), 0.0))
    raw = replace(raw, history_rotation=with_rows(raw.history_rotation, (1,), 0.0))
    assert codes(judged(raw)) == {"no_history": 1}
    again = as_raw(labels_of(raw, Path("raw")))
    assert codes(judged(again)) == {"no_history": 1}


def test_reversing_is_told_from_rolling_back() -> None:
    actions = np.zeros((3, 1, 64, 2))
    actions[:, :, 10:15, 0] = np.array([-0.36, -1.2, -1.2])[:, None, None]  # to -0.18, -0.6, -0.6 m/s
    actions[1, :, 17:22, 0], actions[2, :, 25:30, 0] = 1.2, 1.2
    clips = driven(actions, np.full(3, 1e-9))
    for raw in (clips, replace(clips, rotation=None)):
        assert judged(raw)["warnings"].get("reversing", {}).get("clips") == ["clip-2 0"]


@pytest.mark.parametrize(("horizon", "told"), [(5, 0), (6, 1)])
def test_six_steps_are_the_shortest_time_to_reverse_in(horizon: int, told: int) -> None:
    actions = np.zeros((1, 1, horizon, 2))
    actions[..., 0, 0] = -1.0  # of 0.1 s, from -0.6 to -0.7 m/s
    assert codes(judged(driven(actions, np.array([-0.6])))).get("reversing", 0) == told


@pytest.mark.parametrize(
    ("degrees", "off"), [(0, False), (44, False), (46, True), (134, True), (136, False), (180, False)]
)
def test_a_course_is_forwards_or_backwards_within_45_degrees(degrees: float, off: bool) -> None:
    course = math.radians(degrees)
    steps = np.arange(1.0, 65.0)[:, None] * [math.cos(course), math.sin(course), 0.0]  # of 10 m/s
    clip = replace(sound(1), teacher=np.stack([steps, steps])[None], rotation=None, ground_truth=None)
    assert bool(faults.errors(replace(clip, ground_truth_rotation=None, history=None))["frame"][0]) == off


def test_a_broken_clip_leaves_its_place_to_a_sound_one() -> None:
    assert codes(judged(replace(non_finite(), clip_id=np.array(["clip-0"])), sound(1))) == {"non_finite": 1}


@pytest.mark.parametrize(
    "clip", [routed(), routed(4.0), routed(move=(2.9, -4)), routed(stretch=1.49), routed(end=9), routed(2.0, end=0)]
)
def test_a_route_that_a_car_could_follow_is_sound(clip: RawClips) -> None:
    report = judged(clip)
    assert report["verdict"] == "sound"
    assert report["routes"] == {"recorded": int(bool(np.isfinite(clip.route).any()))}
    assert "recorded: cut from what was driven, an oracle of where" in table(report)
