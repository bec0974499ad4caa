"""Scores per clip: equal to a slow second implementation, whatever the chunks, NaN where nothing is predicted."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from alpamayo_toy import UnicycleRollout
from alpamayo_toy.metrics import displacement, pairs, scores
from alpamayo_toy.metrics.distribution import energy_score, spread
from alpamayo_toy.metrics.scores import Scores, of_errors, quality, score

DT = 0.1


def drives(*shape: int, seed: int = 0) -> Tensor:
    """Trajectories (*shape, 64, 4) of a gentle driver, in float64, all from 8 m/s."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(*shape, 1, 2, generator=generator, dtype=torch.float64)
    actions = (noise * torch.tensor([0.8, 0.02])).expand(*shape, 64, 2)
    return UnicycleRollout(DT, "trapezoid")(actions, torch.full(shape, 8.0, dtype=torch.float64))


def speeds(n: int) -> Tensor:
    return torch.full((n,), 8.0, dtype=torch.float64)


def test_one_trajectory_by_a_plain_loop() -> None:
    mine, theirs = drives(3, 1), drives(3, 5, seed=1)
    found = score(mine, theirs, speeds(3), DT)
    for clip in range(3):
        steps = [
            [math.dist(mine[clip, 0, t, :2].tolist(), theirs[clip, m, t, :2].tolist()) for t in range(64)]
            for m in range(5)
        ]
        turned = [
            [abs(math.remainder(float(mine[clip, 0, t, 2] - theirs[clip, m, t, 2]), math.tau)) for t in range(64)]
            for m in range(5)
        ]
        expected = {
            "ade": sum(sum(row) / 64 for row in steps) / 5,
            "fde": sum(row[-1] for row in steps) / 5,
            "fde_3.0": sum(row[29] for row in steps) / 5,
            "miss": sum(row[-1] > 2 for row in steps) / 5,
            "heading_error": sum(map(sum, turned)) / (5 * 64),
            "speed_error": float((mine[clip] - theirs[clip])[..., 3].abs().mean()),
        }
        for name, value in expected.items():
            assert float(found.per_clip[name][clip]) == pytest.approx(value, abs=1e-12), name
    assert float(found.per_step.mean()) == pytest.approx(float(found.per_clip["ade"].mean()), abs=1e-12)


def test_several_trajectories_by_a_plain_loop() -> None:
    mine, theirs = drives(2, 6), drives(2, 3, seed=1)
    found = score(mine, theirs, speeds(2), DT).per_clip
    for clip in range(2):
        means = torch.tensor(
            [[[(a - b)[:n, :2].norm(dim=-1).mean() for a in mine[clip]] for b in theirs[clip]] for n in (64, 30)]
        )
        whole, early = means
        assert float(found["min_ade"][clip]) == pytest.approx(float(whole.amin(1).mean()), abs=1e-6)
        assert float(found["min_ade_horizon_3.0"][clip]) == pytest.approx(float(early.amin(1).mean()), abs=1e-6)
        chosen = [early[m, whole[m].argmin()] for m in range(3)]
        assert float(found["min_ade_3.0"][clip]) == pytest.approx(float(sum(chosen)) / 3, abs=1e-6)
    assert bool((found["min_ade_horizon_3.0"] <= found["min_ade_3.0"] + 1e-12).all())
    assert {"energy_score", "spread"} <= set(found)
    torch.testing.assert_close(found["energy_score"], energy_score(mine, theirs))
    p = torch.tensor([0.4, 0.2, 0.1, 0.1, 0.1, 0.1], dtype=torch.float64).expand(2, -1)
    weighted = score(mine, theirs, speeds(2), DT, p).per_clip
    torch.testing.assert_close(weighted["energy_score"], energy_score(mine, theirs, p))
    torch.testing.assert_close(weighted["min_ade"], found["min_ade"])


def same(one: Scores, other: Scores) -> None:
    assert list(one.per_clip) == list(other.per_clip)
    for name, values in one.per_clip.items():
        assert torch.allclose(values, other.per_clip[name], rtol=0, atol=1e-12, equal_nan=True), name
    assert torch.allclose(one.per_step, other.per_step, rtol=0, atol=1e-12)


@settings(max_examples=10)
@given(st.integers(1, 9), st.sampled_from([1, 4]))
def test_chunks_do_not_matter(chunk: int, samples: int) -> None:
    mine, theirs = drives(7, samples), drives(7, 2, seed=1)
    whole = score(mine, theirs, speeds(7), DT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "AT_ONCE", chunk * 500)
        patch.setattr(pairs, "AT_ONCE", chunk * 100)  # of the energy score, where PyTorch measures
        patch.setattr(pairs, "serves", lambda *tensors: False)
        same(score(mine, theirs, speeds(7), DT), whole)


