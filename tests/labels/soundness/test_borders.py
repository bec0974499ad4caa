"""Where a fault begins: the last number that is none, and the first that is; and of which sample."""

import math
from dataclasses import replace

import numpy as np
import pytest
from raw_clips import codes, driven, judged, past, sound, turned, waves

from alpamayo_toy.labels.formats.raw import RawClips


def routed(radius: float) -> RawClips:
    """With a route that turns back to the left on a circle and goes straight on."""
    s = np.arange(20) * 80 / 19
    on = np.minimum(s, radius * math.pi)
    x = radius * np.sin(on / radius) + (s - on) * np.cos(on / radius)
    y = radius * (1 - np.cos(on / radius)) + (s - on) * np.sin(on / radius)
    return replace(sound(1), route=np.stack([x, y], -1)[None], route_source="recorded")


def still_within(metres: float) -> RawClips:
    """Two samples that end so far away, of which one turns to the side."""
    clip = driven(np.zeros((1, 2, 64, 2)), np.zeros(1))
    points = clip.teacher.copy()
    points[0, 0, :, 0] = metres * np.arange(1, 65) / 64
    points[0, 1, :, 1] = 0.1 * np.arange(1, 65) / 64
    return replace(clip, teacher=points, rotation=None)


def stretched(factor: float) -> RawClips:
    clip = sound(1)
    return replace(clip, rotation=np.asarray(clip.rotation) * factor)


def moved(axis: int, metres: float, rest: bool) -> RawClips:
    """At 8 m/s, one point of one sample moved, or with rest all that come behind it too."""
    clip = at_speed(8.0)
    points = clip.teacher.copy()
    points[0, 1, 30 : None if rest else 31, axis] += metres
    return replace(clip, teacher=points, rotation=None)


def ending_at(x: float, y: float) -> np.ndarray:
    """A straight history that ends so far from the car."""
    points: np.ndarray = past(np.array([8.0])) + np.array([x, y, 0.0])
    return points


def at_speed(v: float) -> RawClips:
    return driven(waves(1) * [0.0, 0.001], np.array([v]))


def begun_ahead(metres: float) -> RawClips:
    """At 8 m/s from a first point that lies so much further away than a step."""
    clip = at_speed(8.0)
    return replace(clip, teacher=clip.teacher + np.array([metres, 0.0, 0.0]), rotation=None)


def mirrored_at(v: float, bend: float) -> RawClips:
    """Of a bend (1/m) at v m/s the positions turn to the other side than the rotations."""
    clip = driven(np.full((1, 1, 64, 2), [0.0, bend]), np.array([v]))
    return replace(clip, teacher=clip.teacher * [1, -1, 1])


def from_standing(step: float, rows: int, first: float = 0.0) -> RawClips:
    """Straight on in steps of so many metres, from a first row at the car, or nearly, on."""
    clip = driven(np.zeros((1, 1, rows, 2)), np.zeros(1))
    points = clip.teacher.copy()
    points[0, 0, :, 0] = first + step * np.arange(rows)
    return replace(clip, teacher=points, rotation=None)


def two_sides(bend: float) -> RawClips:
    """A sample of 0.01 1/m whose rotations turn as it does, and one whose rotations turn the other way."""
    actions = np.zeros((1, 2, 64, 2))
    actions[0, 0, :, 1], actions[0, 1, :, 1] = 0.01, bend
    clip = driven(actions, np.array([8.0]))
    points = clip.teacher.copy()
    points[:, 1, :, 1] *= -1
    return replace(clip, teacher=points)


