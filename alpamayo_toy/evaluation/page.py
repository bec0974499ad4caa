"""The page of an evaluation: the numbers of metrics.json for people, in one file that opens offline."""

import math
from collections.abc import Callable, Iterable
from html import escape
from itertools import groupby
from typing import Any

from alpamayo_toy.metrics.comfort import LIMITS
from alpamayo_toy.metrics.intervals import MIN_UNITS
from alpamayo_toy.views.web_page import (
    Place,
    at,
    cell,
    document,
    heading,
    headings,
    image,
    number,
    table,
    words,
    written,
)

TARGETS = {"teacher": "the teacher's samples", "ground_truth": "the ground truth"}
ERRORS = {
    "final_longitudinal_error": ("end, along the lane", "m"),
    "final_lateral_error": ("end, sideways", "m"),
    "corner_distance": ("corner distance", "m"),
    "heading_error": ("heading error", "rad"),
    "speed_error": ("speed error", "m/s"),
}
"""Of one trajectory, beside its FDE at several times."""
SAMPLES = {
    "corner_distance": ("corner distance", "m"),
    "spread": ("spread of the samples", "m"),
    "energy_score": ("energy score", "m"),
}
MISSES = {
    "miss": "misses: end off by more than 2\N{NO-BREAK SPACE}m",
    "waymo_miss_3.0": "Waymo's misses at 3 s",
    "waymo_miss_5.0": "Waymo's misses at 5 s",
}
LIMITED = {
    "min_longitudinal_acceleration": ("longitudinal acceleration", "m/s²"),
    "max_longitudinal_acceleration": ("longitudinal acceleration", "m/s²"),
    "max_abs_lateral_acceleration": ("|lateral acceleration|", "m/s²"),
    "max_abs_magnitude_jerk": ("|jerk|, of the length of the acceleration", "m/s³"),
    "max_abs_longitudinal_jerk": ("|longitudinal jerk|", "m/s³"),
    "max_abs_yaw_rate": ("|yaw rate|", "rad/s"),
    "max_abs_yaw_acceleration": ("|yaw acceleration|", "rad/s²"),
}
"""What LIMITS limits, in words."""
COMFORT = {"comfort_actions": "from actions", "comfort_positions": "from positions"}
FEASIBLE = {
    "within_bounds": "actions within the bounds of the action space",
    "speed_non_negative": "speed never negative",
    "no_teleport": "no step longer than the speed allows",
}
GROUPS = {"scenario": "Scenario", "waymo": "Waymo's bucket", "v0": "Initial speed v0"}
STYLE = """
thead th { white-space: normal; vertical-align: bottom; max-width: 7.5rem; }
thead th.group { text-align: center; max-width: none; } tbody th, thead th.left { text-align: left; }
tr:has(th.student) { background: var(--own); } tr:has(th.reference) { color: var(--faint); }
tr:has(th.best) > * { font-weight: 700; }
td.low, td.high, td.few, small { color: var(--faint); } td.low { padding-right: .25rem; } td.high { padding-left: 0; }
td.few, td.told, td.joint { text-align: left; } td.joint { padding-left: 0; }
td.reason { text-align: left; color: var(--faint); max-width: 22rem; vertical-align: middle; }
td.id { overflow-wrap: anywhere; }
"""


def page(metrics: dict[str, Any], pictures: dict[str, str]) -> str:
    """The page as one HTML text; pictures are base64 PNGs by name: horizon, worst, profiles (each optional).

    data-key and data-value of a cell repeat a number of metrics.json.
    """
    body = [
        *_introduction(metrics),
        *_headline_section(metrics),
        *_picture_section(
            pictures,
            "horizon",
            "Error over the horizon",
            "Mean distance, on a log scale; of several samples their mean.",
        ),
        *_paired_section(metrics),
        *_samples_section(metrics),
        *_metrics_section(metrics),
        *_breakdown_section(metrics),
        *_quality_section(metrics),
        *_worst_section(metrics, pictures),
        *_picture_section(pictures, "profiles", "Actions, speed and jerk", "The same clips at every evaluation."),
    ]
    return document(f"Student evaluated on {_evaluated_on(metrics)}", body, STYLE)


