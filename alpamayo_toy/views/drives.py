"""Drives from above: the road with its corridor, what was driven, the plans along the way; a picture and a film."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from torch import Tensor

from alpamayo_toy.files import replacing
from alpamayo_toy.views.figures import MEDIAN, OF_TEACHER, STUDENT, TEACHER, write_panels

ROAD, LANE = "#e4e7ec", "#c2c8d2"
FRAME_S = 0.2  # of the world, and of the film
VIEW = 45.0  # m to every side of the car in a film
BEFORE, BEYOND = 20, 160  # points of the road that are drawn before and after the drive
PLAN_EVERY_S = 2.0  # between the plans that a picture shows


def from_above(
    path: Path,
    titles: list[str],
    roads: Tensor,
    student: Tensor,
    tracker: Tensor,
    plans: Tensor,
    stops: Tensor,
    corridor: float,
    asked_s: float,
) -> None:
    """One panel a drive: roads (N, P, 2), states (N, S, 4) of the student and its teacher, plans (N, A, T, 2) every so
    many seconds, stops (N, 2) where one is to stop, NaN where nowhere.
    """
    columns = min(4, len(titles))
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.6 * rows + 0.5), layout="constrained", dpi=110)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(len(titles))]
    for i, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        _road(axis, roads[i], student[i], corridor)
        every = max(1, round(PLAN_EVERY_S / asked_s))
        for j, plan in enumerate(plans[i, ::every]):
            axis.plot(*plan.T, color=STUDENT, linewidth=0.9, alpha=0.45, label="its plans" if j == 0 else None)
        taught: dict[str, Any] = {"color": TEACHER, "linewidth": 2.6, "linestyle": OF_TEACHER}
        axis.plot(*tracker[i, :, :2].T, label="the tracker that taught it", **taught)
        axis.plot(*student[i, :, :2].T, color=STUDENT, linewidth=1.6, label="student")
        axis.plot(0, 0, "k^", markersize=6)
        axis.plot(*stops[i], "ks", markersize=5)
        axis.set_title(title, fontsize=10, parse_math=False)
        axis.set_aspect("equal", adjustable="datalim")
        axis.grid(alpha=0.25)
        axis.tick_params(labelsize=8)
    write_panels(path, figure, axes, columns, "x [m]", "y [m]")


def film(path: Path, road: Tensor, states: Tensor, plans: Tensor, corridor: float, dt: float, every: int) -> None:
    """One drive as a GIF, seen from above the car: road (P, 2), states (S, 4), plans (A, T, 2) every so many steps."""
    from PIL import Image

    figure = Figure(figsize=(4.2, 4.2), dpi=80)
    canvas: Any = FigureCanvasAgg(figure)  # its methods have no types
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    frames = []
    frame = max(1, round(FRAME_S / dt))
    for step in range(0, len(states), frame):
        axis.clear()
        _road(axis, road, states, corridor)
        x, y, yaw, v = states[step].tolist()
        axis.plot(*states[: step + 1, :2].T, color=MEDIAN, linewidth=1.4)
        axis.plot(*plans[step // every].T, color=STUDENT, linewidth=2.4)
        axis.plot([x, x + 4 * np.cos(yaw)], [y, y + 4 * np.sin(yaw)], color="black", linewidth=5, solid_capstyle="butt")
        axis.text(0.03, 0.94, f"{(step + 1) * dt:4.1f} s   {v:4.1f} m/s", transform=axis.transAxes, family="monospace")
        axis.set(xlim=(x - VIEW, x + VIEW), ylim=(y - VIEW, y + VIEW), aspect="equal")
        axis.set_axis_off()
        canvas.draw()
        frames.append(
            Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("P", palette=Image.Palette.ADAPTIVE, colors=32)
        )
    with replacing(path) as file:
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=round(1000 * frame * dt), loop=0)


def _road(axis: Axes, road: Tensor, states: Tensor, corridor: float) -> None:
    """The corridor to either side of the path, from a little before the drive to what its last plan saw."""
    first, last = (int((road - states[end, :2]).square().sum(-1).argmin()) for end in (0, -1))
    points = road[max(0, min(first, last) - BEFORE) : last + BEYOND].numpy()
    along = np.gradient(points, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], -1) / np.linalg.norm(along, axis=-1, keepdims=True)
    left, right = points + corridor * across, points - corridor * across
    pieces = np.stack([left[:-1], left[1:], right[1:], right[:-1]], 1)
    axis.add_collection(PolyCollection(list(pieces), facecolor=ROAD, edgecolor=ROAD, linewidth=0.5))
    axis.plot(*points.T, color=LANE, linewidth=0.8, linestyle="--")
