"""Fields: what names mean, in which unit."""

import pytest

from alpamayo_toy.labels.formats.fields import NAMES, Names, parsed


@pytest.mark.parametrize(
    ("key", "field", "scale"),
    [
        ("t0_us", "t0", 1.0),
        ("t0_ns", "t0", 1e-3),
        ("t0_ms", "t0", 1e3),
        ("t0_s", "t0", 1e6),
        ("clip.Timestamp-sec", "t0", 1e6),
        ("dt", "dt", 1.0),
        ("time_step_ms", "dt", 1e-3),
        ("delta_t_us", "dt", 1e-6),
        ("fps", "rate", 1.0),
    ],
)
def test_a_unit_behind_a_name_counts(key: str, field: str, scale: float) -> None:
    meaning = NAMES.of(key)
    assert meaning is not None
    assert (meaning.field, meaning.scale) == (field, scale)


def test_a_rate_by_hand_is_one_over_a_step() -> None:
    assert parsed("auto,fps=4")[1].dt == 0.25
    assert parsed("dt=0.5")[1].dt == 0.5
    assert Names({"fps": "my_rate"}).dt is None


@pytest.mark.parametrize(("said", "scale"), [("t0_us", 1.0), ("t0_ms", 1e3), ("t0_s", 1e6), ("t0_ns", 1e-3)])
def test_a_time_by_hand_has_its_unit(said: str, scale: float) -> None:
    meaning = Names({said: "when"}).of("inside.when")
    assert meaning is not None
    assert (meaning.field, meaning.scale) == ("t0", scale)
