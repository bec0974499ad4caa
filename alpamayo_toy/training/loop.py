"""fit(): trains a student on a teacher's labels. One loop, read from top to bottom."""

import math
import platform
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from alpamayo_toy import __version__
from alpamayo_toy.errors import Interrupted, UserError, require
from alpamayo_toy.evaluation.describe import origin
from alpamayo_toy.evaluation.drives import SHORT_ROADS, SHORT_SECONDS, short_drive
from alpamayo_toy.evaluation.evaluate import evaluate, predicted, scores, yardsticks
from alpamayo_toy.evaluation.pictures import DRAWN_SAMPLES, draw
from alpamayo_toy.evaluation.reference import Reference, build_reference
from alpamayo_toy.evaluation.results import sentence, table, write_clips
from alpamayo_toy.files import locked, write_json
from alpamayo_toy.hints import command_line
from alpamayo_toy.kinematics.device import choose_device, device_name, keep_freed_memory
from alpamayo_toy.kinematics.draws import mixed
from alpamayo_toy.kinematics.recovery import label_actions
from alpamayo_toy.kinematics.trajectory import Labels, Prediction, Scene
from alpamayo_toy.processes import signals
from alpamayo_toy.ranks import ALONE, Ranks, joined, launched
from alpamayo_toy.students import checkpoint
from alpamayo_toy.students.config import OwnStudentConfig
from alpamayo_toy.students.losses import build_loss, counted_columns, counted_steps, weighted
from alpamayo_toy.students.own import own_object
from alpamayo_toy.students.student import Student, build_student
from alpamayo_toy.teachers.cars import Cars
from alpamayo_toy.teachers.config import FileConfig
from alpamayo_toy.teachers.files import StoredTeacher
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.teachers.teacher import Teacher, build_teacher
from alpamayo_toy.training.config import RESUMABLE, TrainConfig, check_shares, to_dict
from alpamayo_toy.training.draws import batch_indices, drawing, hide
from alpamayo_toy.views.progress import Bar, announced, duration_said
from alpamayo_toy.views.tensorboard import Logger
from alpamayo_toy.views.web_page import flat

NEEDS = ("torch._dynamo", "scipy.signal")  # what training imports on its way: AdamW does, and the metrics of comfort
TIMED = 20  # steps, from which one tells how long all will take
ORPHANS = 5  # s that the processes of a killed run are waited for, who have 3 to end
RESULTS = {"ade": "ade", "excess_over_floor": "excess"}  # of a validation, and what it is called of the best one
WITHOUT_EFFECT = ("name", *(key for key in RESUMABLE if key != "trainer.steps"))  # on what runs are compared by


