"""Windows of a drive give its road back: straight, round a circle, past a red light, KITTI's; and what cannot."""

from pathlib import Path

import numpy as np
import pytest
import torch
from places import SHARED, Command

from alpamayo_toy import load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.kinematics.route import ROUTE_SPACING, curvature_of, straight_ahead
from alpamayo_toy.kinematics.trajectory import Labels
from alpamayo_toy.labels.formats.labels_npz import write
from alpamayo_toy.labels.routes import Window, drive_routes, with_routes
from alpamayo_toy.labels.stored.convert import convert

KITTI = SHARED / "drives" / "real_drives_kitti_00-07.npz"
STEPS = torch.arange(20) * ROUTE_SPACING


def circle(along: np.ndarray, radius: float) -> np.ndarray:
    """Poses (..., 3) round a circle to the left, from the origin on."""
    angle = along / radius
    return np.stack([radius * np.sin(angle), radius * (1 - np.cos(angle)), angle], -1)


def windows(poses: np.ndarray, every: int = 10, name: str = "drive") -> dict[str, np.ndarray]:
    """A drive of poses (M, 3) at 10 Hz as its file of recorded drives would hold it: a window every so many steps."""
    t0 = np.arange(15, len(poses) - 64, every)
    there = poses[t0[:, None] + np.arange(-15, 65)]
    x, y = (there[..., k] - poses[t0, None, k] for k in (0, 1))
    turned = poses[t0, None, 2]
    xyz = np.stack([np.cos(turned) * x + np.sin(turned) * y, np.cos(turned) * y - np.sin(turned) * x, 0 * x], -1)
    yaw = there[..., 2] - turned
    rotation = np.zeros((*yaw.shape, 3, 3))
    rotation[..., 0, 0], rotation[..., 1, 1], rotation[..., 2, 2] = np.cos(yaw), np.cos(yaw), 1
    rotation[..., 1, 0], rotation[..., 0, 1] = np.sin(yaw), -np.sin(yaw)
    return {
        "ego_history_xyz": xyz[:, :16],
        "ego_history_rot": rotation[:, :16],
        "ego_future_xyz": xyz[:, 16:],
        "ego_future_rot": rotation[:, 16:],
        "source": np.full(len(t0), name),
        "t0_s": t0 * 0.1,
    }


def routed(folder: Path, *drives: dict[str, np.ndarray]) -> Labels:
    """The drives in one file, converted with routes."""
    np.savez(folder / "drives.npz", **{name: np.concatenate([drive[name] for drive in drives]) for name in drives[0]})
    convert([folder / "drives.npz"], folder / "set", routes="recorded")
    labels = load_labels(folder / "set")
    assert labels.route_source == "recorded"
    return labels


def route_of(labels: Labels) -> torch.Tensor:
    assert labels.route is not None
    return labels.route


