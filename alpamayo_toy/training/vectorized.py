"""fit_together(): several seeds of one student trained at once, each to what fit() makes of it alone."""

import copy
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from alpamayo_toy.errors import Interrupted, UserError
from alpamayo_toy.evaluation.evaluate import scores
from alpamayo_toy.evaluation.reference import Reference, build_reference
from alpamayo_toy.files import write_json
from alpamayo_toy.kinematics.action_space import ActionSpace
from alpamayo_toy.kinematics.device import choose_device, keep_freed_memory
from alpamayo_toy.kinematics.trajectory import Scene
from alpamayo_toy.students import checkpoint
from alpamayo_toy.students.losses import loss_terms, weighted
from alpamayo_toy.students.student import Student, build_student
from alpamayo_toy.teachers.files import FileTeacher
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.training.config import TrainConfig, to_dict
from alpamayo_toy.training.draws import batch_indices, hide
from alpamayo_toy.training.loop import (
    LossWatch,
    finished,
    histograms,
    restore,
    run_facts,
    save_last,
    schedule,
    signals,
    training_clips,
    training_state,
)
from alpamayo_toy.views.tensorboard import Logger


@dataclass
class SeedRun:
    """What a seed has for itself, beside its row of the stacked weights."""

    config: TrainConfig
    folder: Path
    student: Student  # holds the seed's averaged weights whenever somebody looks
    reference: Reference
    clips: int
    clips_at: Callable[[Tensor], tuple[Scene, Tensor, Tensor]]
    watch: LossWatch
    log: Logger
    best: float = math.inf
    result: dict[str, Any] | Exception | None = None  # an exception: the seed failed, its row goes on for nothing

    def batch(self, step: int) -> tuple[Scene, Tensor, Tensor]:
        """Scenes, actions and trajectories of a step, the same as in fit()."""
        size, seed = self.config.trainer.batch_size, self.config.seed
        scene, actions, trajectories = self.clips_at(batch_indices(self.clips, size, seed, step))
        return hide(scene, self.config.student.hide, seed, step), actions, trajectories


def fit_together(
    config: TrainConfig, teacher: SyntheticTeacher | FileTeacher, seeds: list[int], output_dir: Path, step: int = 0
) -> dict[int, dict[str, Any] | Exception]:
    """Train seeds side by side in output_dir/seed-N: of each what its metrics.json holds, or why it failed.

    Weights are stacked along a new first dimension (S, ...) and vmap computes the S losses. None depends on another
    seed's weights: the gradient of their sum is every seed's own, and so is AdamW, which is elementwise. Equal to fit()
    but for rounding, which grows with the steps. The folders are fit()'s without pictures. The labels of all seeds are
    held in memory. Seeds that were all stopped at a step > 0 continue there. Raises Interrupted, as fit().
    """
    started = time.monotonic()
    trainer, rate = config.trainer, config.optimizer
    device = choose_device(trainer.device)
    torch.set_num_threads(trainer.threads)
    keep_freed_memory()
    runs: list[SeedRun] = []
    failed: dict[int, Exception] = {}
    for seed in seeds:
        try:
            runs.append(_prepared(replace(config, seed=seed), teacher, output_dir / f"seed-{seed}", device, step))
        except (UserError, OSError) as error:
            failed[seed] = error
    if not runs:
        return dict(failed)

    one = copy.deepcopy(runs[0].student)
    whole = stacked([run.student for run in runs])
    parameters: dict[str, Tensor] = dict(whole.named_parameters())
    buffers = dict(whole.named_buffers())
    averaged = AveragedModel(whole, multi_avg_fn=get_ema_multi_avg_fn(rate.ema_decay))
    ema = cast(Student, averaged.module)
    optimizer = torch.optim.AdamW(whole.parameters(), lr=rate.lr, weight_decay=rate.weight_decay, fused=True)
    if step > 0:
        saved = [checkpoint.load(run.folder, "last") for run in runs]
        restore(_rows_stacked([content["training"] for content in saved]), whole, averaged, optimizer)
        for run, content in zip(runs, saved, strict=True):
            run.best = content["training"]["best"]

    def losses(
        weights: dict[str, Tensor], constants: dict[str, Tensor], scene: dict[str, Tensor], *targets: Tensor
    ) -> dict[str, Tensor]:
        """The loss terms of one seed, and their weighted sum as total."""
        predicted = functional_call(one, (weights, constants), (Scene(**scene),))
        space = ActionSpace(constants["action_space.mean"], constants["action_space.std"])
        terms = loss_terms(config.loss, space, *predicted, *targets)
        return {**terms, "total": weighted(config.loss, terms)}

    bar = tqdm(total=trainer.steps, initial=step, unit="step", disable=None, dynamic_ncols=True)
    clock, logged = time.monotonic(), step
    with signals() as stopped:
        while step < trainer.steps and not stopped and _going(runs):
            scenes, *targets = zip(*[run.batch(step) for run in runs], strict=True)
            given = {name: [vars(scene)[name] for scene in scenes] for name in vars(scenes[0])}
            seen = {name: torch.stack(values) for name, values in given.items() if values[0] is not None}
            terms = vmap(losses)(parameters, buffers, seen, *(torch.stack(values) for values in targets))
            optimizer.zero_grad(set_to_none=True)
            terms["total"].sum().backward()
            norms = clip_each(parameters.values(), rate.clip_norm)
            for group in optimizer.param_groups:
                group["lr"] = rate.lr * schedule(step, trainer.steps, rate.warmup_steps)
            optimizer.step()
            averaged.update_parameters(whole)
            step += 1
            bar.update()
            watched = {**{f"loss/{name}": term for name, term in terms.items()}, "train/gradient_norm": norms}
            for row, run in _going(runs):
                run.watch.add(step, {name: values[row] for name, values in watched.items()})

            last = step == trainer.steps
            if step % trainer.log_every == 0 or last:
                now = time.monotonic()
                pace = {
                    "train/learning_rate": optimizer.param_groups[0]["lr"],
                    "train/steps_per_second": (step - logged) / (now - clock),
                }
                for _, run in _going(runs):
                    with _alone(run):
                        run.log.scalars({**run.watch.means(), **pace}, step)
                clock, logged = now, step
            if step % trainer.val_every == 0 or last:
                for row, run in _going(runs):
                    with _alone(run):
                        run.watch.check()
                        run.student.load_state_dict(_row(ema.state_dict(), row))
                        found = scores(run.student, run.reference)
                        run.log.scalars({f"val/{name}": value for name, value in found.items()}, step)
                        histograms(run.log, run.student, run.reference, step)
                        if found["ade"] < run.best:
                            run.best = found["ade"]
                            checkpoint.save(run.folder / "checkpoints" / "best.pt", run.config, step, run.student)
                        state = _row(training_state(run.best, whole, averaged, optimizer), row)
                        save_last(run.folder, run.config, step, run.student, state)
                clock, logged = time.monotonic(), step
    bar.close()
    for row, run in _going(runs):
        with _alone(run):
            run.watch.check()
            run.student.load_state_dict(_row(ema.state_dict(), row))
            if stopped:
                state = _row(training_state(run.best, whole, averaged, optimizer), row)
                save_last(run.folder, run.config, step, run.student, state)
            else:
                run.result = finished(run.config, run.folder, run.log, run.student, run.reference, step)
                write_json(run.folder / "run.json", run_facts(device, time.monotonic() - started))
        run.log.close()
    if stopped:
        raise Interrupted(f"stopped at step {step} of {trainer.steps}", stopped[0])
    return {**failed, **{run.config.seed: run.result for run in runs if run.result is not None}}