def test_the_order_of_samples_and_truths_does_not_matter() -> None:
    mine, theirs = drives(3, 6), drives(3, 4, seed=1)
    same(score(mine.flip(1), theirs.flip(1), speeds(3), DT), score(mine, theirs, speeds(3), DT))


def test_a_clip_without_prediction_counts_nowhere() -> None:
    mine, theirs = drives(4, 1), drives(4, 1, seed=1)
    gap = mine.clone()
    gap[2, 0, 5, 0] = math.nan
    found, rest = score(gap, theirs, speeds(4), DT), torch.tensor([0, 1, 3])
    assert all(bool(values[2].isnan()) for values in found.per_clip.values())
    kept = score(mine[rest], theirs[rest], speeds(3), DT)
    same(Scores({name: values[rest] for name, values in found.per_clip.items()}, found.per_step), kept)


def test_errors_alone() -> None:
    found = of_errors(torch.arange(1.0, 65.0).expand(2, 64), DT)
    assert found.per_clip["ade"].tolist() == [32.5, 32.5]
    assert (found.per_clip["fde_1.0"][0], found.per_clip["fde"][0]) == (10, 64)


@pytest.mark.slow
def test_quality_tells_a_wild_driver_from_a_calm_one() -> None:
    actions = torch.zeros(2, 64, 2, dtype=torch.float64)
    actions[1, :, 1] = 0.12  # at 10 m/s: 12 m/s^2 sideways
    v0 = torch.full((2,), 10.0, dtype=torch.float64)
    driven = UnicycleRollout(DT, "euler")(actions, v0)
    found = quality(driven, v0, DT, actions, "euler")
    assert found["comfort_actions"]["max_abs_lateral_acceleration"] == 0.5
    assert found["comfort_positions"]["max_abs_lateral_acceleration"] == 0.5
    assert found["feasible"] == {"within_bounds": 1.0, "speed_non_negative": 1.0, "no_teleport": 1.0}
    assert quality(driven, v0, DT, actions * 10, "trapezoid")["feasible"] == {"within_bounds": 0.5, "no_teleport": 1.0}
    assert set(quality(driven, v0, DT)) == {"comfort_positions"}


def test_comfort_of_actions_is_that_of_their_integrator() -> None:
    """From 2 to 20 m/s in a step of 0.05 1/m: 2^2 and 11^2 times that sideways, 4.89 m/s^2 are allowed."""
    actions = torch.zeros(1, 64, 2, dtype=torch.float64)
    actions[0, 0] = torch.tensor([180.0, 0.05])
    states = torch.zeros(1, 64, 4, dtype=torch.float64)
    states[..., 3] = 20.0
    for integrator, share in (("euler", 1.0), ("trapezoid", 0.0)):
        found = quality(states, torch.tensor([2.0], dtype=torch.float64), DT, actions, integrator)
        assert found["comfort_actions"]["max_abs_lateral_acceleration"] == share


def test_the_best_until_then_is_not_the_best_of_all() -> None:
    """One trajectory is right for 3 s and then 5 m off, the other 1 m off all the while."""
    theirs = drives(1, 1)
    early, steady = theirs[:, 0].clone(), theirs[:, 0].clone()
    early[:, 30:, 1] += 5
    steady[..., 1] += 1
    found = score(torch.stack([early, steady], 1), theirs, speeds(1), DT).per_clip
    assert float(found["min_ade_3.0"]) == pytest.approx(1.0)
    assert float(found["min_ade_horizon_3.0"]) == pytest.approx(0.0, abs=1e-12)
    late = theirs[:, 0].clone()
    late[:, 63, 1] += 3  # the best of all, but for where it ends
    ends = score(torch.stack([late, steady], 1), theirs, speeds(1), DT).per_clip
    assert float(ends["min_fde"]) == pytest.approx(1.0)
    assert float(ends["min_ade"]) == pytest.approx(3 / 64)


@pytest.mark.parametrize(("off", "missed"), [(2.0, 0.0), (2.001, 1.0)])
def test_two_metres_are_no_miss(off: float, missed: float) -> None:
    theirs = torch.zeros(1, 1, 64, 4, dtype=torch.float64)
    mine = theirs.clone()
    mine[..., 1] = off
    for samples in (1, 2):
        assert float(score(mine.expand(1, samples, 64, 4), theirs, speeds(1), DT).per_clip["miss"]) == missed


