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
ONE_SAMPLE = "none, one sample"
CHUNK = 64  # clips whose samples are compared at once, so that 64 samples of each stay in the cache


@dataclass(frozen=True)
class Reference:
    """Held-out clips, and what is best at each step: the geometric median of the teacher's samples.

    labels.teacher (N, K, T, 4) is what a student is scored on; center (N, T, 2); floor (N, T), the mean distance of
    the best single prediction; kind says how it was found, split how the clips were held out. training: the labels that
    some baselines learn from, None where nothing has a history.
    """

    labels: Labels
    scene: Scene
    center: Tensor
    floor: Tensor
    kind: str
    split: str = "fresh"
    training: Labels | None = None


def build_reference(teacher: Teacher, seed: int) -> Reference:
    """The held-out clips of either teacher."""
    if isinstance(teacher, SyntheticTeacher):
        return _synthetic_reference(teacher, seed)
    return file_reference(teacher.validation, teacher.oracle, teacher.split, teacher.training(seed))


def _synthetic_reference(teacher: SyntheticTeacher, seed: int) -> Reference:
    """Scenes never trained on; the median of 64 fresh drivers is scored on 64 others, and so is the student."""
    labels, others = teacher.held_out(FLOOR_SAMPLES, seed)
    center = torch.cat([geometric_median(part) for part in others.split(CHUNK)])
    training = teacher.training(seed) if labels.history is not None else None  # what some baselines learn from
    kind = "geometric_median_of_64_fresh_samples"
    return Reference(labels, labels.scene(), center, mean_errors(center, labels), kind, training=training)


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
