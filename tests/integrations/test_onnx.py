"""A student under every exporter: at other numbers of scenes than it was shown, after its statistics were fitted."""

import io
import shutil
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from parity import HEADS, stirred_head
from releases import released
from taught import left
from torch import Tensor, nn

from alpamayo_toy import Labels, Prediction, UnicycleRollout, load_student
from alpamayo_toy.errors import UserError
from alpamayo_toy.integrations.onnx import OUTPUTS, Flat, exported, write_onnx
from alpamayo_toy.kinematics.rollout import INTEGRATORS
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.student import Student


def full(n: int = 48) -> Labels:
    """Clips with everything that a student may know."""
    draw = torch.Generator().manual_seed(0)
    return replace(
        left(n),
        history=3 + 2 * torch.randn(n, 16, 4, generator=draw),
        context=5 + torch.randn(n, 2, generator=draw),
        context_names=("limit", "slope"),
        route=torch.randn(n, 20, 2, generator=draw),
        route_source="file",
    )


def flat(head: str, integrator: str, labels: Labels | None = None) -> Flat:
    found = stirred_head(head, integrator, full() if labels is None else labels)
    space = found.student.action_space
    assert not torch.equal(space.mean, torch.zeros(2))
    assert not torch.equal(space.std, torch.ones(2))
    return found


def apart(found: Prediction, wanted: Prediction) -> float:
    """The largest difference of any number: m, rad, m/s and so on."""
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
    return max(float((a - b).abs().max()) for a, b in zip(found, wanted, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "integrator"),
    [("one", "euler"), ("one", "trapezoid"), ("drawn", "euler"), ("differences", "trapezoid")],
)
@torch.no_grad()
def test_export_trace_and_compile_give_the_same_numbers(head: str, integrator: str) -> None:
    student = flat(head, integrator)
    traced = torch.jit.trace(student, tuple(student.example(2).values()), check_trace=False)
    torch._dynamo.reset()
    forms = {
        "export": exported(student).module(),
        "trace": lambda *given: Prediction(*traced(*given)),
        "compile": torch.compile(student, fullgraph=True, backend="eager"),
    }
    given = student.example(7, seed=3).values()
    wanted = student(*given)
    assert bool(wanted.trajectories.isfinite().all())
    for name, form in forms.items():
        assert apart(form(*given), wanted) < 2e-5, name


@pytest.mark.slow
@pytest.mark.parametrize("integrator", INTEGRATORS)
@torch.no_grad()
def test_a_trace_of_every_head_gives_the_same_numbers(integrator: str) -> None:
    labels = full()
    for head in HEADS:
        student = flat(head, integrator, labels)
        traced = torch.jit.trace(student, tuple(student.example(2).values()), check_trace=False)
        given = student.example(7, seed=3).values()
        assert apart(Prediction(*traced(*given)), student(*given)) < 2e-5, head


