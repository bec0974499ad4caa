"""Along a route: closed forms, a linear world, recorded drives, and why there is none."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from histories import FLOATS, NAMES, wandering
from places import SHARED
from torch import Tensor

from alpamayo_toy import Labels, load_labels, load_student
from alpamayo_toy.errors import UserError
from alpamayo_toy.evaluation.baselines import RidgeRoute, along_the_route, baselines, constant_velocity
from alpamayo_toy.evaluation.describe import routes_said
from alpamayo_toy.evaluation.evaluate import evaluate
from alpamayo_toy.evaluation.reference import file_reference
from alpamayo_toy.evaluation.results import table
from alpamayo_toy.evaluation.routes import bends, followed
from alpamayo_toy.kinematics.route import ROUTE_SPACING, straight_ahead
from alpamayo_toy.labels.stored.convert import convert
from alpamayo_toy.metrics.displacement import ade

KITTI = SHARED / "drives" / "real_drives_kitti_00-07.npz"
STEPS = torch.arange(20, dtype=torch.float64) * ROUTE_SPACING


def test_routes_of_a_synthetic_road_are_of_no_file() -> None:
    assert routes_said({"teacher": "synthetic", "route_source": "file"}) is None
    assert routes_said({"teacher": "labels.json", "route_source": "file"}) == "from the file"


def test_a_route_that_begins_ahead_is_reached_straight_from_the_car() -> None:
    """It begins 4 m ahead and 3 m to the left, 5 m away: after 2.5 m one is half the way, not on its way back to it."""
    route = torch.stack([STEPS + 4, torch.full_like(STEPS, 3.0)], -1)[None]
    way = torch.tensor([[2.5]], dtype=torch.float64)
    assert followed(route, way, way)[0, 0, :2].tolist() == pytest.approx([2.0, 1.5])
    route[..., 0] -= 4 - 0.9  # no metre ahead: it counts as beside the car
    x, y = followed(route, way, way)[0, 0, :2].tolist()
    share = 2.5 / 6  # of the way back, e (1 + s / 6) e^(-s / 6)
    assert (x, y) == pytest.approx((2.5, 3 - 3 * (1 + share) * math.exp(-share)))


def arc(radius: Tensor) -> Tensor:
    """Routes (N, 20, 2) round circles to the left of radii (N,)."""
    angle = STEPS / radius[:, None]
    return radius[:, None, None] * torch.stack([angle.sin(), 1 - angle.cos()], -1)


def straight(n: int) -> Tensor:
    return straight_ahead(STEPS).repeat(n, 1, 1)


def speeds(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_speeds_that_are_learnt_from_the_route_are_never_below_zero() -> None:
    labels = replace(wandering(40), route=straight(40), route_source="file")
    stops = RidgeRoute.fit(labels)
    stops.linear.offset.sub_(100)
    found = stops.predict(labels)
    assert torch.equal(found[..., 3], torch.zeros_like(found[..., 3]))
    assert float(found[..., 0].min()) >= 0


def test_along_a_straight_route_is_constant_velocity() -> None:
    v0 = speeds(0, 3, 25, 60)  # 384 m, five times as far as the route
    assert torch.allclose(along_the_route(v0, straight(4), 64, 0.1), constant_velocity(v0, 64, 0.1))
    assert along_the_route(speeds(-0.1), straight(1), 64, 0.1).abs().max() < 1e-9


@pytest.mark.parametrize("radius", [15.0, -15.0, 60.0, -60.0])
def test_along_a_circle_the_car_stays_on_it(radius: float) -> None:
    found = along_the_route(speeds(8), arc(speeds(radius)), 64, 0.1)[0]
    off = (found[:, 0].square() + (found[:, 1] - radius).square()).sqrt() - abs(radius)
    assert off.abs().max() < 1.1 * ROUTE_SPACING**2 / (8 * abs(radius))  # what points that far apart cut off
    assert found[:, 2].tolist() == pytest.approx((torch.arange(1, 65) * 0.8 / radius).tolist(), abs=0.15)


def test_beyond_its_end_the_car_goes_straight_on() -> None:
    route = arc(speeds(20, 20))
    route[1, 5:] = torch.nan
    found = along_the_route(speeds(10, 10), route, 64, 0.1)
    near = found[1, :, 0].isclose(found[0, :, 0]) & found[1, :, 1].isclose(found[0, :, 1])
    assert int(near.sum()) == int(4 * ROUTE_SPACING)  # 1 m a step, until the last point known
    beyond = found[1, 20:]
    assert beyond[:, 2].std() < 1e-9
    assert torch.allclose(beyond.diff(dim=0)[:, :2].norm(dim=-1), torch.ones(len(beyond) - 1, dtype=torch.float64))


@pytest.mark.parametrize("side", [-1.0, 0.5, 2.0])
def test_a_car_beside_its_route_returns_to_it(side: float) -> None:
    found = along_the_route(speeds(5), straight(1) + torch.tensor([-1.3, side]), 64, 0.1)[0]
    left = (side - found[:, 1]) / side  # from 1 to 0
    assert left[0] > 0.99
    assert bool((left.diff() < 0).all())
    assert abs(float(left[40])) < 0.15  # after 20 m
    course = torch.atan2(found[1:, 1] - found[:-1, 1], found[1:, 0] - found[:-1, 0])
    assert (course - (found[1:, 2] + found[:-1, 2]) / 2).abs().max() < 0.01


def test_a_route_that_begins_further_on_is_reached_straight() -> None:
    found = along_the_route(speeds(10), straight(1) + torch.tensor([40.0, 0.0]), 64, 0.1)
    assert torch.allclose(found, constant_velocity(speeds(10), 64, 0.1))


def test_one_point_is_a_route_straight_ahead_and_none_is_nan() -> None:
    route = straight(2)
    route[0, 1:], route[1] = torch.nan, torch.nan
    found = along_the_route(speeds(10, 10), route, 64, 0.1)
    assert torch.allclose(found[0], constant_velocity(speeds(10), 64, 0.1)[0])
    assert bool(found[1].isnan().all())


def test_bends_are_one_over_the_radius_and_nothing_where_unknown() -> None:
    route = arc(speeds(10, -50))
    route[1, 9:] = torch.nan
    assert bends(route)[0].tolist() == pytest.approx([0.1] * 18)
    assert bends(route)[1].tolist() == pytest.approx([0.02] * 7 + [0.0] * 11)


def routed(n: int, seed: int = 0, horizon: int = 12) -> Labels:
    """Cars on circles at speeds that are linear in |curvature|, v0 times |curvature| and the history's last speed."""
    labels = wandering(n, seed, samples=1, horizon=horizon)
    generator = torch.Generator().manual_seed(seed)
    kappa = (torch.rand(n, generator=generator, dtype=torch.float64) - 0.5) * 0.05 + 1e-4
    assert labels.history is not None
    t = torch.arange(1, horizon + 1, dtype=torch.float64) * 0.1
    last = labels.history[:, -1, 3]
    v = last[:, None] - t * 12 / horizon * (20 * kappa.abs() + 3 * kappa.abs() * labels.v0)[:, None]
    before = torch.cat([labels.v0[:, None], v[:, :-1]], 1)
    route = arc(1 / kappa)
    return replace(
        labels, route=route, route_source="file", teacher=followed(route, ((before + v) / 20).cumsum(1), v)[:, None]
    )


