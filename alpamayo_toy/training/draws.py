"""What a step sees, hides and draws, as a function of (seed, step): runs resume to the bit."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from alpamayo_toy.kinematics.device import kept
from alpamayo_toy.kinematics.draws import mixed
from alpamayo_toy.kinematics.trajectory import UNKNOWN_SCENARIO, Scene
from alpamayo_toy.ranks import ALONE, Ranks


def batch_indices(n: int, batch_size: int, seed: int, step: int, rank: int = 0, world_size: int = 1) -> Tensor:
    """A rank's share (batch_size,) of an endless row of permutations of n: each clip once per epoch."""
    first = (step * world_size + rank) * batch_size
    places = range(first, first + batch_size)
    epochs = range(places[0] // n, places[-1] // n + 1)
    row = torch.cat([_permutation(n, seed, epoch) for epoch in epochs])
    offset = first - epochs[0] * n
    return row[offset : offset + batch_size]


@partial(kept, most=4)  # they may be long
def _permutation(n: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(mixed(seed, epoch)))


def drawing(seed: int, step: int) -> torch.Generator:
    """What a step draws samples of modes with."""
    return torch.Generator().manual_seed(mixed(seed, step, 2))


def hide(scene: Scene, probability: float, seed: int, step: int, ranks: Ranks = ALONE) -> Scene:
    """Scenario, history, context, route: each unknown for a random share of the clips, so that 'unknown' is learned.

    Of a rank's scenes, with as many on each rank.
    """
    if probability == 0:
        return scene
    generator = torch.Generator().manual_seed(mixed(seed, step, 1))
    drawn = torch.rand(4, ranks.size * len(scene), generator=generator)
    hidden = (ranks.share(drawn.mT).mT < probability).to(scene.v0.device)
    history, context, route = scene.history, scene.context, scene.route
    return replace(
        scene,
        scenario=scene.scenario.masked_fill(hidden[0], UNKNOWN_SCENARIO),
        history=None if history is None else history.masked_fill(hidden[1][:, None, None], torch.nan),
        context=None if context is None else context.masked_fill(hidden[2][:, None], torch.nan),
        route=None if route is None else route.masked_fill(hidden[3][:, None, None], torch.nan),
    )
