"""The losses, term by term."""

import pytest
import torch
from taught import built, left, stirred
from torch import Tensor

from alpamayo_toy import Labels
from alpamayo_toy.kinematics.recovery import label_actions
from alpamayo_toy.kinematics.trajectory import Prediction
from alpamayo_toy.metrics.distribution import energy_score
from alpamayo_toy.metrics.pairs import mean_distances
from alpamayo_toy.students.config import LossConfig, OwnLossConfig, StudentConfig
from alpamayo_toy.students.losses import RELAXED, counted_columns, counted_steps, loss_terms, step_weights, weighted
from alpamayo_toy.students.student import Student


def taught(labels: Labels) -> Tensor:
    return label_actions(labels.teacher, labels.v0[:, None].expand(-1, 3), 0.1, "euler")


def six(spread: bool = False, steps: slice = slice(None)) -> tuple[Student, Labels, Prediction, Prediction]:
    labels = left(5)
    student = stirred(built(StudentConfig(modes=6, spread=spread), labels))
    noise = student.noise(len(labels), 2, torch.Generator().manual_seed(0))
    return student, labels, *student.each_mode(labels.scene(), noise, steps)


def test_loss_terms_are_what_they_say() -> None:
    labels = left(5)
    student = built(labels=labels)
    prediction = student(labels.scene())
    actions, trajectory = prediction.actions, prediction.trajectories
    targets = taught(labels)
    config = LossConfig(position=2.0, action=0.5)
    terms = loss_terms(config, student.action_space, prediction, targets, labels.teacher)
    position = torch.stack([(trajectory[:, 0] - labels.teacher[:, k])[..., :2].norm(dim=-1) for k in range(3)]).mean()
    assert terms["position"].item() == pytest.approx(position.item(), rel=1e-5)
    z = student.action_space.normalize(actions) - student.action_space.normalize(targets)
    smooth = torch.where(z.abs() < 1, z**2 / 2, z.abs() - 0.5).mean()
    assert terms["action"].item() == pytest.approx(smooth.item(), rel=1e-5)
    assert weighted(config, terms).item() == pytest.approx(2 * position.item() + 0.5 * smooth.item(), rel=1e-5)
    alone = loss_terms(LossConfig(action=0), student.action_space, prediction, targets, labels.teacher)
    assert set(alone) == {"position"}


def test_of_one_trajectory_the_energy_score_is_its_mean_distance() -> None:
    labels = left(5)
    student = stirred(built(labels=labels))
    modes = student(labels.scene())
    terms = loss_terms(LossConfig(), student.action_space, modes, taught(labels), labels.teacher)
    score = energy_score(modes.trajectories, labels.teacher, modes.probabilities)
    torch.testing.assert_close(terms["position"], score.mean())
    assert "winner" not in terms


@pytest.mark.parametrize("spread", [False, True])
def test_terms_of_several_modes_by_a_plain_loop(spread: bool) -> None:
    student, labels, modes, drawn = six(spread)
    targets, steps = taught(labels), counted_steps(LossConfig(), student.several)
    assert list(range(64)[steps]) == list(range(1, 64, 4))
    _, _, *cut = six(spread, steps)
    terms = loss_terms(LossConfig(), student.action_space, cut[0], targets, labels.teacher[:, :, steps], cut[1])
    score = energy_score(
        drawn.trajectories[:, :, steps], labels.teacher[:, :, steps], drawn.probabilities, 2 if spread else 1
    )
    torch.testing.assert_close(terms["position"], score.mean())
    whole = energy_score(drawn.trajectories, labels.teacher, drawn.probabilities, 2 if spread else 1)
    torch.testing.assert_close(terms["position"], whole.mean(), rtol=0.03, atol=0)  # trajectories have no corners
    reached, actions = [], []
    for clip in range(5):
        for k in range(3):
            apart = (modes.trajectories[clip] - labels.teacher[clip, k])[:, steps, :2].norm(dim=-1).mean(-1)
            best = int(apart.argmin())
            near = (1 - RELAXED) * apart[best] + RELAXED * apart.mean()
            reached.append(near - modes.log_probabilities[clip, best])
            z = student.action_space.normalize(modes.actions[clip, best]) - student.action_space.normalize(
                targets[clip, k]
            )
            actions.append(torch.where(z.abs() < 1, z**2 / 2, z.abs() - 0.5).mean())
    torch.testing.assert_close(terms["winner"], torch.stack(reached).mean())
    torch.testing.assert_close(terms["action"], torch.stack(actions).mean())


