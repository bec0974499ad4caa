"""The card's own words: what a student takes, and the lines that run it."""

import math
from dataclasses import replace

import torch
from composed import train_config
from taught import built, left

from alpamayo_toy.integrations.card import _inputs, card, code
from alpamayo_toy.integrations.release import UNITS, _apart, table
from alpamayo_toy.kinematics.trajectory import Prediction
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


FOUND = {
    "parity": {
        "scenes": 12,
        "units": UNITS,
        "forms": {
            "model.safetensors": dict.fromkeys(UNITS, 0.0),
            "model.onnx": {name: 10.0 ** (i - 7) for i, name in enumerate(UNITS)},
        },
    },
    "latency": {
        "machine": "a machine",
        "pytorch": "2.9",
        "onnxruntime": "1.2",
        "median_ms": {"1": {"eager": 1.5, "onnxruntime": 0.25}, "64": {"eager": 10.0, "onnxruntime": 2.5}},
    },
}


def test_what_it_was_trained_on_and_how_far_it_is_off_are_said() -> None:
    labels = replace(left(4), route=None)
    config = train_config("teacher=file", "teacher.path=mine/labels.json", "trainer.steps=600", "seed=3")
    text = card("nowhere", config, 50, built(labels=labels), FOUND)
    assert "# alpamayo_toy: a student of labels\n" in text
    assert "Step 50 of 600, the best in validation; seed 3." in text
    assert "It answers with one trajectory." in text
    assert "Not driven. It knows no route." in text
    assert "acceleration and curvature for each of 64 steps of 0.1 s" in text
    assert "on 12 scenes that it was validated on" in text
    assert "| model.safetensors | 0 | 0 | 0 | 0 | 0 | 0 | 0 |" in text
    assert "| model.onnx | 1.0e-07 | 1.0e-06 | 1.0e-05 | 1.0e-04 | 1.0e-03 | 1.0e-02 | 1.0e-01 |" in text
    assert "|  | x [m] | y [m] | yaw [rad] | v [m/s] | a [m/s^2] | kappa [1/m] | log_probabilities |" in text
    assert "| scenes | eager | onnxruntime |\n| --- | --- | --- |\n| 1 | 1.50 | 0.25 |\n| 64 | 10.00 | 2.50 |" in text
    assert "80 / 19" not in text
    whole = card("nowhere", config, 600, built(StudentConfig(modes=3, output="waypoints"), left(4)), FOUND)
    assert "Step 600 of 600, the last; seed 3." in whole
    assert "It answers with 3 trajectories, each with a probability." in whole
    assert "waypoints, with actions read off them, for each of 64 steps" in whole
    assert "80 / 19" in whole
    assert "Not driven.\n" in whole
    said = table(FOUND)
    assert "model.safetensors   none\nmodel.onnx          1.0e-06 m\n" in said
    assert said.endswith("batch of 64         eager 10.00   onnxruntime 2.50")


def test_differences_are_the_largest_of_each_number() -> None:
    actions, trajectories, odds = torch.zeros(2, 1, 3, 2), torch.zeros(2, 1, 3, 4), torch.zeros(2, 1)
    wanted = Prediction(actions, trajectories, odds)
    moved = Prediction(actions.clone(), trajectories.clone(), odds.clone())
    for i in range(4):
        moved.trajectories[1, 0, 2, i] = -(i + 1.0)
    moved.actions[0, 0, 1] = torch.tensor([5.0, -6.0])
    moved.log_probabilities[1] = -7.0
    assert _apart(moved, wanted) == {name: i + 1.0 for i, name in enumerate(UNITS)}
    moved.trajectories[0, 0, 0, 1] = torch.nan
    assert math.isnan(_apart(moved, wanted)["y"])
