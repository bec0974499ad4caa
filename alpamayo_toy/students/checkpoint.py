"""Checkpoints: tensors and plain types only, written atomically, read as strangers' files are.

{"format", "version": the project's that wrote it, "config", "step", "shape": what a student needs beside its config,
"weights": the averaged student, "labels": the fingerprint of a label file's clips}; last.pt also holds "training": the
state that a run needs to continue to the bit.
"""

import re
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from alpamayo_toy import __version__
from alpamayo_toy.errors import UserError, require, shortened
from alpamayo_toy.files import replacing
from alpamayo_toy.hints import LATEST, last_run_in, lying_near
from alpamayo_toy.kinematics.rollout import INTEGRATORS
from alpamayo_toy.kinematics.trajectory import ROUTE_POINTS
from alpamayo_toy.labels.fingerprint import Fingerprint
from alpamayo_toy.labels.untrusted.archive import read_pt
from alpamayo_toy.students import hub, released
from alpamayo_toy.students.config import LARGEST, OwnStudentConfig, StudentConfig
from alpamayo_toy.students.state import check_tensor, check_training, check_weights
from alpamayo_toy.students.student import Student
from alpamayo_toy.teachers.config import DT_S, LONGEST, MISSING
from alpamayo_toy.training.config import MOST_STEPS, TrainConfig, from_dict, lacking, to_dict

FORMAT = 2
READABLE = (1, 2)
"""Format 1 is the same but that some of its students take a history's absolute speeds: those are refused."""
MOST_BYTES = 6 * 4 * LARGEST
"""Of a checkpoint's file: weights, student, average and two moments in float32, and room for their names."""
UNFIT = "the weights do not fit the student that its config describes"
ZIP = b"PK"  # how a zip archive begins
MOST_NAMES = 1024  # of a student's context


def save(
    path: Path,
    config: TrainConfig,
    step: int,
    student: Student,
    training: dict[str, Any] | None = None,
    labels: Fingerprint | None = None,
) -> None:
    """Write a checkpoint of a student, usually the averaged one, and of which labels it learnt from."""
    content = {
        "format": FORMAT,
        "version": __version__,
        "config": to_dict(config),
        "step": step,
        "shape": student.shape,
        "weights": student.state_dict(),
        **({"training": training} if training else {}),
        **({"labels": vars(labels)} if labels else {}),
    }
    with replacing(path) as file:
        torch.save(content, file)


def load(path: str | Path, name: str = "best") -> dict[str, Any]:
    """The content of a checkpoint file, or of a run folder's checkpoints/<name>.pt, on the CPU. Raises UserError.

    best of a released folder, here or on the hub, is the student that it holds. Whoever wrote it, nothing of it is
    executed, and format, config, shape, weights and training state are checked here for all that read one: a student
    is neither built nor filled before. What is of the user's own class is checked where that is known. Options that it
    lacks are named on stderr.
    """
    if hub.is_on_hub(path):
        return _load_from_hub(str(path), name)
    path = Path(path)
    if name == "best" and released.is_released(path):
        file, content = path, {**released.load(path), "format": FORMAT}
    else:
        file = path / "checkpoints" / f"{name}.pt" if path.is_dir() else path
        if not file.is_file():
            if path.is_dir():
                raise UserError(f"{path} is no run's folder: it has no checkpoints/{name}.pt{last_run_in(path)}")
            raise UserError(f"there is no {path}{lying_near(path, LATEST) or last_run_in(path.parent)}")
        content = _read(file)
    version = content.get("version")
    writer = version if isinstance(version, str) and re.fullmatch(r"[\w.+-]{1,40}", version, re.ASCII) else None
    newer = writer is not None and _numbers(writer) > _numbers(__version__)
    written = f"written by version {writer or 'unknown'}, {'newer than' if newer else 'read by'} {__version__}"
    got = content.get("format")
    whole = {"config", "step", "shape", "weights"} <= set(content) and (version is None or writer is not None)
    if type(got) is not int or got not in READABLE or not whole:
        known = " or ".join(map(str, READABLE))
        raise UserError(f"{file} is no checkpoint of format {known} (got {shortened(got)}, {written})")
    try:
        config = from_dict(content["config"])
        for group in ("scenario", "teacher"):
            require(getattr(config, group) != MISSING, group, "given", MISSING)
    except UserError as error:
        raise UserError(f"{file}: its config is not of this version: {error}; {written}") from None
    step = content["step"]
    if type(step) is not int or not 0 <= step <= MOST_STEPS:
        raise UserError(f"{file}: its step must be a whole number from 0 to {MOST_STEPS} (got {shortened(step)})")
    content["shape"] = _shape(content["shape"], f"{file}: the shape of its student; {written}")
    if got == 1 and _takes_absolute_speeds(content):
        raise UserError(
            f"{file} has format 1 and a student that takes the absolute speeds of its history, which are relative to"
            f" t0 since format {FORMAT}: train it again"
        )
    if not isinstance(config.student, OwnStudentConfig):
        student = _unfilled(config.student, content)
        size = sum(tensor.numel() for tensor in student.state_dict().values())
        if size > LARGEST:
            raise UserError(f"{file}: its student has {size} weights, more than the {LARGEST} that are taken")
        check_weights(content["weights"], student, f"{file}: {UNFIT}")
        if "training" in content:
            check_training(content["training"], student, step, str(file))
    if "labels" in content:
        content["labels"] = _fingerprint(content["labels"], f"{file}: the fingerprint of its labels")
    if without := lacking(content["config"], config):
        _say(f"{file}: its config lacks {', '.join(without)}, which take today's defaults; {written}")
    return content


