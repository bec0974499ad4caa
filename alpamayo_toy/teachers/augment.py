"""Which of a clip's samples are learnt from, and the mirror images of clips."""

from dataclasses import replace

import torch
from torch import Tensor

from alpamayo_toy.kinematics.inverse import regularised_states
from alpamayo_toy.kinematics.manoeuvres import Scenario
from alpamayo_toy.kinematics.trajectory import UNKNOWN_SCENARIO, Labels
from alpamayo_toy.metrics.distribution import medoid

MIRRORED: dict[int, int] = {
    Scenario.LEFT: Scenario.RIGHT,
    Scenario.RIGHT: Scenario.LEFT,
    Scenario.LANE_CHANGE_LEFT: Scenario.LANE_CHANGE_RIGHT,
    Scenario.LANE_CHANGE_RIGHT: Scenario.LANE_CHANGE_LEFT,
}


def chosen_samples(labels: Labels, which: str) -> Labels:
    """The same clips with the samples that are to be trained on."""
    return labels.with_teacher(picked(labels.teacher, labels.v0, which, labels.dt))


def picked(teacher: Tensor, v0: Tensor, which: str, dt: float) -> Tensor:
    """all (N, K, T, 4), or one of them (N, 1, T, 4): first, medoid, or mean, whose speeds from v0 (N,) are anew.

    A mean of samples is no trajectory that anybody would drive where they disagree.
    """
    if which == "all" or teacher.shape[1] == 1:
        return teacher
    if which == "first":
        return teacher[:, :1]
    if which == "medoid":
        return teacher.gather(1, medoid(teacher)[:, None, None, None].expand(-1, 1, *teacher.shape[2:]))
    mean = teacher.double().mean(1, keepdim=True)
    return regularised_states(mean[..., :2], mean[..., 2], v0.double().unsqueeze(1), dt)[1].to(teacher.dtype)


def with_mirror_images(labels: Labels) -> Labels:
    """Every clip twice, the second time with left and right exchanged; without ground truth, which nobody trains on."""
    n = len(labels)
    twice = labels.select(torch.arange(n).repeat(2))
    parts = mirrored(twice.scenario, twice.history, twice.route, twice.teacher, torch.arange(2 * n) >= n)
    scenario, history, route, teacher = parts
    return replace(twice, scenario=scenario, history=history, route=route, teacher=teacher, ground_truth=None)


def mirrored(
    scenario: Tensor, history: Tensor | None, route: Tensor | None, teacher: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
    """Left and right exchanged where mask (N,) is true.

    scenario (N,), history (N, H, 4), route (N, 20, 2), teacher (N, K, T, 4).
    """
    signs = torch.where(mask[:, None], torch.tensor([1.0, -1.0, -1.0, 1.0]), 1.0)
    other = torch.tensor([MIRRORED.get(number, number) for number in (*range(len(Scenario)), UNKNOWN_SCENARIO)])
    past = None if history is None else history * signs[:, None].to(history.dtype)
    turned = torch.where(mask, other[scenario], scenario)
    ahead = None if route is None else route * signs[:, None, :2].to(route.dtype)
    return turned, past, ahead, teacher * signs[:, None, None].to(teacher.dtype)
