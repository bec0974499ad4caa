"""Failures of somebody else's code: what is said of them, and how long they are waited for."""

import copy

import pytest
import torch
from stand_in import Hub

from alpamayo_toy.errors import Interrupted, UserError, causes, out_of_memory, require, shortened
from alpamayo_toy.failures import pause_s, why


def wrapped(inner: Exception, outer: Exception) -> Exception:
    """The outer one, raised from the inner."""
    try:
        raise outer from inner
    except type(outer) as error:
        return error


def test_a_failure_is_one_line_with_what_to_do() -> None:
    assert why(ValueError("no\nsuch   thing")) == "ValueError: no such thing"
    assert why(UserError("as it is")) == "as it is"
    assert why(ValueError("x" * 1000)) == "ValueError: " + "x" * 200
    assert why(Hub(429)).endswith("; the hub was asked too often; --retry 5 waits for it")
    assert why(Hub(418)) == "Hub: 418 Client Error (Request ID: Root=1)"
    assert "hub was asked too often" in why(wrapped(Hub(429), OSError("File is not a zip file")))


def test_memory_runs_out_under_several_names() -> None:
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert out_of_memory(wrapped(torch.OutOfMemoryError("no"), ValueError("generation failed")))
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("Out of Memory"))
    assert not out_of_memory(RuntimeError("size mismatch"))
    assert why(MemoryError("40 GiB")) == "MemoryError: 40 GiB; memory is too small for it"


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (ValueError("429"), [0, 0]),
        (Hub(404), [0, 0]),
        (Hub(429), [60, 120, 240, 300, 300]),
        (Hub(503), [60, 120]),
        (Hub(500), [60, 120]),
        (Hub(600), [0, 0]),
        (Hub(429, Retry_After="17"), [17, 17]),
        (Hub(429, Retry_After="Wed, 21 Oct"), [60, 120]),
        (Hub(429, RateLimit='"api";r=0;t=55'), [55, 55]),
        (Hub(429, Retry_After="86400"), [300]),
        (wrapped(Hub(429, Retry_After="17"), OSError("File is not a zip file")), [17]),
    ],
)
def test_a_busy_hub_is_waited_for(error: Exception, seconds: list[float]) -> None:
    assert [pause_s(error, attempt) for attempt in range(len(seconds))] == seconds


def test_an_interruption_comes_whole_from_another_process() -> None:
    found = copy.copy(Interrupted("stopped at step 3; continue: ...", 15))  # is made of its parts, as there
    assert (str(found), found.exit_code) == ("stopped at step 3; continue: ...", 143)


def test_a_value_of_any_size_is_one_short_line() -> None:
    values: list[tuple[object, str]] = [
        *((None, "None"), (True, "True"), (1.5, "1.5"), ("a\nb", "'a\\nb'"), (b"x", "b'x'")),
        *((2**99 - 1, str(2**99 - 1)), (2**99, "100 bits"), (-(2**70000), "70001 bits")),
        *(("x" * 58, repr("x" * 58)), ("x" * 59, f"'{'x' * 56}...")),
        *(([1, 2], "list of 2"), ((), "tuple of 0"), ({"a": 1}, "dict of 1"), (torch.zeros(3), "Tensor")),
    ]
    for value, said in values:
        assert shortened(value) == said
        assert len(said) <= 60


def test_what_does_not_hold_names_option_and_value() -> None:
    require(True, "x", "y", 1)
    with pytest.raises(UserError, match=r"^trainer\.steps must be >= 1 \(got 0\)$"):
        require(False, "trainer.steps", ">= 1", 0)
    with pytest.raises(UserError, match=r"\(got 70001 bits\)$"):  # of which Python prints no digits
        require(False, "seed", "smaller", 2**70000)
    with pytest.raises(UserError) as long:
        require(False, "name", "short", "x" * 1000)
    assert len(str(long.value)) < 350


def test_causes_go_down_to_the_first() -> None:
    first, second = KeyError("a"), ValueError("b")
    assert list(causes(wrapped(first, second))) == [second, first]
    third = OSError("c")
    third.__context__ = first  # while the first was handled
    assert list(causes(third)) == [third, first]
