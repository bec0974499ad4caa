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

# A student that predicts {predicts}

What is known at t0 goes in; out come acceleration and curvature for each of {horizon} steps of {dt:g} s, and the
trajectory that they are rolled out to ({integrator}). {modes}

## Trained on

{trained}

## Run it

With numpy and onnxruntime, nothing else:

```python
{code}
```

Frame: the car at t0, its rear axle the origin, x forward, y left; metres, radians counter-clockwise, m/s. Inputs are
float32 and have any number of scenes; what is unknown is NaN, an unknown scenario -1.

| input | shape | |
|---|---|---|
{inputs}

Outputs: `actions` (B, {m}, {horizon}, 2) = a [m/s^2], kappa [1/m, positive left]; `trajectories`
(B, {m}, {horizon}, 4) = x, y, yaw, v at t0 + {dt:g} s and so on, t0 itself not among them;
`log_probabilities` (B, {m}).

In PyTorch, to the bit what was trained: `student, config = alpamayo_toy.load_student("this folder")`.

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

A small student for studying action-space policies. It sees no camera, no other road user, no traffic light; it was
never in a car, and is not to be let drive one. Its probabilities are those of its training labels. Far from them it is
not to be relied on: numbers beyond ten standard deviations are cut off.

## Licence

Fill in: the weights come from the labels above, whose licence applies; it is not known here. The code that trained
them is under Apache-2.0.
"""

CODE = """\
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
shapes = {given.name: given.shape[1:] for given in session.get_inputs()}
scene = {name: np.full((1, *shape), np.nan, np.float32) for name, shape in shapes.items()}  # all is unknown
scene["scenario"] = np.array([NUMBER])  # NUMBERS
scene["v0"] = np.array([6.0], np.float32)  # m/s
actions, trajectories, log_probabilities = session.run(None, scene)
print(trajectories[0, log_probabilities[0].argmax(), -1])  # x, y, yaw, v after SECONDS s"""


def card(run: str, trained: TrainConfig, step: int, student: Student, found: dict[str, Any]) -> str:
    """The text. run: the folder or checkpoint, beside which metrics.json and eval/drive*/drive.json are looked for."""
    path = Path(run)
    folder = path.parent.parent if path.is_file() else path
    shape, m, parity, latency = student.shape, student.count, found["parity"], found["latency"]
    how = "It answers with one trajectory." if m == 1 else f"It answers with {m} trajectories, each with a probability."
    differences = [[form, *(f"{value:.1e}" for value in row.values())] for form, row in parity["forms"].items()]
    times = [[batch, *(f"{ms:.2f}" for ms in row.values())] for batch, row in latency["median_ms"].items()]
    return CARD.format(
        unlicensed=UNLICENSED,
        predicts="actions" if student.waypoints is None else student.waypoints.output,
        horizon=shape["horizon"],
        dt=shape["dt"],
        integrator=shape["integrator"],
        modes=how,
        trained=_trained(trained, step),
        code=code(student),
        inputs="\n".join(_inputs(student)),
        m=m,
        scores=_scores(folder),
        driven=_driven(folder),
        scenes=parity["scenes"],
        parity=_table(["", *(f"{n} [{u}]" if u else n for n, u in parity["units"].items())], differences),
        machine=latency["machine"],
        pytorch=latency["pytorch"],
        onnxruntime=latency["onnxruntime"],
        latency=_table(["scenes", *latency["median_ms"]["1"]], times),
    )


def code(student: Student) -> str:
    """The lines that run model.onnx without this project, for a manoeuvre that the student has seen."""
    seen = [number for number in range(len(Scenario)) if bool(student.encoder.seen[number])]
    number = seen[0] if seen else -1
    said = f"{Scenario(number).name}; -1 where unknown" if seen else "unknown"
    seconds = f"{student.horizon * student.rollout.dt:g}"
    return CODE.replace("NUMBERS", said).replace("NUMBER", str(number)).replace("SECONDS", seconds)


def _inputs(student: Student) -> list[str]:
    names = ", ".join(f"{scenario.value} {scenario.name}" for scenario in Scenario)
    said = {"scenario": f"int64, the manoeuvre: {names}", "v0": "m/s"}
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
    used = {name for name in shapes if name in student.encoder.inputs}
    return [
        f"| `{name}` | {shapes[name]} | {said[name]}{'' if name in used else '; not looked at'} |" for name in shapes
    ]


def _trained(trained: TrainConfig, step: int) -> str:
    told = origin(trained.scenario, trained.teacher, trained.seed)
    if told["teacher"] == "synthetic":
        source = (
            f"Labels of a synthetic teacher, scenario {told['scenario']}: made by rules, no recorded drive among them."
        )
    else:
        source = f"The label file `{told['teacher']}`, of its samples: {told['teacher_samples']}."
    return f"{source} {step} steps, seed {trained.seed}."


def _scores(folder: Path) -> str:
    metrics = _read(folder / "metrics.json")
    if metrics is None:
        return "None were found beside the checkpoint."
    try:
        return f"```\n{results.table(metrics)}\n```"
    except (KeyError, TypeError):
        made = command_line("eval", checkpoint=folder, output=folder)
        raise UserError(f"{folder / 'metrics.json'} is of another version; score it again: {made}") from None


def _driven(folder: Path) -> str:
    """Every closed loop that was driven, each of which says how."""
    said = []
    for path in sorted(folder.glob("eval/drive*/drive.json")):
        try:
            said.append(f"```\n{drives.table(_read(path) or {})}\n```")
        except (KeyError, TypeError):
            made = command_line("drive", checkpoint=folder)
            raise UserError(f"{path} is of another version; drive again: {made}") from None
    return "\n\n".join(said) or "Not driven."


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
