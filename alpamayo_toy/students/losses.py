"""What a student is punished for: the terms, each a mean over batch, samples and time."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from alpamayo_toy.kinematics.action_space import ActionSpace
from alpamayo_toy.kinematics.trajectory import Prediction
from alpamayo_toy.metrics.distribution import energy_score
from alpamayo_toy.metrics.pairs import mean_distances
from alpamayo_toy.students.action_loss import action_loss
from alpamayo_toy.students.config import LossConfig, OwnLossConfig
from alpamayo_toy.students.own import own_object

EVERY, OFFSET = 4, 1  # of several trajectories every fourth step counts: 0.2, 0.6, ... s. They have no corners between
RELAXED = 0.05  # share of the winner's distance that all modes take, so that none is left behind


Terms = Callable[[ActionSpace, Prediction, Tensor, Tensor, Prediction], dict[str, Tensor]]
"""(space, modes, teacher's actions, teacher, drawn) -> terms by name, as loss_terms() has them."""


def build_loss(config: LossConfig | OwnLossConfig) -> Terms:
    """loss_terms() with its weights, or the user's own function. Raises UserError where that cannot be found."""
    if isinstance(config, OwnLossConfig):
        own: Terms = own_object(config.module, "loss.module")
        return own
    return partial(loss_terms, config)


def loss_terms(
    config: LossConfig,
    space: ActionSpace,
    modes: Prediction,
    teacher_actions: Tensor,
    teacher: Tensor,
    drawn: Prediction | None = None,
) -> dict[str, Tensor]:
    """K modes against every sample of the teacher, unweighted, by name; drawn: K m draws, m of each.

    teacher_actions (B, Y, T, 2), and of all trajectories the counted_steps(), (B, Y or K or K m, S, 2 or more).

    position: the energy score in metres, sum_k p_k mean_y |g_k - y| - 1/2 sum_kl p_k p_l E |g_k - g_l|, |.| the mean
    distance of waypoints. Of one trajectory that is its mean distance, whose minimum is the samples' geometric median.
    action: smooth L1 on normalised actions of the nearest mode; keeps them smooth where positions hardly see them.
    winner, of several modes: the mean distance of the nearest one, and - log p of it.
    """
    drawn = modes if drawn is None else drawn
    one = modes.actions.shape[1] == 1
    weights = step_weights(config, teacher)
    terms = {}
    if config.position > 0:
        draws = drawn.actions.shape[1] // modes.actions.shape[1]
        each = energy_score(drawn.trajectories, teacher, drawn.probabilities, draws, weights)
        terms["position"] = each.mean()
    winner = None
    if not one and (config.winner > 0 or config.action > 0):
        apart = mean_distances(modes.trajectories, teacher, weights)
        nearest, winner = apart.min(1)
        if config.winner > 0:
            reached = (1 - RELAXED) * nearest.mean() + RELAXED * apart.mean()
            terms["winner"] = reached - modes.log_probabilities.gather(1, winner).mean()
    if config.action > 0:
        terms["action"] = action_loss(space, modes.actions, teacher_actions, winner)
    return terms


def counted_steps(config: LossConfig | OwnLossConfig, several: bool) -> slice:
    """The steps of a trajectory that loss_terms() takes: of several trajectories every fourth, unless steps differ in
    what they count. A loss of the user's own is given all.
    """
    some = several and isinstance(config, LossConfig) and len(set(config.horizon)) == 1
    return slice(OFFSET, None, EVERY) if some else slice(None)


def counted_columns(config: LossConfig | OwnLossConfig) -> slice:
    """The columns of trajectories that loss_terms() takes of a teacher, x and y. A loss of the user's own gets all."""
    return slice(None) if isinstance(config, OwnLossConfig) else slice(2)


def step_weights(config: LossConfig, teacher: Tensor) -> Tensor | None:
    """How much each step counts (T,), with mean 1, None where all count the same."""
    if len(set(config.horizon)) == 1:
        return None
    stretch = torch.arange(teacher.shape[-2], device=teacher.device) * len(config.horizon) // teacher.shape[-2]
    weights = teacher.new_tensor(config.horizon)[stretch]
    return weights / weights.mean()


def weighted(config: LossConfig | OwnLossConfig, terms: dict[str, Tensor]) -> Tensor:
    """The sum that is minimised; the user's own terms have their weights in them."""
    if isinstance(config, OwnLossConfig):
        return torch.stack(list(terms.values())).sum()
    return torch.stack([getattr(config, name) * term for name, term in terms.items()]).sum()
