"""report.html: the numbers of report.json for people, in one file that opens offline."""

from collections.abc import Iterable
from html import escape
from typing import Any

PERCENTILES = (1, 5, 50, 95, 99)
QUANTITIES = {
    "v0": ("initial speed v0", "m/s"),
    "speed": ("speed v", "m/s"),
    "acceleration": ("acceleration a", "m/s²"),
    "curvature_moving": ("curvature above 2 m/s", "1/m"),
    "curvature": ("curvature, all steps", "1/m"),
    "jerk": ("jerk da/dt", "m/s³"),
    "curvature_rate_moving": ("curvature rate above 2 m/s", "1/m/s"),
    "curvature_rate": ("curvature rate, all steps", "1/m/s"),
}
"""The distributions in report.json. Moving: above 2 m/s at both ends of every step that has a part in the value."""
CONTENTS = {
    "clips": ("clips", ""),
    "total": ("clips in the whole set", ""),
    "samples": ("samples a clip, K", ""),
    "horizon": ("steps, T", ""),
    "dt": ("time of a step", "s"),
    "distinct_clip_ids": ("distinct clip ids", ""),
    "distinct_sources": ("distinct sources", ""),
    "with_ground_truth": ("clips with ground truth", ""),
    "with_history": ("clips with history", ""),
    "with_text": ("clips with text", ""),
}
SHARES = {
    "steps_below_0.6_mps": ("steps below 0.6 m/s", "%"),
    "clips_starting_below_0.6_mps": ("clips that start below 0.6 m/s", "%"),
    "samples_reversing": ("samples that go below -5 mm/s", "%"),
}
SPREAD = {
    "pairwise_end_mean": ("distance between two ends, mean over clips", "m"),
    "pairwise_end_max": ("distance between two ends, largest", "m"),
    "disagreeing_share": ("clips whose samples disagree on left, straight, right", "%"),
}
SCORES = {
    "min_ade": ("minADE of the K samples", "m"),
    "first_sample_ade": ("ADE of the first sample", "m"),
    "mean_over_samples_ade": ("ADE, mean over the samples", "m"),
    "medoid_ade": ("ADE of the medoid", "m"),
    "first_sample_fde": ("FDE of the first sample", "m"),
    "min_fde": ("minFDE of the K samples", "m"),
    "miss_rate": ("miss rate, minFDE above 2 m", "%"),
}
GROUPS = {
    "worst": "Worst clips",
    "disagreeing": "Clips whose samples differ most",
    "random": "Clips drawn at random",
}
VALUES = {
    "min_ade": ("minADE", "m"),
    "max_abs_curvature": ("largest |curvature|", "1/m"),
    "ends_mean": ("mean distance of ends", "m"),
}
ADE = {
    "min_ade": "least",
    "first_sample_ade": "first sample",
    "mean_over_samples_ade": "mean over samples",
    "medoid_ade": "medoid",
}
STYLE = """
:root { color-scheme: light dark; --line: #d5dae1; --soft: #f3f5f8; --bar: #b9cbe3; --faint: #5b6573; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a424d; --soft: #1d2229; --bar: #34506f; --faint: #9aa6b4; }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
p { margin: .3rem 0; color: var(--faint); max-width: 56rem; }
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


def page(found: dict[str, Any], pictures: dict[str, str]) -> str:
    """One HTML file without scripts or links; data-key and data-value of a cell repeat a number of report.json."""
    title = escape(found["name"])
    body = [
        f"<h1>{title}</h1>",
        f"<p>A report on {escape(found['scope'])}. Metres, seconds, ego frame at t0: x forward, y left.</p>",
        *_set_section(found),
        *_motion_section(found, pictures["histograms"]),
        *_spread_section(found),
        *_scores_section(found),
        *[line for name in GROUPS if found[name] for line in _group_section(found, name, pictures[name])],
    ]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            *body,
            "</body>\n</html>\n",
        ]
    )


def _set_section(found: dict[str, Any]) -> list[str]:
    scenarios = f"Scenarios, from the {'file' if found['scenario_source'] == 'file' else 'future: an oracle'}"
    return [
        "<h2>The set</h2>",
        '<div class="side">',
        _pairs(found, (), CONTENTS),
        _bars(found, ("buckets", "scenario"), scenarios),
        _bars(found, ("buckets", "waymo"), "Waymo's buckets, first sample"),
        _bars(found, ("v0_source",), "Where v0 comes from"),
        "</div>",
    ]


def _motion_section(found: dict[str, Any], histograms: str) -> list[str]:
    columns = ["count", "mean", "std", "min", *(f"p{p}" for p in PERCENTILES), "max"]
    rows = [
        [_name(text, unit), *(_cell(found, ("distributions", key, column)) for column in columns)]
        for key, (text, unit) in QUANTITIES.items()
    ]
    return [
        "<h2>Motion</h2>",
        f"<p>Actions are {escape(found['actions'])}; near standstill a curvature is unbounded. Above 2 m/s: at both "
        "ends of a step. Percentiles and histograms are taken of at most a million values.</p>",
        _table(["", *columns], rows),
        _pairs(found, ("shares",), SHARES),
        _image(histograms, "Histograms of speed, acceleration, curvature and jerk"),
    ]


def _spread_section(found: dict[str, Any]) -> list[str]:
    if found["spread"] is None:
        return []
    seconds = list(found["spread"]["from_mean"])
    cells = [_cell(found, ("spread", "from_mean", key)) for key in seconds]
    return [
        "<h2>How far the samples of a clip are apart</h2>",
        "<p>Left or right: 2 m or more to that side after 3 s (UniAD).</p>",
        _table(["", *(f"{key} s" for key in seconds)], [[_name("mean distance from their mean", "m"), *cells]]),
        _pairs(found, ("spread",), SPREAD),
    ]


def _scores_section(found: dict[str, Any]) -> list[str]:
    if found["scores"] is None:
        return []
    seconds = list(found["scores"]["min_ade_by_t"])
    rows = {"min_ade_by_t": "best over the whole horizon, cut", "min_ade_by_t_horizon": "best up to that time"}
    by_time = [
        [_name(text, "m"), *(_cell(found, ("scores", name, key)) for key in seconds)] for name, text in rows.items()
    ]
    baselines = [
        [_name(key.replace("_", " "), ""), *(_cell(found, ("scores", "baselines", key, c)) for c in entry)]
        for key, entry in found["scores"]["baselines"].items()
    ]
    return [
        "<h2>Against ground truth</h2>",
        "<p>Mean over clips of the mean (ADE) or final (FDE) distance in x and y. The medoid is the sample with the "
        "least mean distance to the others.</p>",
        '<div class="side">',
        _pairs(found, ("scores",), SCORES),
        _table(["minADE", *(f"{key} s" for key in seconds)], by_time),
        _table(["baseline", "ADE [m]", "FDE [m]", "clips"], baselines),
        "</div>",
    ]


def _group_section(found: dict[str, Any], name: str, picture: str) -> list[str]:
    text, unit = VALUES["ends_mean" if name == "disagreeing" else found["worst_by"]]
    told = any(entry["text"] for entry in found[name])
    rows = [
        [
            f'<td class="id">{escape(entry["clip_id"])}</td>',
            _cell(found, (name, i, "t0_us")),
            _cell(found, (name, i, "value")),
            f'<td class="words">{escape(entry["text"])}</td>' if told else "",
        ]
        for i, entry in enumerate(found[name])
    ]
    header = ["clip", "t0 [µs]", f"{text} [{unit}]", *(["text"] if told else [])]
    return [f"<h2>{GROUPS[name]}</h2>", _image(picture, f"{GROUPS[name]} from above"), _table(header, rows)]


def _pairs(found: dict[str, Any], path: tuple[str, ...], rows: dict[str, tuple[str, str]]) -> str:
    """A table of one number a row."""
    cells = [[_name(text, unit), _cell(found, (*path, key), unit)] for key, (text, unit) in rows.items()]
    return _table([], cells)


def _bars(found: dict[str, Any], path: tuple[str, ...], caption: str) -> str:
    """A table of counts, each with a bar for its share."""
    counts = _at(found, path)
    longest = max([1, *counts.values()])
    rows = [
        [
            _name(key, ""),
            _cell(found, (*path, key)),
            f'<td class="bar"><i style="width:{100 * count / longest:.0f}%"></i></td>',
        ]
        for key, count in counts.items()
    ]
    return _table([], rows, caption)


def _table(header: list[str], rows: Iterable[list[str]], caption: str = "") -> str:
    """Rows of finished cells, the header of text."""
    top = "".join(f"<th{' class=words' if text == 'text' else ''}>{escape(text)}</th>" for text in header)
    lines = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    named = f"<caption>{escape(caption)}</caption>" if caption else ""
    head = f"<thead><tr>{top}</tr></thead>" if header else ""
    return f'<div class="wide"><table>{named}{head}<tbody>\n{lines}\n</tbody></table></div>'


def _name(text: str, unit: str) -> str:
    return f"<th>{escape(text)}{f' [{unit}]' if unit else ''}</th>"


def _cell(found: dict[str, Any], path: tuple[str | int, ...], unit: str = "") -> str:
    """A number of report.json, rounded for reading and exact in data-value."""
    value = _at(found, path)
    if value is None:
        return f"<td>{written(None)}</td>"
    key = escape(".".join(str(part) for part in path))
    shown = written(value, "%").removesuffix(" %") if unit == "%" else written(value)
    return f'<td data-key="{key}" data-value="{value!r}">{shown}</td>'


def _at(found: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        found = found[part]
    return found


def written(value: float | int | None, unit: str = "") -> str:
    """A number as it is read: four digits, integers whole, a share in percent."""
    if value is None:
        return "none"
    if unit == "%":
        return f"{100 * value:.1f} %"
    return str(value) if isinstance(value, int) else f"{value if abs(value) > 1e-9 else 0:.4g}"


def _image(picture: str, text: str) -> str:
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{picture}">'
