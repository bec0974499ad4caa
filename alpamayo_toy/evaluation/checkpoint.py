"""evaluate_checkpoint(): a trained student on other labels, what scripts/eval.py does."""

import base64
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.config import EvalConfig
from alpamayo_toy.evaluation.describe import origin
from alpamayo_toy.evaluation.evaluate import evaluate
from alpamayo_toy.evaluation.page import page
from alpamayo_toy.evaluation.pictures import DRAWN_SAMPLES, draw
from alpamayo_toy.evaluation.predictions import write_predictions
from alpamayo_toy.evaluation.reference import Reference, build_reference, file_reference
from alpamayo_toy.evaluation.results import table, write_clips
from alpamayo_toy.files import replacing, write_json
from alpamayo_toy.kinematics.device import choose_device
from alpamayo_toy.kinematics.trajectory import Prediction
from alpamayo_toy.labels.fingerprint import Fingerprint
from alpamayo_toy.labels.loading import load_labels
from alpamayo_toy.students.checkpoint import load, student_of
from alpamayo_toy.students.own import own_class
from alpamayo_toy.students.student import Student
from alpamayo_toy.teachers.config import FileConfig, RoadConfig, SyntheticConfig
from alpamayo_toy.teachers.files import FileTeacher, StoredTeacher
from alpamayo_toy.teachers.route_errors import with_route_errors
from alpamayo_toy.teachers.teacher import build_teacher
from alpamayo_toy.training.config import TrainConfig, to_dict
from alpamayo_toy.views.progress import announced
from alpamayo_toy.views.tensorboard import Logger
from alpamayo_toy.views.web_page import About, now_said

EVENTS = ".eval"  # how event files of an evaluation end


def evaluate_checkpoint(config: EvalConfig, output_dir: Path) -> dict[str, Any]:
    """Score a trained student on its own held-out clips, another scenario or another file.

    Writes metrics.json, clips.csv, TensorBoard's events, with plot figures and report.html, and predictions where they
    are asked for. Of a file only those
    clips count whose drive or clip the student was not trained on. Raises UserError where labels and student do not
    fit, and where its own labels are gone, without which nobody can tell.
    """
    content = load(config.checkpoint)
    student, trained = student_of(content, config.checkpoint, own_class(config.student))
    known: Fingerprint | None = content.get("labels")  # of synthetic ones, and in older checkpoints, there is none
    student.to(choose_device(config.device))
    torch.set_num_threads(trained.trainer.threads)
    seed = trained.seed if config.seed is None else config.seed
    scenario, labels_from = config.scenario or trained.scenario, config.teacher or trained.teacher
    if isinstance(labels_from, SyntheticConfig) or (config.scenario is not None and config.teacher is None):
        labels_from = _synthetic(student, trained.teacher, scenario, labels_from)
    source = replace(trained, scenario=scenario, teacher=labels_from, seed=seed)
    with announced("making the labels and their floor"):
        if isinstance(config.teacher, FileConfig):
            reference = _other_file(config, config.teacher, trained, known)
        else:
            teacher = build_teacher(source)
            training = teacher.training(seed) if student.several else None
            if isinstance(teacher, FileTeacher | StoredTeacher):
                teacher = _never_learnt(config.checkpoint, source, teacher, known)
            reference = build_reference(teacher, seed, training, config.crowd)
    labels = reference.labels
    mine, theirs = (student.horizon, student.rollout.dt), (labels.horizon, labels.dt)
    if mine != theirs:
        raise UserError(
            f"{config.checkpoint} predicts {mine[0]} steps of {mine[1]} s, the labels have {theirs[0]} of {theirs[1]} s"
        )
    reference = replace(reference, scene=student.known_of(reference.scene, labels.context_names))
    with announced(f"scoring on {len(labels)} clips"):
        found = evaluate(student, reference)
    metrics = {"command": "eval", **origin(source.scenario, labels_from, seed), **found.metrics}
    metrics.pop("teacher_samples", None)
    if isinstance(trained.teacher, FileConfig):
        metrics["teacher_samples"] = trained.teacher.samples
    write_json(output_dir / "metrics.json", metrics)
    write_clips(output_dir / "clips.csv", found.clips)
    if config.predictions is not None:
        write_predictions(Path(config.predictions), labels, found.prediction)
    (output_dir / "report.html").unlink(missing_ok=True)  # of an earlier evaluation
    about = About(config.checkpoint, now_said(), to_dict(trained))
    pictures = _report(output_dir, metrics, about, student, reference, found.prediction) if config.plot else {}
    _log(output_dir, metrics, pictures)
    return metrics


def _synthetic(student: Student, taught: Any, scenario: Any, given: Any) -> SyntheticConfig:
    """The synthetic teacher that is given, or one, revealing what the student was shown, or has inputs for."""
    reveal = taught.reveal if isinstance(taught, SyntheticConfig) else "all" if student.route_points else "none"
    if isinstance(scenario, RoadConfig):
        reveal = "all"  # what a student has no input for is not shown to it
    own = given if isinstance(given, SyntheticConfig) else SyntheticConfig(history=student.history_steps > 0)
    return replace(own, reveal=reveal)


