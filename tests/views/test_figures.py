"""Pictures: equal axes, metres, and written for awkward scenes as well. What they look like a person has to judge."""

from pathlib import Path

import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alpamayo_toy import UnicycleRollout
from alpamayo_toy.views import figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written."""
    kept: list[Figure] = []
    write = figures.write

    def keep(path: Path, figure: Figure) -> None:
        kept.append(figure)
        write(path, figure)

    monkeypatch.setattr(figures, "write", keep)
    return kept


@pytest.mark.slow
def test_the_view_from_above_has_equal_axes_in_metres(tmp_path: Path, drawn: list[Figure]) -> None:
    actions = torch.zeros(5, 3, 64, 2)
    actions[..., 1] = torch.linspace(-0.05, 0.05, 5)[:, None, None]
    teacher = UnicycleRollout()(actions, torch.full((5, 3), 6.0))
    path = tmp_path / "birds_eye.png"
    figures.birds_eye(path, [f"scene {i}" for i in range(5)], teacher, teacher[:, :1], teacher[:, 0, :, :2])
    assert path.read_bytes().startswith(b"\x89PNG")
    (figure,) = drawn
    assert len(figure.axes) == 5
    for axis in figure.axes:
        assert axis.get_aspect() == 1.0
    assert "m]" in figure.axes[0].get_ylabel()
    spans = [limits[1] - limits[0] for axis in figure.axes[:4] for limits in (axis.get_xlim(), axis.get_ylim())]
    assert spans == pytest.approx([spans[0]] * 8)
    told = {"teacher's samples", "their median", "student", "a second each", "the car at t0"}
    assert {t.get_text() for t in figure.legends[0].get_texts()} == told
    dashes = {line.get_linestyle() for line in figure.axes[0].lines if line.get_linestyle() != "None"}
    assert len(dashes) == 2  # Matplotlib calls every pattern of ours "--"
    patterns = {str(line._dash_pattern) for line in figure.axes[0].lines if line.get_linestyle() != "None"}  # type: ignore[attr-defined]
    assert len(patterns) == 3


def test_a_parked_car_is_not_magnified(tmp_path: Path, drawn: list[Figure]) -> None:
    parked = torch.zeros(1, 2, 64, 4)
    parked[..., :2] = 1e-4 * torch.randn(1, 2, 64, 2)
    figures.birds_eye(tmp_path / "parked.png", ["parked"], parked, None)
    low, high = drawn[0].axes[0].get_xlim()
    assert high - low >= 8


def test_a_row_has_the_scale_of_its_largest_scene(tmp_path: Path, drawn: list[Figure]) -> None:
    speeds = torch.tensor([[1.0], [15.0]])
    straight = UnicycleRollout()(torch.zeros(2, 1, 64, 2), speeds)  # 6.4 and 96 m
    figures.birds_eye(tmp_path / "row.png", ["slow", "fast"], straight, None)
    limits = [axis.get_ylim() for axis in drawn[0].axes]
    for (low, high), far in zip(limits, (6.4, 96.0), strict=True):
        assert low <= 0
        assert far <= high
    assert limits[0][1] - limits[0][0] == pytest.approx(limits[1][1] - limits[1][0])


@pytest.mark.parametrize(("dt", "steps"), [(0.1, 10), (0.2, 5), (10.0, 1)])
def test_the_likelier_of_two_is_broader_and_has_a_dot_a_second(
    tmp_path: Path, drawn: list[Figure], dt: float, steps: int
) -> None:
    bent = torch.tensor([0.0, 0.02]).expand(1, 2, 64, 2)
    student = UnicycleRollout()(bent, torch.tensor([[2.0, 5.0]]))
    odds = torch.tensor([[0.25, 0.75]])
    figures.birds_eye(tmp_path / "odds.png", ["odds"], student[:, :1] * 0, student, odds=odds, dt=dt)
    mine = [line for line in drawn[0].axes[0].lines if line.get_color() == figures.STUDENT]
    ways, dots = ([line for line in mine if (line.get_marker() == "o") is is_dot] for is_dot in (False, True))
    assert [way.get_linewidth() for way in ways] == pytest.approx([0.6 + 1.6 / 3, 2.2])
    for mode, dot in zip(student[0], dots, strict=True):
        seconds = mode[torch.arange(1, 64 // steps + 1) * steps - 1]
        assert dot.get_ydata() == pytest.approx(seconds[:, 0].tolist())  # forward is up, left is left
        assert dot.get_xdata() == pytest.approx((-seconds[:, 1]).tolist())


@pytest.mark.slow
def test_profiles_show_the_actions_that_made_the_trajectory(tmp_path: Path, drawn: list[Figure]) -> None:
    actions = torch.zeros(2, 1, 64, 2)
    actions[..., 0], actions[..., 1] = 0.5, 0.03
    v0 = torch.tensor([3.0, 5.0])
    teacher = UnicycleRollout()(actions, v0[:, None])
    figures.profiles(tmp_path / "profiles.png", ["a", "b"], teacher, v0, teacher[:, 0], 0.1, "euler")
    rows = [drawn[0].axes[2 * row].lines[0].get_ydata() for row in range(4)]
    assert rows[0] == pytest.approx([0.5] * 64, abs=1e-4)
    assert rows[1] == pytest.approx([0.03] * 64, abs=1e-4)
    assert rows[2][0] == 3.0
    assert rows[3] == pytest.approx([0.0] * 63, abs=1e-3)


@pytest.mark.slow
def test_jerk_is_the_slope_of_the_acceleration_where_two_steps_meet(tmp_path: Path, drawn: list[Figure]) -> None:
    actions = torch.zeros(1, 1, 64, 2)
    actions[..., 0] = 0.02 * torch.arange(64)
    v0 = torch.tensor([3.0])
    teacher = UnicycleRollout(integrator="trapezoid")(actions, v0[:, None])
    figures.profiles(
        tmp_path / "p.png", ["$x_{"], teacher, v0, None, 0.1, "trapezoid", ground_truth=teacher[:, 0] * 1.0
    )
    axes = drawn[0].axes
    assert [axis.get_ylabel() for axis in axes] == ["a [m/s²]", "curvature [1/m]", "v [m/s]", "jerk [m/s³]"]
    assert axes[-1].get_xlabel() == "time [s]"
    assert axes[3].lines[0].get_xdata() == pytest.approx([0.1 * i for i in range(1, 64)])
    assert axes[3].lines[0].get_ydata() == pytest.approx([0.2] * 63, abs=5e-3)
    assert {t.get_text() for t in drawn[0].legends[0].get_texts()} == {"teacher's samples", "ground truth"}


def test_the_student_stands_out_among_ten_lines_over_the_horizon(tmp_path: Path, drawn: list[Figure]) -> None:
    seconds = [0.1 * (i + 1) for i in range(64)]
    names = ["student", "floor", *(f"baseline_{i}" for i in range(8))]
    lines = {name: [(i + 1) * t for t in seconds] for i, name in enumerate(names)}
    truth = {name: lines[name] for name in ("baseline_7", "student")} | {"exact_at_first": [0.0, *seconds[1:]]}
    figures.over_horizon(tmp_path / "horizon.png", seconds, {"teacher": lines, "ground_truth": truth})
    (figure,) = drawn
    left, right = figure.axes
    assert [axis.get_title() for axis in figure.axes] == ["against teacher", "against ground truth"]
    assert left.get_ylabel() == "mean distance [m]"
    assert {axis.get_xlabel() for axis in figure.axes} == {"time [s]"}
    by_name = dict(zip(names, left.lines, strict=True))
    widths = {name: line.get_linewidth() for name, line in by_name.items()}
    assert all(widths["student"] > 1.5 * width for name, width in widths.items() if name != "student")
    assert by_name["floor"].get_linestyle() == "--"
    looks = [(line.get_color(), line.get_linestyle()) for line in left.lines]
    assert len(set(looks)) == 10
    assert (right.lines[0].get_color(), right.lines[0].get_linestyle()) == looks[-1]
    assert by_name["baseline_0"].get_ydata() == pytest.approx(lines["baseline_0"])
    assert left.get_ylim()[1] > 64
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [name.replace("_", " ") for name in [*names, "exact_at_first"]]


def test_a_histogram_is_of_shares_of_what_is_finite(tmp_path: Path, drawn: list[Figure]) -> None:
    values = torch.tensor([1.0, 2.0, 2.0, 5.0, torch.nan, torch.inf])
    figures.histograms(tmp_path / "h.png", {"a [m]": values, "none [m]": torch.full((3,), torch.nan)})
    some, none = drawn[0].axes
    (bins,) = some.patches
    heights = bins.get_data().values  # type: ignore[attr-defined]
    assert sorted(heights[heights > 0]) == [0.25, 0.25, 0.5]
    assert [text.get_text() for text in none.texts] == ["no values"]


def lines_of(axis: Axes, color: str) -> list[list[tuple[float, float]]]:
    """Points (x, y) of each line of a colour that is no dots."""
    mine = [line for line in axis.lines if line.get_color() == color and line.get_linestyle() != "None"]
    return [list(zip(map(float, line.get_xdata()), map(float, line.get_ydata()), strict=True)) for line in mine]  # type: ignore[arg-type]


def test_each_panel_shows_its_own_scene_from_the_car_on_and_left_is_left(tmp_path: Path, drawn: list[Figure]) -> None:
    """Points (x, y) = (forward, left) are drawn at (-left, forward), whose ticks say how far to the left."""
    teacher = torch.arange(2 * 2 * 12 * 4.0).reshape(2, 2, 12, 4) + 1
    student, truth, center = teacher[:, :2] + 0.25, teacher[:, 0] + 0.5, teacher[:, 1, :, :2] + 0.75
    odds = torch.tensor([[0.5, 0.5], [0.2, 0.8]])
    figures.birds_eye(
        tmp_path / "two.png", ["a", "b"], teacher, student, center, ground_truth=truth, ends=True, odds=odds
    )
    for i, axis in enumerate(drawn[0].axes):
        for color, tracks in (
            (figures.TEACHER, teacher[i]),
            (figures.STUDENT, student[i]),
            (figures.TRUTH, truth[i : i + 1]),
            (figures.MEDIAN, center[i : i + 1]),
        ):
            expected = [[(0.0, 0.0), *((-y, x) for x, y in track[:, :2].tolist())] for track in tracks]
            assert lines_of(axis, color) == expected
        (ends,) = (line for line in axis.lines if line.get_marker() == ".")
        assert list(ends.get_xdata()) == (-teacher[i, :, -1, 1]).tolist()
        assert list(ends.get_ydata()) == teacher[i, :, -1, 0].tolist()
        tick = axis.xaxis.get_major_formatter()
        assert [tick(value, 0) for value in (-3.0, 0.0, 2.5)] == ["3", "0", "-2.5"]
        ways = [line for line in axis.lines if line.get_color() == figures.STUDENT and line.get_marker() != "o"]
        likely = (odds[i] / odds[i].max()).tolist()
        assert [way.get_linewidth() for way in ways] == pytest.approx([0.6 + 1.6 * share for share in likely])
    assert drawn[0].axes[0].get_ylabel() == "x, forward [m]"
    assert [axis.get_xlabel() for axis in drawn[0].axes] == ["y, left [m]"] * 2


def test_rows_have_scales_of_their_own_and_outer_axes_have_the_names(tmp_path: Path, drawn: list[Figure]) -> None:
    reached = torch.tensor([5.0, 5.0, 100.0, 100.0])
    straight = torch.zeros(4, 1, 10, 4)
    straight[..., 0] = reached[:, None, None] * torch.arange(1, 11) / 10
    figures.birds_eye(tmp_path / "rows.png", list("abcd"), straight, None, columns=2)
    axes = drawn[0].axes
    spans = [axis.get_ylim()[1] - axis.get_ylim()[0] for axis in axes]
    assert spans[0] == pytest.approx(spans[1])
    assert spans[2] == pytest.approx(spans[3])
    assert spans[0] < 20 < 100 < spans[2]
    assert [bool(axis.get_xlabel()) for axis in axes] == [False, False, True, True]
    assert [bool(axis.get_ylabel()) for axis in axes] == [True, False, True, False]


def test_a_profile_has_speeds_from_t0_to_the_end_and_each_column_its_scene(tmp_path: Path, drawn: list[Figure]) -> None:
    actions, v0 = torch.zeros(2, 1, 6, 2), torch.tensor([3.0, 5.0])
    actions[0, ..., 0], actions[1, ..., 0] = 1.0, 2.0
    teacher = UnicycleRollout(0.2, "euler")(actions, v0[:, None])
    figures.profiles(tmp_path / "p.png", ["a", "b"], teacher, v0, teacher[:, 0] + 1, 0.2, "euler", teacher[:, 0])
    for i, (start, a) in enumerate(((3.0, 1.0), (5.0, 2.0))):
        acceleration, _, speeds, _ = (drawn[0].axes[2 * row + i] for row in range(4))
        assert acceleration.lines[0].get_ydata() == pytest.approx([a] * 6, abs=1e-4)
        assert speeds.lines[0].get_ydata() == pytest.approx([start + a * 0.2 * k for k in range(7)], abs=1e-5)
        assert speeds.lines[0].get_xdata() == pytest.approx([0.2 * k for k in range(7)])
        assert acceleration.lines[0].get_xdata() == pytest.approx([0.2 * k for k in range(6)])
        colors = [line.get_color() for line in speeds.lines]
        assert colors == [figures.TEACHER, figures.TRUTH, figures.STUDENT]


def test_errors_over_the_horizon_stand_on_a_log_scale_that_what_is_exact_does_not_stretch(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    lines = {"student": [1e-9, 1.0, 2.0], "floor": [1e-3, 1.0, 2.0]}
    figures.over_horizon(tmp_path / "h.png", [0.1, 0.2, 0.3], {"teacher": lines})
    (axis,) = drawn[0].axes
    assert axis.get_yscale() == "log"
    assert axis.get_xlim() == (0, 0.3)
    low, high = axis.get_ylim()
    assert 2 < high < 20
    assert low == pytest.approx(high / 1e4)
    student, floor = axis.lines
    assert floor.get_zorder() > student.get_zorder()


def test_a_histogram_has_80_bins(tmp_path: Path, drawn: list[Figure]) -> None:
    figures.histograms(tmp_path / "h.png", {"a": torch.arange(81.0)})
    (bins,) = drawn[0].axes[0].patches
    data = bins.get_data()  # type: ignore[attr-defined]
    assert len(data.values) == 80
    assert (data.edges[0], data.edges[-1]) == (0.0, 80.0)
    assert drawn[0].axes[0].get_yscale() == "log"
