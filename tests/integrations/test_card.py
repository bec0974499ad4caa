"""The card's own words: what a student takes, and the lines that run it."""

import torch
from taught import built, left

from alpamayo_toy.integrations.card import _inputs, code
from alpamayo_toy.students.config import StudentConfig


def test_the_speeds_of_training_are_said_by_mean_and_spread() -> None:
    student = built(StudentConfig(inputs=["v0", "scenario"]), left(8))
    student.encoder.get_buffer("v0_mean").copy_(torch.tensor([8.04]))
    student.encoder.get_buffer("v0_std").copy_(torch.tensor([2.0]))
    rows = _inputs(student)
    assert rows[0] == "| `scenario` | (B,) | int64, the manoeuvre: 1 LEFT |"
    assert rows[1] == "| `v0` | (B,) | m/s; in training 8.0, standard deviation 2.0 |"
    assert [row for row in rows[2:] if not row.endswith("; not looked at |")] == []
    lines = code(student)
    assert 'scene["v0"] = np.array([8.0], np.float32)' in lines
    assert 'scene["scenario"] = np.array([1])  # LEFT; -1 where unknown' in lines
    assert "x, y, yaw, v after 6.4 s" in lines
    student.encoder.seen.zero_()
    assert _inputs(student)[0] == "| `scenario` | (B,) | int64, -1: training named no manoeuvre |"
    assert 'scene["scenario"] = np.array([-1])  # unknown' in code(student)
