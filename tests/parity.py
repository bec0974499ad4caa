"""How far every form of every kind of student drives from the student itself, on 1,000 scenes.

python tests/parity.py [LABELS]: a table in Markdown, largest differences of x and y in metres. Without a label file the
scenes are synthetic. Students have the statistics of these labels and an output layer drawn at random.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from composed import scenario_config
from taught import stirred

from alpamayo_toy import Labels, load_labels
from alpamayo_toy.integrations.onnx import Flat, exported, write_onnx
from alpamayo_toy.integrations.release import SCENES, differences
from alpamayo_toy.kinematics.rollout import INTEGRATORS
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.released import write_weights
from alpamayo_toy.students.student import build_student
from alpamayo_toy.teachers.config import SyntheticConfig
from alpamayo_toy.teachers.synthetic import SyntheticTeacher

HEADS: dict[str, tuple[dict[str, Any], int | None]] = {
    "one": ({}, None),
    "modes": ({"modes": 6}, None),
    "drawn": ({"modes": 3, "spread": True}, 8),
    "differences": ({"output": "differences", "modes": 2}, None),
    "residuals": ({"output": "residuals"}, None),
    "waypoints": ({"output": "waypoints", "modes": 2}, None),
}
"""Options of student=, and how many trajectories are drawn."""


def stirred_head(head: str, integrator: str, labels: Labels) -> Flat:
    options, samples = HEADS[head]
    student = build_student(StudentConfig(**options), labels, labels.scene(), integrator, 0)
    return Flat(stirred(student).eval(), samples)


def apart(flat: Flat, labels: Labels) -> dict[str, float]:
    """Metres by form."""
    inputs = {**flat.example(len(labels)), **Flat(flat.student).of(labels.scene())}
    with tempfile.TemporaryDirectory() as folder:
        program = exported(flat)
        write_weights(Path(folder), flat.student)
        write_onnx(flat.student, Path(folder) / "model.onnx", flat.samples, program)
        found = differences(flat, program, Path(folder), inputs)
    return {form: max(row["x"], row["y"]) for form, row in found.items()}


def main(path: str | None) -> None:
    torch.set_num_threads(1)
    if path is None:
        config = SyntheticConfig(reveal="all", history=True)
        labels = SyntheticTeacher(scenario_config("ALL"), config).labels(SCENES, 3, 0)
    else:
        labels = load_labels(path)
        labels = labels.select(torch.arange(min(len(labels), SCENES)))
    print(f"{len(labels)} scenes; longest plan {float(labels.teacher[..., -1, :2].norm(dim=-1).max()):.0f} m")
    heads: list[str] = []
    for head in HEADS:
        for integrator in INTEGRATORS:
            found = apart(stirred_head(head, integrator, labels), labels)
            if not heads:
                heads = ["student", "rollout", *found]
                print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
            print(f"| {head} | {integrator} | {' | '.join(f'{m:.1e}' for m in found.values())} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
