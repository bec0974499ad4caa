"""Metrics against numbers written out by hand, a second implementation in plain Python, and NVIDIA's own numbers."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from places import DATA, SHARED
from torch import Tensor
from trajectories import ending_at

from alpamayo_toy.metrics.displacement import (
    ade,
    brier_min_fde,
    corner_distance,
    distance,
    fde,
    final_errors,
    heading_error,
    horizons,
    min_ade,
    min_fde,
    miss,
    speed_error,
    waymo_miss,
)
from alpamayo_toy.metrics.distribution import energy_score, medoid, spread

GOLDEN = SHARED / "golden" / "alpamayo_metrics.npz"
SLICE = DATA / "alpamayo_metrics_slice.npz"  # the first two clips of GOLDEN
BATCHES = [(), (3,), (2, 3)]


def states(*shape: int, seed: int = 0) -> Tensor:
    """Trajectories (*shape, 4) that lie metres apart, with headings over more than a turn."""
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.randn(*shape, 4, dtype=torch.float64, generator=generator)


def at_rest(steps: int) -> Tensor:
    return torch.zeros(steps, 4, dtype=torch.float64)


def test_distance_ignores_everything_but_x_and_y_and_has_a_gradient_at_zero() -> None:
    a = torch.tensor([[3.0, 4.0, 9.0, 9.0]], requires_grad=True)
    assert distance(a, torch.zeros(1, 4)).tolist() == [5.0]
    (grad,) = torch.autograd.grad(distance(a, a.detach()).sum(), a)
    assert grad.tolist() == [[0.0, 0.0, 0.0, 0.0]]


def test_both_definitions_of_min_ade() -> None:
    truth = torch.zeros(4, 2)
    first = torch.tensor([[0.0, 0.0], [0.0, 0.0], [4.0, 0.0], [4.0, 0.0]])  # mean 2, first half 0
    second = torch.tensor([[1.0, 0.0]] * 4)  # mean 1, first half 1
    samples = torch.stack([first, second])
    assert min_ade(samples, truth).item() == 1.0
    assert min_ade(samples, truth, steps=2).item() == 1.0
    assert min_ade(samples, truth, steps=2, select="horizon").item() == pytest.approx(0.0, abs=1e-12)
    assert min_ade(samples.expand(3, 5, 2, 4, 2), truth.expand(3, 5, 4, 2)).shape == (3, 5)
    with pytest.raises(ValueError, match="select must be full or horizon"):
        min_ade(samples, truth, select="best")


def test_horizons_are_named_by_seconds() -> None:
    errors = torch.arange(1.0, 65.0)
    assert horizons(errors, 0.1) == {"1.0": 10, "2.0": 20, "3.0": 30, "4.0": 40, "5.0": 50, "6.4": 64}
    assert horizons(errors[:8], 0.1) == {"0.8": 8}


def test_a_time_between_two_steps_is_the_nearest_one() -> None:
    errors = horizons(torch.arange(1.0, 21.0), 0.3)  # 5 s are 16.7 steps
    assert errors == {"1.0": 3.0, "2.0": 7.0, "3.0": 10.0, "4.0": 13.0, "5.0": 17.0, "6.0": 20.0}


def test_ade_and_fde_by_hand() -> None:
    truth = at_rest(3)
    driven = torch.tensor([[3.0, 4, 0, 0], [0, 1, 0, 0], [0, 0, 9, 9]], dtype=torch.float64)
    assert ade(driven, truth).item() == pytest.approx(2.0)
    assert fde(driven, truth).item() == pytest.approx(0.0, abs=1e-12)
    assert fde(driven, truth, step=0).item() == pytest.approx(5.0)
    mask = torch.tensor([True, True, False])
    assert ade(driven, truth, mask).item() == pytest.approx(3.0)
    assert fde(driven, truth, mask=mask).item() == pytest.approx(1.0)
    assert fde(driven, truth, step=2, mask=mask).isnan()
    nothing = torch.zeros(3, dtype=torch.bool)
    assert ade(driven, truth, nothing).isnan()
    assert fde(driven, truth, mask=nothing).isnan()


def test_the_mask_may_have_holes() -> None:
    truth, driven = at_rest(4), at_rest(4)
    driven[:, 0] = torch.tensor([1.0, 100.0, 3.0, 100.0])
    truth[1] = math.nan
    mask = torch.tensor([True, False, True, False])
    assert ade(driven, truth, mask).item() == pytest.approx(2.0)
    assert fde(driven, truth, mask=mask).item() == pytest.approx(3.0)


def test_both_definitions_of_min_fde() -> None:
    truth = at_rest(4)
    first, second = at_rest(4), at_rest(4)
    first[:, 0] = torch.tensor([4.0, 4.0, 4.0, 0.5])  # mean 3.125, ends nearest
    second[:, 0] = torch.tensor([1.0, 1.0, 1.0, 1.5])  # mean 1.125
    samples = torch.stack([first, second])
    assert min_fde(samples, truth).item() == pytest.approx(0.5)
    assert min_fde(samples, truth, select="full").item() == pytest.approx(1.5)
    assert min_fde(samples, truth, step=0).item() == pytest.approx(1.0)
    assert min_fde(samples, truth, step=0, select="full").item() == pytest.approx(1.0)
    assert brier_min_fde(samples, truth, torch.tensor([0.2, 0.8])).item() == pytest.approx(0.5 + 0.64)
    mask = torch.tensor([True, True, True, False])
    assert brier_min_fde(samples, truth, torch.tensor([0.2, 0.8]), mask).item() == pytest.approx(1.0 + 0.04)
    with pytest.raises(ValueError, match="select must be full or horizon"):
        min_fde(samples, truth, select="best")


def test_a_miss_is_more_than_two_metres() -> None:
    truth = at_rest(64)
    assert not miss(ending_at((0, 2.0), (9, 9)), truth)
    assert miss(ending_at((0, 2.001), (9, 9)), truth)
    assert miss(ending_at((0, 2.001), (9, 9)), truth).dtype == torch.bool


@pytest.mark.parametrize(
    ("v0", "end", "expected"),
    [
        (11.0, (2.0, 1.0), [0, 0]),  # on both thresholds at 3 s
        (11.0, (2.01, 0.0), [1, 0]),
        (11.0, (0.0, 1.01), [1, 0]),
        (11.0, (3.61, 0.0), [1, 1]),
        (11.0, (0.0, 1.81), [1, 1]),
        (40.0, (2.01, 0.0), [1, 0]),  # never more than the whole thresholds
        (1.4, (1.0, 0.5), [0, 0]),  # half
        (0.0, (1.01, 0.0), [1, 0]),
        (0.0, (0.0, 0.91), [1, 1]),
        (6.2, (1.49, 0.74), [0, 0]),  # halfway: three quarters
        (6.2, (1.51, 0.0), [1, 0]),
        (-6.2, (1.49, 0.74), [0, 0]),
    ],
)
def test_waymo_thresholds(v0: float, end: tuple[float, float], expected: list[int]) -> None:
    found = waymo_miss(ending_at(end, (50, 50)), at_rest(64), torch.tensor(v0, dtype=torch.float64), 0.1)
    assert [found["3.0"].item(), found["5.0"].item()] == expected


def test_waymo_misses_in_the_heading_frame_within_the_horizon_and_where_valid() -> None:
    truth, v0 = at_rest(64), torch.tensor(11.0, dtype=torch.float64)
    ahead = ending_at((1.5, 0.0))
    assert waymo_miss(ahead, truth, v0, 0.1)["3.0"] == 0
    truth[:, 2] = math.pi / 2  # what was ahead is now to the right
    assert waymo_miss(ahead, truth, v0, 0.1)["3.0"] == 1
    assert list(waymo_miss(ahead[:, :49], truth[:49], v0, 0.1)) == ["3.0"]
    assert list(waymo_miss(ahead[:, :50], truth[:50], v0, 0.1)) == ["3.0", "5.0"]
    assert waymo_miss(ahead[:, :29], truth[:29], v0, 0.1) == {}
    assert waymo_miss(ahead, truth, v0, 20.0) == {}
    assert list(waymo_miss(ahead[:, :1], truth[:1], v0, 3.0)) == ["3.0"]
    assert list(waymo_miss(ahead[:, :10], truth[:10], v0, 0.5)) == ["3.0", "5.0"]
    mask = torch.arange(64) < 30
    found = waymo_miss(ahead, truth, v0, 0.1, mask)
    assert found["3.0"] == 1
    assert found["5.0"].isnan()


def test_waymo_wants_one_sample_within_both_thresholds() -> None:
    v0 = torch.tensor(11.0, dtype=torch.float64)
    assert waymo_miss(ending_at((9, 0), (0, 9)), at_rest(64), v0, 0.1)["3.0"] == 1
    assert waymo_miss(ending_at((9, 0), (0, 0)), at_rest(64), v0, 0.1)["3.0"] == 0


def test_heading_and_speed_errors() -> None:
    truth, driven = at_rest(2), at_rest(2)
    driven[:, 2] = torch.tensor([0.1, 2 * math.pi - 0.3])
    driven[:, 3] = torch.tensor([1.0, -2.0])
    assert heading_error(driven, truth).item() == pytest.approx(0.2)
    assert speed_error(driven, truth).item() == pytest.approx(1.5)
    driven[:, 2], truth[:, 2] = math.pi - 0.05, -math.pi + 0.05
    assert heading_error(driven, truth).item() == pytest.approx(0.1)


def test_final_errors_in_the_heading_frame() -> None:
    truth, driven = at_rest(2), at_rest(2)
    truth[:, 2] = torch.tensor([0.0, math.pi / 2])  # facing +y at the end
    driven[:, :2] = torch.tensor([[5.0, 6.0], [-1.0, 3.0]])
    found = final_errors(driven, truth)
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {"final_longitudinal_error": 3.0, "final_lateral_error": 1.0}
    )
    assert final_errors(driven, truth, step=0)["final_lateral_error"].item() == pytest.approx(6.0)
    assert final_errors(driven, truth, mask=torch.tensor([True, False]))["final_lateral_error"].item() == pytest.approx(
        6
    )


def test_corner_distance_by_hand() -> None:
    truth = at_rest(5)
    assert corner_distance(ending_at((3, 4), steps=5), truth).item() == pytest.approx(5.0)
    around = truth.clone()
    around[:, 2] = math.pi  # every corner goes to the opposite one: the diagonal of 4 x 3 m
    assert corner_distance(around.unsqueeze(0), truth).item() == pytest.approx(5.0)
    assert corner_distance(around.unsqueeze(0), truth, (1.0, 0.0, 9.0)).item() == pytest.approx(1.0)
    turned = truth.clone()
    turned[:, 2] = math.pi / 2  # a chord of a quarter turn on a circle of 2.5 m
    assert corner_distance(turned.unsqueeze(0), truth).item() == pytest.approx(2.5 * math.sqrt(2))
    # forwards by 1 m at one step and by 2 m at the other, each right in one sample: no step is wrong in both
    one, other = at_rest(2), at_rest(2)
    one[0, 0], other[1, 0] = 1.0, 2.0
    assert corner_distance(torch.stack([one, other]), at_rest(2)).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("columns", [2, 3])
def test_headings_are_needed(columns: int) -> None:
    samples, truth = states(2, 5), states(5)
    for measure in (
        lambda: corner_distance(samples[..., :columns], truth),
        lambda: corner_distance(samples, truth[..., :columns]),
        lambda: heading_error(samples[0, :, :columns], truth),
        lambda: speed_error(samples[0, :, :columns], truth),
        lambda: final_errors(samples[0], truth[..., :columns]),
        lambda: waymo_miss(samples, truth[..., :columns], torch.tensor(1.0), 0.1),
    ):
        with pytest.raises(ValueError, match=r"headings are needed.*= x, y, yaw, v \(got"):
            measure()


def slow(samples: list, truth: list, teacher: list, probability: list, v0: float) -> dict[str, float]:
    """Every metric of one clip again, in plain Python: samples [K][T][4], truth [T][4], teacher [M][T][4]."""
    k, steps = len(samples), len(truth)
    error = [[math.dist(p[:2], q[:2]) for p, q in zip(sample, truth, strict=True)] for sample in samples]
    mean = [sum(row) / steps for row in error]
    final = [row[-1] for row in error]
    chosen, nearest = mean.index(min(mean)), final.index(min(final))

    def apart(one: list, two: list) -> float:
        return sum(math.dist(p[:2], q[:2]) for p, q in zip(one, two, strict=True)) / steps

    def corners(state: list) -> list:
        turn = complex(math.cos(state[2]), math.sin(state[2]))
        return [complex(*state[:2]) + turn * complex(a, b) for a in (2, -2) for b in (1.5, -1.5)]

    def local(state: list, step: int) -> complex:
        x, y, yaw = truth[step][:3]
        return complex(state[0] - x, state[1] - y) * complex(math.cos(yaw), -math.sin(yaw))

    def missed(step: int, across: float, along: float) -> float:
        scale = 0.5 + 0.5 * min(max((v0 - 1.4) / 9.6, 0), 1)
        ends = [local(sample[step], step) for sample in samples]
        return float(not any(abs(e.imag) <= across * scale and abs(e.real) <= along * scale for e in ends))

    turns = [abs((p[2] - q[2] + math.pi) % (2 * math.pi) - math.pi) for p, q in zip(samples[0], truth, strict=True)]
    pairs = [apart(samples[i], samples[j]) for i in range(k) for j in range(k) if i != j]
    middle = [[sum(sample[t][c] for sample in samples) / k for c in (0, 1)] for t in range(steps)]
    end = local(samples[0][-1], steps - 1)
    nearest_corner = [
        min(abs(corners(sample[t])[c] - corners(truth[t])[c]) for sample in samples)
        for t in range(steps)
        for c in range(4)
    ]
    return {
        "ade": mean[0],
        "fde": final[0],
        "min_ade": min(mean),
        "min_ade_5": sum(error[chosen][:5]) / 5,
        "min_ade_5_horizon": min(sum(row[:5]) / 5 for row in error),
        "min_fde": min(final),
        "min_fde_full": final[chosen],
        "brier": min(final) + (1 - probability[nearest]) ** 2,
        "miss": float(min(final) > 2),
        "3.0": missed(5, 1.0, 2.0),
        "5.0": missed(9, 1.8, 3.6),
        "heading": sum(turns) / steps,
        "speed": sum(abs(p[3] - q[3]) for p, q in zip(samples[0], truth, strict=True)) / steps,
        "final_longitudinal_error": end.real,
        "final_lateral_error": end.imag,
        "corner": sum(nearest_corner) / len(nearest_corner),
        "energy": sum(apart(x, y) for x in samples for y in teacher) / (k * len(teacher)) - sum(pairs) / len(pairs) / 2,
        "spread": sum(apart(sample, middle) for sample in samples) / k,
        "medoid": float(min(range(k), key=lambda i: sum(apart(samples[i], other) for other in samples))),
    }


def fast(
    samples: Tensor, truth: Tensor, teacher: Tensor, probability: Tensor, v0: Tensor, mask: Tensor | None = None
) -> dict[str, Tensor]:
    """The same by the functions under test, at 2 Hz."""
    first = samples[..., 0, :, :]
    return {
        "ade": ade(first, truth, mask),
        "fde": fde(first, truth, mask=mask),
        "min_ade": min_ade(samples, truth, mask=mask),
        "min_ade_5": min_ade(samples, truth, 5, mask=mask),
        "min_ade_5_horizon": min_ade(samples, truth, 5, "horizon", mask),
        "min_fde": min_fde(samples, truth, mask=mask),
        "min_fde_full": min_fde(samples, truth, select="full", mask=mask),
        "brier": brier_min_fde(samples, truth, probability, mask),
        "miss": miss(samples, truth, mask=mask),
        **waymo_miss(samples, truth, v0, 0.5, mask),
        "heading": heading_error(first, truth, mask),
        "speed": speed_error(first, truth, mask),
        **final_errors(first, truth, mask=mask),
        "corner": corner_distance(samples, truth, mask=mask),
        "energy": energy_score(samples, teacher),
        "spread": spread(samples),
        "medoid": medoid(samples),
    }


def clips(batch: tuple[int, ...], k: int = 4, steps: int = 12) -> tuple[Tensor, ...]:
    truth = states(*batch, steps, seed=1)
    samples = truth.unsqueeze(-3) + states(*batch, k, steps, seed=2) / 2
    probability = states(*batch, k, seed=4)[..., 0].softmax(-1)
    return samples, truth, states(*batch, 3, steps, seed=3), probability, states(*batch, seed=5)[..., 0].abs() * 2


@pytest.mark.parametrize("batch", BATCHES)
def test_every_metric_against_plain_python(batch: tuple[int, ...]) -> None:
    given_clips = clips(batch)
    found = fast(*given_clips)
    assert {value.shape for value in found.values()} == {torch.Size(batch)}
    flat = [tensor.reshape(-1, *tensor.shape[len(batch) :]).tolist() for tensor in given_clips]
    for index, one in enumerate(zip(*flat, strict=True)):
        assert {name: float(value.flatten()[index]) for name, value in found.items()} == pytest.approx(slow(*one))


def test_the_plain_python_clips_hold_both_misses_and_hits() -> None:
    found = fast(*clips((40,)))
    assert all(0 < found[name].double().mean() < 1 for name in ("miss", "3.0", "5.0"))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), x=st.floats(-50, 50), y=st.floats(-50, 50), turn=st.floats(-7, 7))
def test_moving_the_frame_changes_no_metric(seed: int, x: float, y: float, turn: float) -> None:
    def moved(state: Tensor) -> Tensor:
        c, s = math.cos(turn), math.sin(turn)
        px, py, yaw, v = state.unbind(-1)
        return torch.stack([x + c * px - s * py, y + s * px + c * py, yaw + turn, v], -1)

    samples, truth, teacher, probability, v0 = clips((2,))
    samples = samples + states(2, 4, 12, seed=seed) / 100
    before = fast(samples, truth, teacher, probability, v0)
    after = fast(moved(samples), moved(truth), moved(teacher), probability, v0)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=1e-9, msg=name)


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(range(4)))
def test_the_order_of_samples_does_not_matter(order: list[int]) -> None:
    samples, truth, teacher, probability, v0 = clips((3,))
    before = fast(samples, truth, teacher, probability, v0)
    after = fast(samples[:, order], truth, teacher, probability[:, order], v0)
    after["medoid"] = torch.tensor(order)[after["medoid"]]
    of_the_first = {"ade", "fde", "heading", "speed", "final_longitudinal_error", "final_lateral_error"}
    for name in before.keys() - of_the_first:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-12, msg=name)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 12), seed=st.integers(0, 99))
def test_masking_a_tail_is_truncation(length: int, seed: int) -> None:
    samples, truth, teacher, probability, v0 = clips((3,))
    samples = samples + states(3, 4, 12, seed=seed) / 10
    mask = (torch.arange(12) < length).expand(3, 12)
    masked_truth = torch.where(mask.unsqueeze(-1), truth, math.nan)
    masked = fast(samples, masked_truth, teacher, probability, v0, mask)
    cut = fast(samples[..., :length, :], truth[:, :length], teacher[..., :length, :], probability, v0)
    for name in masked.keys() - {"energy", "spread", "medoid"}:
        expected = cut.get(name, torch.full((3,), math.nan, dtype=torch.float64))
        torch.testing.assert_close(masked[name], expected, rtol=0, atol=1e-12, equal_nan=True, msg=name)


def test_each_clip_has_a_mask_of_its_own() -> None:
    samples, truth, teacher, probability, v0 = clips((3,))
    lengths = [12, 7, 1]
    mask = torch.arange(12) < torch.tensor(lengths).unsqueeze(-1)
    found = fast(samples, truth, teacher, probability, v0, mask)
    for i, n in enumerate(lengths):
        alone = fast(samples[i, :, :n], truth[i, :n], teacher[i, :, :n], probability[i], v0[i])
        for name in alone.keys() - {"energy", "spread", "medoid"}:
            torch.testing.assert_close(found[name][i], alone[name], rtol=0, atol=1e-12, msg=name)


def test_one_sample_is_the_plain_metric() -> None:
    samples, truth, teacher, _, _ = clips((3,), k=1)
    only = samples[:, 0]
    assert torch.equal(min_ade(samples, truth), ade(only, truth))
    assert torch.equal(min_fde(samples, truth), fde(only, truth))
    assert torch.equal(brier_min_fde(samples, truth, torch.ones(3, 1)), fde(only, truth))
    plain = distance(samples, teacher).mean((-2, -1))
    torch.testing.assert_close(energy_score(samples, teacher), plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-6)])
@pytest.mark.parametrize(
    "path",
    [pytest.param(GOLDEN, marks=pytest.mark.skipif(not GOLDEN.exists(), reason="no golden numbers here")), SLICE],
    ids=["golden", "slice"],
)
def test_nvidias_numbers(path: Path, dtype: torch.dtype, tolerance: float) -> None:
    with np.load(path) as file:
        golden = {name: torch.from_numpy(file[name]) for name in file.files}

    def read(name: str) -> Tensor:
        xy, yaw = golden[f"{name}_xy"], golden[f"{name}_yaw"]
        return torch.cat([xy, yaw.unsqueeze(-1), torch.zeros_like(yaw).unsqueeze(-1)], -1).to(dtype)

    samples, truth = read("pred"), read("gt")
    groups = truth.unsqueeze(1)
    found = {
        "min_ade": min_ade(samples, groups),
        **{f"min_ade_by_t_{t}": min_ade(samples, groups, round(t * 10)) for t in (0.5, 1.0, 3.0, 5.0)},
        "corner_distance": corner_distance(samples, groups, tuple(golden["corner_box"].tolist())),
    }
    assert (ade(samples, groups.unsqueeze(1)) - golden["ade"]).abs().max() < tolerance
    for name, value in found.items():
        assert value.dtype == dtype
        assert (value.mean(1) - golden[name]).abs().max() < tolerance, name
        assert (value.std(1, correction=0) - golden[f"{name}_std"]).abs().max() < tolerance, name


def test_every_metric_keeps_float32() -> None:
    single = [tensor.float() for tensor in clips((2,))]
    mask = torch.ones(2, 12, dtype=torch.bool)
    found, double = fast(*single, mask), fast(*clips((2,)), mask)  # type: ignore[arg-type]
    for name, value in found.items():
        assert value.dtype in (torch.float32, torch.bool, torch.int64), name
        torch.testing.assert_close(value.double(), double[name].double(), rtol=0, atol=1e-4, msg=name)
