"""Numbers about trajectories, each defined where it is computed: tensors in, one value a clip out.

Leading `...` batch dimensions broadcast. T steps, t0 not among them; K samples of one clip. A trajectory is (..., T, 4)
= x, y, yaw, v; where only positions count, x and y are enough. mask (..., T) bool, True where the ground truth is
valid: masked steps are left out, what they hold does not matter, and a clip without the valid steps it needs is NaN.
"""

from alpamayo_toy.metrics.displacement import (
    ade,
    brier_min_fde,
    corner_distance,
    distance,
    fde,
    final_errors,
    heading_error,
    horizons,
    min_ade,
    min_fde,
    miss,
    speed_error,
    waymo_miss,
)
from alpamayo_toy.metrics.distribution import (
    calibration_error,
    energy_score,
    geometric_median,
    manoeuvre_shares,
    medoid,
    medoids,
    nearest_shares,
    off_the_crowd,
    spread,
    total_variation,
    within_region,
)
from alpamayo_toy.metrics.starter import feasibility, sanity_checks, starter_metrics

__all__ = [
    "ade",
    "brier_min_fde",
    "calibration_error",
    "corner_distance",
    "distance",
    "energy_score",
    "fde",
    "feasibility",
    "final_errors",
    "geometric_median",
    "heading_error",
    "horizons",
    "manoeuvre_shares",
    "medoid",
    "medoids",
    "min_ade",
    "min_fde",
    "miss",
    "nearest_shares",
    "off_the_crowd",
    "sanity_checks",
    "speed_error",
    "spread",
    "starter_metrics",
    "total_variation",
    "waymo_miss",
    "within_region",
]
