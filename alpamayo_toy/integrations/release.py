"""export(): a trained student as a folder that others take: released, or a NAVSIM agent."""

import json
import shutil
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alpamayo_toy.errors import UserError
from alpamayo_toy.files import locked, replacing, write_json
from alpamayo_toy.hints import command_line
from alpamayo_toy.integrations.card import UNLICENSED, card
from alpamayo_toy.integrations.config import ExportConfig
from alpamayo_toy.integrations.navsim_agent import POSES, STEP_S
from alpamayo_toy.integrations.onnx import OUTPUTS, Flat, exported, write_onnx
from alpamayo_toy.kinematics.device import device_name
from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.kinematics.trajectory import Prediction, Scene
from alpamayo_toy.students import checkpoint, hub, released
from alpamayo_toy.students.config import OwnStudentConfig
from alpamayo_toy.students.student import Student
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.teachers.teacher import build_teacher
from alpamayo_toy.training.config import TrainConfig, from_dict

AGENT = Path(__file__).with_name("navsim_agent.py")
SCENES = 1000  # of the validation set, at most, on which every form is compared
FARTHEST = 1e-3  # m, from the student: a form that is farther off is not released
BATCHES = (1, 64)  # scenes at once that are timed
CALLS = 100  # of each form, taking turns
UNITS = {"x": "m", "y": "m", "yaw": "rad", "v": "m/s", "a": "m/s^2", "kappa": "1/m", "log_probabilities": ""}


def export(config: ExportConfig, aside: Path) -> str:
    """Write a folder aside and rename it, push it where that is asked for; what is said of it in a terminal.

    Raises UserError where it is there already, the labels that the student was validated on are gone, it is not of
    this project, a form of it drives elsewhere, or the hub does not take it.
    """
    if config.push:
        hub.client()  # missed before the work, not after it
    if not (config.output or config.navsim):
        said = _pushed(Path(config.checkpoint), config.push)
        with suppress(UserError), locked(aside):  # or else another export is at work in it
            shutil.rmtree(aside)  # Hydra's, with what a killed export left in it
        return said
    option, output = ("output", Path(config.output)) if config.output else ("navsim", Path(config.navsim))
    if output.exists():
        raise UserError(f"{option}={output} is there already; name a folder that is not")
    with locked(aside):
        for old in aside.iterdir():  # of a run that was killed
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        try:
            if config.output:
                said = f"{table(release(config.checkpoint, aside))}\nreleased: {output}"
            else:
                write_agent(_of_the_project(config.checkpoint)[1], aside)
                said = f"agent: {output / AGENT.name}, _target_: {AGENT.stem}.StudentAgent"
            aside.rename(output)
        except BaseException:
            shutil.rmtree(aside)
            aside.mkdir()  # Hydra's, which is forgotten like any other
            raise
    if config.push:
        try:
            said += f"\n{_pushed(output, config.push)}"
        except UserError as error:
            aside.mkdir()
            again = command_line("export", checkpoint=output, push=config.push)
            raise UserError(f"{output} is written, but {error}; then: {again}") from None
    return said


def _pushed(folder: Path, name: str) -> str:
    """Put a released folder on the hub; what is said of it."""
    if not released.is_released(folder):
        raise UserError(f"push={name}: {folder} is no released folder; write one first: output=released")
    try:
        text = (folder / released.CARD).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"push={name}: {folder / released.CARD}, its card, cannot be read: {error.strerror}") from None
    said = f"pushed: {hub.push(folder, name)}"
    if UNLICENSED in text:
        again = command_line("export", checkpoint=folder, push=name)
        said += f"\nits card has no licence: fill it in in {folder / released.CARD} and push again: {again}"
    return said


def release(path: str, folder: Path) -> dict[str, Any]:
    """Fill a folder with the student of a run or checkpoint; what parity.json and latency.json say of it."""
    content, student, trained = _of_the_project(path)
    torch.set_num_threads(1)
    flat = Flat(student)
    scene = held_out_scene(student, trained)
    program = exported(flat)
    released.write_weights(folder, student)
    write_onnx(student, folder / "model.onnx", program=program)
    found = differences(flat, program, folder, flat.of(scene))
    for form, row in found.items():
        if not (row["x"] <= FARTHEST and row["y"] <= FARTHEST):  # NaN is neither
            off = f"{row['x']:.2g} and {row['y']:.2g} m"
            raise UserError(f"{path}: {form} is {off} off in x and y, more than {FARTHEST:g}: not released")
    parity, latency = {"scenes": len(scene), "units": UNITS, "forms": found}, _latency(flat, folder)
    write_json(folder / "parity.json", parity)
    write_json(folder / "latency.json", latency)
    step = content["step"]
    text = card(path, trained, step, student, {"parity": parity, "latency": latency})
    (folder / released.CARD).write_text(text, encoding="utf-8")
    released.seal(folder, trained, step, student)
    return {"parity": parity, "latency": latency}


def _of_the_project(path: str) -> tuple[dict[str, Any], Student, TrainConfig]:
    """What a checkpoint holds, its student and config. Raises UserError for a class of the user's own."""
    content = checkpoint.load(path)
    if isinstance(from_dict(content["config"]).student, OwnStudentConfig):
        raise UserError(f"{path} holds a student of a class of your own: only the project's are exported")
    return content, *checkpoint.student_of(content, path)


