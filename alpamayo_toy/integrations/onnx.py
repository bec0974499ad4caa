"""Flat: a student with tensors in and tensors out, as tracers and exporters want it; write_onnx() its ONNX file."""

import contextlib
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.kinematics.trajectory import UNKNOWN_SCENARIO, Prediction, Scene
from alpamayo_toy.students.student import Student

OPSET = 18
OUTPUTS = Prediction._fields


class Flat(nn.Module):
    """A student by the names of its inputs: (B, ...) each, in the order of `inputs` -> Prediction.

    Inputs are scenario (B,) int64, -1 where unknown, v0 (B,), and of history (B, H, 4), context (B, E), route
    (B, 20, 2) those that the student has, NaN where unknown. With samples M also share (B, M) uniform in [0, 1) and, of
    a student with a spread, noise (B, M, 16) standard normal: what is drawn follows from them.
    """

    def __init__(self, student: Student, samples: int | None = None) -> None:
        super().__init__()
        if student.own is not None:
            raise UserError(f"{type(student.own).__name__} is a class of your own: only the project's are exported")
        self.student = student
        self.samples = samples
        self.inputs = tuple(self.example(1))

    def forward(self, *given: Tensor) -> Prediction:
        known = dict(zip(self.inputs, given, strict=True))
        share, noise = known.pop("share", None), known.pop("noise", None)
        scene = Scene(**known)
        if share is not None:
            return self.student.drawn(scene, share, noise)
        found: Prediction = self.student(scene)
        return found

    def of(self, scene: Scene) -> dict[str, Tensor]:
        """What these scenes are as inputs by name, in float32; NaN for what the scene has not."""
        example, known = self.example(1), vars(scene.to(torch.float32))
        unknown = {name: torch.full((len(scene), *value.shape[1:]), torch.nan) for name, value in example.items()}
        return {name: unknown[name] if known[name] is None else known[name] for name in self.inputs}

    def example(self, n: int, seed: int = 0) -> dict[str, Tensor]:
        """Inputs of n scenes by name, drawn at random, every fourth value unknown."""
        student, draw = self.student, torch.Generator().manual_seed(seed)
        sizes = {
            "history": (student.history_steps, 4),
            "context": (len(student.context_names),),
            "route": (student.route_points, 2),
        }
        known = {
            "scenario": torch.arange(n) % (len(Scenario) + 1) + UNKNOWN_SCENARIO,
            "v0": torch.rand(n, generator=draw) * 12,
        }
        for name, size in sizes.items():
            if size[0]:
                value = torch.randn(n, *size, generator=draw)
                known[name] = value.masked_fill(torch.rand(n, *size, generator=draw) < 0.25, torch.nan)
        if self.samples is not None:
            known["share"] = torch.rand(n, self.samples, generator=draw)
            if student.spread:
                known["noise"] = torch.randn(n, self.samples, student.modes.coefficients, generator=draw)
        return known


def exported(flat: Flat) -> torch.export.ExportedProgram:
    """The torch.export program of any number of scenes, made with two of them."""
    batch = torch.export.Dim("batch", min=1, max=2**40)  # PyTorch 2.6 refuses to have no limit
    example = tuple(flat.example(2).values())
    with torch.no_grad():
        return torch.export.export(flat, example, dynamic_shapes=((*({0: batch} for _ in example),),), strict=False)


def write_onnx(
    student: Student, path: Path, samples: int | None = None, program: torch.export.ExportedProgram | None = None
) -> None:
    """One file, opset 18, in float32: inputs and outputs by Flat's names, the first axis of each any number of scenes.

    Without samples a student with a spread gives its modes. program: the exported one, where it is at hand. Raises
    UserError without the packages that write it.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError("writing ONNX needs onnx and onnxscript: pip install 'alpamayo-toy[export]'") from None
    flat = Flat(student.to("cpu").eval(), samples)
    before = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)  # the exporter's and its optimiser's, hundreds of lines
        try:
            made = torch.onnx.export(
                program or exported(flat),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                input_names=list(flat.inputs),
                output_names=list(OUTPUTS),
                verbose=False,
            )
        finally:
            logging.disable(before)
    assert made is not None  # without a path it is returned
    model = made.model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output, model.graph):
        del part.metadata_props[:]  # where in whose files each operation was written
    onnx.save(model, path)
