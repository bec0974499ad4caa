"""A web page in one file that opens offline, from a template; its numbers are those of a JSON file."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from typing import Any


def written(value: float | int | None, unit: str = "") -> str:
    """A number as it is read: four digits, integers whole, a share in percent."""
    if value is None:
        return "none"
    if unit == "%":
        return f"{100 * value:.1f} %"
    return str(value) if isinstance(value, int) else f"{value if abs(value) > 1e-9 else 0:.4g}"


def percent(value: float | None) -> str:
    """A share under a heading that says [%]."""
    return written(value, "%").removesuffix(" %")


def share(value: float | None) -> str:
    """A share in percent, a dash where there is none."""
    return "-" if value is None else written(value, "%")


def fixed(value: float | None, turned: bool = False) -> str:
    """Three decimals, so that columns align; turned: of the negative value."""
    return "-" if value is None else f"{round(-value if turned else value, 3) + 0.0:.3f}"  # + 0.0: no -0.000


@dataclass(frozen=True)
class About:
    """What a page is of: the run as it was named, when the page was made, and the options of its training."""

    run: str
    date: str
    options: dict[str, Any]


def now_said() -> str:
    """To the minute, as a page says when it was made."""
    return f"{datetime.now():%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class Number:
    """A number of a JSON file. In a template it writes itself: as it is read, beside it exact and where it stands."""

    value: float | int
    key: str
    text: str

    def __html__(self) -> str:
        return f'<span data-key="{escape(self.key)}" data-value="{self.value!r}">{self.text}</span>'


def keyed(found: Any, key: str = "") -> Any:
    """Nested JSON with each number as a Number, and None in place of those that are not finite."""
    if isinstance(found, dict | list):
        items = found.items() if isinstance(found, dict) else enumerate(found)
        inside = {name: keyed(value, f"{key}.{name}" if key else str(name)) for name, value in items}
        return inside if isinstance(found, dict) else list(inside.values())
    if isinstance(found, bool) or not isinstance(found, int | float):
        return found
    return Number(found, key, written(found)) if math.isfinite(found) else None


def flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts by dotted names."""
    found: dict[str, Any] = {}
    for name, value in content.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def render(template: str, **context: Any) -> str:
    """The page that a file of templates/ makes of these names.

    Every text is escaped. A name that does not exist raises UndefinedError. {{ number }} is as written() has it,
    {{ number | fixed }}, {{ number | share }} and {{ number | percent }} as those do.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("alpamayo_toy.views"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda found: written(None) if found is None else found,
    )
    pages.filters |= {form.__name__: _filter(form) for form in (fixed, share, percent)}
    pages.filters["flat"] = flat
    pages.filters["spoken"] = lambda name: name.replace("_", " ")
    return _with_places(pages.get_template(template).render(context))


def _with_places(text: str) -> str:
    """A page whose tables say what their headings head, whose sections are listed on top, and whose 5 % stay whole."""
    text = re.sub(r"(?<=\d) %", "\u00a0%", text)
    heads = re.split(r"(<thead>.*?</thead>)", text, flags=re.DOTALL)
    for i, part in enumerate(heads):
        kind = "row" if i % 2 == 0 else "col"
        heads[i] = re.sub(r"<th(?=[ >])", f'<th scope="{kind}"', part)
    parts = re.split(r"<h2>(.*?)</h2>", "".join(heads), flags=re.DOTALL)
    titles = parts[1::2]
    links = " · ".join(f'<a href="#part-{i}">{title}</a>' for i, title in enumerate(titles, 1))
    sections = [
        f'<h2 id="part-{i}">{title}</h2>{rest}'
        for i, (title, rest) in enumerate(zip(titles, parts[2::2], strict=True), 1)
    ]
    return "".join([parts[0].replace("<nav></nav>", f"<nav>{links}</nav>"), *sections])


def _filter(form: Callable[..., str]) -> Callable[..., Number | str]:
    """A form as a filter of Numbers."""

    def write(number: Number | None, *options: bool) -> Number | str:
        return form(None) if number is None else replace(number, text=form(number.value, *options))

    return write