def _never_learnt(
    path: str, trained: TrainConfig, teacher: FileTeacher | StoredTeacher, known: Fingerprint | None
) -> FileTeacher | StoredTeacher:
    """The run's own labels without held-out clips that it has learnt from, where the file is not what it was."""
    now, where = teacher.fingerprint, getattr(trained.teacher, "path", "")
    if known is None or now is None:
        said = f"whether {where} changed since then is not known: the checkpoint holds no fingerprint of its labels"
        print(f"{path}: {said}", file=sys.stderr)
        return teacher
    changes = known.differs(now, in_order=False)
    if not changes:
        return teacher
    learnt = known.learnt(teacher.validation, names=teacher.split != "time")
    count, changed = int(learnt.sum()), f"{where} changed since {path} learnt from it: {changes}"
    left = f"; {count} of the {len(learnt)} clips held out now are among those that it was trained on" if count else ""
    if count == len(learnt):
        raise UserError(f"{changed}{left}, and none is left to score")
    print(f"{changed}{left}{', and are left out' if count else ''}", file=sys.stderr)
    kept = teacher.validation.select(torch.from_numpy(np.flatnonzero(~learnt)))
    without = f", without {count} clips that it was trained on" if count else ""
    return replace(teacher, validation=kept, split=f"{teacher.split}, of labels that changed since training{without}")


def _other_file(config: EvalConfig, given: FileConfig, trained: TrainConfig, known: Fingerprint | None) -> Reference:
    """What a file holds beside the clips or drives that the student has learnt from."""
    labels = with_route_errors(load_labels(given.path, given.told), given.route_error_m, given.path)
    training, split = None, "another file"
    if isinstance(trained.teacher, FileConfig):
        try:
            teacher = build_teacher(trained)
        except UserError as error:
            reason = f"{config.checkpoint} was trained on {trained.teacher.path}, without which its clips are not known"
            raise UserError(f"{reason}: {error}") from None
        assert isinstance(teacher, FileTeacher | StoredTeacher)
        training = teacher.training(trained.seed)
        new = ~(np.isin(labels.clip_id, teacher.clip_ids()) if known is None else known.learnt(labels))
        if not new.any():
            raise UserError(f"{given.path}: the student was trained on all of its clips")
        labels = labels.select(torch.from_numpy(np.flatnonzero(new)))
        split += "" if new.all() else f", without {int((~new).sum())} clips that it was trained on"
        chose = np.isin(labels.clip_id, teacher.validation.clip_id).any()
        split += ", which chose the checkpoint" if chose else ""
    return file_reference(labels, given.oracle, split, training)


def _log(output_dir: Path, metrics: dict[str, Any], pictures: dict[str, Path]) -> None:
    """The scores for TensorBoard, beside those of training."""
    for old in output_dir.glob(f"events.out.tfevents.*{EVENTS}"):
        old.unlink()
    log = Logger(output_dir, suffix=EVENTS)
    log.text("eval/table", table(metrics))
    for name, picture in pictures.items():
        log.picture(f"scenes/{name}", picture, 0)
    log.close()


def _report(
    output_dir: Path,
    metrics: dict[str, Any],
    about: About,
    student: Student,
    reference: Reference,
    prediction: Prediction,
) -> dict[str, Path]:
    """report.html and the pictures on it."""
    from alpamayo_toy.views import figures

    folder, labels = output_dir / "figures", reference.labels
    pictures = {path.stem: path for path in draw(folder, student, reference)}
    pictures["horizon"], pictures["worst"] = folder / "horizon.png", folder / "worst.png"
    errors = dict(metrics["horizon_errors"])
    figures.over_horizon(pictures["horizon"], errors.pop("seconds"), errors)
    places = {key: i for i, key in enumerate(zip(labels.clip_id.tolist(), labels.t0_us.tolist(), strict=True))}
    picked = [*metrics["worst"], *metrics["typical"]]
    index = torch.tensor([places[entry["clip_id"], entry["t0_us"]] for entry in picked])
    shown = labels.select(index)
    named = [f"{i + 1}" for i in range(len(metrics["worst"]))] + ["typical"] * len(metrics["typical"])
    figures.birds_eye(
        pictures["worst"],
        [f"{name}: ADE {entry['ade']:.2f} m" for name, entry in zip(named, picked, strict=True)],
        shown.teacher[:, :DRAWN_SAMPLES],
        prediction.trajectories[index],
        ground_truth=shown.ground_truth,
        odds=prediction.probabilities[index],
        dt=labels.dt,
    )
    encoded = {name: base64.b64encode(path.read_bytes()).decode() for name, path in pictures.items()}
    with replacing(output_dir / "report.html") as file:
        file.write(page(metrics, encoded, about).encode(errors="replace"))
    return pictures
