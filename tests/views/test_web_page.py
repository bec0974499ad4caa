"""How a page writes a number: as it is read, and exact with its place in the JSON file."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from pages import Page, numbers

from alpamayo_toy.views.web_page import Number, fixed, keyed, percent, render, share, written

KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="."), min_size=1)
VALUES = st.none() | st.booleans() | st.text() | st.integers() | st.floats()
JSON = st.recursive(VALUES, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(KEYS, inside, max_size=4))


def leaves(found: Any) -> list[Any]:
    if isinstance(found, dict | list):
        return [leaf for value in (found.values() if isinstance(found, dict) else found) for leaf in leaves(value)]
    return [found]


@pytest.mark.slow
@given(JSON)
def test_numbers_write_themselves_exactly_with_their_place(found: Any) -> None:
    shown = keyed(found)
    text = "".join(leaf.__html__() for leaf in leaves(shown) if isinstance(leaf, Number))
    assert Page(text).tags <= {"span"}
    exact = {
        key: value for key, value in numbers(found).items() if value not in ("True", "False", "nan", "inf", "-inf")
    }
    assert Page(text).numbers == exact
    for before, after in zip(leaves(found), leaves(shown), strict=True):
        if isinstance(before, str | bool | None):
            assert after is before
        elif not math.isfinite(before):
            assert after is None


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (written, 23040, "23040"),
        (written, 8.18743, "8.187"),
        (written, -1e-12, "0"),
        (written, 3.974e-5, "3.974e-05"),
        (written, None, "none"),
        (percent, 0.0845, "8.5"),
        (percent, None, "none"),
        (share, 0.98245, "98.2 %"),
        (share, 1.0, "100.0 %"),
        (share, None, "-"),
        (fixed, 5.3756, "5.376"),
        (fixed, -0.0001, "0.000"),
        (fixed, None, "-"),
    ],
)
def test_a_number_as_it_is_read(form: Any, value: float | None, text: str) -> None:
    assert form(value) == text


def test_turned_is_the_negative_value() -> None:
    assert fixed(-0.21249, turned=True) == "0.212"
    assert fixed(None, turned=True) == "-"


@pytest.mark.parametrize("template", ["labels.html", "evaluation.html"])
def test_a_name_that_does_not_exist_stops_the_page(template: str) -> None:
    with pytest.raises(UndefinedError, match="is undefined"):
        render(template, pictures={})