BORDERS = [
    ("standing_still", still_within(0.49), still_within(0.51), True),
    ("v0_history", replace(sound(1), v0=np.array([8.9])), replace(sound(1), v0=np.array([9.1])), False),
    ("v0_history", replace(sound(1), v0=np.array([7.1])), replace(sound(1), v0=np.array([6.9])), False),
    ("not_a_rotation", stretched(1.004), stretched(1.006), False),
    ("not_a_rotation", stretched(0.996), stretched(0.994), False),
    ("teleporting", at_speed(119.0), at_speed(121.0), False),
    ("teleporting", replace(sound(1), v0=None), replace(sound(1), v0=np.array([-121.0])), False),
    ("teleporting", moved(0, 3.5, True), moved(0, 3.7, True), False),  # 3 times a step of 0.8 m and 2 m more
    ("teleporting", moved(1, 1.35, False), moved(1, 1.45, False), False),  # a quarter of 1.6 m and 1 m more
    (
        "frame",
        replace(sound(1), history=ending_at(0.09, 0.0)),
        replace(sound(1), history=ending_at(0.11, 0.0)),
        False,
    ),
    ("frame", sound(1), replace(sound(1), history=ending_at(0.0, 0.11)), False),
    ("frame", begun_ahead(2.5), begun_ahead(2.7), False),  # beyond 3 times the next step of 0.8 m and 1 m more
    ("route_bends", routed(2.55), routed(2.3), False),
    ("t0_included", from_standing(0.09, 64), from_standing(0.11, 64), False),
    ("t0_included", from_standing(0.009, 65), from_standing(0.011, 65), False),
    ("t0_included", from_standing(0.5, 64, 2e-4), from_standing(0.5, 64, 0.5e-4), False),
    ("left_handed", two_sides(0.015), two_sides(0.02), False),  # correlations of -0.38 and -0.6
    ("left_handed", mirrored_at(1.9, 0.1), mirrored_at(2.1, 0.1), False),
    ("left_handed", mirrored_at(5.0, 0.0012), mirrored_at(5.0, 0.002), False),  # by 0.04 and 0.06 rad in all
]


@pytest.mark.parametrize(("code", "inside", "beyond", "is_so"), BORDERS)
def test_a_fault_begins_where_it_is_said_to(code: str, inside: RawClips, beyond: RawClips, is_so: bool) -> None:
    """is_so: the code holds inside of the border and not beyond it."""
    assert [code in codes(judged(clip)) for clip in (inside, beyond)] == [is_so, not is_so]


def test_what_does_not_fit_a_rollout_is_told_beyond_a_tenth_of_a_metre_in_the_worst_sample() -> None:
    told = set()
    for angle in np.linspace(0.0, 0.03, 16):
        clip = driven(waves(1) * [1, 0], np.array([8.0]))
        turned_by = clip.teacher.copy()
        turned_by[:, 1] = clip.teacher[:, 1] @ turned(np.array(angle)).T
        report = judged(replace(clip, teacher=turned_by))
        fit = report["kinematic_fit"]["max"]
        assert ("kinematic_fit" in codes(report)) == (fit > 0.1)
        alone = judged(replace(clip, teacher=turned_by[:, 1:], rotation=np.asarray(clip.rotation)[:, 1:]))
        assert fit == pytest.approx(alone["kinematic_fit"]["max"], abs=2e-2)
        told.add((fit > 0.1, round(fit, 1)))
    assert {(False, 0.0), (True, 0.2)} <= told


def test_the_speed_at_the_beginning_is_that_of_the_sample_in_the_middle() -> None:
    v0 = np.array([12.0])
    fast, slow = (driven(waves(1, 1), speed) for speed in (v0, v0 - 4))
    points = np.concatenate([fast.teacher, slow.teacher, slow.teacher], 1)
    clip = replace(slow, teacher=points, rotation=None, v0=v0 - 4)
    assert "v0_history" not in codes(judged(clip))
    assert "v0_history" in codes(judged(replace(clip, v0=v0)))


def test_who_stands_in_one_of_its_samples_alone_does_not_stand() -> None:
    clip = driven(waves(1), np.array([8.0]))
    points = clip.teacher.copy()
    points[:, 0] = 0.0
    assert "standing_still" not in codes(judged(replace(clip, teacher=points, rotation=None)))