@pytest.mark.parametrize("every", [7, 10, 60])
@pytest.mark.parametrize("rotations", [True, False])
def test_a_drive_round_a_circle_gives_the_circle_back(tmp_path: Path, every: int, rotations: bool) -> None:
    drive = windows(circle(np.arange(400) * 0.5, 40.0), every)
    if not rotations:
        drive = {name: values for name, values in drive.items() if not name.endswith("rot")}
    labels = routed(tmp_path, drive)
    ahead = 0.5 * (14 + 64 - 15 + labels.t0_us.amax() / 1e5 + 1 - labels.t0_us / 1e5)  # m until the last window's end
    expected = torch.from_numpy(circle(STEPS.numpy(), 40.0)[:, :2]).float()
    for route, left in zip(route_of(labels), ahead.tolist(), strict=True):
        known = int(left // ROUTE_SPACING) + 1
        assert abs(int(route.isfinite().all(-1).sum()) - min(known, 20)) <= 1
        there = route.isfinite().all(-1)
        assert bool((there[:-1] | ~there[1:]).all())
        assert (route - expected)[there].abs().max() < (0.02 if rotations else 0.2)
    assert bool((ahead > 90).any())  # which is more than a window's 32 m


def test_drives_in_one_file_stay_apart_in_whatever_order(tmp_path: Path) -> None:
    left = windows(circle(np.arange(300) * 0.8, 30.0), name="left")
    right = windows(circle(np.arange(300) * 0.8, 30.0) * [1, -1, -1], name="right")
    order = np.random.default_rng(0).permutation(2 * len(left["t0_s"]))
    labels = routed(tmp_path, {name: np.concatenate([left[name], right[name]])[order] for name in left})
    expected = torch.from_numpy(circle(STEPS.numpy(), 30.0)[:, :2]).float()
    whole = route_of(labels).isfinite().flatten(1).all(1)
    assert whole.float().mean() > 0.8
    for name, sign in (("left", 1), ("right", -1)):
        mine = route_of(labels)[whole & torch.from_numpy(labels.clip_id == name)]
        assert (mine - expected * torch.tensor([1, sign])).abs().max() < 0.02


def test_a_car_that_stands_with_noise_knows_the_road_beyond(tmp_path: Path) -> None:
    speed = np.concatenate([np.linspace(8, 0, 60), np.zeros(300), np.linspace(0, 8, 60), np.full(150, 8.0)])
    x = np.concatenate([[0], np.cumsum(speed[:-1] * 0.1)])
    noise = np.random.default_rng(0).normal(0, 0.005, (2, len(x)))  # m
    labels = routed(tmp_path, windows(np.stack([x + noise[0], noise[1], 0 * x], -1)))
    standing = (labels.t0_us > 7e6) & (labels.t0_us < 35e6)
    assert int(standing.sum()) > 20
    route = route_of(labels)[standing]
    assert (route - straight_ahead(route)).abs().max() < 0.1


def test_a_car_that_never_moves_has_no_route(tmp_path: Path) -> None:
    still = windows(np.zeros((200, 3)), name="still")
    labels = routed(tmp_path, still, windows(circle(np.arange(200) * 1.0, 1e6), name="driven"))
    parked = torch.from_numpy(labels.clip_id == "still")
    assert bool(route_of(labels)[parked].isnan().all())
    assert bool(route_of(labels)[~parked][:, 0].isfinite().all())


def test_windows_with_a_gap_or_of_another_drive_are_not_chained(tmp_path: Path) -> None:
    drive = windows(circle(np.arange(400) * 0.5, 1e6))  # 32 m a window
    middle = (drive["t0_s"] > 10) & (drive["t0_s"] < 22)
    gap = {name: values[~middle] for name, values in drive.items()}
    labels = routed(tmp_path, gap)
    last = int((labels.t0_us <= 10_000_000).nonzero()[-1])
    assert int(route_of(labels)[last].isfinite().all(-1).sum()) == 8  # of 32 m


def test_windows_of_other_roads_under_one_name_are_not_chained(tmp_path: Path) -> None:
    mixed, other = (windows(circle(np.arange(400) * 0.5, radius), every=40) for radius in (1e6, 20.0))
    for name in ("ego_future_xyz", "ego_future_rot"):
        mixed[name][1::2] = other[name][1::2]
    assert route_of(routed(tmp_path, mixed)).isfinite().all(-1).sum(-1).tolist() == [8] * len(mixed["t0_s"])


def test_a_future_alone_goes_as_far_as_the_clip(tmp_path: Path) -> None:
    np.savez(tmp_path / "drives.npz", **windows(circle(np.arange(300) * 0.5, 40.0)))
    made = convert([tmp_path / "drives.npz"], tmp_path / "driven", routes="future")
    samples = load_labels(tmp_path / "drives.npz")
    write(samples, tmp_path / "samples.npz")  # a teacher's, for all that this file says
    other = convert([tmp_path / "samples.npz"], tmp_path / "taught", routes="future")
    expected = torch.from_numpy(circle(STEPS.numpy(), 40.0)[:, :2]).float()
    for stored in (made, other):
        assert stored is not None
        assert stored.facts["route_source"] == "future"
        route = route_of(load_labels(stored.folder))
        assert route.isfinite().all(-1).sum(-1).tolist() == [8] * len(route)  # of 32 m
        assert (route - expected)[:, :7].abs().max() < 0.02


@pytest.mark.slow
def test_the_command_says_what_it_made_and_what_it_cannot(tmp_path: Path, command: Command) -> None:
    drive = windows(circle(np.arange(300) * 0.5, 50.0))
    np.savez(tmp_path / "drives.npz", **drive)
    np.savez(tmp_path / "timeless.npz", **{name: values for name, values in drive.items() if name != "t0_s"})
    made = command("labels", "convert", "drives.npz", "set", "--routes")
    assert made.returncode == 0, made.stderr
    assert "recorded: cut from what was driven, an oracle of where" in command("labels", "check", "set").stdout
    assert command("labels", "convert", "drives.npz", "one.npz", "--routes").returncode == 0
    one, whole = route_of(load_labels(tmp_path / "one.npz")), route_of(load_labels(tmp_path / "set"))
    assert torch.equal(one.nan_to_num(7e7), whole.nan_to_num(7e7))
    assert command("labels", "split", "set", "sides", "--val-clips", "drive", "--test", "0").returncode == 2
    assert command("labels", "split", "one.npz", "sides", "--val-clips", "drive").returncode == 0
    assert load_labels(tmp_path / "sides" / "val").route_source == "recorded"
    labels = load_labels(tmp_path / "one.npz")
    write(labels.__class__(**{**vars(labels), "route": None, "route_source": ""}), tmp_path / "samples.npz")
    for given, why in {
        "set": "clip drive has a route already; convert it without --routes",
        "samples.npz": "samples.npz holds no recorded future that routes could be cut from, only a teacher's samples",
        "timeless.npz": "timeless.npz: no window begins within another's future, by clip id and t0; name whole drives",
    }.items():
        wrong = command("labels", "convert", given, "new", "--routes")
        assert wrong.returncode == 2
        assert why in wrong.stderr
        assert wrong.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(not KITTI.exists(), reason="the recorded drives are not on this machine")
def test_kitti_windows_get_their_80_metres(tmp_path: Path) -> None:
    made = convert([KITTI], tmp_path / "kitti", routes="recorded")
    assert made is not None
    labels = load_labels(tmp_path / "kitti")
    route = route_of(labels)
    whole = route.isfinite().flatten(1).all(1)
    assert float(whole.float().mean()) == pytest.approx(0.9589, abs=5e-4)
    assert float(curvature_of(route[whole].double()).abs().max()) < 0.2
    assert (route[whole].diff(dim=1).norm(dim=-1) - ROUTE_SPACING).abs().max() < 0.2


def test_windows_of_two_sources_with_one_clip_id_are_not_chained() -> None:
    """One of 6.4 s that goes on for 3.2 s in the other, which begins there."""
    points = torch.zeros(2, 1, 64, 4)
    points[..., 0], points[..., 3] = torch.arange(1, 65) * 0.5, 5.0
    none, zeros = np.array(["one", "one"]), torch.zeros(2, dtype=torch.int64)
    v0 = torch.full((2,), 5.0)
    t0_us = torch.tensor([0, 3_200_000])
    for source, lengths in ((["left", "left"], [12, 8]), (["left", "right"], [8, 8])):
        labels = Labels(none, t0_us, v0, points, zeros - 1, np.array(source), none, "file", ground_truth=points[:, 0])
        found = with_routes(iter([labels]), Path("two.npz"), "recorded")
        if source[0] != source[1]:
            with pytest.raises(UserError, match="no window begins within another's future"):
                list(found)
            continue
        (part,) = found
        assert isinstance(part, Labels)
        assert route_of(part).isfinite().all(-1).sum(-1).tolist() == lengths


@pytest.mark.parametrize(("aside", "points"), [(0.0, 12), (1.5, 12), (2.5, 8)])
def test_windows_that_disagree_by_more_than_two_metres_are_not_chained(aside: float, points: int) -> None:
    """The second window tells the end of the first one's future so far to the left of where that one does."""
    track = torch.zeros(2, 1, 64, 4)
    track[..., 0], track[..., 3] = torch.arange(1, 65) * 0.5, 5.0
    track[1, ..., 1] = aside
    names, none = np.array(["one", "one"]), torch.full((2,), -1)
    t0_us, v0 = torch.tensor([0, 3_200_000]), torch.full((2,), 5.0)
    labels = Labels(names, t0_us, v0, track, none, names, names, "file", ground_truth=track[:, 0])
    (part,) = with_routes(iter([labels]), Path("two.npz"), "recorded")
    assert isinstance(part, Labels)
    assert int(route_of(part)[0].isfinite().all(-1).sum()) == points


def test_a_route_of_the_future_alone_is_that_of_the_first_sample() -> None:
    track = torch.zeros(1, 2, 64, 4)
    track[..., 0], track[..., 3] = torch.arange(1, 65) * 0.5, 5.0
    track[0, 1, :, 0] *= 2
    names = np.array(["one"])
    labels = Labels(names, torch.zeros(1).long(), torch.tensor([5.0]), track, torch.tensor([-1]), names, names, "file")
    (part,) = with_routes(iter([labels]), Path("one.npz"), "future")
    assert isinstance(part, Labels)
    assert int(route_of(part)[0].isfinite().all(-1).sum()) == 8  # of 32 m, not of the other one's 64


def test_a_drive_of_more_than_80_metres_fills_its_route_to_the_last_point() -> None:
    track = torch.zeros(1, 1, 64, 4)
    track[..., 0], track[..., 3] = torch.arange(1, 65) * 1.25, 12.5  # 80 m to the last step
    names = np.array(["one"])
    for stretch, points in ((1.0, 19), (1.02, 20)):
        given = track * stretch
        labels = Labels(
            names, torch.zeros(1).long(), torch.tensor([12.5]), given, torch.tensor([-1]), names, names, "file"
        )
        (part,) = with_routes(iter([labels]), Path("one.npz"), "future")
        assert isinstance(part, Labels)
        assert abs(int(route_of(part)[0].isfinite().all(-1).sum()) - points) <= (1 if stretch == 1 else 0)


def test_a_car_that_rocks_by_less_than_half_a_metre_makes_no_road() -> None:
    """30 s to and fro by 0.2 m, then 90 m straight on: the last point of the route is 80 m away."""
    to_and_fro, on = 0.2 * (np.arange(300) % 2), np.arange(1, 91) * 1.0
    x = np.concatenate([[0.0], to_and_fro, on])
    (route,) = drive_routes([Window(0.0, np.stack([x, 0 * x, 0 * x], -1), np.arange(len(x)) * 0.1)])
    assert route[:, 0].tolist() == pytest.approx([80 / 19 * i for i in range(20)], abs=0.3)


def test_a_teachers_samples_are_nothing_that_was_recorded() -> None:
    track = torch.zeros(2, 1, 64, 4)
    track[..., 0], track[..., 3] = torch.arange(1, 65) * 0.5, 5.0
    names, none = np.array(["one", "one"]), torch.full((2,), -1)
    labels = Labels(names, torch.tensor([0, 3_200_000]), torch.full((2,), 5.0), track, none, names, names, "file")
    with pytest.raises(UserError, match=r"two\.npz holds no recorded future that routes could be cut from"):
        list(with_routes(iter([labels]), Path("two.npz"), "recorded"))