def _load_from_hub(path: str, name: str) -> dict[str, Any]:
    """load() of a released folder that is fetched first: it passes what one here passes."""
    if name != "best":
        raise UserError(
            f"{path}: a released student holds no state to continue from; begin with it: trainer.init_from="
        )
    folder = hub.fetched(path)
    try:
        return load(folder)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _read(file: Path) -> dict[str, Any]:
    """What torch.save wrote, read by the reader of strangers' files."""
    if file.stat().st_size > MOST_BYTES:
        raise UserError(f"{file} is no checkpoint: it has more than {MOST_BYTES} bytes")
    with file.open("rb") as opened:
        if opened.read(len(ZIP)) not in (ZIP, b""):
            raise UserError(f"{file} is no checkpoint, which is what training wrote: checkpoints/best.pt of a run")
    if not zipfile.is_zipfile(file):
        raise UserError(f"{file} cannot be read, perhaps it was cut off: it is no whole zip archive")
    try:
        content = read_pt(file, bare=True)
    except UserError as error:
        why = f"or was damaged: it {str(error).removeprefix(f'{file} ')}"
        raise UserError(
            f"{file} is no checkpoint: it holds something other than tensors and plain numbers, {why}"
        ) from None
    except MemoryError:
        raise UserError(f"{file} is larger than the memory that is left") from None
    if not isinstance(content, dict):
        raise UserError(f"{file} is no checkpoint: it holds {shortened(content)}")
    return content


def _numbers(version: str) -> list[int]:
    """A version as what it is ordered by."""
    return [int(number[:9]) for number in re.findall(r"\d+", version)]


@cache
def _say(line: str) -> None:
    """On stderr, once in a process."""
    print(line, file=sys.stderr)


def _shape(shape: Any, what: str) -> dict[str, Any]:
    """What a student is made with beside its config, its ranges checked."""
    names = {"horizon", "dt", "integrator", "history_steps", "context_names"}
    if not isinstance(shape, dict) or not names <= set(shape) or not set(shape) <= {*names, "route_points"}:
        raise UserError(f"{what}: it must have {', '.join(sorted(names))} (got {shortened(shape)})")
    shape = {"route_points": 0, **shape}
    for name, least in (("horizon", 1), ("history_steps", 0)):
        value = shape[name]
        fits = type(value) is int and least <= value <= LONGEST
        require(fits, f"{what}: {name}", f"a whole number from {least} to {LONGEST}", shape[name])
    dt, context = shape["dt"], shape["context_names"]
    timed = type(dt) in (int, float) and DT_S[0] <= dt <= DT_S[1]
    require(timed, f"{what}: dt", f"from {DT_S[0]:g} to {DT_S[1]:g} s", dt)
    known = isinstance(shape["integrator"], str) and shape["integrator"] in INTEGRATORS
    require(known, f"{what}: integrator", " or ".join(INTEGRATORS), shape["integrator"])
    points = shape["route_points"]
    require(
        type(points) is int and points in (0, ROUTE_POINTS), f"{what}: route_points", f"0 or {ROUTE_POINTS}", points
    )
    named = (
        isinstance(context, list | tuple)
        and len(context) <= MOST_NAMES
        and all(type(n) is str and n.isprintable() for n in context)
    )
    require(named and len(set(context)) == len(context), f"{what}: context_names", "different texts", context)
    return {**shape, "context_names": list(context)}


def _unfilled(config: StudentConfig, content: dict[str, Any]) -> Student:
    """The student that config and shape describe, for the names, shapes and types of its weights.

    Without memory where the file does not hold as many: the meta device, which takes a second to be imported.
    """
    shape, weights = content["shape"], content["weights"]
    inputs = 2 * shape["history_steps"] + len(shape["context_names"]) + 2 * shape["route_points"]
    least = config.size(shape["horizon"]) + inputs * config.embedding
    held = weights.values() if isinstance(weights, dict) else ()
    holds = sum(value.numel() for value in held if isinstance(value, torch.Tensor))
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if least <= holds else "meta"):
        return Student(config, **_made_with(content))


def _fingerprint(found: Any, what: str) -> Fingerprint:
    """What save() wrote of labels."""
    sides = ("trained", "held")
    if not isinstance(found, dict) or set(found) != set(sides):
        raise UserError(f"{what} must have {' and '.join(sides)} (got {shortened(found)})")
    for name in sides:
        side = found[name]
        rows = len(side) if isinstance(side, torch.Tensor) and side.dim() else 0
        check_tensor(side, torch.empty(rows, 4, dtype=torch.int64), f"{what}: %s for {name}")
    return Fingerprint(**found)


