"""Drives from above: who drove where, and every moment of the film with the plan that held then."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image

from alpamayo_toy.views import drives
from alpamayo_toy.views.figures import MEDIAN, STUDENT, TEACHER

ROAD = torch.stack([torch.arange(200.0), torch.zeros(200)], -1)
Drawn = list[tuple[Any, str | None, list[float], list[float]]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Colour, label, x and y of every line."""
    kept: Drawn = []
    plot = Axes.plot

    def noted(self: Axes, *points: Any, **options: Any) -> Any:
        line = plot(self, *points, **options)[0]
        x, y = (torch.as_tensor(values).tolist() for values in line.get_data())
        kept.append((options.get("color"), options.get("label"), x, y))
        return [line]

    monkeypatch.setattr(Axes, "plot", noted)
    return kept


def test_a_panel_shows_student_tracker_and_the_plans_of_every_2_s(tmp_path: Path, drawn: Drawn) -> None:
    """Asked every 0.5 s, so that every fourth of the plans is shown."""
    student, tracker = torch.zeros(1, 30, 4), torch.zeros(1, 30, 4)
    student[..., 0], tracker[..., 0] = torch.arange(30), torch.arange(30) + 0.5
    plans = torch.arange(9.0)[None, :, None, None].expand(1, 9, 5, 2)
    stop = torch.tensor([[29.0, 1.0]])
    drives.from_above(tmp_path / "a.png", ["a"], ROAD[None], student, tracker, plans, stop, 2.0, 0.5)
    by_label = {label: x for _, label, x, _ in drawn if label}
    assert by_label["student"] == student[0, :, 0].tolist()
    assert by_label["the tracker that taught it"] == tracker[0, :, 0].tolist()
    assert [x[0] for color, _, x, _ in drawn if color == STUDENT and len(x) == 5] == [0, 4, 8]
    assert [color for color, label, *_ in drawn if label == "the tracker that taught it"] == [TEACHER]
    assert any(x == [29.0] and y == [1.0] for _, _, x, y in drawn)


def test_a_film_shows_the_plan_that_is_driven_and_the_way_so_far(tmp_path: Path, drawn: Drawn) -> None:
    """12 steps of 0.1 s, asked every 3 of them: the film shows every second step, 0, 2, 4, ..."""
    states = torch.zeros(12, 4)
    states[:, 0] = torch.arange(12)
    plans = torch.arange(4.0)[:, None, None].expand(4, 5, 2) * 10
    drives.film(tmp_path / "drive.gif", ROAD, states, plans, 2.0, 0.1, 3)
    assert [x[0] / 10 for color, _, x, _ in drawn if color == STUDENT] == [0, 0, 1, 2, 2, 3]
    assert [len(x) for color, _, x, _ in drawn if color == MEDIAN] == [1, 3, 5, 7, 9, 11]
    with Image.open(tmp_path / "drive.gif") as film:
        assert (film.info["duration"], film.n_frames) == (200, 6)


def corridor(axis: Axes) -> tuple[list[float], list[float]]:
    """From where to where the road of a panel reaches, along x and along y."""
    points = np.concatenate([path.vertices for path in axis.collections[0].get_paths()])
    return [float(points[:, k].min()) for k in (0, 1)], [float(points[:, k].max()) for k in (0, 1)]


def test_each_panel_has_the_road_of_its_own_drive(
    tmp_path: Path, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 20 points before the drive to 160 beyond it, 2 m to either side of the middle."""
    panels: list[Axes] = []
    monkeypatch.setattr(drives, "write_panels", lambda path, figure, axes, *names: panels.extend(axes))
    along = torch.arange(300.0)
    roads = torch.stack([torch.stack([along, 0 * along], -1), torch.stack([0 * along, along], -1)])
    student, tracker = torch.zeros(2, 11, 4), torch.zeros(2, 11, 4)
    student[0, :, 0], student[1, :, 1] = torch.arange(11) + 50, torch.arange(11) + 60
    tracker[0, :, 0], tracker[1, :, 1] = torch.arange(11) + 70, torch.arange(11) + 80
    stops = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    plans = torch.arange(2.0)[:, None, None, None].expand(2, 1, 5, 2)
    drives.from_above(tmp_path / "a.png", ["a", "b"], roads, student, tracker, plans, stops, 2.0, 2.0)
    assert corridor(panels[0]) == ([30.0, -2.0], [219.0, 2.0])  # up to point 60 + 160, which is not drawn
    assert corridor(panels[1]) == ([-2.0, 40.0], [2.0, 229.0])
    for i, axis in enumerate(panels):
        ends = {line.get_label(): (line.get_xdata()[-1], line.get_ydata()[-1]) for line in axis.lines}  # type: ignore[index]
        assert ends["student"] == tuple(student[i, -1, :2].tolist())
        assert ends["the tracker that taught it"] == tuple(tracker[i, -1, :2].tolist())
        assert ends["its plans"] == (float(i), float(i))
        (stop,) = (line for line in axis.lines if line.get_marker() == "s")
        assert (*stop.get_xdata(), *stop.get_ydata()) == tuple(stops[i].tolist())


def test_who_drives_back_sees_the_road_behind(tmp_path: Path, drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    panels: list[Axes] = []
    monkeypatch.setattr(drives, "write_panels", lambda path, figure, axes, *names: panels.extend(axes))
    back = torch.zeros(1, 5, 4)
    back[0, :, 0] = torch.tensor([100.0, 90.0, 80.0, 70.0, 60.0])
    plans, nowhere = torch.zeros(1, 1, 5, 2), torch.full((1, 2), torch.nan)
    drives.from_above(tmp_path / "a.png", ["a"], ROAD[None], back, back, plans, nowhere, 2.0, 2.0)
    assert corridor(panels[0]) == ([40.0, -2.0], [199.0, 2.0])


def test_a_film_follows_the_car_and_says_time_and_speed(
    tmp_path: Path, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A car that heads to the left at 3 m/s, 0.2 s from frame to frame; 45 m are seen to every side of it."""
    states = torch.zeros(6, 4)
    states[:, 0], states[:, 1] = 10 + torch.arange(6), 2 * torch.arange(6)
    states[:, 2], states[:, 3] = np.pi / 2, 3.0
    seen: list[tuple[Any, ...]] = []

    def noted(axis: Axes) -> None:
        seen.append((axis.get_xlim(), axis.get_ylim(), axis.texts[0].get_text(), axis.get_aspect()))

    monkeypatch.setattr(Axes, "set_axis_off", noted)
    drives.film(tmp_path / "drive.gif", ROAD, states, torch.zeros(1, 5, 2), 2.0, 0.1, 6)
    assert [said[:2] for said in seen] == [
        (pytest.approx((x - 45, x + 45)), pytest.approx((y - 45, y + 45))) for x, y in ((10, 0), (12, 4), (14, 8))
    ]
    assert [said[2] for said in seen] == [f"{t:4.1f} s    3.0 m/s" for t in (0.1, 0.3, 0.5)]
    assert {said[3] for said in seen} == {1.0}
    noses = [(x, y) for color, _, x, y in drawn if color == "black"]
    assert [x for x, _ in noses] == [pytest.approx([at, at]) for at in (10, 12, 14)]
    assert [y for _, y in noses] == [pytest.approx([at, at + 4]) for at in (0, 4, 8)]
    with Image.open(tmp_path / "drive.gif") as film:
        assert (film.n_frames, film.info["loop"]) == (3, 0)
