"""The losses, term by term."""

import pytest
import torch
from taught import built, left

from alpamayo_toy.kinematics.recovery import label_actions
from alpamayo_toy.students.config import LossConfig
from alpamayo_toy.students.losses import loss_terms, weighted


def test_loss_terms_are_what_they_say() -> None:
    labels = left(5)
    student = built(labels=labels)
    actions, trajectory = student(labels.scene())
    targets = label_actions(labels.teacher, labels.v0[:, None].expand(-1, 3), 0.1, "euler")
    config = LossConfig(position=2.0, action=0.5)
    terms = loss_terms(config, student.action_space, actions, trajectory, targets, labels.teacher)
    position = torch.stack([(trajectory[:, 0] - labels.teacher[:, k])[..., :2].norm(dim=-1) for k in range(3)]).mean()
    assert terms["position"].item() == pytest.approx(position.item(), rel=1e-5)
    z = student.action_space.normalize(actions) - student.action_space.normalize(targets)
    smooth = torch.where(z.abs() < 1, z**2 / 2, z.abs() - 0.5).mean()
    assert terms["action"].item() == pytest.approx(smooth.item(), rel=1e-5)
    assert weighted(config, terms).item() == pytest.approx(2 * position.item() + 0.5 * smooth.item(), rel=1e-5)
    alone = loss_terms(LossConfig(action=0), student.action_space, actions, trajectory, targets, labels.teacher)
    assert set(alone) == {"position"}