def _evaluated_on(metrics: dict[str, Any]) -> str:
    if metrics["scenario"] == "FILE":
        return str(metrics["teacher"])
    return f"scenario {metrics['scenario']}, {metrics['teacher']} teacher"


def _introduction(metrics: dict[str, Any]) -> list[str]:
    clips, samples, horizon, dt, seed, units = (
        number(metrics, place)
        for place in (("clips",), ("samples",), ("horizon",), ("dt",), ("seed",), ("units", "count"))
    )
    kind = escape(metrics["units"]["kind"])
    enough = metrics["units"]["count"] >= MIN_UNITS
    few = f"{units} independent units ({kind}) are too few for an interval: it takes {MIN_UNITS}."
    many = f"In brackets: 95 % intervals of the mean, from {units} independent units ({kind})."
    lines = [
        f"<p>{clips} clips, K = {samples} teacher's samples of each, T = {horizon} steps of {dt} s. "
        f"Rollout: {escape(metrics['integrator'])}. Split: {escape(metrics['split'])}. Seed: {seed}. "
        "Ego frame at t0: x forward, y left; distances are in x and y.</p>",
        f"<p>{many if enough else few} Shares have no interval: of rare cases it would be too narrow.</p>",
    ]
    if metrics["ade_over_floor"] is not None:
        over, excess = (number(metrics, (name,), fixed) for name in ("ade_over_floor", "excess_over_floor"))
        lines.append(
            f"<p>The student's ADE is {over} times the floor, and it drives {excess} floors from where the floor does. "
            "The floor is what the best single prediction scores against a teacher that varies "
            f"({escape(metrics['floor']['kind'].replace('_', ' '))}; of few samples an upper estimate).</p>"
        )
    return lines


def _headline_section(metrics: dict[str, Any]) -> list[str]:
    header = [
        heading("predictor"),
        heading("ADE", "m", "group", 3),
        heading("FDE", "m", "group", 3),
        *headings("clips", "units"),
    ]
    lines = [
        "<h2>Error</h2>",
        "<p>ADE: mean distance over the steps, FDE: at the last one. Bold: least ADE of student and baselines over the "
        "student's clips. Grey: the floor and the teacher itself, which know the labels or have seen more. Rows over "
        "fewer clips compare with no other row; the pairs below do.</p>",
    ]
    for target, rows in metrics["scores"].items():
        best = _best(rows)
        body = []
        for name in _ordered(rows):
            if "ade" in rows[name]:
                place = ("scores", target, name)
                counts = [cell(metrics, (*place, "ade", count)) for count in ("clips", "units")]
                errors = [each for key in ("ade", "fde") for each in _estimate(metrics, (*place, key))]
                body.append([_predictor(name, best), *errors, *counts])
        body += _unavailable(metrics["not_available"], 8)
        lines.append(table([header], body, f"Against {TARGETS[target]}"))
    return lines


def _best(rows: dict[str, Any]) -> str:
    """The student or baseline with the least ADE over the student's clips."""
    ade = {name: row["ade"] for name, row in rows.items() if "ade" in row and not _is_reference(name)}
    same = {name: entry["mean"] for name, entry in ade.items() if entry["clips"] == ade["student"]["clips"]}
    return min(same, key=lambda name: math.inf if same[name] is None else same[name])


def _unavailable(reasons: dict[str, str], across: int) -> list[list[str]]:
    """A row for each predictor that there is none of; neighbours share the reason."""
    rows = []
    for reason, names in groupby(reasons, key=lambda name: reasons[name]):
        first, *others = names
        told = f'<td class="reason" colspan="{across}" rowspan="{len(others) + 1}">n/a: {escape(reason)}</td>'
        rows += [[heading(_spoken(first), kind="reference"), told]]
        rows += [[heading(_spoken(name), kind="reference")] for name in others]
    return rows


