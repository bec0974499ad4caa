"""What a student is punished for: the terms, each a mean over batch, samples and time."""

import torch
from torch import Tensor
from torch.nn import functional

from alpamayo_toy.kinematics.action_space import ActionSpace
from alpamayo_toy.metrics.displacement import distance
from alpamayo_toy.students.config import LossConfig


def loss_terms(
    config: LossConfig,
    space: ActionSpace,
    actions: Tensor,
    trajectory: Tensor,
    teacher_actions: Tensor,
    teacher: Tensor,
) -> dict[str, Tensor]:
    """Student (B, 1, T, 2 / 4) against every sample of the teacher (B, K, T, 2 / 4), unweighted, by name.

    position: mean distance of waypoints in metres, whose minimum is the geometric median of the samples.
    action: smooth L1 on normalised actions, which keeps them smooth where positions hardly see them.
    """
    terms = {}
    if config.position > 0:
        terms["position"] = distance(trajectory, teacher).mean()
    if config.action > 0:
        mine, theirs = space.normalize(actions), space.normalize(teacher_actions)
        terms["action"] = functional.smooth_l1_loss(mine.expand_as(theirs), theirs)
    return terms


def weighted(config: LossConfig, terms: dict[str, Tensor]) -> Tensor:
    """The sum that is minimised."""
    return torch.stack([getattr(config, name) * term for name, term in terms.items()]).sum()
