"""Batches: each clip once per epoch, the same ones whatever the number of ranks, the same ones after a restart."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alpamayo_toy.kinematics.draws import mixed
from alpamayo_toy.kinematics.trajectory import Scene
from alpamayo_toy.training.draws import batch_indices, hide


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 60), batch=st.integers(1, 80), seed=st.integers(0, 5))
def test_steps_walk_through_permutations(n: int, batch: int, seed: int) -> None:
    steps = -(-3 * n // batch)
    row = torch.cat([batch_indices(n, batch, seed, step) for step in range(steps)])
    for epoch in range(len(row) // n):
        assert sorted(row[epoch * n : (epoch + 1) * n].tolist()) == list(range(n))


def test_ranks_share_what_one_would_take() -> None:
    whole = batch_indices(100, 24, 3, 7)
    shares = [batch_indices(100, 6, 3, 7, rank, 4) for rank in range(4)]
    assert torch.equal(torch.cat(shares), whole)


def test_seeds_and_epochs_differ() -> None:
    assert not torch.equal(batch_indices(100, 100, 0, 0), batch_indices(100, 100, 1, 0))
    assert not torch.equal(batch_indices(100, 100, 0, 0), batch_indices(100, 100, 0, 1))
    seeds = {mixed(seed, step) for seed in range(50) for step in range(50)}
    assert len(seeds) == 2500


def test_hiding_is_a_function_of_seed_and_step() -> None:
    n = 1000
    known = (torch.ones(n, 16, 4), torch.ones(n, 7), torch.ones(n, 20, 2))
    scene = Scene(torch.zeros(n, dtype=torch.int64), torch.ones(n), *known)
    hidden = hide(scene, 0.2, 0, 5)
    assert hidden.context is not None
    assert hidden.history is not None
    assert hidden.route is not None
    rows = [hidden.scenario < 0, hidden.history.isnan().all(2).all(1), hidden.context.isnan().all(1)]
    rows.append(hidden.route.isnan().all(2).all(1))
    for row in rows:
        assert 0.15 < row.double().mean() < 0.25
    assert not torch.equal(rows[0], rows[1])
    again = hide(scene, 0.2, 0, 5)
    assert torch.equal(again.scenario, hidden.scenario)
    assert not torch.equal(hide(scene, 0.2, 0, 6).scenario, hidden.scenario)
    assert hide(scene, 0, 0, 5) is scene