def _paired_section(metrics: dict[str, Any]) -> list[str]:
    header = [
        heading("by ADE, the student is", "m", "group", 4),
        heading("than", kind="left"),
        heading("and that is", kind="left"),
        *headings("clips", "units"),
    ]
    lines = [
        "<h2>Student and others, pair by pair</h2>",
        f"<p>Mean difference of ADE over the same clips, which both have. Decided: the interval leaves out 0, and "
        f"there is one from {MIN_UNITS} units on.</p>",
    ]
    for target, rows in metrics["paired"].items():
        body = [_compared(metrics, ("paired", target, name)) for name in _ordered(rows)]
        if body:
            lines.append(table([header], body, f"Against {TARGETS[target]}"))
    return lines


def _compared(metrics: dict[str, Any], place: Place) -> list[str]:
    """A pair as a sentence: "student is 0.210 m better [0.050, 0.370] than ridge, decided"."""
    entry, name = at(metrics, place), str(place[-1])
    better = entry["mean"] is not None and entry["mean"] < 0
    enough = entry["units"] >= MIN_UNITS
    verdicts = {True: "decided", False: "not resolved", None: "-" if enough else "too few for an interval"}
    return [
        *_estimate(metrics, place, better),
        words("" if entry["mean"] is None else "better" if better else "worse", "joint"),
        _predictor(name),
        words(verdicts[entry["decided"]], "told" if entry["decided"] else "few"),
        *(cell(metrics, (*place, count)) for count in ("clips", "units")),
    ]


def _samples_section(metrics: dict[str, Any]) -> list[str]:
    lines = []
    for target, rows in metrics["scores"].items():
        names = [name for name in _ordered(rows) if "min_ade" in rows[name]]
        if not names:
            continue
        found = {key for name in names for key in rows[name]}
        horizon = sorted(key for key in found if key.startswith("min_ade_horizon_"))
        whole = [key.replace("horizon_", "") for key in horizon]
        header = [
            [
                *headings("predictor"),
                heading("minADE", "m", "group", 3),
                heading("minFDE", "m", "group", 3),
                heading("best over the whole horizon, cut at", "m", "group", len(whole)),
                heading("best up to", "m", "group", len(horizon)),
                heading("clips"),
            ],
            [
                "<th></th>",
                '<th colspan="6"></th>',
                *headings(*(f"{key.rpartition('_')[2]} s" for key in whole + horizon)),
                "<th></th>",
            ],
        ]
        body = [
            [
                _predictor(name),
                *_estimate(metrics, ("scores", target, name, "min_ade")),
                *_estimate(metrics, ("scores", target, name, "min_fde")),
                *(_mean(metrics, ("scores", target, name, key)) for key in whole + horizon),
                cell(metrics, ("scores", target, name, "min_ade", "clips")),
            ]
            for name in names
        ]
        lines.append(table(header, body, f"Against {TARGETS[target]}"))
    told = (
        "<p>minADE and minFDE choose the best of a clip's samples with the truth in hand. Until a time, minADE has two "
        "readings: the sample that is best over the whole horizon, cut there, or the one that is best up to there. "
        "Six residuals: the decaying hold and what it missed on six training clips drawn at random.</p>"
    )
    return ["<h2>Best of several samples</h2>", told, *lines] if lines else []


def _metrics_section(metrics: dict[str, Any]) -> list[str]:
    lines = [
        "<h2>All other metrics</h2>",
        "<p>FDE 3.0 s: distance at that time. Along the lane and sideways: size of the final error in the truth's "
        "heading frame. Waymo's misses: off by more than 1.0 m sideways or 2.0 m along at 3 s, 1.8 m or 3.6 m at 5 s, "
        "half of it at low speed. Of several samples the best one counts for misses and, corner by corner, for the "
        "corner distance.</p>",
    ]
    for target, rows in metrics["scores"].items():
        names = _ordered(rows)
        times = sorted({key for row in rows.values() for key in row if key.startswith("fde_")})
        by_time = {key: (f"FDE {key.removeprefix('fde_')}\N{NO-BREAK SPACE}s", "m") for key in times}
        single, several = ([name for name in names if kind in rows[name]] for kind in ("ade", "min_ade"))
        against = f"Against {TARGETS[target]}"
        lines += [
            *_means_table(metrics, target, single, by_time | ERRORS, f"{against}: one trajectory"),
            *_means_table(metrics, target, several, SAMPLES, f"{against}: several samples"),
            *_misses_table(metrics, target, names, f"{against}: misses, share of clips"),
        ]
    return lines