def fit(config: TrainConfig, output_dir: Path, told: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Train, validate, log and save into output_dir; returns what metrics.json holds.

    Continues output_dir's own run where config.trainer.resume names it, to the same bits. told is called with the step
    now and then, in place of a progress bar. Of several ranks each learns from its share of a batch, and the first one
    writes and returns; the others return {}. Raises UserError for labels or checkpoints that do not fit and for a loss
    that is not finite, and where another process trains in output_dir; Interrupted after SIGINT or SIGTERM.
    """
    ranks = launched()
    output_dir.mkdir(parents=True, exist_ok=True)
    with locked(output_dir, seconds=ORPHANS) if ranks.leads else nullcontext():
        return _fit(config, output_dir, told, ranks)


def _fit(config: TrainConfig, output_dir: Path, told: Callable[[int], None] | None, ranks: Ranks) -> dict[str, Any]:
    """fit() in a folder that no other process writes."""
    started = time.monotonic()
    check_shares(config.trainer.batch_size, ranks.size)
    trainer, terms_of = config.trainer, build_loss(config.loss)
    own = own_object(config.student.module, "student.module") if isinstance(config.student, OwnStudentConfig) else None
    device = choose_device(trainer.device)
    if device.type == "cuda" and device.index is None and not ranks.alone:
        device = choose_device(f"cuda:{ranks.local}")
    torch.set_num_threads(trainer.threads)
    keep_freed_memory()
    begins = trainer.init_from if not trainer.resume else None
    begun = checkpoint.load(begins) if begins else {}
    quiet = told is not None or not ranks.leads
    with announced("making the labels and their floor", quiet):
        teacher = build_teacher(config)
        labels = teacher.training(config.seed)
        reference = build_reference(teacher, config.seed, labels)
        fingerprint = None
        if ranks.leads and not isinstance(teacher, SyntheticTeacher):  # a large set is read for it
            fingerprint = teacher.fingerprint
    scene = labels.scene(teacher.oracle).to(torch.float32)

    student = build_student(config.student, labels, scene, config.teacher.integrator, config.seed, own).to(device)
    if begins:
        checkpoint.begin_with(student, begun, begins)
    averaged = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(config.optimizer.ema_decay))
    rate = config.optimizer
    ema = cast(Student, averaged.module).eval()  # a class of one's own may behave otherwise while it learns
    optimizer = torch.optim.AdamW(
        student.parameters(), rate.lr, (0.9, rate.beta2), weight_decay=rate.weight_decay, fused=True
    )
    resume = trainer.resume
    step, best, ends = 0, math.inf, [trainer.steps]
    if resume:
        step, best, ends = checkpoint.continue_with(student, averaged, optimizer, resume, fingerprint)
        known = best < math.inf  # a run that was stopped before its first validation needs one
        reached = f"{'at least' if known else 'more than'} the {step} that {resume} has reached"
        require(trainer.steps >= step + (not known), "trainer.steps", reached, trainer.steps)
        ends += [trainer.steps] if trainer.steps > ends[-1] else []
    steps = counted_steps(config.loss, student.several)
    clips, clips_at = _clips(teacher, labels, scene, student, device, (steps, counted_columns(config.loss)))
    twice = isinstance(config.teacher, FileConfig) and config.teacher.mirror and labels.context is None
    said_clips = f"{clips} clips, mirror images among them" if twice else f"{clips} clips"
    roads = _roads(config, teacher, student, device, ranks)

    def save_last() -> None:
        """Write checkpoints/last.pt: the averaged student, and all that the run needs to continue to the bit."""
        parts: dict[str, Any] = {"student": student, "averaged": averaged, "optimizer": optimizer}
        state = {**{name: part.state_dict() for name, part in parts.items()}, "best": best, "ends": ends}
        checkpoint.save(output_dir / "checkpoints" / "last.pt", config, step, ema, state, fingerprint)

    if ranks.leads:
        log = Logger(output_dir, step)
        log.options("config", to_dict(config))
        write_json(output_dir / "config.json", to_dict(config))
        beside, taken = yardsticks(reference), _taken(student, reference)
    pictured = _picture_steps(trainer.steps, trainer.pictures) if ranks.leads else set()
    if step == trainer.steps and not quiet:
        print(f"{resume} has all of its {step} steps: it is scored again; trainer.steps=N goes on", flush=True)
    bar = Bar(trainer.steps, "step", done=step, hidden=quiet)
    clock, logged, first, facts = time.monotonic(), step, step, dict[str, float]()
    kept: dict[str, float] = {}  # the validation of the best checkpoint, where this process saw it
    with joined(device), signals() as stopped:
        output_dir = ranks.gathered(output_dir)[0]
        watch, learner = LossWatch(output_dir, ranks), _learner(student, ranks, steps)

        def halted() -> bool:  # several ranks stop after the same step
            return (
                bool(stopped) if ranks.alone else step % trainer.log_every == 0 and any(ranks.gathered(bool(stopped)))
            )

        while step < trainer.steps and not halted():
            index = batch_indices(clips, trainer.batch_size // ranks.size, config.seed, step, ranks.rank, ranks.size)
            batch, taught, teacher_trajectories = clips_at(index)
            batch = hide(batch, config.student.hide, config.seed, step, ranks)
            noise = student.noise(trainer.batch_size, config.loss.samples, drawing(config.seed, step))
            noise = noise if noise is None else ranks.share(noise)
            with torch.autocast(device.type, torch.bfloat16, enabled=trainer.bf16):
                modes, drawn = learner(batch, noise)
            terms = terms_of(student.action_space, modes, taught, teacher_trajectories, drawn)
            loss = terms["total"] = weighted(config.loss, terms)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(student.parameters(), rate.clip_norm)
            for group in optimizer.param_groups:
                group["lr"] = rate.lr * schedule(*in_round(step, ends), rate.warmup_steps)
            optimizer.step()
            averaged.update_parameters(student)
            step += 1
            bar.update()
            if step == first + TIMED and not quiet:
                left = (time.monotonic() - clock) / TIMED * (trainer.steps - step)
                print(_opening(said_clips, student, device, output_dir, left), flush=True)
            watch.add(step, {**{f"loss/{name}": term for name, term in terms.items()}, "train/gradient_norm": norm})

            last = step == trainer.steps
            if step % trainer.log_every == 0 or last:
                means = watch.means()
                now = time.monotonic()
                if ranks.leads:
                    log.scalars(
                        {
                            **means,
                            "train/learning_rate": optimizer.param_groups[0]["lr"],
                            "train/steps_per_second": (step - logged) / (now - clock),
                        },
                        step,
                    )
                clock, logged = now, step
                facts["loss"] = means["loss/total"]
                bar.show(**facts)
                if told is not None:
                    told(step)
            if step % trainer.val_every == 0 or last:
                watch.check()
                found = scores(ema, reference, ranks)
                facts["val_ade"] = found["ade"]
                driven = {} if roads is None else short_drive(ema, roads, ranks)
                value = driven["lateral_rms"] if trainer.best == "drive" else found.get("energy", found["ade"])
                better = value < best
                if better:
                    best, kept = value, found
                if ranks.leads:
                    if better:
                        checkpoint.save(output_dir / "checkpoints" / "best.pt", config, step, ema, labels=fingerprint)
                    log.scalars({"ADE/validation": found["ade"]}, step)
                    log.lines("ADE/validation", beside, step)
                    log.scalars({f"val/{name}": value for name, value in found.items()}, step)
                    log.scalars({f"drive/{name}": value for name, value in driven.items()}, step)
                    log.scalars({f"final/{of}": kept[name] for name, of in RESULTS.items() if name in kept}, step)
                    _histograms(log, ema, taken, reference, step)
                    save_last()
                clock, logged = time.monotonic(), step
            if step in pictured:
                for picture in draw(output_dir / "figures", ema, reference):
                    log.picture(f"scenes/{picture.stem}", picture, step)
                clock, logged = time.monotonic(), step
        bar.close()
        if halted():
            watch.check()
            if ranks.leads:
                save_last()
                log.close()
            how, number = command_line("train", trainer__resume=output_dir), stopped[0] if stopped else signal.SIGTERM
            raise Interrupted(f"stopped at step {step} of {trainer.steps}; continue: {how}", number)
    if not ranks.leads:
        return {}
    with announced(f"scoring on {len(reference.scene)} clips", quiet):
        metrics = _finished(config, output_dir, log, ema, reference)
    write_json(output_dir / "run.json", _run_facts(device, time.monotonic() - started))
    log.close()
    return metrics


def schedule(step: int, steps: int, warmup: int) -> float:
    """Share of the full learning rate: linear warm-up, then half a cosine to zero at `steps`."""
    return min(1.0, (step + 1) / (warmup + 1)) * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))


def in_round(step: int, ends: list[int]) -> tuple[int, int]:
    """How far a step is into its round, and how long that is: a run's first steps, or those that it was given after."""
    begun = max((end for end in ends if end <= step), default=0)
    return step - begun, min(end for end in ends if end > step) - begun


class LossWatch:
    """Numbers of each step kept on the device until somebody looks; a non-finite one is then named with its step.

    Of several ranks they are the means over all, and all of them look after the same steps.
    """

    def __init__(self, output_dir: Path, ranks: Ranks = ALONE) -> None:
        self.output_dir, self.ranks = output_dir, ranks
        self.kept: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, step: int, values: dict[str, Tensor]) -> None:
        self.kept.append((step, {name: value.detach() for name, value in values.items()}))

    def means(self) -> dict[str, float]:
        """Means since the last call, checked."""
        rows = self._rows()
        self.kept.clear()
        return {name: float(values.mean()) for name, values in rows.items()}

    def check(self) -> None:
        """Raise UserError naming step, number and the last good checkpoint where one was not finite."""
        self._rows()

    def _rows(self) -> dict[str, Tensor]:
        names = self.kept[0][1] if self.kept else {}
        own = {name: torch.stack([terms[name] for _, terms in self.kept]).cpu() for name in names}
        everyones = self.ranks.gathered(own)
        rows = {name: torch.stack([rank[name] for rank in everyones]).mean(0) for name in own}
        for name, values in rows.items():
            bad = (~values.isfinite()).nonzero()
            if len(bad):
                saved = self.output_dir / "checkpoints" / "last.pt"
                good = f"the last good checkpoint is {saved}" if saved.exists() else "there is no checkpoint yet"
                row = int(bad[0])
                raise UserError(
                    f"{name} is {float(values[row])} at step {self.kept[row][0]}; {good}; try a lower optimizer.lr"
                )
        return rows


