"""Pictures: equal axes, metres, and written for awkward scenes as well. What they look like a person has to judge."""

from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from alpamayo_toy import UnicycleRollout, figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that is written."""
    kept: list[Figure] = []
    write = figures._write

    def keep(path: Path, figure: Figure) -> None:
        kept.append(figure)
        write(path, figure)

    monkeypatch.setattr(figures, "_write", keep)
    return kept


def test_the_view_from_above_has_equal_axes_in_metres(tmp_path: Path, drawn: list[Figure]) -> None:
    actions = torch.zeros(5, 3, 64, 2)
    actions[..., 1] = torch.linspace(-0.05, 0.05, 5)[:, None, None]
    teacher = UnicycleRollout()(actions, torch.full((5, 3), 6.0))
    path = tmp_path / "birds_eye.png"
    figures.birds_eye(path, [f"scene {i}" for i in range(5)], teacher, teacher[:, 0], teacher[:, 0, :, :2])
    assert path.read_bytes().startswith(b"\x89PNG")
    (figure,) = drawn
    assert len(figure.axes) == 5
    for axis in figure.axes:
        assert axis.get_aspect() == 1.0
    assert "m]" in figure.axes[0].get_ylabel()
    assert {t.get_text() for t in figure.legends[0].get_texts()} == {"teacher's samples", "their median", "student"}


def test_a_parked_car_is_not_magnified(tmp_path: Path, drawn: list[Figure]) -> None:
    parked = torch.zeros(1, 2, 64, 4)
    parked[..., :2] = 1e-4 * torch.randn(1, 2, 64, 2)
    figures.birds_eye(tmp_path / "parked.png", ["parked"], parked, None)
    low, high = drawn[0].axes[0].get_xlim()
    assert high - low >= 8


def test_profiles_show_the_actions_that_made_the_trajectory(tmp_path: Path, drawn: list[Figure]) -> None:
    actions = torch.zeros(2, 1, 64, 2)
    actions[..., 0], actions[..., 1] = 0.5, 0.03
    v0 = torch.tensor([3.0, 5.0])
    teacher = UnicycleRollout()(actions, v0[:, None])
    figures.profiles(tmp_path / "profiles.png", ["a", "b"], teacher, v0, teacher[:, 0], 0.1, "euler")
    rows = [drawn[0].axes[2 * row].lines[0].get_ydata() for row in range(3)]
    assert rows[0] == pytest.approx([0.5] * 64, abs=1e-4)
    assert rows[1] == pytest.approx([0.03] * 64, abs=1e-4)
    assert rows[2][0] == 3.0
