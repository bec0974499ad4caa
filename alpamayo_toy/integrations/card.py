"""card(): the README.md of a released student, from what its run has left."""

import json
from pathlib import Path
from typing import Any

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation import drives, results
from alpamayo_toy.evaluation.describe import origin
from alpamayo_toy.hints import command_line
from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.students.student import Student
from alpamayo_toy.training.config import TrainConfig

UNLICENSED = "license_name: fill-in"
CARD = """\
---
license: other
{unlicensed}
library_name: alpamayo_toy
tags: [autonomous-driving, trajectory-prediction]
---

# alpamayo_toy: a student of {name}

What is known of a car at t0 goes in; out come {predicts} for each of {horizon} steps of {dt:g} s, and the
trajectory that they lead to, by the unicycle model ({integrator}). {modes} {parameters:,} parameters.{sentence}

`model.onnx` runs anywhere; `model.safetensors` with `config.json`, which has the digests of these files, is the same
student in PyTorch.

## Trained on

{trained}

## Run it

With numpy and onnxruntime, nothing else (`pip install numpy onnxruntime`):

```python
{code}
```

Frame: the car at t0, its rear axle the origin, x forward, y left; metres, radians counter-clockwise, m/s. Any number B
of scenes goes in at once, in float32 but for the scenario. What is unknown is NaN, an unknown scenario -1.

| input | shape | |
|---|---|---|
{inputs}

Outputs: `actions` (B, {m}, {horizon}, 2) = a [m/s^2], kappa [1/m, positive left]; `trajectories`
(B, {m}, {horizon}, 4) = x, y, yaw, v at t0 + {dt:g} s and so on, t0 itself not among them;
`log_probabilities` (B, {m}).

In PyTorch, to the bit what was trained, with `pip install 'alpamayo-toy[hub]'`:
`student, config = alpamayo_toy.load_student(PATH)`, a folder with these files or `"hf://user/name@revision"`.

## Scores

{scores}

## Closed loop

{driven}

## Exactness and speed

The largest difference of each form from the student in PyTorch, on {scenes} scenes that it was validated on:

{parity}

Median milliseconds of a call on one thread of {machine}, PyTorch {pytorch}, ONNX Runtime {onnxruntime}:

{latency}

## What it is not

A small student for studying action-space policies. It is none of NVIDIA's models and holds no weights of theirs,
whoever made its labels. It sees no camera, no other road user, no traffic light; it was never in a car, and is not to
be let drive one. Its probabilities are those of its training labels. Far from them it is not to be relied on: numbers
beyond ten standard deviations are cut off.

## Licence

Fill in: the weights come from the labels above, whose licence applies; it is not known here. The code that trained
them is under Apache-2.0.
"""

CODE = """\
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
scene = {i.name: np.full((1, *i.shape[1:]), np.nan, np.float32) for i in session.get_inputs()}
scene["scenario"] = np.array([NUMBER])  # NAMED
scene["v0"] = np.array([SPEED], np.float32)  # m/s
ROUTE
actions, trajectories, log_probabilities = session.run(None, scene)
print(trajectories[0, log_probabilities[0].argmax(), -1])  # x, y, yaw, v after SECONDS s"""
ACTIONS, WAYPOINTS = "acceleration and curvature", "waypoints, with actions read off them,"
STRAIGHT_ON = 'scene["route"][0] = [(80 / 19 * i, 0) for i in range(20)]  # straight on'

SCORE_WORDS = """
ADE: the distance between what is predicted and the truth in metres, mean over the horizon; FDE: after so many seconds
alone; minADE: of the nearest of its trajectories. floor: the best that one answer can do, as estimated, since the
teacher answers one scene in many ways. The other rows need no network: `constant_velocity` goes on as at t0.
"""
DRIVE_WORDS = """
Asked again and again, its own actions deciding what it sees next, beside the rules that taught it (tracker), their
steering at the speed of the start (along_the_route) and straight on. left lane: of the roads, on which it was ever 2 m
beside its path; rms, p95, 6 s: metres beside it; yaw: off the road's heading at the end; from rest, 2 m/s: of the cars
that stood, which roll within 3 s, and are above 2 m/s after 5 s; comfort: which keep within nuPlan's limits.
"""