def _clips(
    teacher: Teacher,
    labels: Labels,
    scene: Scene,
    student: Student,
    device: torch.device,
    counted: tuple[slice, slice],
) -> tuple[int, Callable[[Tensor], tuple[Scene, Tensor, Tensor]]]:
    """How many clips there are; of those at an index scenes, clamped actions and what counts of trajectories, float32.

    All of them lie on the device, but for a set that is larger than memory: its batches are read as they are needed.
    """

    def actions_of(trajectory: Tensor, v0: Tensor) -> Tensor:
        speeds = v0.unsqueeze(-1).expand(trajectory.shape[:2])
        found = label_actions(trajectory, speeds, student.rollout.dt, student.rollout.integrator)
        return student.action_space.clamp(found.float().to(device))

    if isinstance(teacher, StoredTeacher):

        def read(index: Tensor) -> tuple[Scene, Tensor, Tensor]:
            seen, trajectory = teacher.batch(index)
            return seen.to(device), actions_of(trajectory, seen.v0), trajectory[..., *counted].to(device)

        return len(teacher), read
    whole, trajectories = scene.to(device), labels.teacher[..., *counted].float().contiguous().to(device)
    actions = actions_of(labels.teacher, labels.v0)

    def held(index: Tensor) -> tuple[Scene, Tensor, Tensor]:
        index = index.to(device)
        return whole.select(index), actions.index_select(0, index), trajectories.index_select(0, index)

    return len(labels), held


