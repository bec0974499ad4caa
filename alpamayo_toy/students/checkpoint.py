"""Checkpoints: tensors and plain types only, read with weights_only, written atomically.

{"format", "config", "step", "shape": what a student needs beside its config, "weights": the averaged student};
last.pt also holds "training": the state that a run needs to continue to the bit.
"""

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from alpamayo_toy.errors import UserError
from alpamayo_toy.files import replacing
from alpamayo_toy.students import released
from alpamayo_toy.students.config import OwnStudentConfig
from alpamayo_toy.students.student import Student
from alpamayo_toy.training.config import TrainConfig, from_dict, to_dict

FORMAT = 2
READABLE = (1, 2)
"""Format 1 is the same but that some of its students take a history's absolute speeds: those are refused."""


def save(path: Path, config: TrainConfig, step: int, student: Student, training: dict[str, Any] | None = None) -> None:
    """Write a checkpoint of a student, usually the averaged one."""
    content = {
        "format": FORMAT,
        "config": to_dict(config),
        "step": step,
        "shape": student.shape,
        "weights": student.state_dict(),
        **({"training": training} if training else {}),
    }
    with replacing(path) as file:
        torch.save(content, file)


def load(path: str | Path, name: str = "best") -> dict[str, Any]:
    """The content of a checkpoint file, or of a run folder's checkpoints/<name>.pt, on the CPU. Raises UserError.

    best of a released folder is the student that it holds.
    """
    path = Path(path)
    if name == "best" and released.is_released(path):
        return released.load(path)
    file = path / "checkpoints" / f"{name}.pt" if path.is_dir() else path
    if not file.exists():
        what = f"{path} is no run's folder: it has no checkpoints/{name}.pt" if path.is_dir() else f"there is no {path}"
        raise UserError(what)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(f"{file} is no checkpoint: it holds something other than tensors and plain numbers") from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read, perhaps it was cut off: {str(error).splitlines()[0]}") from None
    got = content.get("format") if isinstance(content, dict) else None
    if got not in READABLE or not {"config", "step", "shape", "weights"} <= set(content):
        raise UserError(f"{file} is no checkpoint of format {' or '.join(map(str, READABLE))} (got {got!r})")
    if got == 1 and _takes_absolute_speeds(content):
        raise UserError(
            f"{file} has format 1 and a student that takes the absolute speeds of its history, which are relative to"
            f" t0 since format {FORMAT}: train it again"
        )
    checked: dict[str, Any] = content
    return checked


def _takes_absolute_speeds(content: dict[str, Any]) -> bool:
    """Whether the speed at t0 stands in a student's history input, where its difference to itself, 0, should."""
    steps = content["shape"]["history_steps"]
    sees = steps > 0 and "history" in content["config"]["student"]["inputs"]
    return bool(sees and content["weights"]["encoder.history_mean"][steps - 1] != 0)


def begin_with(student: Student, path: str | Path) -> None:
    """Give a student the weights of a checkpoint's, statistics of inputs and actions among them: it predicts the same.

    Raises UserError where that one was made for other inputs, another horizon or dt, or with other options.
    """
    content = load(path)
    for name, theirs in content["shape"].items():
        mine = student.shape[name]
        if name != "integrator" and mine != theirs:
            raise UserError(f"trainer.init_from={path}: its student has {name} {theirs}, this one is to have {mine}")
    seen = None if student.own is not None else student.encoder.seen.clone()
    _fill(student, content["weights"], f"trainer.init_from={path}: its weights do not fit this student")
    if seen is not None:
        student.encoder.seen |= seen


def load_student(path: str | Path, student: type[nn.Module] | None = None) -> tuple[Student, TrainConfig]:
    """The trained student, ready to predict, and its config, from a run's folder, a checkpoint file, a released folder.

    student: the class of one of your own. A checkpoint remembers which it was and never imports it.
    """
    content = load(path)
    try:
        config = from_dict(content["config"])
    except UserError as error:
        raise UserError(f"{path}: its config is not of this version: {error}") from None
    if isinstance(config.student, OwnStudentConfig) and student is None:
        was = content["config"]["student"].get("module", "")
        raise UserError(
            f"{path} holds a student of the user's own; give its class again: student.module={was},"
            " or load_student(path, CLASS)"
        )
    if student is not None and not isinstance(config.student, OwnStudentConfig):
        raise UserError(f"{path} holds a student of this project, no {student.__name__}")
    shape = {**content["shape"], "context_names": tuple(content["shape"]["context_names"])}
    made = Student(config.student, **shape, own=student)
    _fill(made, content["weights"], f"{path}: the weights do not fit the student that its config describes")
    return made.eval(), config


def _fill(student: Student, weights: dict[str, Any], otherwise: str) -> None:
    try:
        student.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{otherwise}: {str(error).splitlines()[1].strip()}") from None