def of_one(mine: Tensor, truth: Tensor, v0: Tensor) -> dict[str, Tensor]:
    """What one trajectory (T, 4) scores against one truth, by metrics that are proven by themselves."""
    final = displacement.final_errors(mine, truth)
    return {
        "ade": displacement.ade(mine, truth),
        **{f"fde_{s}.0": displacement.fde(mine, truth, 10 * s - 1) for s in range(1, 6)},
        "fde": displacement.fde(mine, truth),
        "miss": displacement.miss(mine[None], truth),
        **{f"waymo_miss_{s}": x for s, x in displacement.waymo_miss(mine[None], truth, v0, DT).items()},
        "heading_error": displacement.heading_error(mine, truth),
        "speed_error": displacement.speed_error(mine, truth),
        **{name: error.abs() for name, error in final.items()},
        "corner_distance": displacement.corner_distance(mine[None], truth),
    }


def of_several(mine: Tensor, truth: Tensor, v0: Tensor) -> dict[str, Tensor]:
    """The same of (K, T, 4)."""
    times = {"0.5": 5, "1.0": 10, "3.0": 30, "5.0": 50}
    return {
        "min_ade": displacement.min_ade(mine, truth),
        **{f"min_ade_{s}": displacement.min_ade(mine, truth, step) for s, step in times.items()},
        **{f"min_ade_horizon_{s}": displacement.min_ade(mine, truth, n, "horizon") for s, n in times.items()},
        "min_fde": displacement.min_fde(mine, truth),
        "miss": displacement.miss(mine, truth),
        **{f"waymo_miss_{s}": x for s, x in displacement.waymo_miss(mine, truth, v0, DT).items()},
        "corner_distance": displacement.corner_distance(mine, truth),
    }


@pytest.mark.parametrize("samples", [1, 3])
def test_every_number_is_the_mean_over_the_truths_of_its_metric(samples: int) -> None:
    mine = drives(3, samples)
    theirs = mine[:, :1] + 0.07 * (drives(3, 30, seed=1) - mine[:, :1])  # near enough to be missed now and then
    v0 = torch.tensor([1.0, 6.0, 12.0], dtype=torch.float64)  # by which Waymo's thresholds grow
    found = score(mine, theirs, v0, DT).per_clip
    for clip in range(3):
        each = [
            of_one(mine[clip, 0], truth, v0[clip]) if samples == 1 else of_several(mine[clip], truth, v0[clip])
            for truth in theirs[clip]
        ]
        expected = {name: torch.stack([one[name].double() for one in each]).mean() for name in each[0]}
        if samples > 1:
            expected |= {"spread": spread(mine[clip]), "energy_score": energy_score(mine[clip], theirs[clip])}
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert float(found[name][clip]) == pytest.approx(float(value), abs=1e-9), name
    assert 0 < float(found["miss"].mean()) < 1


def test_a_time_that_is_the_end_has_no_name_of_its_own() -> None:
    mine, theirs = drives(2, 2)[:, :, :50], drives(2, 1, seed=1)[:, :, :50]
    one, several = (score(mine[:, :k], theirs, speeds(2), DT).per_clip for k in (1, 2))
    assert [name for name in one if name.startswith("fde")] == ["fde_1.0", "fde_2.0", "fde_3.0", "fde_4.0", "fde"]
    assert [name for name in several if name.startswith("min_ade_") and "horizon" not in name][-1] == "min_ade_3.0"
    assert "waymo_miss_5.0" in one


def test_a_score_is_whole_where_every_clip_has_one() -> None:
    mine = drives(3, 1)
    assert score(mine, drives(3, 1, seed=1), speeds(3), DT).is_whole
    mine[1, 0, 63, 2] = math.inf
    found = score(mine, drives(3, 1, seed=1), speeds(3), DT)
    assert not found.is_whole
    assert found.per_clip["ade"].isnan().tolist() == [False, True, False]
    other = of_errors(torch.tensor([[1.0, 2.0], [5.0, 4.0]]), DT)
    assert other.per_step.tolist() == [3.0, 3.0]
    assert other.per_clip["ade"].tolist() == [1.5, 4.5]


def test_shares_of_clips_at_steps_of_their_own_length() -> None:
    """2 m/s^2 from rest in steps of 0.2 s is comfortable, a curvature of 0.34 1/m is more than a car can."""
    actions = torch.tensor([2.0, 0.0], dtype=torch.float64).repeat(2, 20, 1)
    actions[1, 3, 1] = 0.34
    v0 = torch.zeros(2, dtype=torch.float64)
    found = quality(UnicycleRollout(0.2, "trapezoid")(actions * torch.tensor([1.0, 0.0]), v0), v0, 0.2, actions)
    assert found["feasible"] == {"within_bounds": 0.5, "no_teleport": 1.0}
    assert found["comfort_positions"]["max_longitudinal_acceleration"] == 1.0
