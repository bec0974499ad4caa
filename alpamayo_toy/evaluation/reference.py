"""Reference: held-out clips, and the error that their teacher's own variation makes unavoidable, the floor."""

from dataclasses import dataclass

import torch
from torch import Tensor

from alpamayo_toy.kinematics.trajectory import Labels, Scene
from alpamayo_toy.metrics.displacement import distance
from alpamayo_toy.metrics.distribution import geometric_median
from alpamayo_toy.teachers.synthetic import SyntheticTeacher
from alpamayo_toy.teachers.teacher import Teacher

FLOOR_SAMPLES = 64
CROWD = 64  # clips whose teacher is asked
DRIVERS = 512  # times, to know where nobody drives
ONE_SAMPLE = "none, one sample"
CHUNK = 64  # clips whose samples are compared at once, so that 64 samples of each stay in the cache


@dataclass(frozen=True)
class Reference:
    """Held-out clips, and what is best at each step: the geometric median of the teacher's samples.

    labels.teacher (N, K, T, 4) is what a student is scored on; center (N, T, 2); floor (N, T), the mean distance of
    the best single prediction; kind says how it was found, split how the clips were held out. training: the labels that
    some baselines learn from, None where none are known. others (N, 64, T, 4): as many other samples, and crowd
    (C, 512, T, 4) a lot of the first C clips, of a teacher that can be asked; None of a file.
    """

    labels: Labels
    scene: Scene
    center: Tensor
    floor: Tensor
    kind: str
    split: str = "fresh"
    training: Labels | None = None
    others: Tensor | None = None
    crowd: Tensor | None = None


def build_reference(teacher: Teacher, seed: int, training: Labels | None = None, crowd: int = CROWD) -> Reference:
    """The held-out clips of either teacher. training: its labels for that, made where something learns from them.

    crowd: of how many clips a teacher that hides its intentions is asked 512 times.
    """
    if isinstance(teacher, SyntheticTeacher):
        if training is None and teacher.config.history:
            training = teacher.training(seed)
        return _synthetic_reference(teacher, seed, training, crowd)
    return file_reference(teacher.validation, teacher.oracle, teacher.split, training or teacher.training(seed))


def _synthetic_reference(teacher: SyntheticTeacher, seed: int, training: Labels | None, crowd: int) -> Reference:
    """Scenes never trained on; the median of 64 fresh drivers is scored on 64 others, and so is the student."""
    labels, others = teacher.held_out(FLOOR_SAMPLES, seed)
    many = teacher.crowd(crowd, DRIVERS, seed) if teacher.hides and crowd else None
    center = torch.cat([geometric_median(part) for part in others.split(CHUNK)])
    kind = "geometric_median_of_64_fresh_samples"
    floor = mean_errors(center, labels)
    return Reference(labels, labels.scene(), center, floor, kind, training=training, others=others, crowd=many)


def file_reference(labels: Labels, oracle: bool, split: str, training: Labels | None) -> Reference:
    """The held-out clips of a file; each sample is scored on the median of its clip's others, if there are any."""
    samples = labels.teacher.float()
    k = samples.shape[1]
    scene = labels.scene(oracle).to(torch.float32)
    whole = labels.with_teacher(samples)
    if k == 1:  # one sample says nothing of how its teacher varies
        center = samples[:, 0, :, :2]
        return Reference(whole, scene, center, torch.zeros(center.shape[:2]), ONE_SAMPLE, split, training)
    others = [[j for j in range(k) if j != i] for i in range(k)]
    floor = [distance(geometric_median(samples[:, kept]), samples[:, i]) for i, kept in enumerate(others)]
    center = geometric_median(samples)
    return Reference(whole, scene, center, torch.stack(floor).mean(0), "leave_one_out_median", split, training)


def mean_errors(waypoints: Tensor, labels: Labels) -> Tensor:
    """Mean distance to a clip's samples at each step: (N, T, 2 or more) -> (N, T)."""
    pairs = zip(waypoints.split(CHUNK), labels.teacher.split(CHUNK), strict=True)
    return torch.cat([distance(mine.unsqueeze(1), theirs).mean(1) for mine, theirs in pairs])
