"""Drives from above: who drove where, and every moment of the film with the plan that held then."""

from pathlib import Path
from typing import Any

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
        assert film.info["duration"] == 200