def write_agent(student: Student, folder: Path) -> None:
    """navsim_agent.py and student.npz, which need numpy alone. Raises UserError for what NAVSIM cannot be given."""
    flat = Flat(student).student
    if flat.waypoints is not None:
        raise UserError(f"navsim: a student of {flat.waypoints.output} has no actions to roll out; train another")
    if flat.rollout.dt != STEP_S or flat.horizon < POSES:
        got = f"{flat.horizon} steps of {flat.rollout.dt:g} s"
        raise UserError(f"navsim: NAVSIM wants {POSES} poses at {STEP_S} s, this student predicts {got}")
    about = {
        **flat.shape,
        "numbers": [name for name in ("v0", "history", "context", "route") if name in flat.encoder.missing],
        "inputs": list(flat.encoder.inputs),
        "scenarios": list(Scenario.__members__),
        "layers": [f"head.{i}" for i, layer in flat.head.named_children() if isinstance(layer, torch.nn.Linear)],
        "modes": flat.count,
        "apart": flat.modes.apart[:, 0].tolist(),
    }
    weights: dict[str, Any] = {name: value.numpy() for name, value in flat.state_dict().items()}
    with replacing(folder / "student.npz") as file:
        np.savez(file, about=np.array(json.dumps(about)), **weights)
    shutil.copyfile(AGENT, folder / AGENT.name)


def held_out_scene(student: Student, trained: TrainConfig) -> Scene:
    """At most 1,000 scenes that the student was validated on, of what it has inputs for."""
    teacher = build_teacher(trained)
    if isinstance(teacher, SyntheticTeacher):
        labels, oracle = teacher.held_out(1, trained.seed)[0], False
    else:
        labels, oracle = teacher.validation, teacher.oracle
    scene = student.known_of(labels.scene(oracle), labels.context_names).to(torch.float32)
    return scene.select(torch.arange(min(len(scene), SCENES)))


def differences(
    flat: Flat, program: torch.export.ExportedProgram, folder: Path, inputs: dict[str, Tensor]
) -> dict[str, dict[str, float]]:
    """The largest difference of each form from the student, by form and number; two of them lie in the folder."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = tuple(inputs.values())
        wanted = flat(*given)
        traced = torch.jit.trace(flat, tuple(flat.example(2).values()), check_trace=False)
        arrays = {name: value.numpy() for name, value in inputs.items()}
        found = {
            "model.safetensors": Flat(_read_back(flat.student, folder), flat.samples)(*given),
            "model.onnx": Prediction(*map(torch.from_numpy, _session(folder).run(list(OUTPUTS), arrays))),
            "torch.export": program.module()(*given),
            "torch.jit.trace": Prediction(*traced(*given)),
        }
        return {name: _apart(answer, wanted) for name, answer in found.items()}


def _read_back(student: Student, folder: Path) -> Student:
    """The same student with the weights that were written."""
    from copy import deepcopy

    from safetensors.torch import load_file

    read = deepcopy(student)
    read.load_state_dict(load_file(folder / released.WEIGHTS))
    return read


def _session(folder: Path) -> Any:
    """model.onnx in ONNX Runtime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])


def _apart(found: Prediction, wanted: Prediction) -> dict[str, float]:
    """The largest difference of each number, NaN where one is not finite."""
    actions, trajectories, likely = ((a - b).abs() for a, b in zip(found, wanted, strict=True))
    columns = {
        **dict(zip(("x", "y", "yaw", "v"), trajectories.unbind(-1), strict=True)),
        **dict(zip(("a", "kappa"), actions.unbind(-1), strict=True)),
        "log_probabilities": likely,
    }
    return {name: float(columns[name].max()) for name in UNITS}


def _latency(flat: Flat, folder: Path) -> dict[str, Any]:
    """Median milliseconds of a call, tensors or arrays in and out, by number of scenes and form; they take turns."""
    import onnxruntime

    session = _session(folder)
    found: dict[str, dict[str, float]] = {}
    for batch in BATCHES:
        given = flat.example(batch)
        arrays = {name: value.numpy() for name, value in given.items()}
        forms: dict[str, Callable[[], object]] = {
            "eager": partial(flat, *given.values()),
            "onnxruntime": partial(session.run, list(OUTPUTS), arrays),
        }
        took: dict[str, list[float]] = {name: [] for name in forms}
        with torch.no_grad():
            for _ in range(CALLS):
                for name, form in forms.items():
                    start = time.perf_counter()
                    form()
                    took[name].append(1000 * (time.perf_counter() - start))
        found[str(batch)] = {name: round(statistics.median(times), 4) for name, times in took.items()}
    return {
        "machine": device_name(torch.device("cpu")),
        "threads": 1,
        "pytorch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "calls": CALLS,
        "median_ms": found,
    }


def table(found: dict[str, Any]) -> str:
    """What is said of a release in a terminal."""
    parity, latency = found["parity"], found["latency"]
    lines = [f"largest difference on {parity['scenes']} validation scenes"]
    for form, differences in parity["forms"].items():
        said = "none" if max(differences.values()) == 0 else f"{max(differences['x'], differences['y']):.1e} m"
        lines.append(f"{form:<20}{said}")
    lines.append(f"median ms on one thread of {latency['machine']}")
    for batch, times in latency["median_ms"].items():
        lines.append(f"{'batch of ' + batch:<20}" + "   ".join(f"{name} {ms:.2f}" for name, ms in times.items()))
    return "\n".join(lines)
