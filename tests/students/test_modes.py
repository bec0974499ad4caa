"""Modes: how they begin, what is drawn of them, and that odds are odds."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from taught import built, left, stirred
from torch import Tensor

from alpamayo_toy import ActionSpace, Labels, UnicycleRollout
from alpamayo_toy.kinematics.trajectory import Scene
from alpamayo_toy.students.config import StudentConfig
from alpamayo_toy.students.heads.modes import Modes, waves
from alpamayo_toy.students.student import Student, _bend, _raw_of

MIRROR = torch.tensor([1.0, -1.0])
SPREAD = StudentConfig(modes=6, spread=True)


def learned(config: StudentConfig, n: int = 8) -> tuple[Student, Labels]:
    """A student with an output layer that is not zero."""
    labels = left(n)
    return stirred(built(config, labels)), labels


def one_scene(labels: Labels, times: int) -> Scene:
    return labels.scene().select(torch.zeros(times, dtype=torch.int64))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8), st.booleans(), st.integers(1, 9))
def test_shapes_and_odds(modes: int, spread: bool, samples: int) -> None:
    student, labels = learned(StudentConfig(modes=modes, spread=spread), 4)
    found, drawn = student(labels.scene()), student(labels.scene(), samples)
    for prediction, m in ((found, modes), (drawn, samples)):
        assert prediction.actions.shape == (4, m, 64, 2)
        assert prediction.trajectories.shape == (4, m, 64, 4)
        torch.testing.assert_close(prediction.probabilities.sum(-1), torch.ones(4))
        assert bool(student.action_space.within_bounds(prediction.actions).all())
        rolled = student.rollout(prediction.actions, labels.v0.unsqueeze(-1))
        assert torch.equal(rolled, prediction.trajectories)
    assert torch.equal(drawn.log_probabilities, drawn.log_probabilities[:1, :1].expand(4, samples))
    assert torch.equal(student(labels.scene(), samples).actions, drawn.actions)  # seeded where nobody gives a seed
    seeds = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    same, others = (student(labels.scene(), samples, seed).actions for seed in seeds)
    assert torch.equal(same, drawn.actions)
    assert not spread or not torch.equal(others, drawn.actions)


def test_modes_begin_apart_around_the_mean_action_and_mirror_each_other() -> None:
    raw = Modes(StudentConfig(modes=6), 64)(torch.zeros(1, 6 * 128 + 6)).mean[0]
    torch.testing.assert_close(raw.norm(dim=-1), torch.full((6, 64), 0.5))  # standard deviations
    torch.testing.assert_close(raw.mean(0), torch.zeros(64, 2), rtol=0, atol=1e-6)
    nearest = (raw.unsqueeze(1) - raw * MIRROR).norm(dim=-1).mean(-1).amin(1)
    assert float(nearest.max()) < 1e-6
    alone = Modes(StudentConfig(), 64)(torch.zeros(1, 128)).mean
    assert torch.equal(alone, torch.zeros(1, 1, 64, 2))


def test_mirrored_noise_draws_mirrored_samples() -> None:
    student, labels = learned(SPREAD)
    student.modes.fit(_mirrored_too(torch.randn(500, 64, 2, generator=torch.Generator().manual_seed(0)).cumsum(1)))
    mixture = student._mixture(labels.scene())
    flat = replace(mixture, mean=torch.zeros_like(mixture.mean))
    noise = student.noise(len(labels), 1, torch.Generator().manual_seed(0))
    drawn = student.modes.moved(flat, noise)
    # the covariance of labels and their mirror images has nothing between a and kappa
    turned = student.modes.whitening.clone()
    turned[1::2] *= -1
    student.modes.whitening.copy_(turned)
    torch.testing.assert_close(student.modes.moved(flat, noise), drawn * MIRROR)


def _mirrored_too(raw: Tensor) -> Tensor:
    return torch.cat([raw, raw * MIRROR])


@pytest.mark.parametrize("horizon", [1, 4, 7, 8, 64])
def test_waves_are_orthonormal_and_keep_a_and_kappa_apart(horizon: int) -> None:
    found = Modes(SPREAD, horizon).smooth
    assert torch.equal(found, waves(min(8, horizon), horizon))
    torch.testing.assert_close(found @ found.mT / horizon, torch.eye(2 * min(8, horizon)), rtol=0, atol=1e-5)
    assert not found[::2, 1::2].any()
    assert not found[1::2, ::2].any()


@pytest.mark.parametrize("horizon", [4, 64])
def test_a_spread_is_fitted_to_how_labels_vary(horizon: int) -> None:
    """With widths of exactly one, draws vary as the raw actions did that were fitted, as far as cosines go."""
    generator = torch.Generator().manual_seed(0)
    modes = Modes(StudentConfig(spread=True), horizon)
    n = modes.coefficients
    mixing = torch.randn(n, n, generator=generator)
    raw = (torch.randn(4000, n, generator=generator) @ mixing @ modes.smooth).unflatten(-1, (horizon, 2))
    modes.fit(raw)
    mixture = modes(torch.cat([torch.zeros(4000, 2 * horizon), torch.full((4000, n), 2.0)], -1))  # NARROW + 2 is 0
    drawn = modes.moved(mixture, modes.noise(4000, 1, generator))[:, 0]
    of = [torch.cov(x.flatten(1).mT) for x in (raw, drawn)]
    assert float((of[0] - of[1]).norm() / of[0].norm()) < 0.1
    whitening = modes.whitening.clone()
    modes.fit(raw + torch.tensor([3.0, -2.0]))  # what all do is no spread
    torch.testing.assert_close(modes.whitening, whitening, rtol=0, atol=1e-3)
    modes.fit(raw[:1].expand(9, horizon, 2))  # and where all do the same there is next to none, a hundredth
    torch.testing.assert_close(modes.whitening, 0.01 * torch.eye(n), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("integrator", ["euler", "trapezoid"])
def test_a_spread_is_fitted_to_numbers_that_give_back_the_actions(integrator: str) -> None:
    draw = torch.Generator().manual_seed(0)
    actions = torch.randn(4, 3, 64, 2, generator=draw, dtype=torch.float64) * torch.tensor([1.0, 0.05])
    actions[0, 0, 5], actions[0, 0, 6] = torch.tensor([9.7, 0.3]), torch.tensor([-9.7, -0.3])  # near their bounds
    labels = left(4)
    v0 = labels.v0.double() + 10
    driven = UnicycleRollout(labels.dt, integrator)(actions, v0.unsqueeze(-1))
    labels = replace(labels, v0=v0, teacher=driven)
    space = ActionSpace.fit(labels)
    raw = _raw_of(labels, space, integrator)
    back = space.squash(raw, _bend(labels.v0.float()).repeat_interleave(3, 0))
    torch.testing.assert_close(back.double(), actions.flatten(0, 1), rtol=0, atol=2e-5)


def test_no_mode_is_wider_than_e_times_the_labels() -> None:
    modes = Modes(StudentConfig(spread=True), 8)
    numbers = torch.tensor([-100.0, 0.0, 2.5, 3.5]).unsqueeze(-1)
    widths = modes(torch.cat([torch.zeros(4, 16), numbers.expand(4, 16)], -1)).widths
    torch.testing.assert_close(widths[:, 0, 0], torch.tensor([-102.0, -2.0, 0.5, 1.0]))


@pytest.mark.parametrize("spread", [False, True])
def test_samples_are_drawn_as_often_as_their_modes_are_likely(spread: bool) -> None:
    student, labels = learned(StudentConfig(modes=3, spread=spread))
    output = student.head[-1]
    assert isinstance(output, torch.nn.Linear)
    with torch.no_grad():
        output.weight.zero_()
        output.bias[384:387] = torch.tensor([0.6, 0.3, 0.1]).log()
        output.bias[387:] = -3.0  # of a spread: narrow enough to tell whose a sample is
    scene = one_scene(labels, 500)
    with torch.no_grad():
        drawn, modes = student(scene, 8), student(scene)
    torch.testing.assert_close(modes.probabilities[0], torch.tensor([0.6, 0.3, 0.1]))
    mine, theirs = (student.action_space.normalize(found.actions) for found in (drawn, modes))
    far = (mine.unsqueeze(2) - theirs.unsqueeze(1)).abs().mean((-1, -2))
    often = torch.nn.functional.one_hot(far.argmin(-1), 3).float().mean((0, 1))
    torch.testing.assert_close(often, modes.probabilities[0], rtol=0, atol=0.03)
    assert torch.equal(student.act(scene), modes.likeliest().actions)
    assert (float(far.amin(-1).max()) == 0) is not spread


def test_each_mode_is_drawn_equally_often_and_keeps_its_odds() -> None:
    student, labels = learned(SPREAD)
    modes, drawn = student.each_mode(labels.scene(), student.noise(len(labels), 3, torch.Generator().manual_seed(0)))
    assert drawn.actions.shape == (8, 18, 64, 2)
    torch.testing.assert_close(drawn.probabilities.unflatten(-1, (6, 3)).sum(-1), modes.probabilities)
    assert torch.equal(modes.actions, student(labels.scene()).actions)
    apart = (drawn.actions.unflatten(1, (6, 3)) - modes.actions.unsqueeze(2)).abs().amax((-1, -2))
    assert bool((apart > 0).all())
    output = student.head[-1]
    assert isinstance(output, torch.nn.Linear)
    with torch.no_grad():
        output.weight[-96:], output.bias[-96:] = 0, -60.0  # no width at all: draws are told by their modes
    firm_modes, near = student.each_mode(labels.scene(), student.noise(len(labels), 3, torch.Generator()))
    torch.testing.assert_close(near.actions, firm_modes.actions.repeat_interleave(3, 1))
    firm, same = learned(StudentConfig(modes=6))[0].each_mode(labels.scene(), None)
    assert firm is same


def test_draws_are_float32_under_autocast() -> None:
    student, labels = learned(SPREAD)
    noise = student.noise(len(labels), 2, torch.Generator().manual_seed(0))
    _, plain = student.each_mode(labels.scene(), noise)
    mixture = student._mixture(labels.scene())
    with torch.autocast("cpu", torch.bfloat16):
        raw = student.modes.moved(mixture, noise)
        assert raw.dtype == torch.float32
    torch.testing.assert_close(student._squashed(raw, labels.scene()), plain.actions)


def test_no_samples_are_refused() -> None:
    student, labels = learned(SPREAD)
    with pytest.raises(ValueError, match=r"samples must be >= 1 \(got 0\)"):
        student(labels.scene(), samples=0)


def test_a_narrow_spread_draws_the_mean() -> None:
    student, labels = learned(SPREAD)
    output = student.head[-1]
    assert isinstance(output, torch.nn.Linear)
    with torch.no_grad():
        output.bias[-96:] = -60.0
        output.weight[-96:] = 0
    modes, drawn = student.each_mode(labels.scene(), student.noise(len(labels), 2, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(drawn.actions, modes.actions.repeat_interleave(2, 1))


def test_the_likeliest_stands_alone_and_is_certain() -> None:
    student, labels = learned(StudentConfig(modes=4))
    found = student(labels.scene())
    alone = found.likeliest()
    assert alone.trajectories.shape == (8, 1, 64, 4)
    assert torch.equal(alone.probabilities, torch.ones(8, 1))
    for row, best in enumerate(found.probabilities.argmax(-1).tolist()):
        assert torch.equal(alone.trajectories[row, 0], found.trajectories[row, best])
    actions, trajectory = student.predict("LEFT", v0=6.0)
    assert actions.shape == (64, 2)
    assert trajectory.shape == (64, 4)
