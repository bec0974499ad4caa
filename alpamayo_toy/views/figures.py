"""Pictures: the scene from above, actions over time, and histograms. Matplotlib without a window, one PNG file each."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from alpamayo_toy.files import replacing
from alpamayo_toy.kinematics.recovery import label_actions

TEACHER, STUDENT, MEDIAN, TRUTH = "#7a9cc6", "#d1495b", "#1d3557", "#009e73"
OF_TEACHER, OF_STUDENT, OF_MEDIAN, OF_TRUTH = (0, (5, 1.2)), "-", (0, (1, 1.5)), (0, (7, 2, 1.5, 2))
"""Their dashes, that they can be told apart without colours too."""
COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c564b", "#999999")  # Okabe and Ito's, and two more
DASHES = ("-", "-.", ":")
DRAWN_RANGE = 1e4  # of distances on a log scale: the first tenths of a second are often exact


def birds_eye(
    path: Path,
    titles: list[str],
    teacher: Tensor,
    student: Tensor | None,
    center: Tensor | None = None,
    ground_truth: Tensor | None = None,
    ends: bool = False,
    odds: Tensor | None = None,
    columns: int = 4,
    dt: float = 0.1,
) -> None:
    """One panel a scene, metres, equal axes, x forward and y left as in the ego frame, driving up the page.

    The panels of a row have one scale. A triangle marks the car at t0, dots the student's whole seconds.

    teacher (N, K, T, 4); student (N, M, T, 4), the likelier by odds (N, M) the broader; ground_truth (N, T, 4); center
    (N, T, 2), the median of the teacher's samples. With ends a dot marks where each sample stops.
    """
    columns, steps = min(columns, len(titles)), max(1, round(1 / dt))
    second = slice(steps - 1, None, steps)
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.5 * rows + 0.7), layout="constrained", dpi=110)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(len(titles))]
    for i, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        if ground_truth is not None:
            _path(axis, ground_truth[i], color=TRUTH, linewidth=3.0, linestyle=OF_TRUTH, label="ground truth")
        for j, sample in enumerate(teacher[i]):
            name = "teacher's samples" if j == 0 else None
            _path(axis, sample, color=TEACHER, linewidth=1.0, linestyle=OF_TEACHER, label=name)
        if ends:
            axis.plot(-teacher[i, :, -1, 1], teacher[i, :, -1, 0], ".", color=MEDIAN, markersize=4, label="their ends")
        if center is not None:
            _path(axis, center[i], color=MEDIAN, linewidth=1.6, linestyle=OF_MEDIAN, label="their median")
        if student is not None:
            likely = torch.ones(student.shape[1]) if odds is None else odds[i]
            for j, mode in enumerate(student[i]):
                width = 0.6 + 1.6 * float(likely[j]) / float(likely.max())
                _path(axis, mode, color=STUDENT, linewidth=width, label="student" if j == 0 else None)
                dots = axis.plot(-mode[second, 1], mode[second, 0], "o", color=STUDENT, markersize=1.8 * width)
                dots[0].set_label("a second each" if j == 0 else None)
        axis.plot(0, 0, "k^", markersize=7, linestyle="none", label="the car at t0")
        axis.set_title(title, fontsize=10, parse_math=False)
        axis.update_datalim([(-4.0, -1.0), (4.0, 4.0)])  # a parked car is not looked at through a microscope
        axis.autoscale_view()
        axis.xaxis.set_major_formatter(lambda value, _: f"{-value:g}" if value else "0")
        axis.grid(alpha=0.25)
        axis.tick_params(labelsize=8)
    for first in range(0, len(axes), columns):
        _one_scale(axes[first : first + columns])
    write_panels(path, figure, axes, columns, "y, left [m]", "x, forward [m]")


def _one_scale(axes: list[Axes]) -> None:
    """As many metres a panel in all of a row; panels are square, so that x and y have one scale as well."""
    limits = [(*axis.get_xlim(), *axis.get_ylim()) for axis in axes]
    span = max(max(right - left, top - bottom) for left, right, bottom, top in limits)
    for axis, (left, right, bottom, top) in zip(axes, limits, strict=True):
        x, y = (left + right) / 2, (bottom + top) / 2
        axis.set_box_aspect(1)
        axis.set_aspect("equal", adjustable="box")
        axis.set_xlim(x - span / 2, x + span / 2)
        axis.set_ylim(y - span / 2, y + span / 2)


def profiles(
    path: Path,
    titles: list[str],
    teacher: Tensor,
    v0: Tensor,
    student: Tensor | None,
    dt: float,
    integrator: str,
    ground_truth: Tensor | None = None,
) -> None:
    """a, kappa, v and jerk over time, a column a scene: teacher (N, K, T, 4), v0 (N,), the others (N, T, 4).

    An action holds from its time for dt; jerk is (a[t+1] - a[t]) / dt, drawn where one step ends and the next begins.
    """
    columns = len(titles)
    figure = Figure(figsize=(3.4 * columns, 8.6), layout="constrained", dpi=110)
    axes = figure.subplots(4, columns, sharex=True, squeeze=False)
    sets: list[tuple[Tensor, str, Any, float, str]] = [(teacher, TEACHER, OF_TEACHER, 1.0, "teacher's samples")]
    if ground_truth is not None:
        sets.append((ground_truth.unsqueeze(1), TRUTH, OF_TRUTH, 1.6, "ground truth"))
    if student is not None:
        sets.append((student.unsqueeze(1), STUDENT, OF_STUDENT, 2.0, "student"))
    time = np.arange(teacher.shape[2] + 1) * dt
    for trajectories, color, dashes, width, name in sets:
        actions = label_actions(trajectories, v0.unsqueeze(-1).expand(trajectories.shape[:2]), dt, integrator)
        speeds = torch.cat([v0[:, None, None].expand(*trajectories.shape[:2], 1), trajectories[..., 3]], -1)
        acceleration, curvature = actions.unbind(-1)
        jerk = acceleration.diff(dim=-1) / dt
        for row, (values, first) in enumerate(((acceleration, 0), (curvature, 0), (speeds, 0), (jerk, 1))):
            for i in range(columns):
                times = time[first : first + values.shape[-1]]
                lines = axes[row][i].plot(times, values[i].T, color=color, linestyle=dashes, linewidth=width)
                if row == 0 and i == 0:
                    lines[0].set_label(name)
    for i, title in enumerate(titles):
        axes[0][i].set_title(title, fontsize=10, parse_math=False)
        axes[-1][i].set_xlabel("time [s]", fontsize=9)
    for row, name in enumerate(("a [m/s²]", "curvature [1/m]", "v [m/s]", "jerk [m/s³]")):
        axes[row][0].set_ylabel(name, fontsize=9)
        for axis in axes[row]:
            axis.grid(alpha=0.25)
            axis.tick_params(labelsize=8)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    write(path, figure)


def over_horizon(path: Path, seconds: list[float], panels: dict[str, dict[str, list[float]]]) -> None:
    """Mean distance over time on a log scale, so that a baseline far off does not flatten the rest.

    A panel for each target, in it a line for each predictor by name: metres at these seconds. A name has one colour in
    all panels; the student is drawn boldest, the floor dashed and black above it, where both are the same.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    others = [name for name in names if name not in ("student", "floor")]
    looks = {name: (COLORS[i % len(COLORS)], DASHES[i // len(COLORS) % len(DASHES)]) for i, name in enumerate(others)}
    figure = Figure(figsize=(5.0 * len(panels) + 2.4, 4.4), layout="constrained", dpi=110)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    drawn = {}
    for axis, (target, lines) in zip(axes, panels.items(), strict=True):
        for name, values in lines.items():
            if name == "student":
                style = {"color": STUDENT, "linewidth": 3.2, "zorder": 4}
            elif name == "floor":
                style = {"color": "black", "linewidth": 1.8, "linestyle": "--", "zorder": 5}
            else:
                style = {"color": looks[name][0], "linewidth": 1.5, "linestyle": looks[name][1]}
            drawn[name] = axis.plot(seconds, values, **style)[0]
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.set_xlim(0, seconds[-1])
        axis.set_title(f"against {target.replace('_', ' ')}", fontsize=10)
        axis.set_xlabel("time [s]", fontsize=9)
        axis.grid(alpha=0.25)
        axis.grid(alpha=0.12, which="minor")
        axis.tick_params(labelsize=8)
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(bottom=max(low, high / DRAWN_RANGE))
    axes[0].set_ylabel("mean distance [m]", fontsize=9)
    labels = [name.replace("_", " ") for name in drawn]
    figure.legend(drawn.values(), labels, loc="outside right center", fontsize=9, frameon=False)
    write(path, figure)


def histograms(path: Path, values: dict[str, Tensor]) -> None:
    """One panel a quantity, named with its unit: the share of its finite values (...) in each bin, on a log scale."""
    columns = min(2, len(values))
    rows = -(-len(values) // columns)
    figure = Figure(figsize=(5.4 * columns, 2.7 * rows), layout="constrained", dpi=110)
    for i, (name, tensor) in enumerate(values.items()):
        axis = figure.add_subplot(rows, columns, i + 1)
        finite = tensor[tensor.isfinite()].numpy()
        if len(finite):
            counts, edges = np.histogram(finite, bins=80)
            axis.stairs(counts / len(finite), edges, fill=True, color=TEACHER)
            axis.set_yscale("log")
        else:
            axis.text(0.5, 0.5, "no values", ha="center", transform=axis.transAxes)
        axis.set_xlabel(name, fontsize=9)
        axis.grid(alpha=0.25)
        axis.tick_params(labelsize=8)
        if i % columns == 0:
            axis.set_ylabel("share of values", fontsize=9)
    write(path, figure)


def _path(axis: Axes, points: Tensor, **style: object) -> None:
    whole = np.concatenate([np.zeros((1, 2)), points[:, :2].numpy()])
    axis.plot(-whole[:, 1], whole[:, 0], **style)  # type: ignore[arg-type]


def write_panels(path: Path, figure: Figure, axes: list[Axes], columns: int, across: str, up: str) -> None:
    """A grid of panels with its outer axes named, and one legend below for all of them."""
    for axis in axes[-columns:]:
        axis.set_xlabel(across, fontsize=9)
    for axis in axes[::columns]:
        axis.set_ylabel(up, fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    write(path, figure)


def write(path: Path, figure: Figure) -> None:
    with replacing(path) as file:
        FigureCanvasAgg(figure).print_png(file)  # savefig would draw twice, once for the layout that drawing makes too
