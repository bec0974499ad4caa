"""Alterations of a checkpoint: every leaf deleted, retyped, resized, made NaN, nested, with strange values.

python tests/altered_checkpoints.py [COUNT] [SEED]: so many of them, each loaded, asked and continued in a process of
its own, and a table in Markdown of what became of them, by what was altered.
"""

import copy
import math
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from composed import train_config
from limited import fate, show
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from alpamayo_toy import load_student
from alpamayo_toy.kinematics.trajectory import Scene
from alpamayo_toy.labels.fingerprint import Fingerprint
from alpamayo_toy.students import checkpoint
from alpamayo_toy.students.student import Student
from alpamayo_toy.training.config import TrainConfig

Keys = tuple[Any, ...]
STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**6, 10**12, 2**70, 0.5, -0.5, 1e39, math.inf, math.nan, "", "text", "a\nb", b"bytes"),
    *([], [[]], {}, {"a": 1}, {1: 2}, (), torch.tensor(1.0), torch.zeros(3), torch.tensor([math.nan])),
)


def leaves(content: Any, path: Keys = ()) -> Iterator[Keys]:
    """The way to everything in a checkpoint, containers among it."""
    if path:
        yield path
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, inner in items:
        yield from leaves(inner, (*path, key))


def alterations(content: dict[str, Any]) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """A name and what makes the altered content, of each alteration."""
    for path in leaves(content):
        value = content
        for key in path:
            value = value[key]
        for name, change in _changes(value):
            yield f"{'/'.join(map(str, path))}: {name}", _altered(content, path, change)


def some(content: dict[str, Any], count: int, seed: int) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """So many of them."""
    return random.Random(seed).sample(list(alterations(content)), count)


REMOVED = object()


def _changes(value: Any) -> Iterator[tuple[str, Any]]:
    """What a leaf is replaced by."""
    yield "deleted", REMOVED
    yield "nested", [value]
    yield "named", {"value": value}
    if isinstance(value, Tensor):
        yield "resized", torch.cat([value.flatten(), value.flatten()])
        yield "emptied", value.flatten()[:0]
        yield "expanded", value.flatten()[:1].expand(300, 300) if value.numel() else None
        yield "turned", value.mT if value.dim() > 1 else value.unsqueeze(0)
        for dtype in (torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.float32):
            if dtype != value.dtype:
                yield str(dtype), value.to(dtype)
        if value.is_floating_point():
            for number in (math.nan, math.inf):
                yield str(number), torch.full_like(value, number)
        yield from (("text", "text"), ("number", 1.0), ("nothing", None))
        return
    if isinstance(value, dict):
        yield "more", {**value, "strange": 1}
        yield "numbered", {**value, 7: 1}
    for other in STRANGE:
        if type(other) is not type(value) or other is not value:
            yield f"{type(other).__name__} {str(other)[:20]!r}", other


def _altered(content: dict[str, Any], path: Keys, change: Any) -> Callable[[], dict[str, Any]]:
    def make() -> dict[str, Any]:
        made = copy.deepcopy(content)
        place: Any = made
        for key in path[:-1]:
            place = place[key]
        if change is REMOVED:
            del place[path[-1]]
        else:
            place[path[-1]] = change
        return made

    return make


SCENE = Scene(torch.tensor([1]), torch.tensor([6.0]))


def parts(student: Student) -> tuple[AveragedModel, torch.optim.Optimizer]:
    averaged = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    return averaged, torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)


def stepped(student: Student, averaged: AveragedModel, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    student(SCENE).trajectories.sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    averaged.update_parameters(student)


def small() -> tuple[TrainConfig, Student]:
    config = train_config("student.width=4", "student.embedding=4", "student.layers=1")
    return config, Student(config.student, 8, context_names=("turn_angle_deg",))


def whole(folder: Path) -> dict[str, Any]:
    """What last.pt holds after two steps."""
    config, student = small()
    averaged, optimizer = parts(student)
    for _ in range(2):
        stepped(student, averaged, optimizer)
    state = {"student": student.state_dict(), "averaged": averaged.state_dict(), "optimizer": optimizer.state_dict()}
    path = folder / "last.pt"
    labels = Fingerprint(torch.arange(12).reshape(3, 4), torch.zeros(0, 4, dtype=torch.int64))
    checkpoint.save(path, config, 2, student, {**state, "best": 1.0, "ends": [2]}, labels)
    saved: dict[str, Any] = torch.load(path, weights_only=True)
    return saved


def silently_wrong(path: Path) -> str:
    """Load a checkpoint, ask its student, continue it by a step: what is wrong and not said. Raises UserError."""
    student, _ = load_student(path)
    averaged, optimizer = parts(student)
    checkpoint.continue_with(student, averaged, optimizer, str(path))
    finite = bool(student.predict("LEFT", v0=6.0)[1].isfinite().all())
    stepped(student, averaged, optimizer)
    return "" if finite else "predictions are not finite"


def saved(make: Callable[[], dict[str, Any]], path: Path) -> Path:
    torch.save(make(), path)
    return path


def main(count: int, seed: int) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as room:
        content, path = whole(Path(room)), Path(room, "x.pt")
        found: dict[str, Counter[str]] = {name: Counter() for name in content}
        for name, make in some(content, count, seed):
            found[name.partition("/")[0].partition(":")[0]][fate(name, partial(saved, make, path), silently_wrong)] += 1
    show("altered", found)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
