"""The page of an evaluation: the numbers of metrics.json for people, in one file that opens offline."""

import math
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from alpamayo_toy.evaluation.describe import routes_said
from alpamayo_toy.metrics.comfort import LIMITS
from alpamayo_toy.metrics.intervals import MIN_UNITS
from alpamayo_toy.views.web_page import About, keyed, render

Rows = dict[str, Any]
"""What metrics.json has of each predictor."""

LIMITED = {
    "min_longitudinal_acceleration": "longitudinal acceleration at least {:.2f} m/s²",
    "max_longitudinal_acceleration": "longitudinal acceleration at most {:.2f} m/s²",
    "max_abs_lateral_acceleration": "|lateral acceleration| at most {:.2f} m/s²",
    "max_abs_magnitude_jerk": "|jerk|, of the length of the acceleration at most {:.2f} m/s³",
    "max_abs_longitudinal_jerk": "|longitudinal jerk| at most {:.2f} m/s³",
    "max_abs_yaw_rate": "|yaw rate| at most {:.2f} rad/s",
    "max_abs_yaw_acceleration": "|yaw acceleration| at most {:.2f} rad/s²",
}
"""LIMITS in words."""


def page(metrics: dict[str, Any], pictures: dict[str, str], about: About | None = None) -> str:
    """The page as one HTML text; pictures are base64 PNGs by name: horizon, worst, profiles (each optional).

    data-key and data-value of a cell repeat a number of metrics.json.
    """
    ordered = {name: {t: _ordered(rows) for t, rows in metrics[name].items()} for name in ("scores", "paired")}
    return render(
        "evaluation.html",
        metrics=keyed(metrics | ordered),
        pictures=pictures,
        about=about,
        min_units=MIN_UNITS,
        best={target: _best(rows) for target, rows in metrics["scores"].items()},
        routes=routes_said(metrics),
        unavailable=_unavailable(metrics["not_available"]),
        grouped={kind: _grouped(groups) for kind, groups in metrics["breakdown"].items()},
        limits=_limits(),
        is_reference=_is_reference,
        having=_having,
        used=_used,
        by_time=_by_time,
    )


def _is_reference(name: str) -> bool:
    """Whether a predictor is no rival of the student: the floor and the teacher itself."""
    return name == "floor" or name.startswith("teacher_")


def _ordered(rows: Rows) -> Rows:
    """The student, baselines, then what is no rival."""
    return {name: rows[name] for name in sorted(rows, key=lambda name: (name != "student", _is_reference(name)))}


def _best(rows: Rows) -> str:
    """The student or baseline with the least ADE over the student's clips."""
    ade = {name: row["ade"] for name, row in rows.items() if "ade" in row and not _is_reference(name)}
    same = {name: entry["mean"] for name, entry in ade.items() if entry["clips"] == ade["student"]["clips"]}
    return min(same, key=lambda name: math.inf if same[name] is None else same[name])


def _unavailable(reasons: dict[str, str]) -> list[tuple[str, list[str]]]:
    """The predictors that there is none of; neighbours share the reason."""
    return [(reason, list(names)) for reason, names in groupby(reasons, key=lambda name: reasons[name])]


def _grouped(groups: dict[str, Any]) -> list[str]:
    """The predictors that have an ADE in any of the groups."""
    return list(_ordered({name: None for group in groups.values() for name in group["ade"]}))


def _limits() -> dict[str, str]:
    """LIMITS in words, and all of them together."""
    bounds = {name: low if math.isinf(high) else high for name, (low, high) in LIMITS.items()}
    return {name: LIMITED[name].format(bound) for name, bound in bounds.items()} | {"all": "all of them"}


def _having(rows: Rows, names: Iterable[str]) -> Rows:
    """The predictors that have one of these metrics."""
    return {predictor: row for predictor, row in rows.items() if any(name in row for name in names)}


def _used(metrics: dict[str, str], rows: Rows) -> dict[str, str]:
    """Those of {name: heading} that one of the predictors has."""
    return {name: heading for name, heading in metrics.items() if _having(rows, [name])}


def _by_time(rows: Rows, prefix: str, heading: str) -> dict[str, str]:
    """The metrics named by this prefix and a time in seconds, each with a heading that holds the time."""
    names = sorted({name for row in rows.values() for name in row if name.startswith(prefix)})
    return {name: heading.format(name.removeprefix(prefix)) for name in names}
