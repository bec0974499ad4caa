"""What a web page of the project shows, read by a parser of its own, and the numbers it should show."""

from html.parser import HTMLParser
from typing import Any

HOSTILE = ["<script>alert(1)</script>", "\"><img src='http://a'>", "{{ 7 * 7 }}{% endblock %}{#", "&lt;b&gt; & </td>"]
"""Texts that a page must show as they are."""


class Page(HTMLParser):
    """What a page shows: numbers by key, addresses outside and inside of it, places that those lead to, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.numbers: dict[str, str] = {}
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.places: list[str] = []
        self.inside: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        if "data-key" in values:
            assert values["data-key"] not in self.numbers
            self.numbers[str(values["data-key"])] = str(values["data-value"])
        named = [str(values[name]) for name in ("src", "href") if name in values]
        self.addresses += [address for address in named if not address.startswith("#")]
        self.places += [str(values["id"])] if "id" in values else []
        self.inside += [address.removeprefix("#") for address in named if address.startswith("#")]

    def handle_data(self, data: str) -> None:
        self.words += data


def numbers(found: Any, key: str = "") -> dict[str, str]:
    """The numbers of nested JSON by dotted key, as Python writes them."""
    if isinstance(found, dict | list):
        items = found.items() if isinstance(found, dict) else enumerate(found)
        return {k: v for name, value in items for k, v in numbers(value, f"{key}.{name}" if key else str(name)).items()}
    return {key: repr(found)} if isinstance(found, int | float) else {}