def _means_table(
    metrics: dict[str, Any], target: str, names: list[str], columns: dict[str, tuple[str, str]], caption: str
) -> list[str]:
    """A row for each predictor that has one of these metrics, and the number of clips of the first that it has."""
    rows = metrics["scores"][target]
    shown = {key: named for key, named in columns.items() if any(key in rows[name] for name in names)}
    body = []
    for name in names:
        first = next((key for key in shown if key in rows[name]), None)
        if first is not None:
            place = ("scores", target, name)
            means = [_mean(metrics, (*place, key)) for key in shown]
            body.append([_predictor(name), *means, cell(metrics, (*place, first, "clips"))])
    header = [heading("predictor"), *(heading(*named) for named in shown.values()), heading("clips")]
    return [table([header], body, caption)] if body else []


def _misses_table(metrics: dict[str, Any], target: str, names: list[str], caption: str) -> list[str]:
    """A row for each predictor that has one of the shares, each share beside its own number of clips."""
    rows = metrics["scores"][target]
    shown = [key for key in MISSES if any(key in row for row in rows.values())]
    body = [
        [_predictor(name), *(_share(metrics, ("scores", target, name, key)) for key in shown)]
        for name in names
        if any(key in rows[name] for key in shown)
    ]
    return [table([headings("predictor", *(MISSES[key] for key in shown))], body, caption)] if body else []


def _breakdown_section(metrics: dict[str, Any]) -> list[str]:
    lines = [f"<h2>ADE by group, against {TARGETS[metrics['breakdown_against']]}</h2>", '<div class="side">']
    for kind, groups in metrics["breakdown"].items():
        names = _ordered({name: None for group in groups.values() for name in group["ade"]})
        clips = [heading("clips"), *(cell(metrics, ("breakdown", kind, group, "clips")) for group in groups)]
        body = [
            [
                _predictor(name),
                *(_if_there(metrics, ("breakdown", kind, group, "ade", name), fixed) for group in groups),
            ]
            for name in names
        ]
        header = [heading("predictor"), *(heading(_spoken(group)) for group in groups)]
        lines.append(table([header], [clips, *body], f"{GROUPS[kind]}: ADE [m]"))
    return [*lines, "</div>"]


def _quality_section(metrics: dict[str, Any]) -> list[str]:
    columns = [(who, form) for who, entry in metrics["quality"].items() for form in COMFORT if form in entry]
    body = [
        [heading(_limit(name)), *(cell(metrics, ("quality", *column, name), share) for column in columns)]
        for name in (*LIMITS, "all")
    ]
    header = ["limit", *(f"{_spoken(who)}, {COMFORT[form]}" for who, form in columns)]
    drivers = [who for who, entry in metrics["quality"].items() if "feasible" in entry]
    possible = [
        [heading(text), *(_if_there(metrics, ("quality", who, "feasible", name), share) for who in drivers)]
        for name, text in FEASIBLE.items()
    ]
    clips = metrics["clips"]
    return [
        "<h2>Comfort and feasibility</h2>",
        f"<p>Shares of the {clips} clips. A clip passes where its extreme value is within the limit (nuPlan, NAVSIM). "
        "From actions: exact differences. From positions: through nuPlan's filters, which flatten what is short. "
        "Compare within one form only.</p>",
        table([headings(*header)], body, f"Comfortable, share of {clips} clips"),
        table([headings("", *map(_spoken, drivers))], possible, f"Feasible, share of {clips} clips"),
    ]