def test_it_recovers_a_world_in_which_curvature_sets_the_speed() -> None:
    training, labels = routed(2000), routed(100, 1)
    found = RidgeRoute.fit(training).predict(labels)
    assert (found - labels.teacher[:, 0]).abs().max() < 0.02
    assert ade(found, labels.teacher[:, 0]).mean() < 0.005


def test_clips_without_a_route_are_left_out_of_the_fit_and_nan() -> None:
    training, labels = routed(60), routed(10, 1)
    assert training.route is not None
    assert labels.route is not None
    kept = training.select(torch.arange(5, 60))
    hidden = replace(training, route=training.route.index_fill(0, torch.arange(5), torch.nan))
    assert torch.equal(RidgeRoute.fit(hidden).linear.weight, RidgeRoute.fit(kept).linear.weight)
    assert training.history is not None
    blind = replace(hidden, history=training.history.index_fill(0, torch.arange(5, 9), torch.nan))
    least = RidgeRoute.fit(training.select(torch.arange(9, 60)))
    assert torch.equal(RidgeRoute.fit(blind).linear.weight, least.linear.weight)
    some = replace(labels, route=labels.route.index_fill(0, torch.tensor([3]), torch.nan))
    whole, found = baselines(labels, training), baselines(some, training)
    assert [name for name in found if name not in NAMES] == ["along_the_route", "ridge_route"]
    rest = [i for i in range(10) if i != 3]
    for name in ("along_the_route", "ridge_route"):
        mine, other = found[name], whole[name]
        assert isinstance(mine, Tensor)
        assert isinstance(other, Tensor)
        assert bool(mine[3].isnan().all())
        assert torch.equal(mine[rest], other[rest])


