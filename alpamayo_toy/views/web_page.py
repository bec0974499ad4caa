"""A web page in one file that opens offline: tables whose cells repeat the numbers of a JSON file, and pictures."""

import math
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --line: #d5dae1; --soft: #f3f5f8; --bar: #b9cbe3; --faint: #5b6573; --own: #fbe9ec; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a424d; --soft: #1d2229; --bar: #34506f; --faint: #9aa6b4; --own: #43232a; }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
p { margin: .3rem 0; color: var(--faint); max-width: 56rem; overflow-wrap: anywhere; }
.side { display: flex; flex-wrap: wrap; gap: 0 2.5rem; align-items: flex-start; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0; }
caption { text-align: left; font-weight: 600; padding-bottom: .2rem; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th { font-weight: 500; white-space: nowrap; } thead th { background: var(--soft); }
th:first-child, th.words, td.words { text-align: left; } td { font-variant-numeric: tabular-nums; }
td.words { min-width: 16rem; } td.id { text-align: left; font-family: ui-monospace, monospace; font-size: .85em; }
td.bar { width: 8rem; } td.bar i { display: block; height: .9em; margin-top: .3em; background: var(--bar); }
img { display: block; max-width: 100%; background: #fff; border-radius: .4rem; margin: .6rem 0; }
"""

Place = tuple[str | int, ...]
"""Where a number stands in nested JSON."""


def document(title: str, body: Iterable[str], style: str = "") -> str:
    """One HTML file without scripts or links; style adds to STYLE."""
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>",
            f"<h1>{escape(title)}</h1>",
            *body,
            "</body>\n</html>\n",
        ]
    )


def table(header: list[list[str]], rows: Iterable[list[str]], caption: str = "") -> str:
    """Rows of finished cells below rows of finished headings."""
    lines = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    named = f"<caption>{escape(caption)}</caption>" if caption else ""
    top = "".join(f"<tr>{''.join(row)}</tr>" for row in header)
    head = f"<thead>{top}</thead>" if header else ""
    return f'<div class="wide"><table>{named}{head}<tbody>\n{lines}\n</tbody></table></div>'


def heading(text: str, unit: str = "", kind: str = "", across: int = 1) -> str:
    """The name of a row or of so many columns; kind is its class."""
    named = f' class="{kind}"' if kind else ""
    wide = f' colspan="{across}"' if across > 1 else ""
    return f"<th{named}{wide}>{escape(text)}{f' [{unit}]' if unit else ''}</th>"


def headings(*names: str) -> list[str]:
    """The names of columns."""
    return [heading(name) for name in names]


def words(text: str, kind: str = "words") -> str:
    """A cell of text; kind is its class."""
    return f'<td class="{kind}">{escape(text)}</td>'


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


def number(found: Any, place: Place, form: Callable[[Any], str] = written) -> str:
    """A number of the JSON file, as form writes it and exact in data-value; form(None) where there is none."""
    value = at(found, place)
    if value is None or not math.isfinite(value):
        return form(None)
    key = escape(".".join(str(part) for part in place))
    return f'<span data-key="{key}" data-value="{value!r}">{form(value)}</span>'


def cell(found: Any, place: Place, form: Callable[[Any], str] = written) -> str:
    """A number of the JSON file as a cell."""
    return f"<td>{number(found, place, form)}</td>"


def at(found: Any, place: Place) -> Any:
    """What stands there in nested JSON."""
    for part in place:
        found = found[part]
    return found


def image(picture: str, text: str) -> str:
    """A PNG in base64, and what it shows."""
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{picture}">'