class Learner(nn.Module):
    """A student's each_mode() as the forward pass that DistributedDataParallel wants."""

    def __init__(self, student: Student, steps: slice) -> None:
        super().__init__()
        self.student, self.steps = student, steps

    def forward(self, scene: Scene, noise: Tensor | None) -> tuple[Prediction, Prediction]:
        return self.student.each_mode(scene, noise, self.steps)


def _learner(student: Student, ranks: Ranks, steps: slice) -> nn.Module:
    """What turns scenes and noise into modes and draws; among several ranks its gradients are the means of theirs."""
    learner = Learner(student, steps)
    if ranks.alone:
        return learner
    # statistics, its buffers, are the same everywhere; a class of one's own may change them, and leave weights aside
    own = student.own is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of a name that older versions of PyTorch do not know
        return DistributedDataParallel(learner, broadcast_buffers=own, find_unused_parameters=own)


def _roads(config: TrainConfig, teacher: Teacher, student: Student, device: torch.device, ranks: Ranks) -> Cars | None:
    """A rank's share of the cars that are driven at every validation.

    None where the teacher has no roads or the student is shown no route.
    """
    if isinstance(teacher, SyntheticTeacher) and student.follows_a_route:
        cars = teacher.cars(SHORT_ROADS, torch.Generator().manual_seed(mixed(config.seed, 6)), SHORT_SECONDS)
        return cars.select(ranks.share(torch.arange(SHORT_ROADS))).to(device)
    if config.trainer.best == "drive":
        raise UserError("trainer.best=drive needs a synthetic teacher and a student that is shown its route")
    return None