def _limit(name: str) -> str:
    """A limit in words, such as "longitudinal acceleration at least -4.05 m/s²"."""
    if name == "all":
        return "all of them"
    low, high = LIMITS[name]
    text, unit = LIMITED[name]
    return f"{text} at {'least' if math.isinf(high) else 'most'} {low if math.isinf(high) else high:.2f} {unit}"


def _worst_section(metrics: dict[str, Any], pictures: dict[str, str]) -> list[str]:
    rows = [
        [
            heading(str(i + 1)),
            words(entry["clip_id"], "id"),
            words(entry["scenario"], "told"),
            *(
                cell(metrics, ("worst", i, key), form)
                for key, form in (("t0_us", written), ("v0", fixed), ("ade", fixed))
            ),
        ]
        for i, entry in enumerate(metrics["worst"])
    ]
    header = [heading("#"), heading("clip", kind="left"), heading("scenario", kind="left")]
    header += [heading("t0", "µs"), heading("v0", "m/s"), heading("ADE", "m")]
    against = TARGETS[metrics["breakdown_against"]]
    return [
        "<h2>Worst clips</h2>",
        f"<p>Those with the student's largest ADE against {against}, from above.</p>",
        *([image(pictures["worst"], "Worst clips from above")] if "worst" in pictures else []),
        table([header], rows),
    ]


def _picture_section(pictures: dict[str, str], name: str, title: str, told: str) -> list[str]:
    return [f"<h2>{title}</h2>", f"<p>{told}</p>", image(pictures[name], title)] if name in pictures else []


def _is_reference(name: str) -> bool:
    """Whether a predictor is no rival of the student: the floor and the teacher itself."""
    return name == "floor" or name.startswith("teacher_")


def _ordered(names: Iterable[str]) -> list[str]:
    """The student, baselines, then what is no rival."""
    return sorted(names, key=lambda name: (name != "student", _is_reference(name)))


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _predictor(name: str, best: str = "") -> str:
    """The name of a predictor's row, marked."""
    kinds = ["student"] * (name == "student") + ["reference"] * _is_reference(name) + ["best"] * (name == best)
    return heading(_spoken(name), kind=" ".join(kinds))


_NOTHING = "<td>-</td>"


def fixed(value: float | None) -> str:
    """Three decimals, so that columns align."""
    return "-" if value is None else f"{round(value, 3) + 0.0:.3f}"  # + 0.0: no -0.000


def share(value: float | None) -> str:
    """A share in percent."""
    return "-" if value is None else written(value, "%")


def _estimate(metrics: dict[str, Any], place: Place, turned: bool = False) -> list[str]:
    """Mean, and low and high in brackets, as three cells; turned: of the negative value."""
    entry = at(metrics, place)
    ends = ("high", "low") if turned else ("low", "high")

    def form(value: float | None) -> str:
        return fixed(-value if turned and value is not None else value)

    mean = cell(metrics, (*place, "mean"), form)
    if entry["low"] is None:
        return [mean, f'<td class="few" colspan="2">{"too few" if entry["units"] < MIN_UNITS else ""}</td>']
    low, high = (number(metrics, (*place, end), form) for end in ends)
    return [mean, f'<td class="low">[{low},</td>', f'<td class="high">{high}]</td>']


def _if_there(metrics: dict[str, Any], place: Place, form: Callable[[float | None], str]) -> str:
    """A number as a cell, or a dash where metrics.json has none by that name."""
    return cell(metrics, place, form) if place[-1] in at(metrics, place[:-1]) else _NOTHING


def _mean(metrics: dict[str, Any], place: Place) -> str:
    """A mean as a cell, if the predictor has that metric."""
    return cell(metrics, (*place, "mean"), fixed) if place[-1] in at(metrics, place[:-1]) else _NOTHING


def _share(metrics: dict[str, Any], place: Place) -> str:
    """A share of so many clips as a cell, if the predictor has that metric."""
    if place[-1] not in at(metrics, place[:-1]):
        return _NOTHING
    return f"<td>{number(metrics, (*place, 'mean'), share)} <small>of {number(metrics, (*place, 'clips'))}</small></td>"
