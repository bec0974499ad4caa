"""report.html: the numbers of report.json for people, in one file that opens offline."""

from html import escape
from typing import Any

from alpamayo_toy.views.web_page import (
    Place,
    at,
    cell,
    document,
    heading,
    headings,
    image,
    percent,
    table,
    words,
    written,
)

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


def page(found: dict[str, Any], pictures: dict[str, str]) -> str:
    """One HTML file without scripts or links; data-key and data-value of a cell repeat a number of report.json."""
    body = [
        f"<p>A report on {escape(found['scope'])}. Metres, seconds, ego frame at t0: x forward, y left.</p>",
        *_set_section(found),
        *_motion_section(found, pictures["histograms"]),
        *_spread_section(found),
        *_scores_section(found),
        *[line for name in GROUPS if found[name] for line in _group_section(found, name, pictures[name])],
    ]
    return document(found["name"], body)


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
        [heading(text, unit), *(cell(found, ("distributions", key, column)) for column in columns)]
        for key, (text, unit) in QUANTITIES.items()
    ]
    return [
        "<h2>Motion</h2>",
        f"<p>Actions are {escape(found['actions'])}; near standstill a curvature is unbounded. Above 2 m/s: at both "
        "ends of a step. Percentiles and histograms are taken of at most a million values.</p>",
        table([headings("", *columns)], rows),
        _pairs(found, ("shares",), SHARES),
        image(histograms, "Histograms of speed, acceleration, curvature and jerk"),
    ]


def _spread_section(found: dict[str, Any]) -> list[str]:
    if found["spread"] is None:
        return []
    seconds = list(found["spread"]["from_mean"])
    cells = [cell(found, ("spread", "from_mean", key)) for key in seconds]
    return [
        "<h2>How far the samples of a clip are apart</h2>",
        "<p>Left or right: 2 m or more to that side after 3 s (UniAD).</p>",
        table(
            [headings("", *(f"{key} s" for key in seconds))], [[heading("mean distance from their mean", "m"), *cells]]
        ),
        _pairs(found, ("spread",), SPREAD),
    ]


def _scores_section(found: dict[str, Any]) -> list[str]:
    if found["scores"] is None:
        return []
    seconds = list(found["scores"]["min_ade_by_t"])
    rows = {"min_ade_by_t": "best over the whole horizon, cut", "min_ade_by_t_horizon": "best up to that time"}
    by_time = [
        [heading(text, "m"), *(cell(found, ("scores", name, key)) for key in seconds)] for name, text in rows.items()
    ]
    baselines = [
        [heading(key.replace("_", " ")), *(cell(found, ("scores", "baselines", key, c)) for c in entry)]
        for key, entry in found["scores"]["baselines"].items()
    ]
    return [
        "<h2>Against ground truth</h2>",
        "<p>Mean over clips of the mean (ADE) or final (FDE) distance in x and y. The medoid is the sample with the "
        "least mean distance to the others.</p>",
        '<div class="side">',
        _pairs(found, ("scores",), SCORES),
        table([headings("minADE", *(f"{key} s" for key in seconds))], by_time),
        table([headings("baseline", "ADE [m]", "FDE [m]", "clips")], baselines),
        "</div>",
    ]


def _group_section(found: dict[str, Any], name: str, picture: str) -> list[str]:
    text, unit = VALUES["ends_mean" if name == "disagreeing" else found["worst_by"]]
    told = any(entry["text"] for entry in found[name])
    rows = [
        [
            words(entry["clip_id"], "id"),
            cell(found, (name, i, "t0_us")),
            cell(found, (name, i, "value")),
            words(entry["text"]) if told else "",
        ]
        for i, entry in enumerate(found[name])
    ]
    header = [*headings("clip", "t0 [µs]", f"{text} [{unit}]"), heading("text", kind="words") if told else ""]
    return [f"<h2>{GROUPS[name]}</h2>", image(picture, f"{GROUPS[name]} from above"), table([header], rows)]


def _pairs(found: dict[str, Any], place: Place, rows: dict[str, tuple[str, str]]) -> str:
    """A table of one number a row."""
    cells = [
        [heading(text, unit), cell(found, (*place, key), percent if unit == "%" else written)]
        for key, (text, unit) in rows.items()
    ]
    return table([], cells)


def _bars(found: dict[str, Any], place: Place, caption: str) -> str:
    """A table of counts, each with a bar for its share."""
    counts = at(found, place)
    longest = max([1, *counts.values()])
    rows = [
        [
            heading(key),
            cell(found, (*place, key)),
            f'<td class="bar"><i style="width:{100 * count / longest:.0f}%"></i></td>',
        ]
        for key, count in counts.items()
    ]
    return table([], rows, caption)
