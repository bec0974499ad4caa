"""Our own label file comes back as it was written; a broken one is named and never executed."""

import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import DATA
from written import clips

from alpamayo_toy import UnicycleRollout, load_labels
from alpamayo_toy.errors import UserError
from alpamayo_toy.labels.formats.labels_npz import write


def test_our_own_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    labels = load_labels(DATA / "labels.npz")
    assert len(labels) == 24
    write(labels, tmp_path / "again.npz")
    again = load_labels(tmp_path / "again.npz")
    for name, value in vars(labels).items():
        other = getattr(again, name)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else np.array_equal(value, other), name
    assert [p.name for p in tmp_path.iterdir()] == ["again.npz"]


def test_what_would_unpack_to_far_more_than_its_size_is_written_unpacked(tmp_path: Path) -> None:
    """One long text widens the column of all; what is read must not be refused as such a file."""
    labels = load_labels(DATA / "labels.npz").select(torch.arange(24).repeat(20))
    ids = np.array([f"clip-{i}" for i in range(len(labels))])
    labels = replace(labels, clip_id=ids, text=np.array(["x" * 20_000, *[""] * (len(labels) - 1)], dtype=object))
    write(labels, tmp_path / "wide.npz")
    again = load_labels(tmp_path / "wide.npz")
    assert again.text is not None
    assert again.text.tolist() == labels.text.tolist()
    assert torch.equal(again.teacher, labels.teacher)


def test_ten_lines_of_numpy_are_a_label_file(tmp_path: Path) -> None:
    content = clips()
    waypoints = np.array([clip["pred_xyz"] for clip in content])[..., :2]
    np.savez(tmp_path / "mine.npz", clip_id=np.array(["a", "b", "c"]), teacher=waypoints)
    labels = load_labels(tmp_path / "mine.npz")
    assert labels.v0.tolist() == pytest.approx([0, 5, 10], abs=1e-3)
    assert set(labels.v0_source) == {"recovered"}


def turning(yaw: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, np.ndarray]:
    """Cars that turn right round, 4 columns, with headings as yaw() writes them."""
    kappa = torch.linspace(-0.2, 0.2, 12)[:, None, None].expand(12, 2, 64)
    actions = torch.stack([torch.zeros_like(kappa), kappa], -1)
    states = UnicycleRollout(0.1, "trapezoid")(actions, torch.full((12, 2), 6.0))
    columns = [states[..., :2], yaw(states[..., 2:3]), states[..., 3:]]
    return {"teacher": torch.cat(columns, -1).numpy(), "v0": np.full(12, 6.0), "clip_id": np.arange(12).astype(str)}


def test_headings_may_be_wrapped(tmp_path: Path) -> None:
    found = []
    for yaw in (lambda y: y, lambda y: torch.atan2(y.sin(), y.cos()), lambda y: y % (2 * math.pi)):
        content = turning(yaw)
        past = content["teacher"][:, 0]  # 6 s, in which they turn right round: 0 at t0, wrapped before
        np.savez(tmp_path / "x.npz", **content, ground_truth=content["teacher"][:, 0], history=np.flip(past, 1))
        found.append(load_labels(tmp_path / "x.npz"))
    assert float(found[0].teacher[..., 2].abs().max()) > 2 * math.pi
    plain = turning(lambda y: y)["teacher"]
    assert np.array_equal(found[0].teacher, plain)  # to the bit
    assert np.array_equal(found[0].history, np.flip(plain[:, 0], 1))  # type: ignore[arg-type]
    for other in found[1:]:
        for name in ("teacher", "ground_truth", "history", "scenario"):
            torch.testing.assert_close(getattr(other, name), getattr(found[0], name), rtol=0, atol=1e-5)


def axis(yaw: torch.Tensor) -> torch.Tensor:
    """Of the course, within +-pi/2: what atan(dy / dx) gives."""
    return yaw.tan().atan()


@pytest.mark.parametrize("yaw", [torch.rad2deg, torch.neg, axis])
def test_headings_in_degrees_clockwise_or_without_a_direction_are_named(
    yaw: Callable[..., torch.Tensor], tmp_path: Path
) -> None:
    np.savez(tmp_path / "x.npz", **turning(yaw))
    with pytest.raises(UserError, match=r"x\.npz: the headings of teacher do not follow the course, .* off; they must"):
        load_labels(tmp_path / "x.npz")


def ahead(yaw: np.ndarray, step: float = 0.6) -> dict[str, np.ndarray]:
    """One car along x, so many metres a step, that says headings (T,) of its own."""
    x = step * np.arange(1.0, len(yaw) + 1)
    states = np.stack([x, 0 * x, yaw, 0 * x + 10 * step], -1)
    return {"teacher": states[None, None], "v0": np.array([10 * step]), "clip_id": np.array(["a"])}


def off(places: int, by: float = 1.2) -> np.ndarray:
    """100 steps, of which places + 1 have a mean heading beyond 0.5 rad: by, half of it at either end."""
    yaw = np.zeros(101)
    yaw[40 : 40 + places] = by
    return yaw


