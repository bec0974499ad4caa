"""Drives from above: every moment of the film with the plan that held then."""

from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image

from alpamayo_toy.views import drives
from alpamayo_toy.views.figures import MEDIAN, STUDENT


def test_a_film_shows_the_plan_that_is_driven_and_the_way_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 steps of 0.1 s, asked every 3 of them: the film shows every second step, 0, 2, 4, ..."""
    shown: dict[Any, list[list[float]]] = {STUDENT: [], MEDIAN: []}
    plot = Axes.plot

    def noted(self: Axes, *points: Any, **options: Any) -> Any:
        if options.get("color") in shown:
            shown[options["color"]].append(list(map(float, points[0])))
        return plot(self, *points, **options)

    monkeypatch.setattr(Axes, "plot", noted)
    road = torch.stack([torch.arange(200.0), torch.zeros(200)], -1)
    states = torch.zeros(12, 4)
    states[:, 0] = torch.arange(12)
    plans = torch.arange(4.0)[:, None, None].expand(4, 5, 2) * 10
    drives.film(tmp_path / "drive.gif", road, states, plans, 2.0, 0.1, 3)
    assert [plan[0] / 10 for plan in shown[STUDENT]] == [0, 0, 1, 2, 2, 3]
    assert [len(way) for way in shown[MEDIAN]] == [1, 3, 5, 7, 9, 11]
    with Image.open(tmp_path / "drive.gif") as film:
        assert film.info["duration"] == 200