@pytest.mark.parametrize("dtype", FLOATS)
def test_they_come_in_the_dtype_of_v0(dtype: torch.dtype) -> None:
    labels = routed(10)
    found = baselines(replace(labels, v0=labels.v0.to(dtype)), routed(40, 1))
    for name in ("along_the_route", "ridge_route"):
        trajectory = found[name]
        assert isinstance(trajectory, Tensor)
        assert trajectory.dtype == dtype


def test_without_a_route_there_are_no_such_rows_and_else_there_is_a_reason() -> None:
    labels, training = routed(10), routed(40, 1)
    lost = torch.full((10, 20, 2), math.nan)
    for bare in (replace(labels, route=None), replace(labels, route=lost)):
        assert list(baselines(bare, training)) == NAMES
        with pytest.raises(UserError, match="needs a route, which these labels do not have"):
            RidgeRoute.fit(training).predict(bare)
    unknown = replace(training, route=None)
    assert baselines(labels, unknown)["ridge_route"] == "needs a route, which the training labels do not have"
    assert baselines(labels, None)["ridge_route"] == "needs training labels, and none are given"
    blind = baselines(replace(labels, history=None), training)
    assert blind["ridge_route"] == "needs a history, which these labels do not have"
    assert isinstance(blind["along_the_route"], Tensor)


@pytest.mark.slow
def test_an_evaluation_says_that_a_recorded_route_is_an_oracle(students: dict[str, Path]) -> None:
    student, _ = load_student(students["masked"])
    labels = replace(routed(30, 0, 64), route_source="recorded")
    found = evaluate(student, file_reference(labels, False, "file", routed(60, 1, 64)))
    assert found.metrics["route_source"] == "recorded"
    said = table(found.metrics)
    assert "routes are recorded: cut from what was driven, an oracle of where" in said
    assert "student - ridge_route" in said


@pytest.mark.slow
@pytest.mark.skipif(not KITTI.exists(), reason="the recorded drives are not on this machine")
def test_kitti_with_the_recorded_route(tmp_path: Path) -> None:
    """00 to 04 to fit, 06 and 07 to score."""
    convert([KITTI], tmp_path / "kitti", routes="recorded")
    labels = load_labels(tmp_path / "kitti")
    drive = np.array([str(clip)[-2:] for clip in labels.clip_id])
    training, test = (labels.select(torch.from_numpy(np.flatnonzero(side))) for side in (drive < "05", drive > "05"))
    errors = {
        name: float(ade(trajectory, test.teacher[:, 0]).mean())
        for name, trajectory in baselines(test, training).items()
        if isinstance(trajectory, Tensor)
    }
    assert errors["along_the_route"] == pytest.approx(4.34, abs=0.03)
    assert errors["ridge_route"] == pytest.approx(2.66, abs=0.03)
    assert errors["ridge"] == pytest.approx(4.03, abs=0.03)


def test_a_point_that_is_repeated_is_an_end() -> None:
    route = torch.stack([torch.arange(20.0) * ROUTE_SPACING, torch.zeros(20)], -1).repeat(2, 1, 1)
    route[0, 10:] = route[0, 9]
    route[1] = 0
    found = along_the_route(torch.full((2,), 14.0), route, 64, 0.1)
    assert bool(found.isfinite().all())
    torch.testing.assert_close(found[..., 1], torch.zeros(2, 64), rtol=0, atol=1e-4)