@pytest.mark.parametrize(
    ("content", "taken"),
    [
        (ahead(np.full(64, 0.45)), True),
        (ahead(np.full(64, 0.55)), False),
        (ahead(np.full(64, -0.45)), True),
        (ahead(np.full(64, -0.55)), False),  # to either side
        (ahead(off(3)), True),  # 4 of 100 steps
        (ahead(off(5)), False),  # 6 of 100
        (ahead(off(1, 1.9)), True),
        (ahead(off(1, 2.1)), False),  # more than 2 rad in a step
        (ahead(np.zeros(64), -0.6), True),  # backwards
        (ahead(np.full(64, 1.5), 0.29), True),  # too slow for a course
    ],
)
def test_how_far_headings_may_be_off_the_course(content: dict[str, np.ndarray], taken: bool, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **content)
    if taken:
        assert np.array_equal(load_labels(tmp_path / "x.npz").teacher, content["teacher"])
        return
    with pytest.raises(UserError, match="do not follow the course"):
        load_labels(tmp_path / "x.npz")


def lost(point: int) -> np.ndarray:
    """Routes (3, 20, 2), a point of the last one unknown."""
    points = np.zeros((3, 20, 2))
    points[2, point, 1] = np.nan
    return points


@pytest.mark.parametrize("columns", [2, 4])
def test_a_route_is_kept_with_its_unknown_end_and_where_it_comes_from(tmp_path: Path, columns: int) -> None:
    ahead = np.tile(np.arange(20.0)[:, None] * [80 / 19, 0], (3, 1, 1))
    ahead[1, 12:], ahead[2] = np.nan, np.nan
    teacher = np.array([clip["pred_xyz"] for clip in clips()])[..., :2]
    arrays: dict[str, Any] = {"clip_id": np.array(["a", "b", "c"]), "teacher": teacher, "route": ahead}
    if columns == 4:
        straight = teacher * [1.0, 0.0]  # where headings are 0
        arrays |= {"teacher": np.pad(straight, [(0, 0)] * 3 + [(0, 2)]), "v0": np.zeros(3)}
    np.savez(tmp_path / "mine.npz", **arrays)
    np.savez(tmp_path / "driven.npz", **arrays, route_source=np.array("recorded"))
    for name, source in (("mine.npz", "file"), ("driven.npz", "recorded")):
        labels = load_labels(tmp_path / name)
        assert labels.route is not None
        assert np.array_equal(labels.route.numpy(), ahead, equal_nan=True)
        assert labels.route_source == source
    write(labels, tmp_path / "again.npz")
    assert load_labels(tmp_path / "again.npz").route_source == "recorded"


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (exec, ("raise SystemExit('executed')",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": None}, "has no teacher; it must hold at least clip_id and teacher"),
        ({"clip_id": None}, "has no clip_id"),
        ({"v0": None}, "has no v0"),
        ({"colour": np.zeros(3)}, "holds colour, which no label file has"),
        ({"teacher": np.zeros((0, 2, 64, 4)), "clip_id": np.array([], dtype=str)}, "none of them 0"),
        ({"teacher": np.zeros((3, 2, 64, 3))}, r"teacher must have shape \(3, K, T, 4\)"),
        ({"teacher": np.zeros((3, 2, 3, 4))}, "teacher has 3 steps; at least 4 are needed"),
        ({"teacher": np.full((3, 2, 64, 4), np.nan)}, "teacher of clip a holds NaN"),
        ({"teacher": np.full((3, 2, 64, 4), "x")}, "teacher must hold numbers"),
        ({"v0": np.zeros(2)}, r"v0 must have one row for each of 3 clips \(got \(2,\)\)"),
        ({"ground_truth": np.zeros((3, 64))}, r"ground_truth must have shape \(N, T, 4\)"),
        ({"v0": np.array([1.0, np.inf, 0.0])}, "v0 of clip b holds NaN"),
        ({"scenario": np.array([0.5, 1, 2])}, "scenario must hold integers"),
        ({"scenario": np.array([0, 1, 8])}, r"scenario must be -1 \(unknown\) or 0 to 7"),
        ({"scenario": np.array([0, -2, 7])}, "scenario must be -1"),
        ({"history": np.zeros((3, 16, 3))}, "history must have shape"),
        ({"route": np.zeros((3, 19, 2))}, r"route must have shape \(3, 20, 2\)"),
        ({"route": np.zeros((2, 20, 2))}, r"route must have one row for each of 3 clips \(got \(2, 20, 2\)\)"),
        ({"route": np.full((3, 20, 2), np.inf)}, "route of clip a holds infinite values"),
        ({"route": lost(7)}, "route of clip c holds NaN before its end"),
        (
            {"route": np.zeros((3, 20, 2)), "route_source": np.array("map")},
            "route_source must be file, recorded or future",
        ),
        (
            {"text": np.array(["a", "b", Evil()], dtype=object)},
            "text holds a pickle that wants to call builtins.exec; it was not opened",
        ),
    ],
)
def test_a_broken_npz_is_named_and_never_executed(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    arrays = {"clip_id": np.array(["a", "b", "c"]), "teacher": np.zeros((3, 2, 64, 4)), "v0": np.zeros(3), **change}
    path = tmp_path / "labels.npz"
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(UserError, match=message) as caught:
        load_labels(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", pickle.dumps(Evil())])
def test_other_bytes_under_the_name_npz_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"labels\.npz"):
        load_labels(path)


def test_a_cut_off_npz_is_refused(tmp_path: Path) -> None:
    whole = (DATA / "labels.npz").read_bytes()
    (tmp_path / "labels.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="perhaps cut off"):
        load_labels(tmp_path / "labels.npz")
