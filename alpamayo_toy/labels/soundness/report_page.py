"""report.html: the numbers of report.json for people, in one file that opens offline."""

from typing import Any

from alpamayo_toy.labels.soundness.check import ROUTES
from alpamayo_toy.views.web_page import keyed, now_said, render

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
    """The page as one HTML text; data-key and data-value of a cell repeat a number of report.json."""
    columns = ["count", "mean", "std", "min", *(f"p{p}" for p in PERCENTILES), "max"]
    return render(
        "labels.html",
        found=keyed(found),
        date=now_said(),
        pictures=pictures,
        columns=columns,
        quantities=QUANTITIES,
        values=VALUES,
        routes=ROUTES[found["route_source"]] if found["with_route"] else None,
    )
