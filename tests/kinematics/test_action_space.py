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


def labels_of(actions: Tensor, v0: Tensor) -> Labels:
    n = len(v0)
    names, zeros = np.array([f"clip-{i}" for i in range(n)]), torch.zeros(n, dtype=torch.int64)
    return Labels(names, zeros, v0, ROLLOUT(actions, v0).unsqueeze(1), zeros, names, names, "file")


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