def _prepared(
    config: TrainConfig, teacher: SyntheticTeacher | FileTeacher, folder: Path, device: torch.device, step: int
) -> SeedRun:
    """A seed's labels, student and folder, as fit() begins."""
    labels = teacher.training(config.seed)
    scene = labels.scene(teacher.oracle).to(torch.float32)
    student = build_student(config.student, labels, scene, config.teacher.integrator, config.seed).to(device)
    reference = build_reference(teacher, config.seed)
    log = Logger(folder, step)
    log.text("config", json.dumps(to_dict(config), indent=2))
    write_json(folder / "config.json", to_dict(config))
    clips, clips_at = training_clips(teacher, labels, scene, student, device)
    return SeedRun(config, folder, student, reference, clips, clips_at, LossWatch(folder), log)


def stacked(students: Sequence[Student]) -> Student:
    """A module that holds the students' parameters and buffers along a new first dimension (S, ...); none to call."""
    parameters, buffers = stack_module_state(list(students))
    whole = copy.deepcopy(students[0])
    for name, tensor in whole.state_dict(keep_vars=True).items():
        tensor.data = {**parameters, **buffers}[name].detach()
    return whole


def clip_each(parameters: Iterable[Tensor], limit: float) -> Tensor:
    """clip_grad_norm_ for every seed by itself: gradients (S, ...) scaled in place; returns the norms (S,) before."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    parts = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]
    norms: Tensor = torch.linalg.vector_norm(torch.stack(parts), dim=0)
    scale = (limit / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(scale.view(-1, *[1] * (gradient.dim() - 1)))
    return norms


def _row(state: Any, row: int) -> Any:
    """One seed's part of a stacked state. A tensor without dimensions counts steps, which the seeds share."""
    if isinstance(state, dict):
        return {name: _row(value, row) for name, value in state.items()}
    return state[row].clone() if isinstance(state, Tensor) and state.dim() > 0 else state


def _rows_stacked(states: list[Any]) -> Any:
    """The inverse of _row()."""
    first = states[0]
    if isinstance(first, dict):
        return {name: _rows_stacked([state[name] for state in states]) for name in first}
    return torch.stack(states) if isinstance(first, Tensor) and first.dim() > 0 else first


def _going(runs: list[SeedRun]) -> list[tuple[int, SeedRun]]:
    """The seeds that have not failed, with their rows."""
    return [(row, run) for row, run in enumerate(runs) if run.result is None]


@contextmanager
def _alone(run: SeedRun) -> Iterator[None]:
    """What goes wrong in the block ends this seed and no other."""
    try:
        yield
    except (UserError, OSError) as error:
        run.result = error
