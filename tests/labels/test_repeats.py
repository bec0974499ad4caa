"""The one rule of what a repetition is."""

import numpy as np
import pytest

from alpamayo_toy.labels.repeats import Seen, digest


def test_the_same_waypoints_in_float32_are_a_repetition_and_others_a_duplicate() -> None:
    teacher = np.random.default_rng(0).normal(size=(3, 2, 8, 3))
    seen = Seen()
    keys = [("a", 0), ("b", 0), ("a", 1)]
    assert not np.any(seen.again(keys, teacher))
    again = teacher.copy()
    again[..., 2] = 7  # heights do not count
    again[1, 0, 0, 0] += 1e-3
    repeated, duplicate = seen.again(keys, again.astype(np.float32))
    assert repeated.tolist() == [True, False, True]
    assert duplicate.tolist() == [False, True, False]
    assert not np.any(seen.again([("c", 0)], teacher[:1]))


def test_other_samples_are_other_trajectories() -> None:
    teacher = np.zeros((2, 8, 2))
    assert digest(teacher) != digest(teacher[:1])
    assert digest(teacher) != digest(teacher.reshape(1, 16, 2))


@pytest.mark.parametrize("axis", [0, 1])
def test_either_axis_tells_two_apart(axis: int) -> None:
    teacher = np.zeros((2, 1, 8, 2))
    teacher[1, 0, -1, axis] = 0.5
    repeated, duplicate = Seen().again([("a", 0)] * 2, teacher)
    assert repeated.tolist() == [False, False]
    assert duplicate.tolist() == [False, True]


def test_within_one_batch() -> None:
    teacher = np.ones((3, 1, 4, 2)) * np.array([0, 0, 1])[:, None, None, None]
    repeated, duplicate = Seen().again([("a", 0)] * 3, teacher)
    assert repeated.tolist() == [False, True, False]
    assert duplicate.tolist() == [False, False, True]
