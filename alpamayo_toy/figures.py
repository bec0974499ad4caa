"""Pictures: the scene from above, actions over time, and histograms. Matplotlib without a window, one PNG file each."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from alpamayo_toy.files import replacing
from alpamayo_toy.recovery import label_actions

TEACHER, STUDENT, MEDIAN, TRUTH = "#7a9cc6", "#d1495b", "#1d3557", "#2b8a3e"


def birds_eye(
    path: Path,
    titles: list[str],
    teacher: Tensor,
    student: Tensor | None,
    center: Tensor | None = None,
    ground_truth: Tensor | None = None,
    ends: bool = False,
) -> None:
    """One panel a scene, metres, equal axes, x forward and y left as in the ego frame, driving up the page.

    teacher (N, K, T, 4); student and ground_truth (N, T, 4); center (N, T, 2), the median of the teacher's samples.
    With ends a dot marks where each sample stops.
    """
    columns = min(4, len(titles))
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.6 * rows + 0.5), layout="constrained", dpi=110)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(len(titles))]
    for i, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        if ground_truth is not None:
            _path(axis, ground_truth[i], color=TRUTH, linewidth=4.0, alpha=0.55, label="ground truth")
        for j, sample in enumerate(teacher[i]):
            _path(axis, sample, color=TEACHER, linewidth=1.0, alpha=0.7, label="teacher's samples" if j == 0 else None)
        if ends:
            axis.plot(-teacher[i, :, -1, 1], teacher[i, :, -1, 0], ".", color=MEDIAN, markersize=4, label="their ends")
        if center is not None:
            _path(axis, center[i], color=MEDIAN, linewidth=1.2, linestyle="--", label="their median")
        if student is not None:
            _path(axis, student[i], color=STUDENT, linewidth=2.2, label="student")
            axis.plot(-student[i, 9::10, 1], student[i, 9::10, 0], "o", color=STUDENT, markersize=4)
        axis.plot(0, 0, "k^", markersize=7)
        axis.set_title(title, fontsize=10, parse_math=False)
        axis.update_datalim([(-4.0, -1.0), (4.0, 4.0)])  # a parked car is not looked at through a microscope
        axis.autoscale_view()
        axis.set_aspect("equal", adjustable="datalim")
        axis.xaxis.set_major_formatter(lambda value, _: f"{-value:g}" if value else "0")
        axis.grid(alpha=0.25)
        axis.tick_params(labelsize=8)
    for axis in axes[-columns:]:
        axis.set_xlabel("y, left [m]", fontsize=9)
    for axis in axes[::columns]:
        axis.set_ylabel("x, forward [m]", fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    _write(path, figure)


def profiles(
    path: Path, titles: list[str], teacher: Tensor, v0: Tensor, student: Tensor | None, dt: float, integrator: str
) -> None:
    """a, kappa and v over time, a column a scene: teacher (N, K, T, 4), v0 (N,), student (N, T, 4)."""
    columns = len(titles)
    figure = Figure(figsize=(3.4 * columns, 6.6), layout="constrained", dpi=110)
    axes = figure.subplots(3, columns, sharex=True, squeeze=False)
    sets = [(teacher, TEACHER, 1.0, "teacher's samples")]
    if student is not None:
        sets.append((student.unsqueeze(1), STUDENT, 2.0, "student"))
    time = np.arange(teacher.shape[2]) * dt
    for trajectories, color, width, name in sets:
        actions = label_actions(trajectories, v0.unsqueeze(-1).expand(trajectories.shape[:2]), dt, integrator)
        speeds = torch.cat([v0[:, None, None].expand(*trajectories.shape[:2], 1), trajectories[..., 3]], -1)
        for i in range(columns):
            for row, values in enumerate((actions[i, ..., 0], actions[i, ..., 1], speeds[i, ..., :-1])):
                lines = axes[row][i].plot(time, values.T, color=color, linewidth=width, alpha=0.8)
                if row == 0 and i == 0:
                    lines[0].set_label(name)
    for i, title in enumerate(titles):
        axes[0][i].set_title(title, fontsize=10)
        axes[2][i].set_xlabel("time [s]", fontsize=9)
    for row, name in enumerate(("a [m/s²]", "curvature [1/m]", "v [m/s]")):
        axes[row][0].set_ylabel(name, fontsize=9)
        for axis in axes[row]:
            axis.grid(alpha=0.25)
            axis.tick_params(labelsize=8)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    _write(path, figure)


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
    _write(path, figure)


def _path(axis: Axes, points: Tensor, **style: object) -> None:
    whole = np.concatenate([np.zeros((1, 2)), points[:, :2].numpy()])
    axis.plot(-whole[:, 1], whole[:, 0], **style)  # type: ignore[arg-type]


def _write(path: Path, figure: Figure) -> None:
    with replacing(path) as file:
        figure.savefig(file, format="png")
