"""predict(): what it is asked in names, numbers and arrays is what student(scene) is asked."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from composed import scenario_config
from taught import stirred

from alpamayo_toy import Labels, Scenario
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.own_scene import Inputs, scene_of
from alpamayo_toy.students.student import Student, build_student
from alpamayo_toy.teachers.config import SyntheticConfig
from alpamayo_toy.teachers.synthetic import SyntheticTeacher


@pytest.fixture(scope="module")
def asked() -> tuple[Student, Labels]:
    """A student with history, context and route, and the scenes that it was fitted to."""
    teacher = SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(history=True))
    labels = teacher.labels(16, 2, 0)
    student = stirred(build_student(StudentConfig(modes=2), labels, labels.scene(), "euler", 0))
    return student, labels


def everything(labels: Labels, rows: Any) -> dict[str, Any]:
    assert labels.history is not None
    assert labels.context is not None
    assert labels.route is not None
    context = {name: labels.context[rows, i] for i, name in enumerate(labels.context_names)}
    return {"v0": labels.v0[rows], "history": labels.history[rows], "route": labels.route[rows], **context}


def test_it_is_what_the_student_says_of_the_scene(asked: tuple[Student, Labels]) -> None:
    """A batch and one scene, torch and numpy, names and numbers."""
    student, labels = asked
    scene = labels.scene().to(torch.float32)
    wanted = student(scene).likeliest()
    names = [Scenario(n).name for n in labels.scenario.tolist()]
    actions, trajectories = student.predict(names, **everything(labels, slice(None)))
    torch.testing.assert_close(actions, wanted.actions[:, 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(trajectories, wanted.trajectories[:, 0], rtol=0, atol=1e-5)
    one = {name: value.numpy() for name, value in everything(labels, 3).items()}
    actions, trajectory = student.predict(int(labels.scenario[3]), **one)
    assert actions.shape == (64, 2)
    torch.testing.assert_close(actions, wanted.actions[3, 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(trajectory, wanted.trajectories[3, 0], rtol=0, atol=1e-5)


def test_what_one_says_of_all_scenes_and_what_is_left_out(asked: tuple[Student, Labels]) -> None:
    student, labels = asked
    assert labels.history is not None
    many = student.predict("LEFT", v0=[3.0, 5.0, 7.0], **{labels.context_names[0]: 2.0})[0]
    for v0, row in zip((3.0, 5.0, 7.0), many, strict=True):
        alone = student.predict("LEFT", v0=v0, **{labels.context_names[0]: 2.0})[0]
        torch.testing.assert_close(row, alone, rtol=0, atol=1e-6)
    past = labels.history[0]
    told = student.predict("LEFT", float(past[-1, 3]), past)[0]
    from_poses = student.predict("LEFT", history=past[:, :3])[0]  # speeds from the poses, v0 from the speeds
    assert float((told - from_poses).abs().max()) < 0.1
    longer = torch.cat([past[:1].expand(5, 4), past])
    torch.testing.assert_close(student.predict("LEFT", 5.0, longer)[0], student.predict("LEFT", 5.0, past)[0])


def with_a(value: float, rows: int, columns: int) -> torch.Tensor:
    """Zeros but for one number."""
    found = torch.zeros(rows, columns)
    found[3, 1] = value
    return found


def turned(yaw: float) -> torch.Tensor:
    """A history of a car that stood, whose frame is turned."""
    found = torch.zeros(16, 4)
    found[:, 2] = yaw
    return found


def test_a_history_in_float32_may_be_a_millimetre_off(asked: tuple[Student, Labels]) -> None:
    assert asked[0].predict("LEFT", 5.0, turned(0.9e-3))[0].shape == (64, 2)


def test_speeds_are_estimated_in_the_students_own_steps() -> None:
    """A metre in each of three steps of 0.5 s is 2 m/s, of a student that takes the last two poses of four."""
    inputs = Inputs(history_steps=2, route_points=0, context_names=("limit",), dt=0.5)
    poses = torch.tensor([[-3.0, 0, 0], [-2, 0, 0], [-1, 0, 0], [0, 0, 0]])
    several = torch.stack([poses, torch.full((4, 3), torch.nan)])
    scene, alone = scene_of(inputs, None, history=poses)
    assert alone
    assert scene.v0.tolist() == pytest.approx([2.0], abs=1e-3)
    assert scene.history is not None
    assert scene.history[0, :, 3].tolist() == pytest.approx([2.0, 2.0], abs=1e-3)
    assert scene.history[0, :, 0].tolist() == [-1.0, 0.0]
    both, alone = scene_of(inputs, "LEFT", 3.0, several, limit=[1.0, 2.0])
    assert not alone
    assert both.history is not None
    assert both.history.isnan().flatten(1).all(1).tolist() == [False, True]
    assert both.v0.tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match=r"with H >= 4 \(got \(3, 3\)\)"):  # from fewer no speed is estimated
        scene_of(inputs, "LEFT", history=poses[1:])
    slowing = torch.cat([poses, torch.tensor([[9.0], [8.0], [7.0], [6.0]])], -1)
    assert scene_of(inputs, "LEFT", history=slowing)[0].v0.tolist() == [6.0]  # at t0


@pytest.mark.parametrize("v0", [np.arange(4.0)[::-1], np.arange(4).astype(">f4")[::-1], [3, 2, 1, 0]], ids=str)
def test_arrays_of_any_order_of_bytes_or_rows_are_numbers(v0: Any, asked: tuple[Student, Labels]) -> None:
    """A history that is NaN as a whole is unknown, and a scenario's number may be numpy's or a tensor's."""
    student = asked[0]
    wanted = student.predict([1] * 4, torch.tensor([3.0, 2.0, 1.0, 0.0]))[0]
    for scenario in (np.int64(1), torch.tensor(1), np.ones(4, dtype=np.int8), torch.ones(4, dtype=torch.long)):
        found = student.predict(scenario, v0, history=torch.full((16, 3), torch.nan))[0]
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("scenario", "given", "message"),
    [
        ("LEFFT", {"v0": 5}, "students know no scenario LEFFT; did you mean LEFT?"),
        ("stop", {"v0": 5}, "students know no scenario stop; did you mean STOP?"),
        ("ROUNDABOUT", {"v0": 5}, r"students know no scenario ROUNDABOUT; only STRAIGHT, .*, None if unknown"),
        (8, {"v0": 5}, r"a scenario's number must be between -1 and 7 \(got 8\)"),
        ("LEFT", {}, "v0 must be given, in m/s, or a history to estimate it from"),
        ("LEFT", {"v0": "fast"}, "v0 must be numbers"),
        ("LEFT", {"v0": [[1.0, 2.0]]}, r"v0 must be a number or have shape \(B,\) \(got \(1, 2\)\)"),
        ("LEFT", {"v0": float("nan")}, r"v0 must be finite, in m/s \(got nan\)"),
        (["LEFT", "LEFT"], {"v0": [1.0, float("inf")]}, r"v0 must be finite, in m/s \(got inf\)"),
        ("LEFT", {"v0": 1e39}, r"v0 must be finite, in m/s \(got 1e\+39\)"),
        ("LEFT", {"v0": np.ma.masked_array([1.0, 2.0], [0, 1])}, r"v0 must be finite, in m/s \(got nan\)"),
        ("LEFT", {"v0": np.array([1j])}, r"v0 must be numbers \(got complex128\)"),
        ("LEFT", {"v0": np.array([5], dtype="m8[s]")}, r"v0 must be numbers \(got timedelta64\[s\]\)"),
        ("LEFT", {"v0": {"v": 5}}, r"v0 must be numbers \(got dict of 1\)"),
        ("LEFT", {"v0": torch.ones(2, device="meta")}, r"v0 must be numbers \(got torch.float32, .* on meta\)"),
        (
            "LEFT",
            {"v0": torch.ones(2).to_sparse()},
            r"v0 must be numbers \(got torch.float32, torch.sparse_coo, on cpu",
        ),
        ("LEFT", {"v0": []}, "there must be a scene at least"),
        ([], {"v0": 5}, "there must be a scene at least"),
        *(
            (name, {"v0": 5}, "scenario must be a name or its number")
            for name in (1.5, True, b"LEFT", {"LEFT"}, [["LEFT"]])
        ),
        ("LEFT", {"v0": 5, "final_speed_mps": float("inf")}, r"final_speed_mps must be finite \(got inf\)"),
        ("LEFT", {"v0": 5, "history": with_a(torch.nan, 16, 4)}, "history must be finite, or NaN as a whole"),
        ("LEFT", {"history": with_a(torch.nan, 16, 3)}, "history must be finite, or NaN as a whole"),
        ("LEFT", {"history": torch.full((16, 3), torch.nan)}, r"v0 must be finite, in m/s \(got nan\)"),
        ("LEFT", {"v0": 5, "history": with_a(torch.inf, 16, 4)}, r"history must be finite \(got inf\)"),
        ("LEFT", {"v0": 5, "route": with_a(torch.nan, 20, 2)}, "route must be finite, or NaN in both x and y"),
        ("LEFT", {"v0": 5, "route": with_a(-torch.inf, 20, 2)}, r"route must be finite \(got -inf\)"),
        ("LEFT", {"v0": 5, "colour": 1.0}, "this student knows no colour; its context: "),
        (["LEFT", "LEFT"], {"v0": [1, 2, 3]}, r"all must be of the same number of scenes \(v0 has 3, scenario has 2\)"),
        ("LEFT", {"v0": 5, "history": torch.zeros(3, 4)}, r"history must have shape \(B, H, 3 or 4\) with H >= 16"),
        ("LEFT", {"v0": 5, "history": torch.ones(16, 4)}, "the last pose of a history must be the ego frame's own"),
        ("LEFT", {"v0": 5, "history": turned(1.1e-3)}, "the last pose of a history must be the ego frame's own"),
        ("LEFT", {"v0": 5, "route": torch.zeros(9, 2)}, r"route must have shape \(B, 20, 2\)"),
    ],
)
def test_what_makes_no_scene_is_named(
    scenario: Any, given: dict[str, Any], message: str, asked: tuple[Student, Labels]
) -> None:
    with pytest.raises(ValueError, match=message):
        asked[0].predict(scenario, **given)


