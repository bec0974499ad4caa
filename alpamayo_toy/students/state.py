"""What the tensors of a checkpoint must be, against the student that is built, before any of them is loaded."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from alpamayo_toy.errors import UserError, shortened
from alpamayo_toy.training.config import MOST_OPTIONS, MOST_STEPS

YOUNGER = ("encoder.seen", "ends")
"""What older ones lack: their students are taken to have seen all, their learning rates to end with the run."""
POSITIVE = ("std", "bound")  # how buffers end that something is divided by


def check_weights(found: Any, student: nn.Module, what: str, prefix: str = "") -> None:
    """Raise UserError, which begins with what, unless these are a student's weights: by name, shape, type, finite.

    prefix: what stands before the student's own names. The student may be on the meta device.
    """
    wanted: dict[str, Any] = {f"{prefix}{name}": tensor for name, tensor in student.state_dict().items()}
    own = getattr(student, "own", None) is not None  # buffers of a user's own class may hold what they like
    learnt = {f"{prefix}{name}" for name, _ in student.named_parameters()}
    _check_names(found, wanted, what)
    for name, tensor in wanted.items():
        if name not in found:
            continue
        check_tensor(found[name], tensor, f"{what}: %s for {name}", finite=not own or name in learnt)
        if not own and name.endswith(POSITIVE) and not bool((found[name] > 0).all()):
            raise UserError(f"{what}: {name} holds a number that is not > 0")


def check_tensor(found: Any, like: Tensor, what: str, finite: bool = True) -> None:
    """Raise UserError unless it is a tensor of this shape and type, and of finite numbers. what: with %s for why."""
    if not isinstance(found, Tensor):
        raise UserError(f"{what % 'no tensor'} (got {shortened(found)})")
    if found.shape != like.shape:
        raise UserError(f"{what % 'size mismatch'}: {tuple(found.shape)} in the file, {tuple(like.shape)} wanted")
    if found.dtype != like.dtype:
        raise UserError(f"{what % 'another type'}: {found.dtype} in the file, {like.dtype} wanted")
    if finite and not bool(found.isfinite().all()):
        raise UserError(what % "NaN or infinite values")


def check_training(training: Any, student: nn.Module, step: int, what: str) -> None:
    """Raise UserError unless this is the state that a run of the student continues from at a step."""
    parts = dict.fromkeys(("student", "averaged", "optimizer", "best", "ends"))
    _check_names(training, parts, f"{what}: its training state")
    check_weights(training["student"], student, f"{what}: the student in training")
    averaged = training["averaged"]
    if not isinstance(averaged, dict):
        raise UserError(f"{what}: the averaged student must be tensors by name (got {shortened(averaged)})")
    inner = {name: tensor for name, tensor in averaged.items() if name != "n_averaged"}
    check_weights(inner, student, f"{what}: the averaged student", "module.")
    counted = f"{what}: the averaged student: %s for n_averaged"
    check_tensor(averaged.get("n_averaged"), torch.tensor(0), counted)
    if int(averaged["n_averaged"]) != step:
        raise UserError(f"{what}: its average is of step {int(averaged['n_averaged'])}, all else of step {step}")
    best = training["best"]
    if type(best) not in (int, float) or not best >= 0:
        raise UserError(f"{what}: its best validation must be a number >= 0 (got {shortened(best)})")
    ends = training.get("ends", [step])
    whole = isinstance(ends, list) and 0 < len(ends) <= MOST_OPTIONS and all(type(end) is int for end in ends)
    if not (whole and all(a < b for a, b in pairwise([0, *ends])) and step <= ends[-1] <= MOST_STEPS):
        raise UserError(f"{what}: its learning rates must end at rising steps, {step} or later (got {shortened(ends)})")
    _check_optimizer(training["optimizer"], list(student.parameters()), step, f"{what}: its optimizer")


def _check_optimizer(state: Any, parameters: list[nn.Parameter], step: int, what: str) -> None:
    """AdamW's: two moments for each parameter that has been moved. A kernel writes into them without looking."""
    _check_names(state, dict.fromkeys(("state", "param_groups")), what)
    groups, moments = state["param_groups"], state["state"]
    order = list(range(len(parameters)))
    if not isinstance(groups, list | tuple) or len(groups) != 1 or not isinstance(groups[0], dict):
        raise UserError(f"{what} must have one group of parameters (got {shortened(groups)})")
    numbers = groups[0].get("params")
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers) or numbers != order:
        raise UserError(f"{what} is of other parameters than the student's {len(order)}")
    if not isinstance(moments, dict) or not all(type(key) is int and 0 <= key < len(order) for key in moments):
        raise UserError(f"{what} must have its state by the number of the parameter (got {shortened(moments)})")
    for number, kept in moments.items():
        each = f"{what}, parameter {number}"
        _check_names(kept, dict.fromkeys(("step", "exp_avg", "exp_avg_sq")), each)
        check_tensor(kept["step"], torch.tensor(0.0), f"{each}: %s for step")
        for name in ("exp_avg", "exp_avg_sq"):
            check_tensor(kept[name], parameters[number], f"{each}: %s for {name}")
        if not bool((kept["exp_avg_sq"] >= 0).all()):
            raise UserError(f"{each}: exp_avg_sq holds a square below 0")
        if not 0 < float(kept["step"]) <= step:
            raise UserError(f"{each} is of step {float(kept['step']):g}, all else of step {step}")


def _check_names(found: Any, wanted: Mapping[str, Any], what: str) -> None:
    """A dict of exactly these names."""
    if not isinstance(found, dict):
        raise UserError(f"{what} must be named parts (got {shortened(found)})")
    missing = [name for name in wanted if name not in found and not name.endswith(YOUNGER)]
    if missing:
        raise UserError(f"{what}: {missing[0]} is missing")
    strange = [name for name in found if name not in wanted]
    if strange:
        raise UserError(f"{what}: there is no {shortened(strange[0])}")