def test_every_step_counts_of_one_trajectory_of_unequal_stretches_and_for_a_loss_of_ones_own() -> None:
    everything = [(LossConfig(), False), (LossConfig(horizon=[1.0, 2.0]), True), (OwnLossConfig(), True)]
    assert [counted_steps(*asked) for asked in everything] == [slice(None)] * 3
    columns = [list(range(4))[counted_columns(config)] for config in (LossConfig(), OwnLossConfig())]
    assert columns == [[0, 1], [0, 1, 2, 3]]


def test_all_modes_take_a_twentieth_of_the_winners_distance() -> None:
    """Two modes 1 m and 3 m beside the teacher, equally likely: 0.95 x 1 + 0.05 x 2 + log 2."""
    teacher = torch.zeros(1, 1, 8, 4)
    trajectories = torch.zeros(1, 2, 8, 4)
    trajectories[0, :, :, 1] = torch.tensor([[1.0], [-3.0]])
    modes = Prediction(torch.zeros(1, 2, 8, 2), trajectories, torch.tensor([[0.5, 0.5]]).log())
    found = loss_terms(LossConfig(), built().action_space, modes, torch.zeros(1, 1, 8, 2), teacher)
    assert found["winner"].item() == pytest.approx(1.05 + 0.693147, abs=1e-5)


def test_the_order_of_modes_does_not_matter() -> None:
    student, labels, modes, _ = six()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    other = Prediction(modes.actions[:, order], modes.trajectories[:, order], modes.log_probabilities[:, order])
    one, two = (
        loss_terms(LossConfig(), student.action_space, found, taught(labels), labels.teacher)
        for found in (modes, other)
    )
    for name, term in one.items():
        torch.testing.assert_close(term, two[name])


def test_every_number_of_the_head_learns() -> None:
    for spread in (False, True):
        student, labels, modes, drawn = six(spread)
        terms = loss_terms(
            LossConfig(action=0, winner=0), student.action_space, modes, taught(labels), labels.teacher, drawn
        )
        terms["position"].backward()
        gradient = student.head[-1].bias.grad
        assert isinstance(gradient, Tensor)
        assert [bool((part != 0).any()) for part in gradient.split(student.modes.sizes) if len(part)] == [True] * (
            2 + spread
        )


def test_stretches_of_the_horizon_count_as_they_are_told() -> None:
    student, labels, modes, _ = six()
    assert step_weights(LossConfig(), labels.teacher) is None
    weights = step_weights(LossConfig(horizon=[1.0, 3.0]), labels.teacher)
    assert weights is not None
    torch.testing.assert_close(weights, torch.tensor([0.5] * 32 + [1.5] * 32))
    late = LossConfig(horizon=[0.0, 1.0], action=0.0)
    whole = loss_terms(late, student.action_space, modes, taught(labels), labels.teacher)
    cut, teacher = modes.trajectories[:, :, 32:], labels.teacher[:, :, 32:]
    torch.testing.assert_close(whole["position"], energy_score(cut, teacher, modes.probabilities).mean())
    apart = mean_distances(cut, teacher)
    reached = (1 - RELAXED) * apart.amin(1).mean() + RELAXED * apart.mean()
    unlikely = modes.log_probabilities.gather(1, apart.argmin(1)).mean()
    torch.testing.assert_close(whole["winner"], reached - unlikely)
    single = built(labels=labels)(labels.scene())
    first = loss_terms(
        LossConfig(horizon=[1.0, 0.0], action=0.0), student.action_space, single, taught(labels), labels.teacher
    )
    begins = Prediction(single.actions, single.trajectories[:, :, :32], single.log_probabilities)
    same = loss_terms(LossConfig(action=0.0), student.action_space, begins, taught(labels), labels.teacher[:, :, :32])
    torch.testing.assert_close(first["position"], same["position"])
