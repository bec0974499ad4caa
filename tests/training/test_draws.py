"""Batches: each clip once per epoch, the same ones whatever the number of ranks, the same ones after a restart."""

from itertools import combinations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alpamayo_toy.kinematics.draws import mixed
from alpamayo_toy.kinematics.trajectory import Scene
from alpamayo_toy.ranks import Ranks
from alpamayo_toy.training.draws import batch_indices, drawing, hide


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
    for one, other in combinations(rows, 2):  # each by itself
        assert 0.02 < (one & other).double().mean() < 0.06
    again = hide(scene, 0.2, 0, 5)
    assert torch.equal(again.scenario, hidden.scenario)
    assert not torch.equal(hide(scene, 0.2, 0, 6).scenario, hidden.scenario)
    assert not torch.equal(hide(scene, 0.2, 1, 5).scenario, hidden.scenario)
    assert torch.equal(hidden.v0, scene.v0)
    assert hide(scene, 0, 0, 5) is scene


def test_ranks_hide_what_one_would() -> None:
    scene = Scene(torch.zeros(12, dtype=torch.int64), torch.arange(12.0), context=torch.ones(12, 2))
    whole = hide(scene, 0.5, 0, 3)
    shares = [Ranks(rank, 3).share(torch.arange(12)) for rank in range(3)]
    parts = [hide(scene.select(rows), 0.5, 0, 3, Ranks(rank, 3)) for rank, rows in enumerate(shares)]
    assert torch.equal(torch.cat([part.scenario for part in parts]), whole.scenario)
    assert whole.context is not None
    hidden = torch.cat([part.context for part in parts if part.context is not None])
    assert torch.equal(hidden.isnan(), whole.context.isnan())


def test_each_step_draws_and_shows_something_else() -> None:
    """Permutations, what is hidden and what is drawn are of numbers of their own."""
    drawn = [torch.rand(8, generator=drawing(seed, step)).tolist() for seed, step in ((0, 0), (0, 1), (1, 0))]
    drawn.append(torch.rand(8, generator=drawing(0, 0)).tolist())
    assert drawn[0] == drawn[3]
    assert len({tuple(numbers) for numbers in drawn}) == 3
    shown = torch.rand(4, 8, generator=torch.Generator().manual_seed(mixed(0, 0, 1)))
    assert shown[0].tolist() != drawn[0]
