"""The path ahead: closed forms of lines and circles, frames, gradients, what lies beyond an end."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from alpamayo_toy.kinematics.route import (
    ROUTE_SPACING,
    Path,
    curvature_of,
    in_frame,
    route_ahead,
    states_in_frame,
    straight_ahead,
    wrapped,
)
from alpamayo_toy.kinematics.trajectory import ROUTE_POINTS

RADIUS = 25.0


def circle(points: int = 2000, radius: float = RADIUS) -> Tensor:
    """Left round from the origin, heading along x; 300 degrees of it."""
    angle = torch.linspace(0, 5 * math.pi / 3, points, dtype=torch.float64)
    return torch.stack([radius * angle.sin(), radius * (1 - angle.cos())], -1)


def test_a_circle_is_resampled_where_it_lies() -> None:
    at = torch.arange(ROUTE_POINTS, dtype=torch.float64) * ROUTE_SPACING
    points, heading = Path.of(circle()).at(at)
    expected = torch.stack([RADIUS * (at / RADIUS).sin(), RADIUS * (1 - (at / RADIUS).cos())], -1)
    torch.testing.assert_close(points, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(heading[1:], at[1:] / RADIUS, rtol=0, atol=1e-4)


def test_the_curvature_of_a_circle_is_one_over_its_radius() -> None:
    coarse, _ = Path.of(circle()).at(torch.arange(ROUTE_POINTS, dtype=torch.float64) * ROUTE_SPACING)
    torch.testing.assert_close(
        curvature_of(coarse), torch.full((18,), 1 / RADIUS, dtype=torch.float64), rtol=1e-4, atol=0
    )
    assert curvature_of(coarse * torch.tensor([1.0, -1.0])).max() < 0
    assert curvature_of(straight_ahead(coarse)).abs().max() == 0
    assert straight_ahead(coarse)[[0, 1, -1], 0].tolist() == pytest.approx([0.0, 80 / 19, 80.0])


@given(st.floats(0.05, 4.5), st.floats(-6, 6))
def test_a_point_beside_a_circle_is_located(angle: float, offset: float) -> None:
    radius = RADIUS - offset
    position = torch.tensor([[radius * math.sin(angle), RADIUS - radius * math.cos(angle)]], dtype=torch.float64)
    path = Path.of(circle())
    for near in (None, torch.tensor([angle * RADIUS + 1.5], dtype=torch.float64)):
        along, beside, heading = path.locate(position, near)
        assert along == pytest.approx(angle * RADIUS, abs=0.03)
        assert beside == pytest.approx(offset, abs=1e-3)
        assert heading == pytest.approx(angle, abs=2e-3)


def test_beyond_the_ends_there_is_no_point_but_a_place() -> None:
    path = Path.of(torch.tensor([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]], dtype=torch.float64))
    points, _ = path.at(torch.tensor([-0.1, 0.0, 20.0, 20.1], dtype=torch.float64))
    assert points.isnan().any(-1).tolist() == [True, False, False, True]
    along, beside, heading = path.locate(torch.tensor([[-3.0, 1.0], [9.0, 14.0]], dtype=torch.float64))
    torch.testing.assert_close(along, torch.tensor([-3.0, 24.0], dtype=torch.float64))
    torch.testing.assert_close(beside, torch.tensor([1.0, 1.0], dtype=torch.float64))
    assert float(heading[1]) == pytest.approx(math.pi / 2)


def test_outside_a_corner_the_distance_is_to_the_corner() -> None:
    path = Path.of(torch.tensor([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]], dtype=torch.float64))
    along, beside, _ = path.locate(torch.tensor([[13.0, -4.0]], dtype=torch.float64))
    assert float(along) == pytest.approx(10)
    assert float(beside) == pytest.approx(-5)


def test_padding_is_the_end() -> None:
    line = torch.tensor([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0]], dtype=torch.float64)
    padded = torch.cat([line, torch.full((3, 2), torch.nan, dtype=torch.float64)])
    at = torch.tensor([5.0, 20.0, 21.0], dtype=torch.float64)
    assert Path.of(padded).at(at)[0].isnan().any(-1).tolist() == [False, False, True]
    along, beside, _ = Path.of(padded).locate(torch.tensor([[24.0, 1.0]], dtype=torch.float64))
    assert (float(along), float(beside)) == (24.0, 1.0)


def test_a_path_that_crosses_itself_is_followed_in_order() -> None:
    angle = torch.linspace(0, 4 * math.pi, 4000, dtype=torch.float64)
    twice = Path.of(torch.stack([RADIUS * angle.sin(), RADIUS * (1 - angle.cos())], -1))
    round_once = 2 * math.pi * RADIUS
    position = torch.tensor([[RADIUS, RADIUS - 0.5]], dtype=torch.float64)
    for near in (round_once / 4, round_once * 5 / 4):
        assert float(twice.locate(position, torch.tensor([near], dtype=torch.float64))[0]) == pytest.approx(
            near, abs=0.6
        )


def test_a_route_is_seen_from_the_car_and_its_mirror_image_is_mirrored() -> None:
    path = Path.of(circle())
    pose = torch.tensor([[RADIUS * math.sin(1.0), RADIUS * (1 - math.cos(1.0)), 1.0]], dtype=torch.float64)
    along = path.locate(pose[:, :2])[0]
    route = route_ahead(path, pose, along)
    torch.testing.assert_close(
        route, route_ahead(path, torch.zeros(1, 3, dtype=torch.float64), along * 0), atol=2e-2, rtol=0
    )
    flip = torch.tensor([1.0, -1.0], dtype=torch.float64)
    other = Path.of(circle() * flip)
    turned = pose * torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(route_ahead(other, turned, other.locate(turned[:, :2])[0]), route * flip)


def test_frames_keep_distances() -> None:
    points = torch.randn(3, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pose = torch.tensor([[1.0, 2.0, 0.7], [0.0, 0.0, 0.0], [-3.0, 1.0, 9.0]], dtype=torch.float64)
    seen = in_frame(points, pose)
    torch.testing.assert_close(seen[1], points[1])
    torch.testing.assert_close(seen.norm(dim=-1), (points - pose[:, None, :2]).norm(dim=-1))


def test_batches_are_the_single_ones() -> None:
    roads = torch.stack([circle(), circle(radius=40.0), circle() * 0.5])
    position = torch.tensor([[[5.0, 1.0]], [[20.0, 3.0]], [[8.0, 2.0]]], dtype=torch.float64).repeat(1, 2, 1)
    many = Path.of(roads)
    found = many.locate(position, torch.tensor([[5.0], [20.0], [8.0]], dtype=torch.float64).repeat(1, 2))
    for i in range(3):
        one = Path.of(roads[i])
        for got, single in zip(found, one.locate(position[i]), strict=True):
            torch.testing.assert_close(got[i], single)


def test_gradients_are_those_of_differences() -> None:
    road = circle(60)
    position = torch.tensor([[12.0, 4.0], [20.0, 9.5]], dtype=torch.float64, requires_grad=True)
    at = torch.tensor([3.3, 40.1], dtype=torch.float64, requires_grad=True)
    points = road.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda p, q: Path.of(q).locate(p)[:2], (position, points))
    assert torch.autograd.gradcheck(lambda d, q: Path.of(q).at(d), (at, points))


@pytest.mark.parametrize("shape", [(2,), (1, 2), (5, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="points must have shape"):
        Path.of(torch.zeros(shape))


def test_the_curvature_of_points_is_that_of_the_circle_through_three_wherever_they_lie() -> None:
    angle = torch.tensor([0.0, 0.1, 0.3, 0.35, 1.0], dtype=torch.float64)
    for side in (1.0, -1.0):
        points = 10 * torch.stack([angle.sin(), side * (1 - angle.cos())], -1)
        torch.testing.assert_close(curvature_of(points), torch.full((3,), side * 0.1, dtype=torch.float64))


def test_states_are_seen_from_a_pose_by_hand() -> None:
    """From (1, 2), heading to the left: what is 3 m further on is 3 m to the right."""
    pose = torch.tensor([[1.0, 2.0, math.pi / 2]], dtype=torch.float64)
    states = torch.tensor([[[4.0, 2.0, math.pi, 7.0]]], dtype=torch.float64)
    wanted = torch.tensor([[[0.0, -3.0, math.pi / 2, 7.0]]], dtype=torch.float64)
    torch.testing.assert_close(states_in_frame(states, pose), wanted)
    turns = torch.tensor([0.0, 3.0, 4.0, -4.0, 9.0], dtype=torch.float64)
    assert wrapped(turns).tolist() == pytest.approx([math.remainder(x, math.tau) for x in turns.tolist()])


def test_headings_at_the_points_of_a_path() -> None:
    """Half a turn at each corner; none where there is no point; round the corner they go on without a jump."""
    path = Path.of(torch.tensor([[0.0, 0.0], [-2.0, 0.0], [-2.0, -2.0], [torch.nan, torch.nan]], dtype=torch.float64))
    assert path.heading[:3].tolist() == pytest.approx([math.pi, 1.25 * math.pi, 1.5 * math.pi])
    assert path.heading[3].isnan()
    assert path.distance[:3].tolist() == pytest.approx([0.0, 2.0, 4.0])
    _, beside, heading = path.locate(torch.tensor([[5.0, 1.0]], dtype=torch.float64))  # behind the beginning
    assert (beside.item(), heading.item()) == pytest.approx((-1.0, math.pi))


def test_one_is_looked_for_from_two_metres_back_to_four_ahead() -> None:
    """On a straight road in pieces of half a metre, of a car that is far off either way."""
    path = Path.of(torch.stack([torch.arange(0.0, 100.5, 0.5), torch.zeros(201)], -1).double())
    position = torch.tensor([[50.0, 1.0]], dtype=torch.float64)
    for near, low, high in ((10.25, 14.25, 14.5), (90.25, 88.0, 88.25), (47.0, 50.0, 50.0), (51.0, 50.0, 50.0)):
        along, _, _ = path.locate(position, torch.tensor([near], dtype=torch.float64))
        assert low <= float(along) <= high, near