def test_a_student_without_history_or_route_says_so() -> None:
    labels = SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(reveal="speed")).labels(4, 2, 0)
    student = build_student(StudentConfig(), labels, labels.scene(), "euler", 0)
    with pytest.raises(ValueError, match="this student takes no history"):
        student.predict(None, 5.0, history=torch.zeros(16, 4))
    with pytest.raises(ValueError, match="this student takes no route"):
        student.predict(None, 5.0, route=torch.zeros(20, 2))


def test_what_training_never_showed_is_said_once(asked: tuple[Student, Labels]) -> None:
    labels = SyntheticTeacher(scenario_config("LEFT"), SyntheticConfig(reveal="scene")).labels(16, 2, 0)
    student = build_student(StudentConfig(), labels, labels.scene(), "euler", 0)
    with pytest.warns(UserWarning, match="RIGHT|v0|turn") as caught:
        student.predict("RIGHT", v0=60.0, turn_angle_deg=9000.0)
    assert [str(w.message) for w in caught] == [
        "scenario RIGHT: this student was not trained on it",
        "v0: more than 10 standard deviations from the training scenes; cut off there",
        "turn_angle_deg: more than 10 standard deviations from the training scenes; cut off there",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        student.predict("RIGHT", v0=60.0, turn_angle_deg=9000.0)
        student.predict("LEFT", v0=6.0)
        student.predict(None, v0=6.0)
    older = {name: value for name, value in student.state_dict().items() if name != "encoder.seen"}
    again = build_student(StudentConfig(), labels, labels.scene(), "euler", 1)
    again.load_state_dict(older)
    assert bool(again.encoder.seen.all())
