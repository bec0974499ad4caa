"""Texts of other people become one flat text and one printable line."""

import pytest
from effort import within
from forged import laughing

from alpamayo_toy.labels.untrusted.texts import flat_text, one_line


@pytest.mark.parametrize(
    ("value", "text", "nested"),
    [
        ("Slow down", "Slow down", False),
        ("[STOP]", "[STOP]", False),
        ("[" * 500 + "]" * 500, "[" * 500 + "]" * 500, False),
        ("[" + "-" * 9000 + "1]", "[" + "-" * 9000 + "1]", False),
        ("[" + "1+" * 4000 + "1]", "[" + "1+" * 4000 + "1]", False),
        ("['a'('b')]", "['a'('b')]", False),
        ("['Slow down']", "Slow down", True),
        ('[["a"], ["b"]]', "a b", True),
        ("['" + "x" * 10_000 + "']", "['" + "x" * 10_000 + "']", False),
        (None, "", False),
        ([[["a"]]], "a", True),
        ((["a", "", None], "b", 3), "a b 3", True),
        ([{"cot": "a"}, "b"], "a b", True),
        ([], "", True),
        (2.5, "2.5", False),
        ({"a": 1}, "{'a': 1}", False),
        (b"x" * 20_000, str(b"x" * 20_000)[:10_000], False),
    ],
)
def test_flat_text(value: object, text: str, nested: bool) -> None:
    assert flat_text(value) == (text, nested)


@pytest.mark.parametrize(
    "value",
    [
        laughing(8),
        laughing(50),
        laughing(5, 100),
        {"a": laughing(50)},
        [[[[[[[[["a"]]]]]]]]],
        ["a"] * 1001,
        [[]] * 1001,
        ["a" * 10_000] * 11,
        "[" * 9 + "'a'" + "]" * 9,
        10**5000,
    ],
    ids=range(10),
)
def test_flat_text_ends(value: object) -> None:
    with within(40), pytest.raises(ValueError, match=r"nested|digits"):
        flat_text(value)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("clip \N{SNOWMAN} \\n is sound", "clip \N{SNOWMAN} \\n is sound"),
        ("a\nb\x1b[2J\0", "a\\nb\\x1b[2J\\x00"),
        ("\ud800 and \u2028", "\\ud800 and \\u2028"),
        ("x" * 900, "x" * 900),
        ("x" * 600 + "y" * 51 + "z" * 250, "x" * 600 + " ... " + "z" * 250),
    ],
    ids=range(5),
)
def test_a_message_is_one_printable_line(message: str, line: str) -> None:
    assert one_line(message) == line