def _finished(
    config: TrainConfig, output_dir: Path, log: Logger, final: Student, reference: Reference
) -> dict[str, Any]:
    """metrics.json of the best checkpoint, with the last one's score beside it, and the hyperparameters' row."""
    best, _ = checkpoint.load_student(output_dir, None if final.own is None else type(final.own))
    found = evaluate(best, reference)
    metrics = {
        "command": "train",
        **origin(config.scenario, config.teacher, config.seed),
        **found.metrics,
        "last_ade": scores(final, reference)["ade"],
        "best_by": "energy" if best.several and config.trainer.best == "ade" else config.trainer.best,
    }
    write_clips(output_dir / "clips.csv", found.clips)
    write_json(output_dir / "metrics.json", metrics)
    options = {"scenario": metrics["scenario"], "teacher": metrics["teacher"]}
    for key, value in flat(to_dict(config)).items():
        if key not in WITHOUT_EFFECT and not key.startswith("scenario.parts."):
            options[key] = value
    results = {"ADE [m]": metrics["student"]["ade"]}
    if metrics["energy_over_teacher"] is not None:
        results["Energy over teacher's"] = metrics["energy_over_teacher"]
    if metrics["ade_over_floor"] is not None:
        results["ADE over floor"] = metrics["ade_over_floor"]
    log.hparams(options, results)
    log.text("results", f"{table(metrics)}\n\n{sentence(metrics)}")
    return metrics


def _taken(student: Student, reference: Reference) -> Tensor:
    """The actions (N, K, T, 2) of some of the teacher's samples in the held-out scenes, clamped as in training."""
    samples = reference.labels.teacher[:, :DRAWN_SAMPLES]
    v0 = reference.labels.v0.unsqueeze(-1).expand(samples.shape[:2])
    found = label_actions(samples, v0, student.rollout.dt, student.rollout.integrator).float()
    return student.action_space.clamp(found.to(student.action_space.mean.device)).cpu()


def _histograms(log: Logger, student: Student, taken: Tensor, reference: Reference, step: int) -> None:
    """The actions that the student takes in the held-out scenes, and beside them the teacher's (N, K, T, 2)."""
    actions = predicted(student, reference.scene).actions
    for who, found in (("student", actions), ("teacher", taken)):
        log.histogram(f"taken actions/a, {who} [m per s^2]", found[..., 0], step)
        log.histogram(f"taken actions/kappa, {who} [1 per m]", found[..., 1], step)


def _opening(clips: str, student: Student, device: torch.device, folder: Path, left: float) -> str:
    """What is about to happen, in one line."""
    size = sum(parameter.numel() for parameter in student.parameters())
    return f"{clips}, {size} parameters, {device.type}, about {duration_said(left)}: {folder}"


def _picture_steps(steps: int, pictures: int) -> set[int]:
    return {round(steps * (i + 1) / pictures) for i in range(pictures)}


def _run_facts(device: torch.device, seconds: float) -> dict[str, Any]:
    """What belongs to this run and no other: when, how long, on what, with which versions."""
    return {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seconds": round(seconds, 1),
        "device": f"{device.type}: {device_name(device)}",
        "versions": {
            "alpamayo_toy": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    }