@pytest.mark.slow
@pytest.mark.parametrize("form", ["drawn", "released"])
def test_onnx_runtime_gives_the_same_numbers(
    form: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    if form == "drawn":
        student = flat("drawn", "trapezoid")
        write_onnx(student.student, tmp_path / "model.onnx", student.samples)
        assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    else:  # six modes, euler
        folder = released(tmp_path_factory) / "student"
        student = Flat(load_student(folder)[0])
        assert student.inputs == ("scenario", "v0", "history", "context", "route")
        shutil.copy(folder / "model.onnx", tmp_path)
    (opset,) = [o.version for o in onnx.load(tmp_path / "model.onnx").opset_import if o.domain == ""]
    assert opset == 18
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    assert [i.name for i in session.get_inputs()] == list(student.inputs)
    assert [o.name for o in session.get_outputs()] == list(OUTPUTS)
    for n in (1, 7, 64):
        given = student.example(n, seed=3)
        found = session.run(None, {name: value.numpy() for name, value in given.items()})
        with torch.no_grad():
            wanted = student(*given.values())
        assert apart(Prediction(*map(torch.from_numpy, found)), wanted) < 1e-4, n


def test_inputs_are_those_that_the_student_has() -> None:
    assert flat("one", "euler", left()).inputs == ("scenario", "v0", "context", "route")
    assert flat("drawn", "euler").inputs == ("scenario", "v0", "history", "context", "route", "share", "noise")


def test_what_a_scene_has_not_goes_in_as_unknown() -> None:
    form = flat("one", "euler")
    scene = full(3).scene()
    bare = form.of(replace(scene, history=None, context=None, v0=scene.v0.double()))
    assert [(name, tuple(value.shape)) for name, value in bare.items()] == [
        *(("scenario", (3,)), ("v0", (3,)), ("history", (3, 16, 4)), ("context", (3, 2)), ("route", (3, 20, 2)))
    ]
    assert [name for name, value in bare.items() if bool(value.isnan().all())] == ["history", "context"]
    assert torch.equal(bare["route"], scene.route)
    assert bare["v0"].dtype == torch.float32
    drawn = form.example(64)
    assert sorted(set(drawn["scenario"].tolist())) == list(range(-1, 8))
    assert all(0.1 < float(drawn[name].isnan().float().mean()) < 0.4 for name in ("history", "context", "route"))
    assert torch.equal(form.example(64, seed=1)["scenario"], drawn["scenario"])
    assert not torch.equal(form.example(64, seed=1)["v0"], drawn["v0"])


def test_samples_follow_from_their_noise() -> None:
    student = flat("drawn", "trapezoid")
    given = student.example(5)
    found = student(*given.values())
    assert found.trajectories.shape == (5, 8, 64, 4)
    assert torch.equal(student(*given.values()).trajectories, found.trajectories)
    other = student(*{**given, "noise": -given["noise"]}.values())
    assert not torch.equal(other.trajectories, found.trajectories)


def stops(n: int) -> tuple[Tensor, Tensor]:
    """Cars that brake to a stop, one at exact ties of v + a dt with 0, one parked."""
    actions = torch.randn(n, 64, 2, generator=torch.Generator().manual_seed(1)) - 1
    v0 = torch.linspace(0.1, 3, n)
    actions[0], v0[0] = torch.tensor([-1.25, 0.1]), 1.0
    actions[1], v0[1] = torch.tensor([0.0, 0.1]), 0.0
    return actions, v0


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_a_rollout_traced_on_moving_cars_stops_cars(integrator: str) -> None:
    rollout = UnicycleRollout(0.1, integrator)
    traced = torch.jit.trace(rollout, (torch.zeros(3, 64, 2), torch.full((3,), 30.0)))
    torch.testing.assert_close(traced(*stops(6)), rollout(*stops(6)), rtol=0, atol=2e-5)
    if integrator == "euler":
        assert float(traced(*stops(6))[..., 3].min()) == 0.0


@pytest.mark.slow
def test_a_rollout_in_onnx_runtime_stops_cars_at_the_same_steps() -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    rollout, batch = UnicycleRollout(), torch.export.Dim("batch", min=1)
    moving = (torch.zeros(3, 64, 2), torch.full((3,), 30.0))
    program = torch.export.export(rollout, moving, dynamic_shapes=({0: batch}, {0: batch}), strict=False)
    with redirect_stdout(io.StringIO()):
        made = torch.onnx.export(program, dynamo=True, opset_version=18, verbose=False)
    assert made is not None
    session = runtime.InferenceSession(made.model_proto.SerializeToString())
    given, wanted = stops(1000), rollout(*stops(1000))
    names = [one.name for one in session.get_inputs()]
    (found,) = session.run(None, dict(zip(names, (value.numpy() for value in given), strict=True)))
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=0, atol=2e-5)
    assert torch.equal(torch.from_numpy(found)[..., 3] == 0, wanted[..., 3] == 0)


def test_a_class_of_ones_own_is_refused() -> None:
    class Own(nn.Module):
        def __init__(self, **shape: Any) -> None:
            super().__init__()
            self.rollout = UnicycleRollout()

        def forward(self, scene: Any, samples: int | None) -> Prediction:
            actions = torch.zeros(len(scene), 1, 64, 2)
            return Prediction(actions, self.rollout(actions, scene.v0[:, None]), torch.zeros(len(scene), 1))

    with pytest.raises(UserError, match="Own is a class of your own"):
        Flat(Student(StudentConfig(), 64, own=Own))


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"pip install 'alpamayo-toy\[export\]'"):
        write_onnx(flat("one", "euler", left()).student, tmp_path / "model.onnx")
