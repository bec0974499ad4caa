"""The action space: inside its bounds, there and back, statistics only where the car moves."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from trajectories import ROLLOUT, smooth_actions

from alpamayo_toy import ActionSpace
from alpamayo_toy.kinematics.trajectory import Labels


def test_statistics_read_curvature_only_where_the_car_moves() -> None:
    actions, v0 = smooth_actions(40)
    moving = ActionSpace.fit(labels_of(actions, v0))
    assert moving.std[1] == pytest.approx(float(actions[..., 1].std(correction=0)), rel=0.02)
    assert moving.mean[0] == pytest.approx(float(actions[..., 0].mean()), abs=1e-6)
    still = ActionSpace.fit(labels_of(actions * 0, v0 * 0))
    assert still.std.tolist() == pytest.approx([0.1, 1e-3])
    pulls_away = torch.zeros(1, 8, 2, dtype=torch.float64)
    pulls_away[0, 0] = torch.tensor([5.0, 0.3])  # from 0.5 to 1 m/s: its curvature does not count
    assert ActionSpace.fit(labels_of(pulls_away, torch.tensor([0.5]).double())).std[1] == pytest.approx(1e-3)


def labels_of(actions: Tensor, v0: Tensor) -> Labels:
    n = len(v0)
    names, zeros = np.array([f"clip-{i}" for i in range(n)]), torch.zeros(n, dtype=torch.int64)
    return Labels(names, zeros, v0, ROLLOUT(actions, v0).unsqueeze(1), zeros, names, names, "file")


def test_tokens_beyond_either_end_are_the_last_ones() -> None:
    far = torch.tensor([[-11.0, 11.0], [0.0, -10.0]])  # standard deviations
    assert ActionSpace().encode(far).tolist() == [0, 2999, 1500, 0]
    assert ActionSpace().count_clipped(far).item() == 2


@given(raw=st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=2))
def test_squash_stays_inside_the_bounds(raw: list[float]) -> None:
    space = ActionSpace.alpamayo()
    assert bool(space.within_bounds(space.squash(torch.tensor([raw]))))


def test_normalize_inverts_denormalize_and_squash_is_denormalize_near_the_mean() -> None:
    space = ActionSpace.alpamayo().double()
    z = torch.linspace(-1, 1, 20, dtype=torch.float64).view(10, 2)
    assert torch.allclose(space.normalize(space.denormalize(z)), z)
    assert (space.squash(z) - space.denormalize(z)).abs().max() < 2e-3
    assert space.within_bounds(torch.tensor([[9.8, 0.33], [-9.8, -0.33]])).item()
    assert not space.within_bounds(torch.tensor([[0.0, 0.331]])).item()