def card(run: str, trained: TrainConfig, step: int, student: Student, found: dict[str, Any]) -> str:
    """The text. run: the folder or checkpoint, beside which metrics.json and eval/drive*/drive.json are looked for."""
    path = Path(run)
    folder = path.parent.parent if path.is_file() else path
    told = origin(trained.scenario, trained.teacher, trained.seed)
    shape, m, parity, latency = student.shape, student.count, found["parity"], found["latency"]
    how = "It answers with one trajectory." if m == 1 else f"It answers with {m} trajectories, each with a probability."
    said, scores = _scores(folder)
    differences = [
        [form, *(f"{value:.1e}" if value else "0" for value in row.values())] for form, row in parity["forms"].items()
    ]
    times = [[batch, *(f"{ms:.2f}" for ms in row.values())] for batch, row in latency["median_ms"].items()]
    return CARD.format(
        unlicensed=UNLICENSED,
        name=Path(told["teacher"]).stem if told["scenario"] == "FILE" else told["scenario"],
        predicts=ACTIONS if student.waypoints is None else WAYPOINTS,
        parameters=sum(parameter.numel() for parameter in student.parameters()),
        sentence=said,
        horizon=shape["horizon"],
        dt=shape["dt"],
        integrator=shape["integrator"],
        modes=how,
        trained=_trained(told, trained, step),
        code=code(student),
        inputs="\n".join(_inputs(student)),
        m=m,
        scores=scores,
        driven=_driven(folder) or f"Not driven.{'' if student.follows_a_route else ' It knows no route.'}",
        scenes=parity["scenes"],
        parity=_table(["", *(f"{n} [{u}]" if u else n for n, u in parity["units"].items())], differences),
        machine=latency["machine"],
        pytorch=latency["pytorch"],
        onnxruntime=latency["onnxruntime"],
        latency=_table(["scenes", *latency["median_ms"]["1"]], times),
    )


def code(student: Student) -> str:
    """The lines that run model.onnx without this project, for a manoeuvre that the student has seen."""
    seen = _seen(student)
    filled = {
        "NUMBER": str(seen[0]) if seen else "-1",
        "NAMED": f"{seen[0].name}; -1 where unknown" if seen else "unknown",
        "SPEED": f"{student.encoder.get_buffer('v0_mean').item():.1f}",
        "ROUTE\n": f"{STRAIGHT_ON}\n" if student.route_points else "",
        "SECONDS": f"{student.horizon * student.rollout.dt:g}",
    }
    text = CODE
    for name, value in filled.items():
        text = text.replace(name, value)
    return text


def _seen(student: Student) -> list[Scenario]:
    """The manoeuvres that training has named."""
    return [scenario for scenario in Scenario if bool(student.encoder.seen[scenario])]


def _inputs(student: Student) -> list[str]:
    seen, encoder = ", ".join(f"{int(scenario)} {scenario.name}" for scenario in _seen(student)), student.encoder
    mean, std = (encoder.get_buffer(f"v0_{name}").item() for name in ("mean", "std"))
    said = {
        "scenario": f"int64, the manoeuvre: {seen}" if seen else "int64, -1: training named no manoeuvre",
        "v0": f"m/s; in training {mean:.1f}, standard deviation {std:.1f}",
    }
    shapes = {"scenario": "(B,)", "v0": "(B,)"}
    if student.history_steps:
        shapes["history"] = f"(B, {student.history_steps}, 4)"
        said["history"] = f"x, y, yaw, v every {student.rollout.dt:g} s, the last row at t0"
    if student.context_names:
        shapes["context"] = f"(B, {len(student.context_names)})"
        said["context"] = ", ".join(student.context_names)
    if student.route_points:
        shapes["route"] = f"(B, {student.route_points}, 2)"
        said["route"] = "points of the path ahead, 80/19 m apart, the first at the car"
    used = {name for name in shapes if name in encoder.inputs}
    return [
        f"| `{name}` | {shapes[name]} | {said[name]}{'' if name in used else '; not looked at'} |" for name in shapes
    ]


def _trained(told: dict[str, Any], trained: TrainConfig, step: int) -> str:
    if told["teacher"] == "synthetic":
        source = (
            f"Labels of a synthetic teacher, scenario {told['scenario']}: made by rules, no recorded drive among them."
        )
    else:
        source = f"The label file `{told['teacher']}`, samples: {told['teacher_samples']}."
    kept = "the last" if step == trained.trainer.steps else "the best in validation"
    return f"{source} Step {step} of {trained.trainer.steps}, {kept}; seed {trained.seed}."


def _scores(folder: Path) -> tuple[str, str]:
    """In one sentence, and whole."""
    metrics = _read(folder / "metrics.json")
    if metrics is None:
        return "", "None were found beside the checkpoint."
    try:
        said = f" On {metrics['clips']} held-out clips {results.sentence(metrics)}"
        return said, f"```\n{results.table(metrics)}\n```\n{SCORE_WORDS.rstrip()}"
    except (KeyError, TypeError):
        made = command_line("eval", checkpoint=folder, output=folder)
        raise UserError(f"{folder / 'metrics.json'} is of another version; score it again: {made}") from None


def _driven(folder: Path) -> str:
    """Every closed loop that was driven, each of which says how; nothing where there is none."""
    said = []
    for path in sorted(folder.glob("eval/drive*/drive.json")):
        try:
            said.append(f"```\n{drives.table(_read(path) or {})}\n```")
        except (KeyError, TypeError):
            made = command_line("drive", checkpoint=folder)
            raise UserError(f"{path} is of another version; drive again: {made}") from None
    return "\n\n".join([*said, DRIVE_WORDS.strip()] if said else [])


def _read(path: Path) -> dict[str, Any] | None:
    """What a JSON file holds, None where there is none."""
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    return content


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
