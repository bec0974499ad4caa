"""Ridge regression against another formula, residuals drawn from training clips, clips without history."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from histories import FLOATS, MIRROR, NAMES, made, wandering
from torch import Tensor

from alpamayo_toy import Labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.baselines import (
    PENALTY,
    Anchors,
    Linear,
    Residuals,
    Ridge,
    baselines,
    constant_velocity,
    six_residuals,
)
from alpamayo_toy.teachers.augment import with_mirror_images

NEED_HISTORY = NAMES[2:]


def inputs(labels: Labels) -> Tensor:
    """The 2H - 1 numbers that ridge regression sees, written out."""
    assert labels.history is not None
    _, _, yaw, v = labels.history.unbind(-1)
    return torch.stack(
        [v[:, i] for i in range(v.shape[1])] + [yaw[:, i + 1] - yaw[:, i] for i in range(v.shape[1] - 1)], 1
    )


def test_ridge_recovers_a_linear_world() -> None:
    generator = torch.Generator().manual_seed(0)
    past = torch.randn(4000, 6, 4, generator=generator, dtype=torch.float64)
    v0 = past[:, -1, 3]
    empty = made(past, torch.zeros(4000, 1, 5, 4, dtype=torch.float64), v0)
    world = torch.randn(11, 20, generator=generator, dtype=torch.float64)
    truth = (inputs(empty) @ world + torch.arange(20)).view(-1, 1, 5, 4)
    labels = empty.with_teacher(truth)
    train, rest = labels.select(torch.arange(3000)), labels.select(torch.arange(3000, 4000))
    error = Ridge.fit(train).predict(rest) - rest.teacher[:, 0]
    assert error.abs().max() < 1e-3 * truth.std()


def test_ridge_is_least_squares_with_rows_for_the_penalty() -> None:
    """A second formula: an intercept column, and a row of sqrt(penalty) for every input, all samples as rows."""
    labels, rest = wandering(60, samples=3), wandering(9, seed=1)
    x = np.repeat(inputs(labels).numpy(), 3, 0)
    y = labels.teacher.reshape(180, -1).numpy()
    mean, std = x.mean(0), x.std(0)
    rows = np.concatenate([(x - mean) / std, np.ones((180, 1))], 1)
    penalty = np.concatenate([np.eye(31) * math.sqrt(3 * PENALTY), np.zeros((31, 1))], 1)  # every clip is there 3 times
    solved = np.linalg.lstsq(np.concatenate([rows, penalty]), np.concatenate([y, np.zeros((31, y.shape[1]))]))[0]
    expected = np.concatenate([(inputs(rest).numpy() - mean) / std, np.ones((9, 1))], 1) @ solved
    found = Ridge.fit(labels).predict(rest)
    assert found.shape == (9, 8, 4)
    assert np.allclose(found.flatten(1).numpy(), expected, atol=1e-6)


def test_ridge_fitted_to_mirror_images_treats_left_and_right_alike() -> None:
    ridge, rest = Ridge.fit(with_mirror_images(wandering(40))), wandering(9, seed=1)
    assert rest.history is not None
    mirrored = ridge.predict(replace(rest, history=rest.history * MIRROR))
    assert torch.allclose(mirrored, ridge.predict(rest) * MIRROR, atol=1e-9)


def test_ridge_stands_constant_inputs_and_a_single_clip() -> None:
    labels = wandering(1)
    assert torch.allclose(Ridge.fit(labels).predict(labels)[0], labels.teacher[0].mean(0))
    v0 = torch.full((5,), 3.0, dtype=torch.float64)
    parked = made(torch.zeros(5, 16, 4, dtype=torch.float64), torch.ones(5, 1, 8, 4, dtype=torch.float64), v0)
    assert torch.allclose(Ridge.fit(parked).predict(parked), torch.ones(5, 8, 4, dtype=torch.float64))


def test_what_varies_less_than_a_tenth_of_a_millimetre_a_second_keeps_its_own_scale() -> None:
    inputs = torch.tensor([[0.0, 0.9e-4], [1.0, -0.9e-4], [2.0, 0.0]], dtype=torch.float64)
    assert Linear.fit(inputs, inputs[:, :1]).std.tolist() == pytest.approx([math.sqrt(2 / 3), 1.0])
    assert Linear.fit(2 * inputs, inputs[:, :1]).std[1].item() == pytest.approx(1.8e-4 * math.sqrt(2 / 3))


def without(labels: Labels, rows: list[int]) -> Labels:
    assert labels.history is not None
    past = labels.history.clone()
    past[rows] = torch.nan
    return replace(labels, history=past)


def test_clips_without_history_are_left_out_of_the_fit() -> None:
    labels = wandering(40)
    kept = labels.select(torch.tensor([i for i in range(40) if i not in (0, 7)]))
    mixed = without(labels, [0, 7])
    assert torch.equal(Ridge.fit(mixed).linear.weight, Ridge.fit(kept).linear.weight)
    assert torch.equal(Residuals.fit(mixed).residuals, Residuals.fit(kept).residuals)


def test_clips_without_history_are_nan_and_no_others() -> None:
    training, labels = wandering(40), wandering(10, seed=1)
    clean, found = baselines(labels, training), baselines(without(labels, [2, 9]), training)
    assert list(found) == NAMES
    for name, trajectory in found.items():
        whole = clean[name]
        assert isinstance(trajectory, Tensor)
        assert isinstance(whole, Tensor)
        lost = trajectory.isnan().flatten(1)
        assert bool(lost[[2, 9]].all()) == bool(lost.any()) == (name in NEED_HISTORY)
        rest = [i for i in range(10) if i not in (2, 9)]
        assert torch.equal(trajectory[rest], whole[rest])
    residuals = Residuals.fit(training)
    several = residuals.predict(without(labels, [2, 9]))
    assert bool(several[[2, 9]].isnan().all())
    assert torch.equal(several[3], residuals.predict(labels)[3])


@pytest.mark.parametrize("dtype", FLOATS)
def test_baselines_come_in_the_dtype_of_v0(dtype: torch.dtype) -> None:
    labels = wandering(10, seed=1)
    labels = replace(labels, v0=labels.v0.to(dtype))
    for trajectory in (*baselines(labels, wandering(40)).values(), Residuals.fit(wandering(40)).predict(labels)[:, 0]):
        assert isinstance(trajectory, Tensor)
        assert trajectory.dtype == dtype
        assert trajectory.shape == (10, 8, 4)


def test_baselines_see_the_past_only() -> None:
    training, labels = wandering(40), wandering(10, seed=1)
    other = labels.with_teacher(labels.teacher + 1)
    for name, trajectory in baselines(labels, training).items():
        same = baselines(other, training)[name]
        assert isinstance(trajectory, Tensor)
        assert isinstance(same, Tensor)
        assert torch.equal(trajectory, same)


NO_HISTORY = "needs a history, which these labels do not have"


@pytest.mark.parametrize("lost", [None, list(range(10))])
def test_labels_without_history_get_a_reason(lost: list[int] | None) -> None:
    labels = wandering(10)
    labels = replace(labels, history=None) if lost is None else without(labels, lost)
    found = baselines(labels, wandering(40))
    assert list(found) == NAMES
    assert {name: found[name] for name in NEED_HISTORY} == dict.fromkeys(NEED_HISTORY, NO_HISTORY)
    assert all(isinstance(found[name], Tensor) for name in NAMES[:2])
    with pytest.raises(UserError, match=NO_HISTORY):
        Residuals.fit(wandering(40)).predict(labels)


def test_short_histories_get_a_reason() -> None:
    found = baselines(wandering(10, poses=4), wandering(40))
    assert found["decaying_hold"] == "needs a history of 5 poses or more; these labels have 4"


@pytest.mark.parametrize(
    ("training", "reason"),
    [
        (None, "needs training labels, and none are given"),
        (replace(wandering(4), history=None), "needs a history, which the training labels do not have"),
        (
            wandering(4, poses=11),
            "was fitted to 11 poses of history and 8 steps of 0.1 s; these labels have 16, 8 and 0.1",
        ),
        (
            wandering(4, horizon=9),
            "was fitted to 16 poses of history and 9 steps of 0.1 s; these labels have 16, 8 and 0.1",
        ),
        (
            replace(wandering(4), dt=0.2),
            "was fitted to 16 poses of history and 8 steps of 0.2 s; these labels have 16, 8 and 0.1",
        ),
    ],
)
def test_training_labels_that_do_not_fit_take_away_ridge_alone(training: Labels | None, reason: str) -> None:
    found = baselines(wandering(10), training)
    assert found["ridge"] == reason
    assert all(isinstance(found[name], Tensor) for name in NAMES[:-1])
    if training is not None:
        with pytest.raises(UserError) as caught:
            Residuals.fit(training).predict(wandering(10))
        assert str(caught.value) == reason


def test_residuals_are_drawn_from_the_training_clips_and_go_by_the_seed() -> None:
    training, labels = wandering(20), wandering(10, seed=1)
    residuals = Residuals.fit(training)
    decaying, hers = (baselines(which, None)["decaying_hold"] for which in (labels, training))
    assert isinstance(decaying, Tensor)
    assert isinstance(hers, Tensor)
    found = residuals.predict(labels, samples=5, seed=3)
    assert found.shape == (10, 5, 8, 4)
    assert residuals.predict(labels).shape == (10, 6, 8, 4)
    assert torch.equal(found, residuals.predict(labels, samples=5, seed=3))
    assert not torch.equal(found, residuals.predict(labels, samples=5, seed=4))
    drawn = (found - decaying[:, None]).reshape(50, 1, -1)
    missed = (training.teacher - hers[:, None]).reshape(1, 40, -1)
    off = (drawn - missed).abs().amax(-1)
    assert off.amin(1).max() < 1e-9
    assert len(off.argmin(1).unique()) > 20  # of 40, and not the same few for every clip


def test_a_training_clip_is_among_its_own_residuals() -> None:
    labels = wandering(1, samples=1)
    assert torch.allclose(Residuals.fit(labels).predict(labels, samples=2), labels.teacher.expand(1, 2, 8, 4))


def test_six_residuals_are_those_of_the_training_labels_or_a_reason() -> None:
    training, labels = wandering(20), wandering(10, seed=1)
    found = six_residuals(labels, training)
    assert isinstance(found, Tensor)
    assert torch.equal(found, Residuals.fit(training).predict(labels))
    assert six_residuals(labels, None) == "needs training labels, and none are given"
    assert six_residuals(replace(labels, history=None), training) == NO_HISTORY
    bare = six_residuals(labels, replace(training, history=None))
    assert bare == "needs a history, which the training labels do not have"


def aside(metres: list[float]) -> Labels:
    """A clip each, which drives straight on at a speed of its own, so many metres to the left."""
    v0 = torch.arange(len(metres), dtype=torch.float64) + 1
    teacher = constant_velocity(v0, 8, 0.1)
    teacher[..., 1] += torch.tensor(metres, dtype=torch.float64)[:, None]
    return made(None, teacher.unsqueeze(1), v0)


def test_anchors_are_what_constant_velocity_misses_and_how_often_it_does() -> None:
    labels = aside([0.0] * 7 + [10.0, 20.0, 30.0, 40.0, 50.0])
    anchors = Anchors.fit(labels)
    others = labels.select(torch.tensor([3, 11]))
    found = anchors.predict(others) - constant_velocity(others.v0, 8, 0.1).unsqueeze(1)
    assert found.shape == (2, 6, 8, 4)
    assert torch.equal(found[0], found[1])
    shares = dict(zip(found[0, :, -1, 1].tolist(), anchors.probabilities.tolist(), strict=True))
    assert shares == pytest.approx({0.0: 7 / 12} | dict.fromkeys((10.0, 20.0, 30.0, 40.0, 50.0), 1 / 12))
    assert float(found[..., [0, 2, 3]].abs().max()) < 1e-9
    few = Anchors.fit(labels.select(torch.arange(6, 10)))
    assert sorted(few.residuals[:, -1, 1].tolist()) == [0.0, 10.0, 20.0, 30.0]
    single = Anchors.fit(replace(labels, v0=labels.v0.float()))
    assert single.predict(replace(others, v0=others.v0.float())).dtype == torch.float32


def test_time_steps_that_differ_in_the_last_digit_are_the_same() -> None:
    labels = wandering(10)
    assert isinstance(baselines(replace(labels, dt=0.1 + 1e-12), wandering(40))["ridge"], Tensor)