def _made_with(content: dict[str, Any]) -> dict[str, Any]:
    """The same as Student takes it."""
    return {**content["shape"], "context_names": tuple(content["shape"]["context_names"])}


def _takes_absolute_speeds(content: dict[str, Any]) -> bool:
    """Whether the speed at t0 stands in a student's history input, where its difference to itself, 0, should."""
    steps, inputs = content["shape"]["history_steps"], content["config"]["student"].get("inputs", ())
    weights = content["weights"]
    mean = weights.get("encoder.history_mean") if isinstance(weights, dict) else None
    sees = steps > 0 and "history" in inputs and isinstance(mean, torch.Tensor) and mean.shape == (2 * steps - 1,)
    return bool(sees and mean is not None and mean[steps - 1] != 0)


def begin_with(student: Student, content: dict[str, Any], path: str) -> None:
    """Give a student the weights of load(path), statistics of inputs and actions among them: it predicts the same.

    Raises UserError where that one was made for other inputs, another horizon or dt, or with other options.
    """
    _require_shape(student, content, f"trainer.init_from={path}", but=("integrator",))
    seen = None if student.own is not None else student.encoder.seen.clone()
    check_weights(content["weights"], student, f"trainer.init_from={path}: its weights do not fit this student")
    student.load_state_dict(content["weights"])
    if seen is not None:
        student.encoder.seen |= seen


def continue_with(
    student: Student, averaged: AveragedModel, optimizer: Optimizer, path: str, labels: Fingerprint | None = None
) -> tuple[int, float, list[int]]:
    """Load a run's last state into what is built: its step, the best validation so far, and ends_of() it.

    Raises UserError where the file holds no such state, or the run's labels are not these any more.
    """
    content = load(path, "last")
    what = f"trainer.resume={path}"
    if "training" not in content:
        raise UserError(f"{what}: it holds no state to continue from; name the run's folder, whose last.pt does")
    _require_shape(student, content, what)
    require_same_labels(content, labels, path)
    state = content["training"]
    check_training(state, student, content["step"], what)
    student.load_state_dict(state["student"])
    averaged.load_state_dict(state["averaged"])
    mine, (theirs,) = optimizer.state_dict(), state["optimizer"]["param_groups"]
    for option, value in mine["param_groups"][0].items():
        got = theirs.get(option, value)
        if option != "lr" and (type(got) is not type(value) or got != value):
            raise UserError(f"{what}: its optimizer has {option} {shortened(got)}, the config makes it {value}")
    optimizer.load_state_dict({**mine, "state": state["optimizer"]["state"]})
    return content["step"], state["best"], ends_of(content)


def require_same_labels(content: dict[str, Any], labels: Fingerprint | None, path: str | Path) -> None:
    """Raise UserError where the labels are not those that the run of load(path) learnt from."""
    known: Fingerprint | None = content.get("labels")
    if known is not None and labels is not None and (changes := known.differs(labels, in_order=True)):
        anew = f"bring the old ones back, or begin a new run with trainer.init_from={path}"
        raise UserError(f"{path}: its labels changed since it learnt from them: {changes}; {anew}")


def ends_of(content: dict[str, Any]) -> list[int]:
    """The steps at which a run's learning rate has come to 0 or is to, of what load() read."""
    return list(content["training"].get("ends", [from_dict(content["config"]).trainer.steps]))


def _require_shape(student: Student, content: dict[str, Any], what: str, but: tuple[str, ...] = ()) -> None:
    for name, theirs in content["shape"].items():
        mine = student.shape[name]
        if name not in but and mine != theirs:
            raise UserError(f"{what}: its student has {name} {theirs}, this one is to have {mine}")


def load_student(path: str | Path, student: type[nn.Module] | None = None) -> tuple[Student, TrainConfig]:
    """The trained student, ready to predict, and its config, from a run's folder, a checkpoint file, a released folder.

    The last is also taken from the hub, as hf://user/name or hf://user/name@revision. student: the class of one of your
    own. A checkpoint remembers which it was and never imports it.
    """
    return student_of(load(path), path, student)


def student_of(
    content: dict[str, Any], path: str | Path, student: type[nn.Module] | None = None
) -> tuple[Student, TrainConfig]:
    """The same from what load(path) has read."""
    config = from_dict(content["config"])
    if isinstance(config.student, OwnStudentConfig) and student is None:
        was = content["config"]["student"].get("module", "")
        was = was if was.isprintable() else shortened(was)
        raise UserError(
            f"{path} holds a student of the user's own; give its class again: student.module={was},"
            " or load_student(path, CLASS)"
        )
    if student is not None and not isinstance(config.student, OwnStudentConfig):
        raise UserError(f"{path} holds a student of this project, no {student.__name__}")
    made = Student(config.student, **_made_with(content), own=student)
    check_weights(content["weights"], made, f"{path}: {UNFIT}")
    made.load_state_dict(content["weights"])
    return made.eval(), config
